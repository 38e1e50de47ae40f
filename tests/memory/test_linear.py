"""The quantized linear computes with exactly the weight it stores, forward and backward."""

import copy

import pytest
import torch
from accelerate import init_empty_weights
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from bioicons_kit.errors import ModelError
from bioicons_kit.memory.levels import LEVELS, require, stored_bytes
from bioicons_kit.memory.linear import QuantizedLinear
from bioicons_kit.memory.quantize import swap_linears
from tests.memory import small

levels = pytest.mark.parametrize("level", ["qfloat8", "qint8", "qint4", small.NF4])
biases = pytest.mark.parametrize("bias", [True, False], ids=["bias", "no bias"])
needs_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")

# Relative error of storage in the Frobenius norm, normally distributed weights: e4m3 has
# 3 mantissa bits (half a step is 1/16 of a value; .026 on average), int8 steps of
# maximum / 127, int4 15 steps from a group's least to its largest, nf4 16 quantiles.
STORAGE_ERROR = {
    "qfloat8": (0.020, 0.030),
    "qint8": (0.004, 0.015),
    "qint4": (0.080, 0.115),
    "nf4": (0.080, 0.100),
}

# The 16 values of nf4, to four digits: Dettmers et al. 2023, appendix E.
_NF4 = (
    *(-1.0, -0.6962, -0.5251, -0.3949, -0.2844, -0.1848, -0.0911, 0.0),
    *(0.0796, 0.1609, 0.2461, 0.3379, 0.4407, 0.5626, 0.7230, 1.0),
)


def build(level: str, weight: Tensor, bias: Tensor | None, device: str = "cpu") -> QuantizedLinear:
    parameter = None if bias is None else nn.Parameter(bias.to(device), requires_grad=False)
    out_features, in_features = weight.shape
    layer = QuantizedLinear(in_features, out_features, level, parameter)
    layer.fill(LEVELS[level].encode(weight.to(device)))
    return layer


def random_layer(level: str, bias: bool = True, device: str = "cpu") -> QuantizedLinear:
    generator = torch.Generator().manual_seed(3)
    weight = torch.randn(48, 128, generator=generator)
    offsets = torch.randn(48, generator=generator) if bias else None
    return build(level, weight, offsets, device)


def exact_weight(layer: QuantizedLinear) -> Tensor:
    """The stored weight in float64, out of the buffers by the formats' definitions."""
    scale = layer.scale.double()
    if layer.level in {"qfloat8", "qint8"}:
        kind = torch.float8_e4m3fn if layer.level == "qfloat8" else torch.int8
        return layer.stored.view(kind).double() * scale[:, None]
    if layer.level == "nf4":  # the first of two in the high bits, whatever block they are of
        codes = torch.stack((layer.stored >> 4, layer.stored & 15), -1).flatten(1).long()
        values = torch.tensor(_NF4, dtype=torch.float64, device=codes.device)[codes]
        return (values.unflatten(1, (-1, 64)) * scale[..., None]).flatten(1)
    groups = layer.stored.unflatten(1, (scale.shape[1], -1)).int()  # two halves in one byte
    values = torch.stack((groups & 15, groups >> 4), dim=-2).flatten(-2).double()
    return (values * scale[..., None] - layer.shift.double()[..., None]).flatten(1)


def magnitude(layer: QuantizedLinear) -> Tensor:
    """The sizes of the numbers a stored weight is computed from: a sum loses what they lose."""
    weight = exact_weight(layer).abs()
    if layer.level != "qint4":
        return weight
    shift = layer.shift.double().abs()
    return weight + 2 * shift.repeat_interleave(layer.in_features // shift.shape[1], dim=1)


def looseness(level: str) -> float:
    """How far the weights of `_NF4` may be off by its four digits."""
    return 1e-4 if level == "nf4" else 0.0


def rounding(left: Tensor, right: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
    """A bound on the error of `left @ right`: n + 4 roundings (Higham 2002, section 3.1)."""
    count = left.shape[-1] + 4
    return count * torch.finfo(dtype).eps * (left.double().abs() @ right.double().abs()) + 1e-30


def check_products(layer: QuantizedLinear, x: Tensor, dy: Tensor) -> None:
    """Hold the output and the input's gradient against float64."""
    x = x.requires_grad_()
    y = layer(x)
    y.backward(dy)
    weight, size = exact_weight(layer), magnitude(layer)
    off = looseness(layer.level) * layer.scale.double().max()
    expected, bound = x.detach().double() @ weight.T, rounding(x.detach(), size.T)
    bound = bound + off * x.detach().double().abs().sum(-1, keepdim=True)
    if layer.bias is not None:
        expected = expected + layer.bias.double()
        bound = bound + 4 * torch.finfo(torch.float32).eps * layer.bias.double().abs()
    assert ((y.double() - expected).abs() <= bound).all()
    assert x.grad is not None
    bound = rounding(dy, size) + off * dy.double().abs().sum(-1, keepdim=True)
    assert ((x.grad.double() - dy.double() @ weight).abs() <= bound).all()


class TestProducts:
    @biases
    @levels
    @settings(max_examples=25, deadline=None)
    @given(
        out_features=st.integers(1, 20),
        width=st.integers(1, 40),
        lead=st.lists(st.integers(1, 4), max_size=2),
        size=st.sampled_from([1e-3, 1.0, 50.0]),
        seed=st.integers(0, 2**31),
    )
    def test_are_those_of_the_stored_weight(
        self,
        level: str,
        bias: bool,
        out_features: int,
        width: int,
        lead: list[int],
        size: float,
        seed: int,
    ):
        g = torch.Generator().manual_seed(seed)
        step = LEVELS[level].step
        in_features = width if step == 1 else step * (1 + width % 6)
        weight = size * torch.randn(out_features, in_features, generator=g)
        offsets = torch.randn(out_features, generator=g) if bias else None
        x = torch.randn(*lead, in_features, generator=g)
        dy = torch.randn(*lead, out_features, generator=g)
        check_products(build(level, weight, offsets), x, dy)

    @levels
    def test_the_bias_is_added(self, level: str):
        layer = build(level, torch.randn(5, 64), torch.tensor([1e4, -2e4, 3e4, 0.0, 5e4]))
        assert torch.equal(layer(torch.zeros(2, 64)), layer.bias.expand(2, 5))

    @levels
    def test_differ_from_the_given_weights_by_the_storage_alone(self, level: str):
        g = torch.Generator().manual_seed(1)
        weight, offsets = torch.randn(96, 256, generator=g), torch.randn(96, generator=g)
        x = torch.randn(64, 256, generator=g, requires_grad=True)
        dy = torch.randn(64, 96, generator=g)
        y = build(level, weight, offsets)(x)
        y.backward(dy)
        expected = x.detach().double() @ weight.double().T
        most = 1.1 * STORAGE_ERROR[level][1]
        assert (y.double() - offsets - expected).norm() < most * expected.norm()
        expected = dy.double() @ weight.double()
        assert x.grad is not None
        assert (x.grad.double() - expected).norm() < most * expected.norm()

    @needs_cuda
    @biases
    @levels
    def test_on_a_gpu_too(self, level: str, bias: bool):
        before = torch.backends.cuda.matmul.allow_tf32
        torch.backends.cuda.matmul.allow_tf32 = False
        try:
            layer = random_layer(level, bias, "cuda")
            check_products(
                layer, torch.randn(3, 9, 128, device="cuda"), torch.randn(3, 9, 48, device="cuda")
            )
        finally:
            torch.backends.cuda.matmul.allow_tf32 = before

    @needs_cuda
    @levels
    def test_the_bias_is_added_on_a_gpu_in_bfloat16(self, level: str):
        layer = random_layer(level, device="cuda").to(torch.bfloat16)
        zero = torch.zeros(2, 128, device="cuda", dtype=torch.bfloat16)
        assert torch.equal(layer(zero), layer.bias.expand(2, 48))

    @levels
    def test_in_bfloat16_to_bfloat16s_rounding(self, level: str):
        layer = random_layer(level)
        x = torch.randn(6, 128).to(torch.bfloat16)
        weight = exact_weight(layer)
        error = (layer(x).double() - (x.double() @ weight.T + layer.bias.double())).abs()
        # the product, the scale, the bias and the sum are each rounded to 8 bits
        size = x.double().abs() @ magnitude(layer).T
        bound = 8 * torch.finfo(torch.bfloat16).eps * (size + 4)
        assert layer(x).dtype == torch.bfloat16
        assert (error <= bound).all()

    @levels
    def test_a_row_of_zeros_stays_zero(self, level: str):
        weight = torch.randn(4, 64)
        weight[1:3] = 0
        layer = build(level, weight, None)
        x = torch.randn(5, 64, requires_grad=True)
        y = layer(x)
        y.sum().backward()
        assert torch.equal(y[:, 1:3], torch.zeros(5, 2))
        assert y.isfinite().all()
        assert x.grad is not None
        assert x.grad.isfinite().all()
        assert torch.equal(layer.dequantized()[1:3], torch.zeros(2, 64))


@levels
class TestStorage:
    def test_error_is_that_of_its_bits(self, level: str):
        weight = torch.randn(256, 768, generator=torch.Generator().manual_seed(0))
        layer = build(level, weight, None)
        error = ((layer.dequantized() - weight).norm() / weight.norm()).item()
        least, most = STORAGE_ERROR[level]
        assert least < error < most

    def test_each_row_has_its_own_scale(self, level: str):
        weight = torch.randn(8, 64) * torch.logspace(-6, 3, 8)[:, None]
        layer = build(level, weight, None)
        errors = (layer.dequantized() - weight).norm(dim=1) / weight.norm(dim=1)
        assert (errors < 1.5 * STORAGE_ERROR[level][1]).all()
        assert layer.scale.shape[0] == 8

    def test_takes_the_bytes_it_says(self, level: str):
        layer = random_layer(level)
        assert layer.stored.dtype == torch.uint8
        assert layer.stored.nbytes == 48 * 128 * (1 if level in {"qfloat8", "qint8"} else 0.5)
        beside = {"qfloat8": 48 * 4, "qint8": 48 * 4, "qint4": 48 * (2 + 2), "nf4": 48 * 2 * 4}
        assert sum(each.nbytes for each in layer.kept) == layer.stored.nbytes + beside[level]
        assert stored_bytes(level, 48, 128) == layer.stored.nbytes + beside[level]
        assert {name for name, _ in layer.named_parameters()} == {"bias"}

    def test_is_the_same_when_made_row_by_row(self, level: str):
        weight = torch.randn(5, 64)
        whole, parts = build(level, weight, None), build(level, torch.zeros(5, 64), None)
        for rows in (slice(0, 2), slice(2, 3), slice(3, 5)):
            parts.fill(LEVELS[level].encode(weight[rows]), rows)
        assert all(torch.equal(*both) for both in zip(whole.kept, parts.kept, strict=True))

    def test_a_layer_knows_what_it_computes_in(self, level: str):
        for bias in (None, torch.zeros(4, dtype=torch.bfloat16)):
            given = None if bias is None else nn.Parameter(bias)
            layer = QuantizedLinear(64, 4, level, given, torch.bfloat16)
            assert layer.weight.dtype == torch.bfloat16

    def test_weight_is_what_is_computed_with_and_cannot_be_set(self, level: str):
        layer = random_layer(level)
        torch.testing.assert_close(
            layer.dequantized().double(),
            exact_weight(layer),
            rtol=1e-6,
            atol=1e-6 * magnitude(layer).max().item() + looseness(level) * 4,
        )
        with pytest.raises((AttributeError, KeyError, TypeError)):
            layer.weight = torch.zeros(48, 128)
        assert layer.weight.shape == (48, 128)
        assert layer.weight.isnan().all()  # whatever computes with it shall show

    def test_casting_the_model_leaves_the_bytes(self, level: str):
        layer = nn.Sequential(random_layer(level))
        stored = layer[0].stored.clone()
        layer.to(torch.bfloat16)
        assert torch.equal(layer[0].stored, stored)
        assert layer[0].bias.dtype == torch.bfloat16
        x = torch.randn(3, 128)
        y = layer(x.to(torch.bfloat16)).float()
        assert (y - x @ layer[0].dequantized().T - layer[0].bias).norm() < 0.02 * y.norm()

    def test_a_copy_is_whole_and_its_own(self, level: str):
        layer = random_layer(level)
        twin = copy.deepcopy(layer)
        x = torch.randn(3, 128)
        before = layer(x)
        assert torch.equal(twin(x), before)
        twin.stored.zero_()
        assert torch.equal(layer(x), before)

    def test_state_dict_brings_it_back(self, level: str):
        layer, other = random_layer(level), build(level, torch.ones(48, 128), torch.ones(48))
        other.load_state_dict(layer.state_dict())
        x = torch.randn(3, 128)
        assert torch.equal(other(x), layer(x))


@levels
class TestBackward:
    @pytest.mark.parametrize("stays", [True, False])
    def test_keeps_nothing_of_the_input(self, level: str, stays: bool):
        layer = random_layer(level)
        layer.stays = stays
        held = {t.untyped_storage().data_ptr() for t in layer.kept}
        saved: list[Tensor] = []

        def remember(tensor: Tensor) -> Tensor:
            saved.append(tensor)
            return tensor

        x = torch.randn(1000, 128, requires_grad=True)
        with torch.autograd.graph.saved_tensors_hooks(remember, lambda tensor: tensor):
            y = layer(x)
        y.sum().backward()
        assert (not saved) == stays  # what stays need not be saved
        assert {t.untyped_storage().data_ptr() for t in saved} <= held

    def test_gives_the_weight_no_gradient(self, level: str):
        layer = random_layer(level)
        layer(torch.randn(2, 128, requires_grad=True)).sum().backward()
        assert layer.bias.grad is None
        assert not layer(torch.randn(2, 128)).requires_grad

    def test_under_autocast(self, level: str):
        layer = random_layer(level)
        x = torch.randn(6, 128, requires_grad=True)
        with torch.autocast("cpu", torch.bfloat16):
            y = layer(x)
        y.float().sum().backward()
        weight = exact_weight(layer).float()
        assert y.dtype == torch.bfloat16
        assert (y.float() - (x @ weight.T + layer.bias)).norm() < 0.02 * y.float().norm()
        assert x.grad is not None
        assert x.grad.dtype == torch.float32
        expected = weight.sum(0).expand(6, 128)
        assert (x.grad - expected).norm() < 0.02 * expected.norm()

    def test_the_same_when_recomputed(self, level: str):
        layer = random_layer(level)
        grads = []
        for recompute in (False, True):
            x = torch.linspace(-1, 1, 256).reshape(2, 128).requires_grad_()
            y = checkpoint(layer, x, use_reentrant=False) if recompute else layer(x)
            y.square().sum().backward()
            grads.append(x.grad)
        assert torch.equal(*grads)

    def test_in_one_graph_for_the_compiler(self, level: str):
        layer = random_layer(level)
        compiled = torch.compile(layer, backend="aot_eager", fullgraph=True)
        results = []
        for run in (layer, compiled):
            x = torch.linspace(-1, 1, 256).reshape(2, 128).requires_grad_()
            y = run(x)
            y.square().sum().backward()
            results += [(y.detach(), x.grad)]
        torch.testing.assert_close(results[0], results[1])


@levels
def test_peft_attaches_a_lora(level: str):
    from peft import LoraConfig, get_peft_model

    base = nn.Sequential(random_layer(level), nn.Tanh())
    x = torch.randn(3, 128)
    layer = base[0]
    before, stored = base(x), layer.stored.clone()
    model = get_peft_model(base, LoraConfig(r=2, target_modules=["0"]))
    trained = [name for name, p in model.named_parameters() if p.requires_grad]
    assert len(trained) == 2
    assert all("lora_" in name for name in trained)
    assert torch.equal(model(x), before)
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=1.0)
    for _ in range(2):
        optimizer.zero_grad()
        model(x).square().sum().backward()
        optimizer.step()
    assert not torch.equal(model(x), before)
    with model.disable_adapter():
        assert torch.equal(model(x), before)
    assert torch.equal(layer.stored, stored)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
def test_an_unquantized_weight_takes_its_dtypes_bytes(dtype: torch.dtype):
    assert stored_bytes("none", 48, 128, dtype) == 48 * 128 * dtype.itemsize


def test_the_real_model_takes_what_its_levels_say():
    # proj_out of a single block of FLUX.1-dev
    weights = 3072 * 15360
    assert stored_bytes("qint8", 3072, 15360) == weights + 4 * 3072
    assert stored_bytes("qint4", 3072, 15360) == weights // 2 + 4 * weights // 128
    assert stored_bytes("nf4", 3072, 15360) == weights // 2 + 4 * weights // 64


@pytest.mark.parametrize(("width", "group"), [(3072, 128), (192, 64), (96, 32)])
def test_groups_of_four_bits_are_the_largest_that_fit(width: int, group: int):
    assert LEVELS["qint4"].slots(2, width)["scale"].shape == (2, width // group)


@pytest.mark.parametrize("level", ["qfloat8", "qint8", "qint4"])
@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=needs_cuda)])
def test_no_kernel_is_compiled_at_run_time(
    level: str, device: str, monkeypatch: pytest.MonkeyPatch
):
    from optimum.quanto.library.extensions import extension

    def compile_it(_self: object) -> None:
        pytest.fail("quanto compiles an extension")

    monkeypatch.setattr(extension.Extension, "lib", property(compile_it))
    layer = random_layer(level, device=device)
    x = torch.randn(2, 128, device=device, requires_grad=True)
    layer(x).sum().backward()


def test_four_bits_are_quantos_own():
    from optimum.quanto import MaxOptimizer, qint4

    weight = torch.randn(4, 256, generator=torch.Generator().manual_seed(2))
    scale, shift = MaxOptimizer()(weight, qint4, 0, group_size=128)
    scale, shift = scale.bfloat16().float(), shift.bfloat16().float()
    values = ((weight.reshape(-1, 128) + shift) / scale).round().clamp(0, 15)
    expected = (values * scale - shift).reshape(4, 256)
    assert torch.equal(build("qint4", weight, None).dequantized(), expected)


def test_nf4_is_refused_where_its_library_does_not_compute(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: "installed")
    with pytest.raises(ModelError, match=r"nf4\" needs an NVIDIA GPU or a CPU, .* on mps; .*qint4"):
        require("nf4", torch.device("mps"))
    for level in ("none", "qfloat8", "qint8", "qint4"):
        require(level, torch.device("mps"))
    require("nf4", torch.device("cpu"))


def test_nf4_is_refused_without_its_library(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)
    with pytest.raises(ModelError, match=r"memory.text_encoder = \"nf4\" .*pip install .*\[bnb\]"):
        require("nf4", torch.device("cuda"), "text_encoder")


def _kept_for_backward(block: nn.Module) -> int:
    """Bytes that a block of FLUX's width saves for its backward pass, weights aside."""
    weights = [getattr(module, "weight", None) for module in block.modules()]
    quantized = [each for each in weights if hasattr(each, "_data")]
    own = [*block.parameters(), *block.buffers()]
    resident = {t.untyped_storage().data_ptr() for t in own if not hasattr(t, "_data")}
    resident |= {t.untyped_storage().data_ptr() for w in quantized for t in (w._data, w._scale)}
    kept: dict[int, int] = {}

    def remember(tensor: Tensor) -> Tensor:
        if not hasattr(tensor, "_data"):
            storage = tensor.untyped_storage()
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    def normal(*shape: int) -> Tensor:
        return torch.randn(shape, dtype=torch.bfloat16, requires_grad=True)

    with torch.autograd.graph.saved_tensors_hooks(remember, lambda tensor: tensor):
        held = block(
            hidden_states=normal(1, 32, 3072),
            encoder_hidden_states=normal(1, 16, 3072),
            temb=normal(1, 3072).detach(),
            image_rotary_emb=(torch.ones(48, 128), torch.zeros(48, 128)),
        )
    assert held
    return sum(size for pointer, size in kept.items() if pointer not in resident)


@pytest.mark.parametrize("kind", ["FluxSingleTransformerBlock", "FluxTransformerBlock"])
def test_a_block_of_real_width_saves_a_quarter_less_than_with_quanto(kind: str):
    from diffusers.models.transformers import transformer_flux
    from optimum.quanto import freeze, qint8, quantize

    def block() -> nn.Module:
        with init_empty_weights():
            made = getattr(transformer_flux, kind)(3072, 24, 128).to(torch.bfloat16)
        return made.requires_grad_(False)

    theirs = block().to_empty(device="cpu")
    for parameter in theirs.parameters():
        parameter.fill_(0.01)
    quantize(theirs, weights=qint8)
    freeze(theirs)
    theirs_kept = _kept_for_backward(theirs.requires_grad_(False))
    del theirs

    ours = block()
    swap_linears(ours, "qint8", ())
    ours = ours.to_empty(device="cpu")
    for tensor in (*ours.parameters(), *ours.buffers()):
        tensor.fill_(0)
    assert _kept_for_backward(ours) <= 0.75 * theirs_kept


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32, torch.float64])
def test_every_float8_number_comes_back_exactly(dtype: torch.dtype):
    numbers = torch.arange(256, dtype=torch.uint8)
    numbers = numbers[(numbers & 127) != 127].reshape(127, 2)  # NaN is never stored
    values, _ = LEVELS["qfloat8"].decode((numbers, torch.ones(127)), dtype)
    assert values.dtype == dtype
    assert torch.equal(values, numbers.view(torch.float8_e4m3fn).to(dtype))

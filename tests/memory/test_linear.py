"""The quantized linear computes with exactly the weight it stores, forward and backward."""

import copy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from bioicons_kit.memory.linear import QuantizedLinear
from bioicons_kit.memory.quantize import LEVELS, quantize_rows

levels = pytest.mark.parametrize("level", sorted(LEVELS))
biases = pytest.mark.parametrize("bias", [True, False], ids=["bias", "no bias"])
needs_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")

# Relative error of storage in the Frobenius norm, normally distributed weights: e4m3 has
# 3 mantissa bits (half a step is 1/16 of a value; .026 on average), and int8 steps of
# maximum / 127.
STORAGE_ERROR = {"qfloat8": (0.020, 0.030), "qint8": (0.004, 0.015)}


def build(level: str, weight: Tensor, bias: Tensor | None, device: str = "cpu") -> QuantizedLinear:
    parameter = None if bias is None else nn.Parameter(bias.to(device), requires_grad=False)
    out_features, in_features = weight.shape
    layer = QuantizedLinear(in_features, out_features, LEVELS[level].dtype, parameter)
    layer.fill(*quantize_rows(weight.to(device), level))
    return layer


def random_layer(level: str, bias: bool = True, device: str = "cpu") -> QuantizedLinear:
    generator = torch.Generator().manual_seed(3)
    weight = torch.randn(48, 80, generator=generator)
    offsets = torch.randn(48, generator=generator) if bias else None
    return build(level, weight, offsets, device)


def exact_weight(layer: QuantizedLinear) -> Tensor:
    """diag(scale) Q in float64, from the buffers."""
    return layer.quantized.double() * layer.scale.double()[:, None]


def rounding(left: Tensor, right: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
    """A bound on the error of `left @ right`: n + 4 roundings (Higham 2002, section 3.1)."""
    count = left.shape[-1] + 4
    return count * torch.finfo(dtype).eps * (left.double().abs() @ right.double().abs()) + 1e-30


def check_products(layer: QuantizedLinear, x: Tensor, dy: Tensor) -> None:
    """Hold the output and the input's gradient against float64."""
    x = x.requires_grad_()
    y = layer(x)
    y.backward(dy)
    weight = exact_weight(layer)
    expected, bound = x.detach().double() @ weight.T, rounding(x.detach(), weight.T)
    if layer.bias is not None:
        expected = expected + layer.bias.double()
        bound = bound + 4 * torch.finfo(torch.float32).eps * layer.bias.double().abs()
    assert ((y.double() - expected).abs() <= bound).all()
    assert x.grad is not None
    assert ((x.grad.double() - dy.double() @ weight).abs() <= rounding(dy, weight)).all()


class TestProducts:
    @biases
    @levels
    @settings(max_examples=25, deadline=None)
    @given(
        out_features=st.integers(1, 20),
        in_features=st.integers(1, 40),
        lead=st.lists(st.integers(1, 4), max_size=2),
        size=st.sampled_from([1e-3, 1.0, 50.0]),
        seed=st.integers(0, 2**31),
    )
    def test_are_those_of_the_stored_weight(
        self,
        level: str,
        bias: bool,
        out_features: int,
        in_features: int,
        lead: list[int],
        size: float,
        seed: int,
    ):
        g = torch.Generator().manual_seed(seed)
        weight = size * torch.randn(out_features, in_features, generator=g)
        offsets = torch.randn(out_features, generator=g) if bias else None
        x = torch.randn(*lead, in_features, generator=g)
        dy = torch.randn(*lead, out_features, generator=g)
        check_products(build(level, weight, offsets), x, dy)

    @levels
    def test_the_bias_is_added(self, level: str):
        layer = build(level, torch.randn(5, 7), torch.tensor([1e4, -2e4, 3e4, 0.0, 5e4]))
        assert torch.equal(layer(torch.zeros(2, 7)), layer.bias.expand(2, 5))

    @needs_cuda
    @biases
    @levels
    def test_on_a_gpu_too(self, level: str, bias: bool):
        before = torch.backends.cuda.matmul.allow_tf32
        torch.backends.cuda.matmul.allow_tf32 = False
        try:
            layer = random_layer(level, bias, "cuda")
            check_products(
                layer, torch.randn(3, 9, 80, device="cuda"), torch.randn(3, 9, 48, device="cuda")
            )
        finally:
            torch.backends.cuda.matmul.allow_tf32 = before

    @needs_cuda
    @levels
    def test_the_bias_is_added_on_a_gpu_in_bfloat16(self, level: str):
        layer = random_layer(level, device="cuda").to(torch.bfloat16)
        zero = torch.zeros(2, 80, device="cuda", dtype=torch.bfloat16)
        assert torch.equal(layer(zero), layer.bias.expand(2, 48))

    @levels
    def test_in_bfloat16_to_bfloat16s_rounding(self, level: str):
        layer = random_layer(level)
        x = torch.randn(6, 80).to(torch.bfloat16)
        weight = exact_weight(layer)
        error = (layer(x).double() - (x.double() @ weight.T + layer.bias.double())).abs()
        # the product, the scale, the bias and the sum are each rounded to 8 bits
        bound = 8 * torch.finfo(torch.bfloat16).eps * (x.double().abs() @ weight.T.abs() + 4)
        assert layer(x).dtype == torch.bfloat16
        assert (error <= bound).all()

    @levels
    def test_a_row_of_zeros_stays_zero(self, level: str):
        weight = torch.randn(4, 6)
        weight[1:3] = 0
        layer = build(level, weight, None)
        x = torch.randn(5, 6, requires_grad=True)
        y = layer(x)
        y.sum().backward()
        assert torch.equal(y[:, 1:3], torch.zeros(5, 2))
        assert y.isfinite().all()
        assert x.grad is not None
        assert x.grad.isfinite().all()
        assert torch.equal(layer.dequantized()[1:3], torch.zeros(2, 6))


@levels
class TestStorage:
    def test_error_is_that_of_eight_bits(self, level: str):
        weight = torch.randn(256, 768, generator=torch.Generator().manual_seed(0))
        layer = build(level, weight, None)
        error = ((layer.dequantized() - weight).norm() / weight.norm()).item()
        least, most = STORAGE_ERROR[level]
        assert least < error < most

    def test_each_row_has_its_own_scale(self, level: str):
        weight = torch.randn(8, 64) * torch.logspace(-6, 3, 8)[:, None]
        layer = build(level, weight, None)
        errors = (layer.dequantized() - weight).norm(dim=1) / weight.norm(dim=1)
        assert (errors < 0.05).all()
        assert layer.scale.shape == (8,)

    def test_is_one_byte_a_weight(self, level: str):
        layer = random_layer(level)
        assert layer.stored.dtype == torch.uint8
        assert layer.stored.nbytes == 48 * 80
        assert layer.scale.nbytes == 4 * 48
        assert {name for name, _ in layer.named_parameters()} == {"bias"}

    def test_weight_is_what_is_computed_with_and_cannot_be_set(self, level: str):
        layer = random_layer(level)
        torch.testing.assert_close(
            layer.dequantized().double(), exact_weight(layer), rtol=1e-6, atol=0
        )
        with pytest.raises((AttributeError, KeyError, TypeError)):
            layer.weight = torch.zeros(48, 80)
        assert layer.weight.shape == (48, 80)
        assert layer.weight.isnan().all()  # whatever computes with it shall show

    def test_casting_the_model_leaves_the_bytes(self, level: str):
        layer = nn.Sequential(random_layer(level))
        stored = layer[0].stored.clone()
        layer.to(torch.bfloat16)
        assert torch.equal(layer[0].stored, stored)
        assert layer[0].bias.dtype == torch.bfloat16
        x = torch.randn(3, 80)
        y = layer(x.to(torch.bfloat16)).float()
        assert (y - x @ layer[0].dequantized().T - layer[0].bias).norm() < 0.02 * y.norm()

    def test_a_copy_is_whole_and_its_own(self, level: str):
        layer = random_layer(level)
        twin = copy.deepcopy(layer)
        x = torch.randn(3, 80)
        before = layer(x)
        assert torch.equal(twin(x), before)
        twin.stored.zero_()
        assert torch.equal(layer(x), before)

    def test_state_dict_brings_it_back(self, level: str):
        layer, other = random_layer(level), build(level, torch.ones(48, 80), torch.ones(48))
        other.load_state_dict(layer.state_dict())
        x = torch.randn(3, 80)
        assert torch.equal(other(x), layer(x))


@levels
class TestBackward:
    def test_keeps_nothing_of_the_input(self, level: str):
        layer = random_layer(level)
        held = {t.untyped_storage().data_ptr() for t in (layer.stored, layer.scale, layer.bias)}
        saved: list[Tensor] = []

        def remember(tensor: Tensor) -> Tensor:
            saved.append(tensor)
            return tensor

        x = torch.randn(1000, 80, requires_grad=True)
        with torch.autograd.graph.saved_tensors_hooks(remember, lambda tensor: tensor):
            y = layer(x)
        y.sum().backward()
        assert saved, "the hooks saw nothing"
        assert {t.untyped_storage().data_ptr() for t in saved} <= held

    def test_gives_the_weight_no_gradient(self, level: str):
        layer = random_layer(level)
        layer(torch.randn(2, 80, requires_grad=True)).sum().backward()
        assert layer.bias.grad is None
        assert not layer(torch.randn(2, 80)).requires_grad

    def test_under_autocast(self, level: str):
        layer = random_layer(level)
        x = torch.randn(6, 80, requires_grad=True)
        with torch.autocast("cpu", torch.bfloat16):
            y = layer(x)
        y.float().sum().backward()
        weight = exact_weight(layer).float()
        assert y.dtype == torch.bfloat16
        assert (y.float() - (x @ weight.T + layer.bias)).norm() < 0.02 * y.float().norm()
        assert x.grad is not None
        assert x.grad.dtype == torch.float32
        expected = weight.sum(0).expand(6, 80)
        assert (x.grad - expected).norm() < 0.02 * expected.norm()

    def test_the_same_when_recomputed(self, level: str):
        layer = random_layer(level)
        grads = []
        for recompute in (False, True):
            x = torch.linspace(-1, 1, 160).reshape(2, 80).requires_grad_()
            y = checkpoint(layer, x, use_reentrant=False) if recompute else layer(x)
            y.square().sum().backward()
            grads.append(x.grad)
        assert torch.equal(*grads)

    def test_in_one_graph_for_the_compiler(self, level: str):
        layer = random_layer(level)
        compiled = torch.compile(layer, backend="aot_eager", fullgraph=True)
        results = []
        for run in (layer, compiled):
            x = torch.linspace(-1, 1, 160).reshape(2, 80).requires_grad_()
            y = run(x)
            y.square().sum().backward()
            results += [(y.detach(), x.grad)]
        torch.testing.assert_close(results[0], results[1])


@levels
def test_peft_attaches_a_lora(level: str):
    from peft import LoraConfig, get_peft_model

    base = nn.Sequential(random_layer(level), nn.Tanh())
    x = torch.randn(3, 80)
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

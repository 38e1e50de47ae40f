"""Every layout in, every layout out, at FLUX.1's real width and on SD1's names."""

import json
from itertools import product
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import Tensor

from bioicons_kit.errors import LoraError
from bioicons_kit.families.starter import TRANSFORMER
from bioicons_kit.lora import formats, names_sd1
from bioicons_kit.lora import layer as algebra
from bioicons_kit.lora.formats import LAYOUTS, Layer, Lora

BLOCKS = (0, 1)  # two double and two single blocks

# Folding alpha rounds each number once to float32.
FLOAT32 = 2e-7


def difference(one: Layer, other: Layer) -> float:
    """Relative distance of two updates; the products are never formed."""
    up, down = algebra.stacked([one, other], [1.0, -1.0])
    # |B A| <= |R_B R_A^T| exactly, by QR; the trace formula would lose half the digits here
    _, left = torch.linalg.qr(up.double())
    _, right = torch.linalg.qr(down.double().T)
    return float((left @ right.T).norm()) / max(algebra.effect(one), 1e-30)


def assert_same(found: dict[str, Layer], expected: dict[str, Layer], tolerance: float) -> None:
    assert found.keys() == expected.keys()
    for name, update in expected.items():
        assert difference(update, found[name]) <= tolerance, name


@pytest.fixture(scope="module")
def made(foreign: ModuleType) -> Any:
    return foreign.flux(BLOCKS)


@pytest.fixture(scope="module")
def files(
    foreign: ModuleType, made: Any, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Any]:
    """A file in each layout and the layers it means."""
    root = tmp_path_factory.mktemp("layouts")
    plain = {f"transformer.{n}": Layer(down, up, 4.0) for n, (down, up) in made.items()}
    halved = {n: Layer(x.down, x.up, 2.0) for n, x in plain.items()}
    fused = foreign.bfl(made, BLOCKS)
    # alpha / rank of the fused matrices, of rank 12 and 16, for alpha 6: each part's scale
    scale = {n: (6.0 if fusing == 1 else 6.0 / fusing) for n, fusing in _parts(made).items()}
    scaled = {n: Layer(x.down, x.up, scale[n.partition(".")[2]]) for n, x in plain.items()}
    xlabs, meant = foreign.xlabs_file(root / "xlabs", made, BLOCKS)
    shared = {f"transformer.{n}": Layer(down, up, 4.0) for n, (down, up) in meant.items()}
    header = foreign.peft_file(root / "header", made, "transformer.")
    _with_header(header, {"transformer.lora_alpha": 2, "transformer.r": 4})
    dense, thick = _dense(foreign, root)
    return {
        "peft": (foreign.peft_file(root / "peft", made, "transformer."), plain),
        "peft bare": (foreign.peft_file(root / "bare", made, ""), plain),
        "peft raw": (foreign.peft_file(root / "raw", made, "base_model.model."), plain),
        "peft alpha": (foreign.peft_file(root / "alpha", made, "transformer.", 2.0), halved),
        "peft header": (header, halved),
        "ai-toolkit": (foreign.peft_file(root / "ai", fused, "diffusion_model."), plain),
        "bfl": (foreign.peft_file(root / "bfl", fused, ""), plain),
        "kohya": (foreign.kohya_file(root / "kohya", fused, None), plain),
        "kohya alpha": (foreign.kohya_file(root / "kohya_alpha", fused, 6.0), scaled),
        "kohya dense": (dense, thick),
        "onetrainer": (foreign.kohya_file(root / "ot", made, 2.0, "lora_transformer_"), halved),
        "xlabs": (xlabs, shared),
    }


def _parts(made: Any) -> dict[str, int]:
    """How many modules share each module's matrix in the original code."""
    counts = {}
    for name in made:
        fused = name.endswith((".to_q", ".to_k", ".to_v", "q_proj", "k_proj", "v_proj", "proj_mlp"))
        counts[name] = (4 if name.startswith("single") else 3) if fused else 1
    return counts


def _with_header(path: Path, settings: dict[str, object]) -> None:
    from safetensors.torch import load_file, save_file

    save_file(load_file(path), path, {"lora_adapter_metadata": json.dumps(settings)})


def _dense(foreign: ModuleType, root: Path) -> tuple[Path, dict[str, Layer]]:
    """kohya's own way: one dense down and up for a whole fused matrix."""
    generator = torch.Generator().manual_seed(4)
    hidden, mlp = foreign.HIDDEN, foreign.MLP
    qkv = foreign.factors(hidden, 3 * hidden, 6, generator)
    linear1 = foreign.factors(hidden, 3 * hidden + mlp, 8, generator)
    fused = {"double_blocks.1.img_attn.qkv": qkv, "single_blocks.1.linear1": linear1}
    path = foreign.kohya_file(root / "dense", fused, 3.0)
    meant = {}
    for (down, up), start, modules in (
        (qkv, "transformer_blocks.1.", foreign.SINGLE_FUSED[:3]),
        (linear1, "single_transformer_blocks.1.", foreign.SINGLE_FUSED),
    ):
        rows = [hidden, hidden, hidden, mlp][: len(modules)]
        for name, part in zip(modules, up.split(rows), strict=True):
            meant[f"transformer.{start}{name}"] = Layer(down, part, 3.0)
    return path, meant


KINDS = (
    "peft", "peft bare", "peft raw", "peft alpha", "peft header", "ai-toolkit", "bfl", "kohya",
    "kohya alpha", "kohya dense", "onetrainer", "xlabs",
)  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_a_file_is_read_as_its_tool_means_it(files: dict[str, Any], kind: str) -> None:
    path, expected = files[kind]
    found = formats.read(path)
    assert found.layers.keys() == expected.keys()
    for name, update in expected.items():  # bit for bit: reading computes nothing
        layer = found.layers[name]
        assert torch.equal(layer.down, update.down), name
        assert torch.equal(layer.up, update.up), name
        assert layer.alpha == pytest.approx(update.alpha, rel=1e-12), name


@pytest.mark.parametrize(("kind", "layout"), list(product(KINDS, LAYOUTS)))
def test_what_is_read_from_one_layout_is_the_same_through_every_other(
    files: dict[str, Any], kind: str, layout: str, tmp_path: Path
) -> None:
    path, expected = files[kind]
    lora = formats.read(path)
    there = formats.write(tmp_path / "there", lora.layers, layout, {})
    again = formats.read(there)
    assert_same(dict(again.layers), expected, FLOAT32)
    assert layout in again.layouts
    if all(update.alpha == update.rank for update in expected.values()):
        for name, update in expected.items():
            assert torch.equal(again.layers[name].up, update.up), name
            assert torch.equal(again.layers[name].down, update.down), name


@pytest.mark.parametrize("kind", ["kohya alpha", "kohya dense"])
def test_kohyas_file_comes_back_through_diffusers_at_its_rank(
    files: dict[str, Any], kind: str, tmp_path: Path
) -> None:
    path, _ = files[kind]
    one = formats.read(path)
    there = formats.read(formats.write(tmp_path / "d", one.layers, "diffusers", {}))
    back = formats.write(tmp_path / "k", there.layers, "kohya", {})
    ranks = {key: tuple(x.shape) for key, x in _content(path).items() if "alpha" not in key}
    assert {key: tuple(x.shape) for key, x in _content(back).items() if "alpha" not in key} == ranks


def _content(path: Path) -> dict[str, Tensor]:
    from safetensors.torch import load_file

    return load_file(path)


@pytest.mark.parametrize("kind", ["peft", "peft header", "kohya alpha", "kohya dense"])
def test_diffusers_own_loader_reads_the_same_update_from_kohyas_layout(
    files: dict[str, Any], kind: str, tmp_path: Path
) -> None:
    from diffusers import FluxPipeline

    path, expected = files[kind]
    written = formats.write(tmp_path / "x.safetensors", formats.read(path).layers, "kohya", {})
    state = FluxPipeline.lora_state_dict(str(written))
    found = {}
    for key, down in state.items():
        if key.endswith(".lora_A.weight"):
            name = key.removesuffix(".lora_A.weight")
            found[name] = Layer(down, state[f"{name}.lora_B.weight"], float(down.shape[0]))
    assert_same(found, expected, 1e-6)


def test_diffusers_loads_kohyas_layout_into_a_model_of_real_width(
    files: dict[str, Any], tmp_path: Path
) -> None:
    """Each weight of the base is one zero, seen at every place: only the adapter's are real."""
    from diffusers import FluxPipeline, FluxTransformer2DModel

    path, expected = files["kohya alpha"]
    written = formats.write(tmp_path / "x.safetensors", formats.read(path).layers, "kohya", {})
    with torch.device("meta"):
        model = FluxTransformer2DModel(num_layers=2, num_single_layers=2, guidance_embeds=True)
    for module in model.modules():
        for name, parameter in list(module.named_parameters(recurse=False)):
            zeros = torch.zeros(()).expand(parameter.shape)
            setattr(module, name, torch.nn.Parameter(zeros, requires_grad=False))
    state = FluxPipeline.lora_state_dict(str(written))
    model.load_lora_adapter(state, prefix="transformer", adapter_name="x")
    found = {
        f"transformer.{name}": Layer(m.lora_A["x"].weight.data, m.lora_B["x"].weight.data, 1.0)
        for name, m in model.named_modules()
        if hasattr(m, "lora_A")
    }
    scaled = {
        name: Layer(x.down, x.up, float(x.rank) * model.get_submodule(name[12:]).scaling["x"])
        for name, x in found.items()
    }
    assert_same(scaled, expected, 1e-6)


def test_the_last_modulation_has_its_halves_exchanged_in_the_original(tmp_path: Path) -> None:
    from diffusers.loaders.lora_conversion_utils import swap_scale_shift

    update = Layer(torch.randn(2, 16), torch.randn(32, 2), 2.0)
    path = formats.write(tmp_path / "x", {"transformer.norm_out.linear": update}, "kohya", {})
    stored = _content(path)["lora_unet_final_layer_adaLN_modulation_1.lora_up.weight"]
    assert torch.equal(swap_scale_shift(stored), update.up)
    found = formats.read(path).layers["transformer.norm_out.linear"]
    assert torch.equal(found.up, update.up)


# --- SD1 ---------------------------------------------------------------------------------


def sd1() -> dict[str, Layer]:
    """A LoRA on every module of SD1's UNet (narrow) and on one layer of its text encoder."""
    generator = torch.Generator().manual_seed(3)
    layers = {}
    for name in names_sd1.MODULES.values():
        conv = name.endswith((".conv1", ".conv2", "conv_in", "conv_out", "proj_in", ".conv"))
        size = (3, 3) if conv and not name.endswith("proj_in") else (1, 1)
        down, up = (4, 8, *size) if conv else (4, 8), (6, 4, 1, 1) if conv else (6, 4)
        layers[f"unet.{name}"] = Layer(
            torch.randn(down, generator=generator), torch.randn(up, generator=generator), 2.0
        )
    start = "text_encoder.text_model.encoder.layers.11"
    for name in ("self_attn.q_proj", "self_attn.out_proj", "mlp.fc1", "mlp.fc2"):
        layers[f"{start}.{name}"] = Layer(
            torch.randn(4, 8, generator=generator), torch.randn(6, 4, generator=generator), 1.0
        )
    return layers


@pytest.mark.parametrize("layout", ["diffusers", "kohya"])
def test_sd1s_names_and_convolutions_come_back(layout: str, tmp_path: Path) -> None:
    expected = sd1()
    found = formats.read(formats.write(tmp_path / "x", expected, layout, {}))
    assert found.layers.keys() == expected.keys()
    for name, update in expected.items():
        layer = found.layers[name]
        assert layer.shape == update.shape
        assert torch.allclose(layer.delta(), update.delta(), rtol=1e-6, atol=1e-6), name


def test_diffusers_own_loader_knows_kohyas_names_of_sd1(tmp_path: Path) -> None:
    """peft's names after diffusers' conversion are the modules, and the alphas are kept."""
    from diffusers import StableDiffusionPipeline
    from diffusers.utils.state_dict_utils import convert_unet_state_dict_to_peft

    expected = {n: x for n, x in sd1().items() if n.startswith("unet.")}
    written = formats.write(tmp_path / "x.safetensors", expected, "kohya", {})
    state, alphas = StableDiffusionPipeline.lora_state_dict(str(written))
    state = convert_unet_state_dict_to_peft(state)
    for name, update in expected.items():
        assert torch.equal(state.pop(f"{name}.lora_A.weight"), update.down), name
        assert torch.equal(state.pop(f"{name}.lora_B.weight"), update.up), name
    assert not state
    assert set(alphas.values()) == {2.0}
    assert len(alphas) == len(expected)


def test_early_diffusers_names_are_read(tmp_path: Path, foreign: ModuleType) -> None:
    start = "unet.mid_block.attentions.0.transformer_blocks.0.attn1.processor"
    text = "text_encoder.text_model.encoder.layers.0.self_attn.to_out_lora"
    content = {}
    for stem in (f"{start}.to_q_lora", f"{start}.to_out_lora", text):
        content[f"{stem}.down.weight"] = torch.ones(2, 3)
        content[f"{stem}.up.weight"] = torch.ones(4, 2)
    found = formats.read(foreign.save(tmp_path / "x", content))
    module = "unet.mid_block.attentions.0.transformer_blocks.0.attn1"
    assert found.layers.keys() == {
        f"{module}.to_q",
        f"{module}.to_out.0",
        "text_encoder.text_model.encoder.layers.0.self_attn.out_proj",
    }


# --- alpha, DoRA, and what cannot be said ----------------------------------------------------


def header_alpha(tmp_path: Path, foreign: ModuleType, **options: object) -> dict[str, float]:
    made = {
        f"transformer_blocks.{n}.attn.{p}": (torch.ones(4, 3), torch.ones(3, 4))
        for n in (0, 10)
        for p in ("to_q", "to_k")
    }
    path = foreign.peft_file(tmp_path / "x", made, "transformer.")
    _with_header(path, {f"transformer.{key}": value for key, value in options.items()})
    layers = formats.read(path).of("transformer")
    return {name.removeprefix("transformer_blocks."): x.alpha for name, x in layers.items()}


def test_the_headers_alphas_by_pattern_are_pefts(tmp_path: Path, foreign: ModuleType) -> None:
    pattern = {"transformer_blocks.0.attn.to_q": 2, "to_k": 1}
    found = header_alpha(tmp_path, foreign, lora_alpha=8, alpha_pattern=pattern)
    assert found == {"0.attn.to_q": 2, "0.attn.to_k": 1, "10.attn.to_q": 8, "10.attn.to_k": 1}


def test_rslora_divides_by_the_root_of_the_rank(tmp_path: Path, foreign: ModuleType) -> None:
    found = header_alpha(tmp_path, foreign, lora_alpha=8, use_rslora=True)
    assert set(found.values()) == {16.0}  # 16 / 4 = 8 / sqrt(4)


def test_two_alphas_that_differ_are_refused(tmp_path: Path, foreign: ModuleType) -> None:
    made = {"transformer_blocks.0.attn.to_q": (torch.ones(4, 3), torch.ones(3, 4))}
    path = foreign.peft_file(tmp_path / "x", made, "transformer.", alpha=2.0)
    _with_header(path, {"transformer.lora_alpha": 8})
    with pytest.raises(LoraError, match=r"alpha 2, and 8 is said beside it"):
        formats.read(path)


def test_a_models_own_header_and_pefts_folder_say_alpha_too(
    tmp_path: Path, foreign: ModuleType
) -> None:
    """diffusers' `save_lora_adapter` writes options without a component, peft a file beside."""
    made = {
        f"transformer_blocks.0.attn.{part}": (torch.ones(4, 3), torch.ones(3, 4))
        for part in ("to_q", "to_k")
    }
    said = {"r": 4, "lora_alpha": 8, "alpha_pattern": {"to_k": 2}}
    expected = {"to_q": 8, "to_k": 2}
    bare = foreign.peft_file(tmp_path / "x", made, "")
    _with_header(bare, said)
    folder = foreign.peft_file(tmp_path / "adapter_model.safetensors", made, "base_model.model.")
    (tmp_path / "adapter_config.json").write_text(json.dumps(said), encoding="utf-8")
    for path in (bare, folder):
        found = formats.read(path).of("transformer")
        assert {name.rpartition(".")[2]: x.alpha for name, x in found.items()} == expected
    (tmp_path / "adapter_config.json").write_text('{"lora_alpha": -1}', encoding="utf-8")
    with pytest.raises(LoraError, match=r"adapter_config\.json is unreadable \(an alpha is"):
        formats.read(folder)


def test_the_alpha_of_a_saved_adapter_is_diffusers(tmp_path: Path) -> None:
    """The file is diffusers' own, and so is the effect it is compared with."""
    from diffusers import FluxTransformer2DModel
    from peft import LoraConfig

    model = FluxTransformer2DModel(**{**TRANSFORMER, "num_layers": 1, "num_single_layers": 1})
    config = LoraConfig(r=4, lora_alpha=12, target_modules=["attn.to_q"], init_lora_weights=False)
    model.add_adapter(config)
    model.save_lora_adapter(tmp_path)
    found = formats.read(tmp_path / "pytorch_lora_weights.safetensors").of("transformer")
    assert len(found) == 2
    for name, layer in found.items():
        torch.testing.assert_close(
            layer.delta(), model.get_submodule(name).get_delta_weight("default")
        )


def test_a_convolution_in_three_steps_is_read_as_one(tmp_path: Path, foreign: ModuleType) -> None:
    """LyCORIS' mid: what is read does what the three convolutions do, one after another."""
    generator = torch.Generator().manual_seed(0)
    down = torch.randn(4, 8, 1, 1, generator=generator)
    mid = torch.randn(4, 4, 3, 3, generator=generator)
    up = torch.randn(6, 4, 1, 1, generator=generator)
    stem = "lora_unet_down_blocks_0_resnets_0_conv1"
    content = {
        f"{stem}.lora_down.weight": down,
        f"{stem}.lora_mid.weight": mid,
        f"{stem}.lora_up.weight": up,
        f"{stem}.alpha": torch.tensor(2.0),
    }
    layer = formats.read(foreign.save(tmp_path / "x", content)).layers[
        "unet.down_blocks.0.resnets.0.conv1"
    ]
    picture = torch.randn(1, 8, 5, 5, generator=generator)
    conv2d = torch.nn.functional.conv2d
    steps = conv2d(conv2d(conv2d(picture, down), mid), up) * 2 / 4
    torch.testing.assert_close(conv2d(picture, layer.delta().reshape(layer.shape)), steps)
    content[f"{stem}.lora_mid.weight"] = mid[:3].contiguous()
    with pytest.raises(LoraError, match=r"its mid \[3, 4, 3, 3\] does not fit"):
        formats.read(foreign.save(tmp_path / "x", content))


NAME = "unet.mid_block.attentions.0.transformer_blocks.0.attn1.to_q"


@pytest.mark.parametrize(
    ("key", "shape", "expected"),
    [
        ("dora_scale", (4, 1), (4, 1)),
        ("dora_scale", (4,), (4, 1)),
        ("dora_scale", (1, 3), (1, 3)),
        ("lora_magnitude_vector", (4,), (4, 1)),
        ("lora_magnitude_vector.weight", (1, 4), (4, 1)),
    ],
)
def test_dora_scales_of_every_shape_are_read(
    tmp_path: Path, foreign: ModuleType, key: str, shape: tuple[int, ...], expected: tuple[int, int]
) -> None:
    content = {
        f"{NAME}.lora_A.weight": torch.ones(2, 3),
        f"{NAME}.lora_B.weight": torch.ones(4, 2),
        f"{NAME}.{key}": torch.arange(1.0, 1 + torch.Size(shape).numel()).reshape(shape),
    }
    dora = formats.read(foreign.save(tmp_path / "x", content)).layers[NAME].dora
    assert dora is not None
    assert dora.shape == expected
    assert torch.equal(dora.flatten(), content[f"{NAME}.{key}"].flatten())


@pytest.mark.parametrize(
    ("layout", "shape"), [("diffusers", (4, 1)), ("kohya", (4, 1)), ("kohya", (1, 3))]
)
def test_dora_comes_back(tmp_path: Path, layout: str, shape: tuple[int, int]) -> None:
    dora = torch.rand(shape)
    update = Layer(torch.randn(2, 3), torch.randn(4, 2), 2.0, dora)
    found = formats.read(formats.write(tmp_path / "x", {NAME: update}, layout, {})).layers[NAME]
    assert found.dora is not None
    assert torch.equal(found.dora, dora)


def test_what_a_layout_cannot_say_is_refused_and_not_written(tmp_path: Path) -> None:
    over_columns = Layer(torch.ones(2, 3), torch.ones(4, 2), 2.0, torch.ones(1, 3))
    q = "transformer.transformer_blocks.0.attn.to_q"
    plain = Layer(torch.ones(2, 4), torch.ones(4, 2), 2.0)
    dora = Layer(torch.ones(2, 4), torch.ones(4, 2), 2.0, torch.ones(4, 1))
    for layers, layout, said in (
        ({NAME: over_columns}, "diffusers", "over columns"),
        ({NAME: plain}, "bfl", "FLUX's transformer alone"),
        ({"transformer.odd": plain}, "kohya", "no name for 'transformer.odd'"),
        ({q: dora}, "kohya", "on some of its parts only"),
        ({q: Layer(torch.ones(2, 4), torch.ones(5, 2), 2.0)}, "kohya", "rows"),
    ):
        with pytest.raises(LoraError, match=said):
            formats.write(tmp_path / "x", layers, layout, {})
    assert list(tmp_path.iterdir()) == []


def test_the_header_tells_rank_alpha_and_the_hash_of_the_data(tmp_path: Path) -> None:
    from bioicons_kit.lora import report

    stale = {"lora_adapter_metadata": "{}", "sshs_model_hash": "00", "note": "kept"}
    path = formats.write(
        tmp_path / "x", {NAME: Layer(torch.ones(2, 3), torch.ones(4, 2), 1.0)}, "kohya", stale
    )
    found: Lora = formats.read(path)
    assert found.metadata["ss_network_dim"] == "2"
    assert found.metadata["ss_network_alpha"] == "1.0"
    assert found.metadata["note"] == "kept"
    assert not {"lora_adapter_metadata", "sshs_model_hash"} & found.metadata.keys()
    assert report.hashes(found) == [("modelspec.hash_sha256", True)]
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    assert report.hashes(formats.read(path)) == [("modelspec.hash_sha256", False)]


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_a_smaller_dtype_rounds_and_one_that_is_too_small_is_refused(
    tmp_path: Path, dtype: torch.dtype
) -> None:
    update = Layer(torch.randn(2, 3), torch.randn(4, 2), 2.0)
    found = formats.read(formats.write(tmp_path / "x", {NAME: update}, "diffusers", {}, dtype))
    assert torch.equal(found.layers[NAME].up, update.up.to(dtype).float())
    large = Layer(torch.full((2, 3), 1e5), torch.ones(4, 2), 2.0)
    if dtype == torch.float16:
        with pytest.raises(LoraError, match=r"no finite numbers"):
            formats.write(tmp_path / "y", {NAME: large}, "diffusers", {}, dtype)
        assert not (tmp_path / "y").exists()

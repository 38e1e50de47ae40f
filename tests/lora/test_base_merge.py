"""LoRAs into models: the same pictures, the same layout, and nothing written when wrong."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from bioicons_kit import names_flux
from bioicons_kit.errors import KitError, LoraError, ModelError, StorageError
from bioicons_kit.lora import (
    base_merge,
    base_write,
    checkpoint,
    formats,
    merge,
    merge_files,
)
from bioicons_kit.lora import (
    layer as algebra,
)
from bioicons_kit.lora.base_merge import Rounding
from bioicons_kit.lora.formats import Layer, Lora
from bioicons_kit.lora.merge import Input
from bioicons_kit.lora.rounding import DTYPES, rounded

T = "transformer."
MODULES = {  # the starter's widths
    T + "transformer_blocks.0.attn.to_q": (192, 192),
    T + "transformer_blocks.0.attn.to_k": (192, 192),
    T + "transformer_blocks.2.attn.to_add_out": (192, 192),
    T + "transformer_blocks.1.ff.net.2": (192, 768),
    T + "transformer_blocks.2.norm1_context.linear": (1152, 192),
    T + "single_transformer_blocks.0.attn.to_v": (192, 192),
    T + "single_transformer_blocks.5.proj_mlp": (768, 192),
    T + "single_transformer_blocks.5.proj_out": (192, 960),
    T + "norm_out.linear": (384, 192),
    T + "x_embedder": (192, 64),
}
TEXT = {
    "text_encoder.text_model.encoder.layers.1.mlp.fc1": (256, 128),
    "text_encoder_2.encoder.block.0.layer.1.DenseReluDense.wi_0": (256, 128),
}


def lora(shapes: dict[str, tuple[int, int]], seed: int = 0, size: float = 0.1) -> Lora:
    generator = torch.Generator().manual_seed(seed)
    layers = {
        name: Layer(
            size * torch.randn(4, inside, generator=generator),
            size * torch.randn(outside, 4, generator=generator),
            2.0,
        )
        for name, (outside, inside) in shapes.items()
    }
    return Lora(Path(f"{seed}.safetensors"), ("diffusers",), layers, {})


def run(root: Path, out: Path, *given: Input, rounding: Rounding | None = None) -> list[Any]:
    """Merge as the tool does, but with LoRAs that were never in a file."""
    base = checkpoint.find(root)
    sums = base_merge.match(base, merge.terms(given), ignore_unmatched=False)
    merger = base_merge.Merger(base, sums, rounding or Rounding())
    base_write.write(merger, out, {"note": "merged"})
    return merger.changes


def weights(folder: Path) -> dict[str, Tensor]:
    """A component's tensors, whatever its shards."""
    content = {}
    for path in sorted(folder.glob("*.safetensors")):
        content |= load_file(path)
    return content


def files_below(root: Path) -> set[str]:
    return {str(path.relative_to(root)) for path in root.rglob("*") if path.is_file()}


def refused(root: Path, out: Path, *given: Input, kind: type[KitError]) -> str:
    before = set(out.parent.iterdir())
    with pytest.raises(kind) as caught:
        run(root, out, *given)
    assert set(out.parent.iterdir()) == before  # no output, no leavings
    return str(caught.value)


# --- the starter FLUX ------------------------------------------------------------------


def draw(folder: Path, lora_file: Path | None = None) -> Tensor:
    """Latents of a picture, computed in float32."""
    from diffusers import FluxPipeline

    pipeline: Any = FluxPipeline.from_pretrained(folder, dtype=torch.float32)
    pipeline.set_progress_bar_config(disable=True)
    if lora_file is not None:
        pipeline.load_lora_weights(str(lora_file))
    latents: Tensor = pipeline(
        "a mouse",
        width=64,
        height=64,
        num_inference_steps=2,
        max_sequence_length=16,
        generator=torch.Generator().manual_seed(0),
        output_type="latent",
    ).images
    return latents


def test_the_merged_pipeline_draws_what_the_adapter_draws(
    starter_folder: Path, tmp_path: Path
) -> None:
    one = lora(MODULES)
    path = formats.write(tmp_path / "x.safetensors", one.layers, "diffusers", {})
    plain, adapted = draw(starter_folder), draw(starter_folder, path)
    effect = (adapted - plain).norm() / plain.norm()
    assert effect > 0.03  # there is something to see
    # bfloat16 keeps 8 bits, each weight is off by up to 1/512 and the picture by less; float32
    # sums in another order
    for name, dtype, bound in (("bf16", None, 2e-3), ("fp32", torch.float32, 1e-5)):
        out = tmp_path / name
        run(starter_folder, out, Input(one, 1.0), rounding=Rounding(dtype))
        assert (draw(out) - adapted).norm() / plain.norm() < bound, name


def test_dora_merged_draws_what_pefts_dora_draws(starter_folder: Path, tmp_path: Path) -> None:
    """peft's own forward is the reference, from the file the kit writes."""
    some = [name for name in MODULES if ".attn.to_" in name or name.endswith("proj_mlp")]
    generator = torch.Generator().manual_seed(2)
    base = weights(starter_folder / "transformer")
    layers = {}
    for name, x in lora({name: MODULES[name] for name in some}).layers.items():
        sizes = base[name.removeprefix(T) + ".weight"].float().norm(dim=1, keepdim=True)
        magnitudes = sizes * (0.5 + torch.rand(sizes.shape, generator=generator))
        layers[name] = Layer(x.down, x.up, x.alpha, magnitudes)
    path = formats.write(tmp_path / "x.safetensors", layers, "diffusers", {})
    plain, adapted = draw(starter_folder), draw(starter_folder, path)
    given = Input(formats.read(path), 1.0)
    run(starter_folder, tmp_path / "m", given, rounding=Rounding(torch.float32))
    assert (adapted - plain).norm() / plain.norm() > 0.005
    assert (draw(tmp_path / "m") - adapted).norm() / plain.norm() < 1e-5


def test_every_weight_is_the_base_plus_the_update_rounded_once(
    starter_folder: Path, tmp_path: Path
) -> None:
    one, two = lora(MODULES, 1), lora({**MODULES, **TEXT}, 2)
    changes = run(starter_folder, tmp_path / "m", Input(one, 0.8), Input(two, -0.4))
    assert {change.name for change in changes} == {*MODULES, *TEXT}
    for component in ("transformer", "text_encoder", "text_encoder_2", "vae"):
        before, after = weights(starter_folder / component), weights(tmp_path / "m" / component)
        assert before.keys() == after.keys()
        for key, tensor in before.items():
            name = f"{component}.{key.removesuffix('.weight')}"
            name = name.replace("text_encoder.encoder.", "text_encoder.text_model.encoder.")
            expected = tensor.double()
            for each, weight in ((one, 0.8), (two, -0.4)):
                if key.endswith(".weight") and name in each.layers:
                    x = each.layers[name]
                    expected = expected + weight * 0.5 * x.up.double() @ x.down.double()
            assert after[key].dtype == tensor.dtype
            step = torch.finfo(tensor.dtype).eps / 2 if name in {**MODULES, **TEXT} else 0.0
            slack = step * expected.abs() + (2e-6 if step else 0.0)
            assert bool(((after[key].double() - expected).abs() <= slack).all()), key
    assert files_below(tmp_path / "m") == files_below(starter_folder)
    for name in ("model_index.json", "transformer/config.json", "tokenizer/tokenizer.json"):
        assert (tmp_path / "m" / name).read_bytes() == (starter_folder / name).read_bytes()


def test_what_happened_is_measured(starter_folder: Path, tmp_path: Path) -> None:
    one = lora(MODULES)
    changes = run(starter_folder, tmp_path / "m", Input(one, 0.5))
    before, after = weights(starter_folder / "transformer"), weights(tmp_path / "m/transformer")
    for change in changes:
        key = change.name.removeprefix(T) + ".weight"
        delta = 0.5 * 0.5 * one.layers[change.name].up @ one.layers[change.name].down
        assert change.weight == pytest.approx(float(before[key].float().norm()), rel=1e-5)
        assert change.effect == pytest.approx(float(delta.norm()), rel=1e-4)
        off = float((after[key].float() - (before[key].float() + delta)).norm())
        assert change.rounding == pytest.approx(off, rel=1e-2)


@pytest.mark.parametrize("dtype", [None, torch.float32])
def test_merging_at_minus_one_afterwards_restores_the_base(
    starter_folder: Path, tmp_path: Path, dtype: torch.dtype | None
) -> None:
    """Two roundings, each of at most half a step of numbers of at most |weight| + |update|."""
    one = lora({**MODULES, **TEXT})
    there, back = tmp_path / "there", tmp_path / "back"
    run(starter_folder, there, Input(one, 1.0), rounding=Rounding(dtype))
    run(there, back, Input(one, -1.0))
    for component in ("transformer", "text_encoder", "text_encoder_2"):
        changed, restored = weights(there / component), weights(back / component)
        for key, tensor in weights(starter_folder / component).items():
            before = tensor.float()
            update = changed[key].float() - before
            if not update.any():
                assert torch.equal(restored[key].float(), before), key
                continue
            step = torch.finfo(changed[key].dtype).eps
            slack = 1.01 * step * (before.abs() + update.abs()) + 1e-6
            assert bool(((restored[key].float() - before).abs() <= slack).all()), key
            assert not torch.allclose(changed[key].float(), before, atol=1e-3)


def test_two_in_one_pass_are_the_sum_and_not_one_after_the_other(
    starter_folder: Path, tmp_path: Path
) -> None:
    one, two = lora(MODULES, 1), lora(MODULES, 2)
    exact = Rounding(torch.float32)
    run(starter_folder, tmp_path / "both", Input(one, 1.0), Input(two, 1.0), rounding=exact)
    run(starter_folder, tmp_path / "one", Input(one, 1.0), rounding=exact)
    run(tmp_path / "one", tmp_path / "two", Input(two, 1.0))
    both, chained = weights(tmp_path / "both/transformer"), weights(tmp_path / "two/transformer")
    for key, tensor in both.items():
        assert torch.allclose(tensor, chained[key], atol=1e-6), key


def sharded(starter_folder: Path, root: Path) -> Path:
    """The starter with its transformer in three files and an index."""
    shutil.copytree(starter_folder, root)
    content = weights(root / "transformer")
    (root / "transformer" / "diffusion_pytorch_model.safetensors").unlink()
    keys = sorted(content)
    mapped = {}
    for n in range(3):
        name = f"diffusion_pytorch_model-{n + 1:05d}-of-00003.safetensors"
        part = {key: content[key] for key in keys[n::3]}
        save_file(part, root / "transformer" / name, {"format": "pt"})
        mapped |= dict.fromkeys(part, name)
    index = {"metadata": {"total_size": 1}, "weight_map": mapped}
    path = root / "transformer" / "diffusion_pytorch_model.safetensors.index.json"
    path.write_text(json.dumps(index), "utf-8")
    return root


def test_shards_stay_shards_and_stale_copies_are_left_behind(
    starter_folder: Path, tmp_path: Path
) -> None:
    from diffusers import FluxTransformer2DModel

    root = sharded(starter_folder, tmp_path / "base")
    (root / "transformer" / "diffusion_pytorch_model.fp16.safetensors").write_bytes(b"old")
    (root / "flux1-dev.safetensors").write_bytes(b"old")
    (root / "README.md").write_text("words", "utf-8")
    (root / ".cache").mkdir()
    one = lora({name: MODULES[name] for name in list(MODULES)[:1]})
    run(root, tmp_path / "m", Input(one, 1.0), rounding=Rounding(torch.float16))
    stale = {"transformer/diffusion_pytorch_model.fp16.safetensors", "flux1-dev.safetensors"}
    assert files_below(tmp_path / "m") == files_below(root) - stale
    index = json.loads(next((tmp_path / "m/transformer").glob("*.json")).read_text("utf-8"))
    model = FluxTransformer2DModel.from_pretrained(
        tmp_path / "m" / "transformer", dtype=torch.float16
    )
    assert index["metadata"]["total_size"] == sum(p.nbytes for p in model.parameters())
    whole = tmp_path / "whole"
    run(starter_folder, whole, Input(one, 1.0), rounding=Rounding(torch.float16))
    reference = weights(whole / "transformer")
    assert all(torch.equal(p, reference[n]) for n, p in model.named_parameters())


def test_a_components_folder_alone_is_a_model(starter_folder: Path, tmp_path: Path) -> None:
    run(starter_folder / "transformer", tmp_path / "m", Input(lora(MODULES), 1.0))
    run(starter_folder, tmp_path / "whole", Input(lora(MODULES), 1.0))
    one, other = weights(tmp_path / "m"), weights(tmp_path / "whole/transformer")
    assert all(torch.equal(one[key], tensor) for key, tensor in other.items())


# --- single files ---------------------------------------------------------------------------


def original(starter_folder: Path, path: Path, prefix: str = "") -> Path:
    """The starter's transformer as one file in the original layout, made here by hand."""
    content = weights(starter_folder / "transformer")
    single: dict[str, Tensor] = {}
    for name, modules in names_flux.MODULES.items():
        for part in ("weight", "bias"):
            if f"{modules[0]}.{part}" in content:
                rows = torch.cat([content[f"{module}.{part}"] for module in modules])
                if name == "final_layer.adaLN_modulation.1":
                    rows = torch.cat(rows.chunk(2)[::-1])
                single[f"{prefix}{name}.{part}"] = rows
    single[f"{prefix}double_blocks.0.img_attn.norm.query_norm.scale"] = torch.ones(32)
    save_file(single, path, {"modelspec.title": "mine", "modelspec.hash_sha256": "0x00"})
    return path


@pytest.mark.parametrize("prefix", ["", "model.diffusion_model."])
def test_a_single_file_gets_the_same_weights_as_the_folder(
    starter_folder: Path, tmp_path: Path, prefix: str
) -> None:
    base = original(starter_folder, tmp_path / "base.safetensors", prefix)
    one = lora(MODULES)
    changes = run(base, tmp_path / "m.safetensors", Input(one, 0.7))
    assert {change.name for change in changes} == set(MODULES)
    run(starter_folder, tmp_path / "folder", Input(one, 0.7))
    expected = load_file(original(tmp_path / "folder", tmp_path / "e.safetensors", prefix))
    found = load_file(tmp_path / "m.safetensors")
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[key], tensor) for key, tensor in expected.items())
    with safe_open(tmp_path / "m.safetensors", "pt") as file:
        assert file.metadata() == {"format": "pt", "modelspec.title": "mine", "note": "merged"}


def sd1(path: Path) -> Path:
    """A narrow SD1 single file: a few modules, text encoder, VAE and position ids."""
    start = "model.diffusion_model.input_blocks.1.1."
    content = {
        f"{start}proj_in.weight": torch.randn(8, 8, 1, 1),
        f"{start}transformer_blocks.0.attn1.to_q.weight": torch.randn(8, 8),
        "model.diffusion_model.input_blocks.1.0.in_layers.2.weight": torch.randn(8, 6, 3, 3),
        "model.diffusion_model.input_blocks.1.0.in_layers.2.bias": torch.randn(8),
        "cond_stage_model.transformer.text_model.encoder.layers.0.mlp.fc1.weight": torch.randn(
            8, 4
        ),
        "cond_stage_model.transformer.text_model.embeddings.position_ids": torch.arange(7)[None],
        "first_stage_model.decoder.conv_in.weight": torch.randn(3, 3, 3, 3),
    }
    save_file({key: x.half() if x.is_floating_point() else x for key, x in content.items()}, path)
    return path


SD1 = {
    "unet.down_blocks.0.attentions.0.proj_in": Layer(
        torch.randn(2, 8, 1, 1), torch.randn(8, 2, 1, 1), 1.0
    ),
    "unet.down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q": Layer(
        torch.randn(2, 8), torch.randn(8, 2), 1.0
    ),
    "unet.down_blocks.0.resnets.0.conv1": Layer(
        torch.randn(2, 6, 3, 3), torch.randn(8, 2, 1, 1), 1.0
    ),
    "text_encoder.text_model.encoder.layers.0.mlp.fc1": Layer(
        torch.randn(2, 4), torch.randn(8, 2), 1.0
    ),
}


def test_sd1s_single_file_with_convolutions_and_text_encoder(tmp_path: Path) -> None:
    base = sd1(tmp_path / "base.safetensors")
    out = tmp_path / "m.safetensors"
    one = Lora(Path("x"), ("kohya",), SD1, {})
    run(base, out, Input(one, 0.5), rounding=Rounding(torch.float32))
    before, after = load_file(base), load_file(out)
    assert before.keys() == after.keys()
    places = {
        "model.diffusion_model.input_blocks.1.1.proj_in": 0,
        "model.diffusion_model.input_blocks.1.1.transformer_blocks.0.attn1.to_q": 1,
        "model.diffusion_model.input_blocks.1.0.in_layers.2": 2,
        "cond_stage_model.transformer.text_model.encoder.layers.0.mlp.fc1": 3,
    }
    for key, tensor in before.items():
        stem = key.removesuffix(".weight")
        dtype = torch.float32 if key.startswith("model.") else tensor.dtype
        assert after[key].dtype == dtype  # VAE and text encoder keep theirs
        if stem in places:
            delta = 0.25 * torch.einsum("or,r...->o...", *_flat(list(SD1.values())[places[stem]]))
            expected = (tensor.float() + delta.reshape(tensor.shape)).to(dtype)
            assert torch.allclose(after[key].float(), expected.float(), atol=2e-3), key
            assert not torch.equal(after[key].float(), tensor.float())
        else:
            assert torch.equal(after[key], tensor.to(dtype)), key


def _flat(update: Layer) -> tuple[Tensor, Tensor]:
    return update.up.reshape(update.up.shape[:2]), update.down


def test_a_linear_update_fits_the_convolution_of_one_pixel_that_it_is(tmp_path: Path) -> None:
    base = sd1(tmp_path / "base.safetensors")
    name = "unet.down_blocks.0.attentions.0.proj_in"
    flat = Layer(SD1[name].down.reshape(2, 8), SD1[name].up.reshape(8, 2), 1.0)
    for stem, update in (("a", SD1[name]), ("b", flat)):
        run(base, tmp_path / stem, Input(Lora(Path("x"), ("kohya",), {name: update}, {}), 1.0))
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


# --- DoRA, dtypes ------------------------------------------------------------------------------


@pytest.mark.parametrize("axis", ["rows", "columns"])
def test_dora_is_the_papers_formula(starter_folder: Path, tmp_path: Path, axis: str) -> None:
    name = T + "transformer_blocks.0.attn.to_q"
    plain = lora({name: MODULES[name]}).layers[name]
    magnitude = 1 + torch.rand((192, 1) if axis == "rows" else (1, 192))
    update = Layer(plain.down, plain.up, plain.alpha, magnitude)
    other = lora({name: MODULES[name]}, 5)
    given = [Input(Lora(Path("d"), ("kohya",), {name: update}, {}), 0.5), Input(other, 1.0)]
    (change,) = run(starter_folder, tmp_path / "m", *given, rounding=Rounding(torch.float32))
    key = name.removeprefix(T) + ".weight"
    base = weights(starter_folder / "transformer")[key].double()
    v = base + 0.5 * plain.up.double() @ plain.down.double()
    size = v.pow(2).sum(dim=1 if axis == "rows" else 0, keepdim=True).sqrt()
    expected = base + 0.5 * (magnitude.double() * v / size - base)
    x = other.layers[name]
    expected = expected + 0.5 * x.up.double() @ x.down.double()
    found = weights(tmp_path / "m/transformer")[key].double()
    assert torch.allclose(found, expected, atol=1e-5)
    assert change.effect == pytest.approx(float((expected - base).norm()), rel=1e-4)


def test_dora_cannot_be_subtracted(starter_folder: Path, tmp_path: Path) -> None:
    name = T + "transformer_blocks.0.attn.to_q"
    update = Layer(torch.ones(1, 192), torch.ones(192, 1), 1.0, torch.ones(192, 1))
    given = Input(Lora(Path("d"), ("kohya",), {name: update}, {}), -1.0)
    message = refused(starter_folder, tmp_path / "m", given, kind=LoraError)
    assert "a negative weight cannot undo" in message


@pytest.mark.parametrize("mode", ["nearest", "stochastic"])
def test_fp8_rounds_matrices_and_keeps_the_rest_in_bf16(
    starter_folder: Path, tmp_path: Path, mode: str
) -> None:
    fp8 = Rounding(DTYPES["fp8"], mode, seed=3)
    for out in ("m", "again"):
        run(starter_folder, tmp_path / out, Input(lora(MODULES), 1.0), rounding=fp8)
    found = weights(tmp_path / "m/transformer")
    for key, tensor in found.items():
        assert tensor.dtype == (torch.float8_e4m3fn if tensor.ndim > 1 else torch.bfloat16), key
    again = weights(tmp_path / "again/transformer")
    assert all(torch.equal(found[key].float(), tensor.float()) for key, tensor in again.items())
    assert weights(tmp_path / "m/text_encoder")["final_layer_norm.bias"].dtype == torch.float32


def test_numbers_beyond_the_dtype_are_refused(starter_folder: Path, tmp_path: Path) -> None:
    huge = Input(lora(MODULES, size=100.0), 100.0)
    base = checkpoint.find(starter_folder)
    for dtype in (torch.float8_e4m3fn, torch.float16):
        sums = base_merge.match(base, merge.terms([huge]), ignore_unmatched=False)
        merger = base_merge.Merger(base, sums, Rounding(dtype))
        with pytest.raises(ModelError, match=r"would hold .* ends at"):
            base_write.write(merger, tmp_path / "m", {})
        assert list(tmp_path.iterdir()) == []


def every_number(dtype: torch.dtype) -> Tensor:
    """All finite numbers of a small dtype, rising, by its bit patterns."""
    count = 256 if dtype.itemsize == 1 else 65536
    bits = torch.arange(count).to(torch.uint8 if dtype.itemsize == 1 else torch.uint16)
    numbers = bits.view(dtype).double()
    return numbers[numbers.isfinite()].unique()


@pytest.mark.parametrize("dtype", ["bf16", "fp16", "fp8"])
def test_stochastic_rounding_draws_a_neighbor_by_its_distance(dtype: str) -> None:
    exact = torch.randn(2000, generator=torch.Generator().manual_seed(0)) * 0.05
    exact[:5] = torch.tensor([0.0, 1e-4, -3e-3, 0.5, -440.0])
    grid, count = every_number(DTYPES[dtype]), 400
    above = torch.searchsorted(grid, exact.double())
    high = grid[above]
    low = torch.where(high == exact, high, grid[above - 1])
    seeds = range(count)
    draws = torch.stack([rounded(exact, DTYPES[dtype], "stochastic", n).double() for n in seeds])
    assert bool(((draws == low) | (draws == high)).all())
    chance = torch.where(high > low, (exact - low) / (high - low), 0.0)
    found = (draws == high).double().mean(dim=0).where(high > low, 0.0)
    deviation = (chance * (1 - chance) / count).sqrt()
    assert bool(((found - chance).abs() <= 5 * deviation + 1 / count).all())
    assert len({draws[n].sum().item() for n in range(5)}) > 1


# --- what is refused --------------------------------------------------------------------------


def test_no_match_and_a_partial_match_are_told_by_name(
    starter_folder: Path, tmp_path: Path
) -> None:
    far = {T + "transformer_blocks.9.attn.to_q": (192, 192)}
    message = refused(starter_folder, tmp_path / "m", Input(lora(far), 1.0), kind=LoraError)
    assert f"none of the LoRA's modules is in it: '{next(iter(far))}'" in message
    some = {**MODULES, **far}
    message = refused(starter_folder, tmp_path / "m", Input(lora(some), 1.0), kind=LoraError)
    assert f"1 of the LoRA's 11 modules are not in it: '{next(iter(far))}'" in message
    base = checkpoint.find(starter_folder)
    found = base_merge.match(base, merge.terms([Input(lora(some), 1.0)]), ignore_unmatched=True)
    assert found.keys() == MODULES.keys()


def test_other_widths_are_told_by_name(starter_folder: Path, tmp_path: Path) -> None:
    wide = {T + "transformer_blocks.0.attn.to_q": (3072, 3072)}
    message = refused(starter_folder, tmp_path / "m", Input(lora(wide), 1.0), kind=LoraError)
    assert "made for another model: 'transformer.transformer_blocks.0.attn.to_q'" in message
    assert "[3072, 3072] in the LoRA, [192, 192] in the model" in message


def test_a_text_encoders_update_needs_a_text_encoder(starter_folder: Path, tmp_path: Path) -> None:
    given = Input(lora({**MODULES, **TEXT}), 1.0)
    base = original(starter_folder, tmp_path / "base.safetensors")
    message = refused(base, tmp_path / "m.safetensors", given, kind=LoraError)
    assert all(name in message for name in TEXT)


def quantized(kind: str, starter_folder: Path, root: Path) -> Path:
    """The starter's transformer as quantizers leave it."""
    if kind == "gguf":
        root.write_bytes(b"GGUF" + bytes(20))
        return root
    shutil.copytree(starter_folder, root)
    path = root / "transformer" / "diffusion_pytorch_model.safetensors"
    content = load_file(path)
    key = "transformer_blocks.0.attn.to_q.weight"
    if kind == "quanto":
        content[f"{key}._data"] = content.pop(key).to(torch.int8)
        content[f"{key}._scale"] = torch.ones(192, 1)
    elif kind == "bitsandbytes":
        content[f"{key}.absmax"] = torch.ones(4)
        content[f"{key}.quant_state.bitsandbytes__nf4"] = torch.ones(4, dtype=torch.uint8)
    elif kind in {"int8", "fp8"}:
        content[key] = content[key].to(torch.int8 if kind == "int8" else torch.float8_e4m3fn)
    elif kind == "config":
        config = path.with_name("config.json")
        said = {**json.loads(config.read_text("utf-8")), "quantization_config": {"a": 1}}
        config.write_text(json.dumps(said), "utf-8")
    elif kind == "qmap":
        path.with_name("quanto_qmap.json").write_text("{}", "utf-8")
    save_file(content, path)
    return root


@pytest.mark.parametrize(
    "kind", ["gguf", "quanto", "bitsandbytes", "int8", "fp8", "config", "qmap"]
)
def test_a_quantized_base_is_refused_with_a_way_out(
    starter_folder: Path, tmp_path: Path, kind: str
) -> None:
    root = quantized(kind, starter_folder, tmp_path / "base")
    message = refused(root, tmp_path / "m", Input(lora(MODULES), 1.0), kind=ModelError)
    assert "quantized" in message
    assert "merge into the bf16 or fp16 original" in message


def test_a_quantized_text_encoder_does_not_matter_where_it_is_not_touched(
    starter_folder: Path, tmp_path: Path
) -> None:
    root = tmp_path / "base"
    shutil.copytree(starter_folder, root)
    path = root / "text_encoder_2" / "model.safetensors"
    save_file({k: v.to(torch.float8_e4m3fn) for k, v in load_file(path).items()}, path)
    run(root, tmp_path / "m", Input(lora(MODULES), 1.0))
    assert (tmp_path / "m/text_encoder_2/model.safetensors").read_bytes() == path.read_bytes()
    message = refused(root, tmp_path / "n", Input(lora({**MODULES, **TEXT}), 1.0), kind=ModelError)
    assert "text_encoder_2/model.safetensors: its weights are quantized" in message


def test_models_that_are_none(starter_folder: Path, tmp_path: Path) -> None:
    given = Input(lora(MODULES), 1.0)
    assert "no such model" in refused(tmp_path / "gone", tmp_path / "m", given, kind=ModelError)
    long = tmp_path / ("x" * 300)
    assert "cannot be read (" in refused(long, tmp_path / "m", given, kind=ModelError)
    (tmp_path / "empty").mkdir()
    said = refused(tmp_path / "empty", tmp_path / "m", given, kind=ModelError)
    assert "not a diffusers folder" in said
    said = refused(starter_folder / "vae", tmp_path / "m", given, kind=ModelError)
    assert "holds a AutoencoderKL" in said
    (tmp_path / "odd").mkdir()
    for content in ('{"_class_name": ["x"]}', "[]", "{", '{"_class_name": null}'):
        (tmp_path / "odd" / "config.json").write_text(content, "utf-8")
        refused(tmp_path / "odd", tmp_path / "m", given, kind=ModelError)
    save_file({"a.weight": torch.ones(2, 2)}, tmp_path / "x")
    assert "none of its weights is known" in refused(
        tmp_path / "x", tmp_path / "m", given, kind=ModelError
    )
    root = sharded(starter_folder, tmp_path / "base")
    next((root / "transformer").glob("*00002-of*")).unlink()
    assert "download is incomplete" in refused(root, tmp_path / "m", given, kind=ModelError)
    index = next((root / "transformer").glob("*.index.json"))
    index.write_text('{"weight_map": {"a": "../../x"}}', "utf-8")
    assert "not an index of files beside it" in refused(
        root, tmp_path / "m", given, kind=ModelError
    )
    index.unlink()
    said = refused(root, tmp_path / "m", given, kind=ModelError)
    assert "variants (.fp16) and pickles (.bin) are not read" in said


def test_nothing_is_written_over(starter_folder: Path, tmp_path: Path) -> None:
    given = Input(lora(MODULES), 1.0)
    (tmp_path / "m").mkdir()
    assert "already there" in refused(starter_folder, tmp_path / "m", given, kind=ModelError)


def test_a_full_disk_leaves_nothing(
    starter_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=1000))
    given = Input(lora(MODULES), 1.0)
    message = refused(starter_folder, tmp_path / "m", given, kind=StorageError)
    assert "no room for the merged model" in message


@pytest.mark.parametrize("damage", ["value", "key", "dtype"])
def test_an_output_that_is_not_as_planned_is_not_kept(
    starter_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, damage: str
) -> None:
    """A disk that returns something else than was written, after the merge and before the check."""
    found = checkpoint.find

    def damaged(root: Path) -> Any:
        path = root / "transformer" / "diffusion_pytorch_model.safetensors"
        if root.name.startswith("."):  # the unfinished output
            content = load_file(path)
            key = "transformer_blocks.0.attn.to_q.weight"
            if damage == "value":
                content[key] = content[key] + 0.5
            elif damage == "key":
                del content["proj_out.bias"]
            else:
                content["proj_out.bias"] = content["proj_out.bias"].half()
            save_file(content, path)
        return found(root)

    monkeypatch.setattr(checkpoint, "find", damaged)
    base = found(starter_folder)
    one = Input(lora(MODULES), 1.0)
    sums = base_merge.match(base, merge.terms([one]), ignore_unmatched=False)
    merger = base_merge.Merger(base, sums, Rounding())
    with pytest.raises(ModelError, match=r"not what was reckoned|does not hold the tensors"):
        base_write.write(merger, tmp_path / "m", {})
    assert list(tmp_path.iterdir()) == []


def test_files_and_weights_are_told_apart() -> None:
    assert merge_files.file_and_weight("a.safetensors:0.8") == (Path("a.safetensors"), 0.8)
    assert merge_files.file_and_weight("a.safetensors") == (Path("a.safetensors"), 1.0)
    assert merge_files.file_and_weight(r"C:\a.safetensors:-1") == (Path(r"C:\a.safetensors"), -1.0)
    assert merge_files.file_and_weight(r"C:\a.safetensors") == (Path(r"C:\a.safetensors"), 1.0)
    for weight in ("nan", "inf", "1e7", "-1e39"):
        with pytest.raises(LoraError, match="has to be a number"):
            merge_files.file_and_weight(f"a:{weight}")


def test_a_file_counts_before_what_its_name_could_mean(tmp_path: Path) -> None:
    path, other = tmp_path / "style:2", tmp_path / "a"
    path.touch()
    other.touch()
    assert merge_files.file_and_weight(str(path)) == (path, 1.0)
    assert merge_files.file_and_weight(f"{path}:0.5") == (path, 0.5)
    for typed in ("0,5", "half", ""):
        with pytest.raises(LoraError, match="has to be a number"):
            merge_files.file_and_weight(f"{other}:{typed}")
    assert merge_files.file_and_weight("x" * 300) == (Path("x" * 300), 1.0)


def test_norms_are_told_without_the_product() -> None:
    update = Layer(torch.randn(3, 7), torch.randn(5, 3), 2.0)
    assert algebra.effect(update) == pytest.approx(float(update.delta().norm()), rel=1e-5)

"""Weights stream in whole: each where it belongs, quantized if it should be, or named."""

import json
from collections.abc import Mapping
from pathlib import Path

import pytest
import torch
from accelerate import init_empty_weights
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from bioicons_kit.errors import DamagedFileError, ModelError
from bioicons_kit.memory.linear import QuantizedLinear
from bioicons_kit.memory.quantize import (
    LEVELS,
    Coverage,
    load,
    quantize_rows,
    shards,
    swap_linears,
)

CPU = torch.device("cpu")
STEM = "diffusion_pytorch_model"
KEEP = (r"embed", r"blocks\.\d+\.gate")


class Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(6)
        self.gate = nn.Linear(6, 6)
        self.up = nn.Linear(6, 10)
        self.down = nn.Linear(10, 6, bias=False)


class Model(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Linear(4, 6)
        self.conv = nn.Conv1d(1, 2, 3)
        self.blocks = nn.ModuleList(Block() for _ in range(2))
        self.token = nn.Parameter(torch.zeros(3))


QUANTIZED = ("blocks.0.up", "blocks.0.down", "blocks.1.up", "blocks.1.down")


def weights() -> dict[str, Tensor]:
    torch.manual_seed(5)
    return {name: torch.randn_like(value) for name, value in Model().state_dict().items()}


def skeleton() -> Model:
    with init_empty_weights(include_buffers=False):
        return Model()


def save(folder: Path, content: Mapping[str, Tensor], name: str = f"{STEM}.safetensors") -> Path:
    path = folder / name
    save_file({key: value.contiguous() for key, value in content.items()}, path)
    return path


def fill(
    model: Model, *files: Path, level: str = "qfloat8", dtype: torch.dtype = torch.float32
) -> Coverage:
    return load(model, files, level=level, exclude=KEEP, dtype=dtype, device=CPU)


class TestLoad:
    @pytest.mark.parametrize("level", sorted(LEVELS))
    def test_quantizes_what_is_meant_to_be_and_no_more(self, tmp_path: Path, level: str):
        content, model = weights(), skeleton()
        coverage = fill(model, save(tmp_path, content), level=level)
        found = {name for name, m in model.named_modules() if isinstance(m, QuantizedLinear)}
        assert found == set(coverage.quantized) == set(QUANTIZED)
        for name in QUANTIZED:
            layer = model.get_submodule(name)
            values, scale = quantize_rows(content[f"{name}.weight"], level)
            assert layer.storage_dtype == LEVELS[level].dtype
            assert torch.equal(layer.stored, values.view(torch.uint8))
            assert torch.equal(layer.scale, scale)
        plain = dict(model.named_parameters())
        assert plain.keys() == content.keys() - {f"{name}.weight" for name in QUANTIZED}
        assert all(torch.equal(value, content[name]) for name, value in plain.items())

    @pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
    def test_counts_are_exact(self, tmp_path: Path, dtype: torch.dtype):
        coverage = fill(skeleton(), save(tmp_path, weights()), dtype=dtype)
        linears = 2 * (10 * 6 + 6 * 10)
        everything = sum(value.numel() for value in weights().values())
        scales = 4 * 2 * (10 + 6)
        assert coverage.parameters == everything
        assert coverage.quantized_parameters == linears
        assert coverage.bytes == linears + scales + (everything - linears) * dtype.itemsize

    def test_level_none_changes_no_bit(self, tmp_path: Path):
        content, model = weights(), skeleton()
        coverage = fill(model, save(tmp_path, content), level="none")
        assert coverage.quantized == ()
        assert coverage.bytes == sum(value.nbytes for value in content.values())
        state = model.state_dict()
        assert state.keys() == content.keys()
        assert all(torch.equal(state[name], value) for name, value in content.items())

    @pytest.mark.parametrize("level", ["none", *sorted(LEVELS)])
    def test_freezes_everything(self, tmp_path: Path, level: str):
        model = skeleton()
        fill(model, save(tmp_path, weights()), level=level)
        assert not any(p.requires_grad for p in model.parameters())
        assert not any(t.is_meta for t in (*model.parameters(), *model.buffers()))

    def test_needs_the_file_no_more(self, tmp_path: Path):
        content, model = weights(), skeleton()
        path = save(tmp_path, content)
        fill(model, path, level="none")
        path.write_bytes(bytes(path.stat().st_size))
        path.unlink()
        assert all(torch.equal(v, content[name]) for name, v in model.state_dict().items())

    def test_tells_the_bytes_as_they_come(self, tmp_path: Path):
        steps: list[int] = []
        load(
            skeleton(),
            [save(tmp_path, weights())],
            level="qint8",
            exclude=KEEP,
            dtype=torch.bfloat16,
            device=CPU,
            advance=steps.append,
        )
        assert len(steps) == len(weights())
        assert sum(steps) == sum(value.nbytes for value in weights().values())

    def test_bfloat16_files_are_quantized_as_they_are(self, tmp_path: Path):
        content = {name: value.to(torch.bfloat16) for name, value in weights().items()}
        model = skeleton()
        fill(model, save(tmp_path, content))
        values, _ = quantize_rows(content["blocks.0.up.weight"].float(), "qfloat8")
        assert torch.equal(model.blocks[0].up.stored, values.view(torch.uint8))

    @pytest.mark.parametrize("name", sorted(weights()))
    def test_names_a_missing_weight(self, tmp_path: Path, name: str):
        content = weights()
        del content[name]
        path = save(tmp_path, content)
        with pytest.raises(ModelError) as refusal:
            fill(skeleton(), path)
        assert str(refusal.value) == (
            f"{tmp_path}: 1 of the model's weights missing, first {name}; "
            "the download or copy is incomplete"
        )

    @pytest.mark.parametrize("name", ["blocks.2.up.weight", "blocks.0.down.bias", "nowhere"])
    def test_names_an_unknown_weight(self, tmp_path: Path, name: str):
        path = save(tmp_path, {**weights(), name: torch.zeros(6)})
        with pytest.raises(ModelError, match=rf"unknown weight '{name}'"):
            fill(skeleton(), path)

    @pytest.mark.parametrize(
        ("name", "shape"),
        [("blocks.0.up.weight", (6, 10)), ("blocks.1.norm.bias", (7,)), ("token", (3, 1))],
    )
    def test_names_a_misshapen_weight(self, tmp_path: Path, name: str, shape: tuple[int, ...]):
        path = save(tmp_path, {**weights(), name: torch.zeros(shape)})
        with pytest.raises(ModelError) as refusal:
            fill(skeleton(), path)
        assert f"weight '{name}' has shape {list(shape)}" in str(refusal.value)
        assert f"asks for {list(weights()[name].shape)}" in str(refusal.value)

    @pytest.mark.parametrize("name", ["token", "blocks.0.up.weight"])
    def test_names_a_weight_that_comes_twice(self, tmp_path: Path, name: str):
        first = save(tmp_path, weights(), "a.safetensors")
        second = save(tmp_path, {name: weights()[name]}, "b.safetensors")
        with pytest.raises(ModelError, match=rf"b\.safetensors: weight '{name}' stands in two"):
            fill(skeleton(), first, second)

    def test_names_a_damaged_shard(self, tmp_path: Path):
        path = save(tmp_path, weights())
        path.write_bytes(path.read_bytes()[:-1])
        with pytest.raises(DamagedFileError, match=STEM):
            fill(skeleton(), path)


def test_swapping_keeps_excluded_linears_and_everything_else():
    model = skeleton()
    before = dict(model.named_modules())
    assert swap_linears(model, "qint8", KEEP) == QUANTIZED
    after = dict(model.named_modules())
    assert after.keys() == before.keys()
    assert {name for name in after if after[name] is not before[name]} == set(QUANTIZED)
    assert swap_linears(skeleton(), "none", ()) == ()


def test_an_exclusion_must_match_the_whole_name():
    assert "embed" in swap_linears(skeleton(), "qint8", (r"emb", r"mbed", r"blocks"))


@pytest.mark.parametrize("level", sorted(LEVELS))
@settings(max_examples=40, deadline=None)
@given(rows=st.integers(1, 6), columns=st.integers(1, 30), size=st.floats(1e-20, 1e20), seed=...)
def test_rows_are_quantized_within_half_a_step(
    level: str, rows: int, columns: int, size: float, seed: int
):
    generator = torch.Generator().manual_seed(seed % 2**63)
    weight = size * torch.randn(rows, columns, generator=generator)
    values, scale = quantize_rows(weight, level)
    assert values.shape == weight.shape
    assert values.dtype == LEVELS[level].dtype
    assert scale.shape == (rows,)
    assert (scale > 0).all()
    largest = weight.abs().amax(dim=1, keepdim=True)
    back = values.double() * scale.double()[:, None]
    # int8: steps of largest / 127 or 128. e4m3: 2^-4 of the value, subnormals below 2^-6 / 448.
    step = largest / 127 if level == "qint8" else weight.abs() / 8 + largest / 448 * 2**-9
    assert ((back - weight).abs() <= 0.51 * step.double()).all()


class TestShards:
    def split(self, folder: Path, variant: str | None = None, parts: int = 3) -> list[Path]:
        """Write the model in pieces, with an index, as diffusers names them."""
        content = weights()
        stem = STEM if variant is None else f"{STEM}.{variant}"
        places, paths = {}, []
        for part in range(parts):
            own = {name: content[name] for name in sorted(content)[part::parts]}
            name = f"{stem}-{part + 1:05}-of-{parts:05}.safetensors"
            paths.append(save(folder, own, name))
            places.update(dict.fromkeys(own, name))
        self.index(folder, variant).write_text(json.dumps({"weight_map": places}), "utf-8")
        return paths

    def index(self, folder: Path, variant: str | None = None) -> Path:
        return folder / f"{STEM}.safetensors.index.{variant + '.' if variant else ''}json"

    def test_a_single_file(self, tmp_path: Path):
        path = save(tmp_path, weights())
        assert shards(tmp_path, STEM, None) == (path,)

    @pytest.mark.parametrize("variant", [None, "bf16"])
    def test_pieces_make_the_model(self, tmp_path: Path, variant: str | None):
        paths = self.split(tmp_path, variant)
        found = shards(tmp_path, STEM, variant)
        assert list(found) == paths
        model = skeleton()
        fill(model, *found, level="none")
        assert all(torch.equal(v, weights()[name]) for name, v in model.state_dict().items())

    @pytest.mark.parametrize("variant", [None, "bf16"])
    @pytest.mark.parametrize("size", ["4KB", "10GB"])
    def test_what_diffusers_writes(self, tmp_path: Path, variant: str | None, size: str):
        from diffusers import AutoencoderKL

        model = AutoencoderKL(block_out_channels=(4,), norm_num_groups=2, latent_channels=2)
        model.save_pretrained(tmp_path, variant=variant, max_shard_size=size)
        found = shards(tmp_path, STEM, variant)
        assert (len(found) > 1) == (size == "4KB")
        keys = [key for path in found for key in load_file(path)]
        assert sorted(keys) == sorted(model.state_dict())

    def test_a_variant_is_not_taken_for_another(self, tmp_path: Path):
        plain = save(tmp_path, weights())
        small = save(tmp_path, weights(), f"{STEM}.bf16.safetensors")
        assert shards(tmp_path, STEM, None) == (plain,)
        assert shards(tmp_path, STEM, "bf16") == (small,)
        with pytest.raises(ModelError) as refusal:
            shards(tmp_path, STEM, "fp16")
        assert "of variant 'fp16'" in str(refusal.value)
        assert f"{STEM}.fp16.safetensors" in str(refusal.value)

    def test_none_at_all(self, tmp_path: Path):
        with pytest.raises(ModelError, match="holds no safetensors weights"):
            shards(tmp_path, STEM, None)

    def test_a_piece_that_is_not_there(self, tmp_path: Path):
        paths = self.split(tmp_path)
        paths[1].unlink()
        with pytest.raises(ModelError, match=paths[1].name):
            shards(tmp_path, STEM, None)

    def test_an_index_that_points_outside(self, tmp_path: Path):
        folder = tmp_path / "transformer"
        folder.mkdir()
        outside = save(tmp_path, weights(), "outside.safetensors")
        for name in ("../outside.safetensors", str(outside), "", ".", ".."):
            self.index(folder).write_text(json.dumps({"weight_map": {"token": name}}))
            with pytest.raises(ModelError, match="names the shard"):
                shards(folder, STEM, None)

    @pytest.mark.parametrize(
        "text",
        ["", "{", "[]", "3", "{}", '{"weight_map": 3}', '{"weight_map": {"a": ["b"]}}', "\ud800"],
    )
    def test_an_index_that_is_none(self, tmp_path: Path, text: str):
        self.index(tmp_path).write_bytes(text.encode("utf-8", "surrogatepass"))
        with pytest.raises(ModelError, match=r"index\.json: not a safetensors index"):
            shards(tmp_path, STEM, None)

    @pytest.mark.parametrize("names", [{"a": 3}, {"a": 3, "b": "c"}, {"a": None}, {}])
    def test_an_index_of_odd_names(self, tmp_path: Path, names: dict[str, object]):
        self.index(tmp_path).write_text(json.dumps({"weight_map": names}))
        with pytest.raises(ModelError, match=r"index\.json: "):
            shards(tmp_path, STEM, None)

"""Weights stream in whole: each where it belongs, quantized if it should be, or named."""

from collections.abc import Mapping
from pathlib import Path

import pytest
import torch
from accelerate import init_empty_weights
from safetensors.torch import save_file
from torch import Tensor, nn

from bioicons_kit.errors import DamagedFileError, ModelError
from bioicons_kit.memory import load as load_module
from bioicons_kit.memory.levels import LEVELS, stored_bytes
from bioicons_kit.memory.linear import QuantizedLinear
from bioicons_kit.memory.load import load
from bioicons_kit.memory.quantize import Coverage
from bioicons_kit.memory.shards import Shards
from tests.memory import small

CPU = torch.device("cpu")
STEM = "diffusion_pytorch_model"
KEEP = (r"embed", r"blocks\.\d+\.gate")
ON_CPU = ("qfloat8", "qint8", "qint4", small.NF4)


class Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(64)
        self.gate = nn.Linear(64, 64)
        self.up = nn.Linear(64, 192)
        self.down = nn.Linear(192, 64, bias=False)


class Model(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Linear(4, 64)
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
    return load(model, Shards(files), level=level, exclude=KEEP, dtype=dtype, device=CPU)


class TestLoad:
    @pytest.mark.parametrize("level", ON_CPU)
    def test_quantizes_what_is_meant_to_be_and_no_more(self, tmp_path: Path, level: str):
        content, model = weights(), skeleton()
        coverage = fill(model, save(tmp_path, content), level=level)
        found = {name for name, m in model.named_modules() if isinstance(m, QuantizedLinear)}
        assert found == set(coverage.quantized) == set(QUANTIZED)
        for name in QUANTIZED:
            layer = model.get_submodule(name)
            expected = LEVELS[level].encode(content[f"{name}.weight"])
            assert layer.level == level
            assert all(torch.equal(*both) for both in zip(layer.kept, expected, strict=True))
        plain = dict(model.named_parameters())
        assert plain.keys() == content.keys() - {f"{name}.weight" for name in QUANTIZED}
        assert all(torch.equal(value, content[name]) for name, value in plain.items())

    @pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
    def test_counts_are_exact(self, tmp_path: Path, dtype: torch.dtype):
        coverage = fill(skeleton(), save(tmp_path, weights()), dtype=dtype)
        linears = 2 * (192 * 64 + 64 * 192)
        everything = sum(value.numel() for value in weights().values())
        scales = 4 * 2 * (192 + 64)
        assert linears + scales == 2 * (
            stored_bytes("qfloat8", 192, 64) + stored_bytes("qfloat8", 64, 192)
        )
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

    @pytest.mark.parametrize("level", ["none", *ON_CPU])
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
            Shards([save(tmp_path, weights())]),
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
        stored, _ = LEVELS["qfloat8"].encode(content["blocks.0.up.weight"].float())
        assert torch.equal(model.blocks[0].up.stored, stored)

    @pytest.mark.parametrize("dtype", [torch.float16, torch.float64, torch.float8_e4m3fn])
    def test_floating_point_numbers_of_other_sizes_are_read(
        self, tmp_path: Path, dtype: torch.dtype
    ):
        content = {name: value.to(dtype) for name, value in weights().items()}
        model = skeleton()
        fill(model, save(tmp_path, content), level="none")
        assert all(torch.equal(v, content[n].float()) for n, v in model.state_dict().items())

    @pytest.mark.parametrize("level", ["none", *ON_CPU])
    @pytest.mark.parametrize("piece", [1, 200, 10_000])
    def test_pieces_of_any_size_give_the_same(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, level: str, piece: int
    ):
        path, whole, parts = save(tmp_path, weights()), skeleton(), skeleton()
        fill(whole, path, level=level)
        monkeypatch.setattr(load_module, "_PIECE", piece)
        fill(parts, path, level=level)
        expected = whole.state_dict()
        assert all(torch.equal(v, expected[name]) for name, v in parts.state_dict().items())

    def test_one_tensor_under_two_names_is_filled_once(self, tmp_path: Path):
        content = weights()
        del content["blocks.1.norm.weight"]
        model = skeleton()
        model.blocks[1].norm.weight = model.blocks[0].norm.weight
        fill(model, save(tmp_path, content))
        assert model.blocks[1].norm.weight is model.blocks[0].norm.weight
        assert torch.equal(model.blocks[1].norm.weight, content["blocks.0.norm.weight"])

    def test_a_number_alone_is_read(self, tmp_path: Path):
        model = skeleton()
        with init_empty_weights():
            model.factor = nn.Parameter(torch.zeros(()))
        fill(model, save(tmp_path, {**weights(), "factor": torch.tensor(2.5)}))
        assert model.factor.item() == 2.5

    def test_an_integer_weight_is_refused(self, tmp_path: Path):
        content = {**weights(), "token": torch.zeros(3, dtype=torch.int64)}
        with pytest.raises(ModelError, match="weight 'token' is stored as I64"):
            fill(skeleton(), save(tmp_path, content))

    def test_nothing_is_read_before_all_names_are_checked(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ):
        monkeypatch.setattr(Shards, "read", lambda *_: pytest.fail("read"))
        content = weights()
        content["zz"] = content.pop("token")  # the last in the file's order
        with pytest.raises(ModelError, match="unknown weight 'zz'"):
            fill(skeleton(), save(tmp_path, content))

    def test_memory_is_handed_back_after_each_layers_worth(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ):
        calls: list[int] = []
        monkeypatch.setattr(load_module, "release", lambda: calls.append(1))
        monkeypatch.setattr(load_module, "_LAYER", 60_000)
        fill(skeleton(), save(tmp_path, weights()))
        total = sum(value.nbytes for value in weights().values())
        assert 2 < len(calls) <= 1 + total // 60_000

    def test_four_bits_need_rows_that_divide_into_groups(self, tmp_path: Path):
        with pytest.raises(ModelError) as refusal:
            load(
                skeleton(),
                Shards([save(tmp_path, weights())]),
                level="qint4",
                exclude=(),
                dtype=torch.float32,
                device=CPU,
            )
        assert "in groups of 32, and the layer 'embed' is 4 wide" in str(refusal.value)
        assert "memory.keep" in str(refusal.value)

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
        path = save(tmp_path, {**weights(), name: torch.zeros(64)})
        with pytest.raises(ModelError, match=rf"unknown weight '{name}'"):
            fill(skeleton(), path)

    @pytest.mark.parametrize(
        ("name", "shape"),
        [("blocks.0.up.weight", (64, 192)), ("blocks.1.norm.bias", (7,)), ("token", (3, 1))],
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

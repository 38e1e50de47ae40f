"""A quantized model is kept, read back to the bit, and made anew where it is not what it was."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import pytest
import torch
from accelerate import init_empty_weights
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from bioicons_kit.errors import ModelError, StorageError
from bioicons_kit.files import sha256_file
from bioicons_kit.memory import saved
from bioicons_kit.memory.levels import LEVELS
from bioicons_kit.memory.load import load
from bioicons_kit.memory.saved import Shelf
from bioicons_kit.memory.shards import Shards
from tests.memory import small

CPU = torch.device("cpu")
ON_CPU = ["qfloat8", "qint8", "qint4", small.NF4]


class Loaded(NamedTuple):
    """A model's tensors, and whether its base's weights were read for them."""

    state: dict[str, Tensor]
    from_base: bool
    steps: list[int]


def skeleton() -> nn.Module:
    with init_empty_weights():
        return nn.Sequential(nn.Linear(64, 192), nn.LayerNorm(192), nn.Linear(192, 32, bias=False))


@pytest.fixture
def base(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    path = tmp_path / "base.safetensors"
    content = {name: torch.randn(p.shape) for name, p in skeleton().named_parameters()}
    save_file(content, path)
    return path


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    return Shelf(tmp_path / "cache", lambda files: "+".join(map(sha256_file, files)))


def run(
    shelf: Shelf,
    base: Path,
    level: str = "qfloat8",
    exclude: Sequence[str] = (),
    dtype: torch.dtype = torch.bfloat16,
) -> Loaded:
    """Load the base as a run does, and note whether its weights were read."""
    reads: list[str] = []
    steps: list[int] = []

    class Watched(Shards):
        def read(self, name: str, rows: slice | None) -> Tensor:
            reads.append(name)
            return super().read(name, rows)

    model = skeleton()
    load(
        model,
        Watched([base]),
        level=level,
        exclude=exclude,
        dtype=dtype,
        device=CPU,
        advance=steps.append,
        keep=shelf.place([base], level, exclude, dtype),
    )
    return Loaded(dict(model.state_dict()), bool(reads), steps)


def equal(left: Loaded, right: Loaded) -> bool:
    return left.state.keys() == right.state.keys() and all(
        torch.equal(value, right.state[name]) for name, value in left.state.items()
    )


def kept(base: Path) -> list[Path]:
    return sorted((base.parent / "cache" / "quantized").iterdir())


@pytest.mark.parametrize("level", ON_CPU)
def test_the_second_start_reads_what_the_first_one_kept(shelf: Shelf, base: Path, level: str):
    first, second = run(shelf, base, level), run(shelf, base, level)
    assert (first.from_base, second.from_base) == (True, False)
    assert equal(first, second)
    assert {value.dtype for value in second.state.values()} >= {torch.uint8, torch.bfloat16}
    assert len(kept(base)) == 1, "nothing else is left in the folder"


def test_is_a_plain_safetensors_file_that_says_what_it_is(shelf: Shelf, base: Path):
    first = run(shelf, base, exclude=("2",))
    (path,) = kept(base)
    content = load_file(path)
    assert content.keys() == first.state.keys()
    assert all(torch.equal(value, first.state[name]) for name, value in content.items())
    with safe_open(path, framework="pt") as file:
        about = json.loads(file.metadata()["about"])
    assert about["level"] == "qfloat8"
    assert about["exclude"] == ["2"]
    assert about["dtype"] == "bfloat16"
    assert about["base"] == sha256_file(base)
    assert about["optimum-quanto"].startswith("0.2")


def test_progress_is_that_of_the_base(shelf: Shelf, base: Path):
    first, second = run(shelf, base), run(shelf, base)
    total = sum(first.steps)
    assert total == sum(value.nbytes for value in load_file(base).values())
    assert 0.95 * total <= sum(second.steps) <= total


def test_what_shapes_the_content_has_another_place(
    shelf: Shelf, base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    other = tmp_path / "other.safetensors"
    save_file({name: value + 1 for name, value in load_file(base).items()}, other)
    ways = [
        ((base,), "qfloat8", (), torch.bfloat16),
        ((other,), "qfloat8", (), torch.bfloat16),
        ((base,), "qint8", (), torch.bfloat16),
        ((base,), "qfloat8", ("2",), torch.bfloat16),
        ((base,), "qfloat8", (), torch.float32),
    ]
    places = [shelf.place(*way) for way in ways]
    monkeypatch.setattr(saved, "version", lambda _library: "0.3.0")
    places.append(shelf.place(*ways[0]))
    monkeypatch.undo()
    monkeypatch.setattr(saved, "FORMAT", "next")
    places.append(shelf.place(*ways[0]))
    assert len({place.path for place in places}) == len(places)
    assert len({place.path.parent for place in places}) == 1


class TestDamage:
    @settings(
        max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
    )
    @given(place=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
    def test_of_any_bit_is_told_and_mended(
        self, shelf: Shelf, base: Path, capsys: pytest.CaptureFixture[str], place: float, bit: int
    ):
        first = run(shelf, base)
        (path,) = kept(base)
        whole = path.read_bytes()
        data = bytearray(whole)
        data[int(place * len(data))] ^= 1 << bit
        path.write_bytes(data)
        capsys.readouterr()
        again = run(shelf, base)
        told = capsys.readouterr().err
        assert equal(first, again)
        if again.from_base:
            assert told.startswith("warning")
            assert "quantizing again" in told
            assert str(path) in told
        else:  # only where the header's own text is padding, or reads the same
            assert load_file(path).keys() == first.state.keys()
        path.write_bytes(whole)

    @pytest.mark.parametrize("size", [0, 7, 100, -1])
    def test_by_truncation_is_told_and_mended(
        self, shelf: Shelf, base: Path, capsys: pytest.CaptureFixture[str], size: int
    ):
        first = run(shelf, base)
        (path,) = kept(base)
        path.write_bytes(path.read_bytes()[:size])
        again = run(shelf, base)
        assert again.from_base
        assert equal(first, again)
        assert "quantizing again" in capsys.readouterr().err
        assert not run(shelf, base).from_base, "it was written anew"

    @pytest.mark.parametrize("change", ["missing", "extra", "shape", "dtype", "about", "crc32"])
    def test_another_content_is_told_and_mended(
        self, shelf: Shelf, base: Path, capsys: pytest.CaptureFixture[str], change: str
    ):
        first = run(shelf, base)
        (path,) = kept(base)
        content = load_file(path)
        with safe_open(path, framework="pt") as file:
            metadata = dict(file.metadata())
        if change == "missing":
            del content["1.bias"]
        elif change == "extra":
            content["3.bias"] = torch.zeros(2)
        elif change == "shape":
            content["1.bias"] = content["1.bias"][:-1].clone()
        elif change == "dtype":
            content["1.bias"] = content["1.bias"].float()
        else:
            metadata[change] = ""
        save_file(content, path, metadata)
        again = run(shelf, base)
        assert again.from_base
        assert equal(first, again)
        assert "does not hold what it should; quantizing again" in capsys.readouterr().err


class TestWriting:
    def test_a_run_that_fails_leaves_nothing(self, shelf: Shelf, base: Path):
        content = load_file(base)
        del content["1.bias"]
        save_file(content, base)
        with pytest.raises(ModelError, match=r"1 of the model's weights missing"):
            run(shelf, base)
        assert not (base.parent / "cache").exists()

    def test_a_run_that_is_stopped_leaves_nothing(
        self, shelf: Shelf, base: Path, monkeypatch: pytest.MonkeyPatch
    ):
        calls: list[int] = []

        def stop(_self: Shards, _name: str, _rows: slice | None) -> Tensor:
            calls.append(1)
            raise KeyboardInterrupt

        monkeypatch.setattr(Shards, "read", stop)
        with pytest.raises(KeyboardInterrupt):
            run(shelf, base)
        assert calls
        assert kept(base) == []

    def test_no_room_is_told_and_the_model_is_used_all_the_same(
        self,
        shelf: Shelf,
        base: Path,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ):
        def no_room(folder: Path, needed: int, what: str) -> None:
            raise StorageError(f"{folder}: no room for {what}: needs {needed}")

        monkeypatch.setattr(saved, "require_room", no_room)
        first = run(shelf, base)
        assert "no room for the quantized model" in capsys.readouterr().err
        assert not (base.parent / "cache").exists()
        monkeypatch.undo()
        assert equal(first, run(shelf, base))

    def test_only_the_first_process_writes(
        self, shelf: Shelf, base: Path, monkeypatch: pytest.MonkeyPatch
    ):
        monkeypatch.setenv("RANK", "1")
        run(shelf, base)
        assert not (base.parent / "cache").exists()

    def test_nothing_is_kept_without_a_place(self, base: Path, tmp_path: Path):
        model = skeleton()
        load(
            model,
            Shards([base]),
            level="qint8",
            exclude=(),
            dtype=torch.float32,
            device=CPU,
        )
        assert [path.name for path in tmp_path.iterdir()] == ["base.safetensors"]
        stored, _ = LEVELS["qint8"].encode(load_file(base)["0.weight"])
        assert torch.equal(model[0].stored, stored)

"""Tensors one at a time: the same files as the library's, read and written."""

from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from bioicons_kit import tensor_stream
from bioicons_kit.errors import DamagedFileError, StorageError
from bioicons_kit.tensor_stream import Slot, Source

DTYPES = st.sampled_from(sorted(tensor_stream.DTYPES.values(), key=str))
SHAPES = st.lists(st.integers(0, 4), max_size=3).map(tuple)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    slots=st.dictionaries(st.text(min_size=1, max_size=6), st.tuples(DTYPES, SHAPES), max_size=5),
    note=st.text(max_size=9),
)
def test_what_is_written_is_what_the_library_reads_and_the_reverse(
    tmp_path: Path, slots: dict[str, tuple[torch.dtype, tuple[int, ...]]], note: str
) -> None:
    slots.pop("__metadata__", None)
    made = {
        name: torch.randint(0, 2, shape, generator=torch.Generator().manual_seed(n)).to(dtype)
        for n, (name, (dtype, shape)) in enumerate(slots.items())
    }
    plan = {name: Slot(*slot) for name, slot in slots.items()}
    path = tensor_stream.write(tmp_path / "x", plan, {"note": note}, made.__getitem__)
    library = load_file(path)
    assert library.keys() == made.keys()
    source = Source(path)
    assert source.metadata == {"note": note}
    assert list(source.entries) == tensor_stream.ordered(plan)
    for name, tensor in made.items():
        for found in (library[name], source.read(name)):
            assert (found.dtype, found.shape) == (tensor.dtype, tensor.shape)
            assert torch.equal(found.float(), tensor.float())
    save_file(made, tmp_path / "y")
    other = Source(tmp_path / "y")
    assert all(torch.equal(other.read(n).float(), t.float()) for n, t in made.items())


@pytest.mark.parametrize("length", [0x0280, 0x0380, 0x0480, 0x0580])
def test_a_header_whose_length_looks_like_a_pickle_is_none(tmp_path: Path, length: int) -> None:
    path = tmp_path / "x"
    for filling in range(length - 150, length):
        made = {"a": torch.ones(1)}
        plan = {"a": Slot(torch.float32, (1,))}
        tensor_stream.write(path, plan, {"note": "x" * filling}, made.__getitem__)
        if int.from_bytes(path.read_bytes()[:8], "little") == length:
            break
    assert path.read_bytes()[:2] == length.to_bytes(2, "little")
    assert Source(path).entries.keys() == {"a"}


def test_some_rows_are_read_alone(tmp_path: Path) -> None:
    tensor = torch.arange(60, dtype=torch.bfloat16).reshape(5, 3, 4)
    save_file({"a": torch.ones(7), "t": tensor}, tmp_path / "x")
    source = Source(tmp_path / "x")
    for rows in (slice(0, 1), slice(2, 4), slice(4, 5), slice(3, 3)):
        assert torch.equal(source.read("t", rows), tensor[rows])


def test_a_file_that_shrinks_after_it_was_opened_is_damaged(tmp_path: Path) -> None:
    path = tmp_path / "x"
    save_file({"a": torch.ones(100)}, path)
    source = Source(path)
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(DamagedFileError, match="ends in the middle of 'a'"):
        source.read("a")
    path.unlink()
    with pytest.raises(DamagedFileError):
        source.read("a")


def test_a_write_that_fails_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(b"old")

    def fail(name: str) -> torch.Tensor:
        raise OSError(28, "No space left on device")

    with pytest.raises(StorageError, match="no room"):
        tensor_stream.write(path, {"a": Slot(torch.float32, (2,))}, {}, fail)
    assert [p.name for p in tmp_path.iterdir()] == ["x"]
    assert path.read_bytes() == b"old"


def test_progress_is_counted_in_bytes(tmp_path: Path) -> None:
    counts: list[int] = []
    plan = {"a": Slot(torch.float32, (2, 3)), "b": Slot(torch.int8, (5,))}
    made = {"a": torch.ones(2, 3), "b": torch.ones(5, dtype=torch.int8)}
    tensor_stream.write(tmp_path / "x", plan, {}, made.__getitem__, counts.append)
    assert counts == [24, 5]

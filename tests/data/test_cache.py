"""The cache: keys, round trips, and that nothing but the whole right entry is ever returned."""

import json
import os
import shutil
import time
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bioicons_kit import files
from bioicons_kit.data import cache as cache_module
from bioicons_kit.data.cache import Cache, Entry, Shape, Stamp, entry
from bioicons_kit.errors import DamagedFileError, StorageError
from bioicons_kit.tensors import pack, read

PARTS = {"svg": "abc", "encoder": "vae", "dtype": "bf16", "size": "64"}
WANTED = entry("latents", PARTS)
CONTENT = {
    "mean": torch.linspace(-3, 3, 24).reshape(2, 3, 4).to(torch.bfloat16),
    "logvar": torch.linspace(0, 1, 6, dtype=torch.float32),
}
same_folder = settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture
def filled(tmp_path: Path) -> Cache:
    """A cache with one entry."""
    cache = Cache(tmp_path)
    cache.put(WANTED, CONTENT)
    return cache


def equal(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(
        one[name].dtype == other[name].dtype and torch.equal(one[name], other[name]) for name in one
    )


def test_an_entry_comes_back_bit_for_bit(filled: Cache) -> None:
    assert filled.has(WANTED)
    assert equal(filled.get(WANTED), CONTENT)


DTYPES = [torch.bfloat16, torch.float32, torch.float16, torch.int64, torch.bool]


@same_folder
@given(
    shapes=st.lists(st.lists(st.integers(0, 4), max_size=3), min_size=1, max_size=3),
    dtype=st.sampled_from(DTYPES),
    seed=st.integers(0, 99),
)
def test_any_tensors_come_back_bit_for_bit(
    tmp_path: Path, shapes: list[list[int]], dtype: torch.dtype, seed: int
) -> None:
    generator = torch.Generator().manual_seed(seed)
    content = {
        f"tensor {i}": (torch.randn(shape, generator=generator) * 9).to(dtype)
        for i, shape in enumerate(shapes)
    }
    cache, wanted = Cache(tmp_path), entry("any", {"seed": str(seed)})
    cache.put(wanted, content)
    assert equal(cache.get(wanted), content)


def test_a_tensor_that_is_a_strided_view_is_stored_by_value(tmp_path: Path) -> None:
    cache, wanted = Cache(tmp_path), entry("any", {})
    view = torch.arange(12.0).reshape(3, 4).T
    cache.put(wanted, {"view": view})
    assert torch.equal(cache.get(wanted)["view"], view)


def test_an_entry_that_is_not_there_is_not_had_and_cannot_be_read(tmp_path: Path) -> None:
    cache = Cache(tmp_path)
    assert not cache.has(WANTED)
    with pytest.raises(DamagedFileError):
        cache.get(WANTED)


@pytest.mark.parametrize("part", PARTS)
def test_the_key_changes_with_each_part(part: str) -> None:
    assert entry("latents", {**PARTS, part: PARTS[part] + "2"}) != WANTED
    assert entry("latents", {k: v for k, v in PARTS.items() if k != part}) != WANTED


def test_the_key_changes_with_the_kind_and_the_format(monkeypatch: pytest.MonkeyPatch) -> None:
    assert entry("clip", PARTS).key != WANTED.key
    monkeypatch.setattr(cache_module, "FORMAT", cache_module.FORMAT + "2")
    assert entry("latents", PARTS).key != WANTED.key


def test_the_key_does_not_depend_on_the_order_of_the_parts() -> None:
    assert entry("latents", dict(reversed(PARTS.items()))) == WANTED


@same_folder
@given(
    one=st.dictionaries(st.text(max_size=4), st.text(max_size=4), max_size=3),
    other=st.dictionaries(st.text(max_size=4), st.text(max_size=4), max_size=3),
)
def test_keys_are_equal_only_where_all_parts_are(
    one: dict[str, str], other: dict[str, str]
) -> None:
    reserved = {"format", "kind"}
    if reserved & (one.keys() | other.keys()):
        return
    assert (entry("x", one) == entry("x", other)) == (one == other)


def harmless(data: bytes) -> set[int]:
    """Return the offsets of bytes that say nothing about the content.

    They are the spaces that pad the header, and in its metadata the entry "format", which
    is there for people: the format version that counts is part of the key.
    """
    length = int.from_bytes(data[:8], "little")
    header = data[8 : 8 + length]
    spaces = range(8 + len(header.rstrip(b" ")), 8 + length)
    start = 8 + header.index(b'"format":"')
    return {*spaces, *range(start, start + len(b'"format":"1"'))}


def test_no_byte_can_change_unnoticed(filled: Cache) -> None:
    path = filled.path(WANTED)
    whole = path.read_bytes()
    unused = harmless(whole)
    assert len(unused) < 24
    for offset in range(len(whole)):
        for flip in (0x01, 0xFF):
            damaged = bytearray(whole)
            damaged[offset] ^= flip
            path.write_bytes(damaged)
            try:
                found = filled.get(WANTED)
            except DamagedFileError:
                continue
            assert offset in unused, (offset, flip)
            assert equal(found, CONTENT)


@same_folder
@given(data=st.data())
def test_no_damage_gives_other_content(filled: Cache, data: st.DataObject) -> None:
    """Whatever is overwritten, inserted or cut: the right content comes back, or an error."""
    path = filled.path(WANTED)
    filled.put(WANTED, CONTENT)
    whole = path.read_bytes()
    start = data.draw(st.integers(0, len(whole)))
    end = data.draw(st.integers(start, min(len(whole), start + 40)))
    path.write_bytes(whole[:start] + data.draw(st.binary(max_size=40)) + whole[end:])
    try:
        found = filled.get(WANTED)
    except DamagedFileError:
        return
    assert equal(found, CONTENT)


def test_a_truncated_entry_is_damaged_wherever_it_ends(filled: Cache) -> None:
    path = filled.path(WANTED)
    whole = path.read_bytes()
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        with pytest.raises(DamagedFileError):
            filled.get(WANTED)


def test_another_entrys_file_copied_over_is_damaged(filled: Cache) -> None:
    other = entry("latents", {**PARTS, "svg": "other"})
    filled.put(other, CONTENT)
    shutil.copy(filled.path(other), filled.path(WANTED))
    with pytest.raises(DamagedFileError, match=r"does not hold what it should"):
        filled.get(WANTED)
    assert equal(filled.get(other), CONTENT)


def test_a_dropped_entry_is_gone_and_may_be_dropped_again(filled: Cache) -> None:
    filled.drop(WANTED)
    filled.drop(WANTED)
    assert not filled.has(WANTED)


def test_a_write_that_fails_leaves_the_old_entry_and_no_other_file(
    filled: Cache, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full_disk(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files.os, "fsync", full_disk)
    with pytest.raises(StorageError, match="no room"):
        filled.put(WANTED, {"mean": torch.zeros(1000)})
    monkeypatch.undo()
    assert equal(filled.get(WANTED), CONTENT)
    assert [p for p in filled.root.rglob("*") if p.is_file()] == [filled.path(WANTED)]


def test_an_entry_written_twice_is_the_same_bytes(filled: Cache) -> None:
    first = filled.path(WANTED).read_bytes()
    filled.put(WANTED, dict(reversed(CONTENT.items())))
    assert filled.path(WANTED).read_bytes() == first


def forged(cache: Cache, wanted: Entry, content: dict[str, torch.Tensor]) -> None:
    """Write an entry with right key and checksum, whatever its layout says."""
    cache.put(Entry(wanted.kind, wanted.key), content)


LAYOUT = (Shape("mean", torch.bfloat16, (2, 3, 4)), Shape("logvar", torch.float32, (6,)))
OTHERS = {
    "another name": {"mean": CONTENT["mean"], "variance": CONTENT["logvar"]},
    "one too many": {**CONTENT, "more": torch.zeros(1)},
    "one too few": {"mean": CONTENT["mean"]},
    "another shape": {**CONTENT, "mean": CONTENT["mean"].reshape(3, 2, 4)},
    "another dtype": {**CONTENT, "mean": CONTENT["mean"].float()},
}


@pytest.mark.parametrize("other", OTHERS)
def test_an_entry_of_another_layout_is_neither_written_nor_read(tmp_path: Path, other: str) -> None:
    cache, wanted = Cache(tmp_path), entry("latents", PARTS, LAYOUT)
    cache.put(wanted, CONTENT)
    assert equal(cache.get(wanted), CONTENT)
    with pytest.raises(ValueError, match=r"holds .* instead of"):
        cache.put(wanted, OTHERS[other])
    assert equal(cache.get(wanted), CONTENT)  # the old one stays
    forged(cache, wanted, OTHERS[other])
    with pytest.raises(DamagedFileError, match=r"cache entry holds .* instead of"):
        cache.get(wanted)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_numbers_that_are_not_finite_are_neither_written_nor_read(
    tmp_path: Path, value: float
) -> None:
    cache, wanted = Cache(tmp_path), entry("latents", PARTS)
    content = {"fine": torch.arange(3), "mean": torch.tensor([0.0, value], dtype=torch.bfloat16)}
    with pytest.raises(ValueError, match="numbers in mean that are not finite"):
        cache.put(wanted, content)
    assert not cache.has(wanted)
    sound = {**content, "mean": torch.zeros(2, dtype=torch.bfloat16)}
    cache.put(wanted, sound)
    path = cache.path(wanted)
    _, metadata = read(path)
    digest = cache_module._checksum(content, metadata["about"])
    path.write_bytes(pack(content, {**metadata, "sha256": digest}))
    with pytest.raises(DamagedFileError, match="not finite"):
        cache.get(wanted)


def test_bytes_of_an_entry_are_known_before_it_is_made() -> None:
    assert entry("latents", PARTS, LAYOUT).nbytes == 2 * 24 + 4 * 6
    assert entry("latents", PARTS, LAYOUT) == WANTED  # the layout follows from the key


def test_an_entry_tells_what_it_is_and_may_not_be_made_to_lie(filled: Cache) -> None:
    about = {"of": "mäuse/a.svg", "parts": PARTS}
    filled.put(WANTED, CONTENT, about)
    assert filled.about(WANTED) == about
    path = filled.path(WANTED)
    path.write_bytes(path.read_bytes().replace(b"a.svg", b"b.svg"))
    with pytest.raises(DamagedFileError):
        filled.get(WANTED)


@same_folder
@given(data=st.binary(max_size=60), length=st.sampled_from([0, 1, 8, 40, 2**20, 2**63 - 1]))
def test_whatever_stands_in_a_header_it_is_no_crash(
    filled: Cache, data: bytes, length: int
) -> None:
    path = filled.path(WANTED)
    path.write_bytes(length.to_bytes(8, "little") + data)
    assert filled.about(WANTED) == {}


def test_a_header_nested_without_end_is_no_crash(filled: Cache) -> None:
    deep = {"__metadata__": {"about": "[" * 100_000}}
    text = json.dumps(deep).encode()
    filled.path(WANTED).write_bytes(len(text).to_bytes(8, "little") + text)
    assert filled.about(WANTED) == {}


def test_what_is_no_file_is_damaged_and_keeps_no_one_waiting(tmp_path: Path) -> None:
    cache, other = Cache(tmp_path), entry("latents", {"svg": "other"})
    cache.path(WANTED).mkdir(parents=True)
    cache.path(other).parent.mkdir(parents=True, exist_ok=True)
    os.mkfifo(cache.path(other))
    for each in (WANTED, other):
        assert not cache.has(each)
        with pytest.raises(DamagedFileError, match="no such cache entry"):
            cache.get(each)
    assert cache.sweep("latents") == {}
    with pytest.raises(StorageError, match="directory"):
        cache.put(WANTED, CONTENT)


def test_a_sweep_finds_every_entry_and_nothing_else(filled: Cache) -> None:
    others = [entry("latents", {"n": str(number)}) for number in range(20)]
    for each in others:
        filled.put(each, {"x": torch.zeros(3)})
    filled.put(entry("clip", {}), {"x": torch.zeros(3)})
    (filled.root / "models" / "starter").mkdir(parents=True)
    (filled.root / "latents" / "known.txt").write_text("")
    (filled.path(WANTED).parent / "notes.md").write_text("")
    found = filled.sweep("latents")
    assert found.keys() == {each.key for each in [WANTED, *others]}
    status = filled.path(WANTED).stat()
    assert found[WANTED.key] == Stamp(status.st_size, status.st_mtime_ns) == filled.stamp(WANTED)
    assert filled.kinds() == ("clip", "latents")
    assert Cache(filled.root / "nowhere").kinds() == ()
    assert filled.sweep("t5") == {}


def test_a_sweep_removes_what_dead_writers_left_and_no_one_elses(filled: Cache) -> None:
    shelf = filled.path(WANTED).parent
    dead, busy = shelf / ".a.safetensors.x.tmp", shelf / ".b.safetensors.y.tmp"
    for each in (dead, busy):
        each.write_bytes(b"half")
    hours_ago = time.time() - 7200
    os.utime(dead, (hours_ago, hours_ago))
    assert filled.sweep("latents").keys() == {WANTED.key}
    assert not dead.exists()
    assert busy.exists()


def test_kinds_have_folders_of_their_own(tmp_path: Path) -> None:
    assert Cache(tmp_path).path(Entry("clip", "abc")) == tmp_path / "clip/ab/abc.safetensors"

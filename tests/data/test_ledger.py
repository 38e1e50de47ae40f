"""The ledger: each entry is read once, and again when its file is another."""

import os
from pathlib import Path

import pytest
import torch

from bioicons_kit.data import ledger
from bioicons_kit.data.cache import Cache, Entry, Shape, entry
from bioicons_kit.data.ledger import Ledger


class Counting(Cache):
    """A cache that remembers which entries were read."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.read: list[str] = []

    def get(self, wanted: Entry) -> dict[str, torch.Tensor]:
        self.read.append(wanted.key)
        return super().get(wanted)


ENTRIES = [entry("latents", {"n": str(number)}) for number in range(6)]


@pytest.fixture
def cache(tmp_path: Path) -> Counting:
    """A cache with all but the last entry, of which nothing is remembered."""
    cache = Counting(tmp_path)
    for number, each in enumerate(ENTRIES[:-1]):
        cache.put(each, {"x": torch.full((4,), float(number))})
    return cache


def look(cache: Counting) -> tuple[set[Entry], list[str]]:
    """What is sound, and what had to be read to know it."""
    cache.read.clear()
    opened = Ledger(cache, "latents")
    sound = opened.sound(ENTRIES)
    opened.save()
    return sound, list(cache.read)


def flip(path: Path, *, keep_time: bool = False) -> None:
    stat = path.stat()
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    later = 0 if keep_time else 1
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns + later))


def test_entries_are_read_the_first_time_only(cache: Counting) -> None:
    sound, read = look(cache)
    assert sound == set(ENTRIES[:-1])
    assert sorted(read) == sorted(each.key for each in ENTRIES[:-1])
    assert look(cache) == (sound, [])


def test_what_this_process_wrote_need_not_be_read(cache: Counting) -> None:
    look(cache)
    opened = Ledger(cache, "latents")
    cache.put(ENTRIES[-1], {"x": torch.zeros(4)})
    opened.wrote(ENTRIES[-1])
    opened.save()
    assert look(cache) == (set(ENTRIES), [])


@pytest.mark.parametrize("how", ["flipped", "truncated"])
def test_a_changed_file_is_read_again_told_and_removed(
    cache: Counting, capsys: pytest.CaptureFixture[str], how: str
) -> None:
    look(cache)
    path = cache.path(ENTRIES[2])
    if how == "flipped":
        flip(path)
    else:
        path.write_bytes(path.read_bytes()[:-3])
    sound, read = look(cache)
    assert sound == set(ENTRIES[:-1]) - {ENTRIES[2]}
    assert read == [ENTRIES[2].key]
    assert f"{path}: " in capsys.readouterr().err
    assert not path.exists()
    assert look(cache) == (sound, [])


def test_damage_that_leaves_size_and_time_alone_is_left_to_the_reader(cache: Counting) -> None:
    """What the ledger does not promise; `batches` finds it."""
    look(cache)
    flip(cache.path(ENTRIES[2]), keep_time=True)
    assert look(cache) == (set(ENTRIES[:-1]), [])


def test_an_entry_of_another_layout_is_not_sound(cache: Counting) -> None:
    wanted = Entry("latents", ENTRIES[0].key, (Shape("x", torch.float32, (5,)),))
    assert Ledger(cache, "latents").sound([wanted]) == set()


def test_looking_for_damage_removes_nothing(cache: Counting) -> None:
    path = cache.path(ENTRIES[1])
    path.write_bytes(b"x")
    opened = Ledger(cache, "latents")
    assert opened.damaged(ENTRIES).keys() == {ENTRIES[1]}
    assert opened.has(ENTRIES[1])
    assert not opened.has(ENTRIES[-1])
    assert path.exists()


def test_two_processes_remember_what_each_of_them_saw(cache: Counting) -> None:
    one, other = Ledger(cache, "latents"), Ledger(cache, "latents")
    one.sound(ENTRIES[:2])
    other.sound(ENTRIES[2:4])
    one.save()
    other.save()
    assert look(cache)[1] == [ENTRIES[4].key]


@pytest.mark.parametrize(
    "memory",
    [
        b"",
        b"\xff\xfe",
        b"a" * 64 + b" 1\n",
        b"[" * 1000,
        b"0" * 64 + b" 9" * 30,
        b"\n".join(each.key.encode() + b" 1 1" for each in ENTRIES),
    ],
)
def test_a_damaged_memory_only_costs_time(cache: Counting, memory: bytes) -> None:
    (cache.root / "latents" / "known.txt").write_bytes(memory)
    sound, read = look(cache)
    assert sound == set(ENTRIES[:-1])
    assert len(read) == len(ENTRIES) - 1
    assert look(cache) == (sound, [])


def test_a_memory_that_is_no_file_or_too_large_is_not_read(
    cache: Counting, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = cache.root / "latents" / "known.txt"
    os.mkfifo(path)
    assert len(look(cache)[1]) == 5  # and it becomes a file
    monkeypatch.setattr(ledger, "_LARGEST", 10)
    assert len(look(cache)[1]) == 5


def test_entries_that_are_gone_are_forgotten(cache: Counting) -> None:
    look(cache)
    cache.drop(ENTRIES[0])
    opened = Ledger(cache, "latents")
    cache.put(ENTRIES[-1], {"x": torch.zeros(1)})
    opened.wrote(ENTRIES[-1])
    opened.save()
    memory = (cache.root / "latents" / "known.txt").read_text()
    assert ENTRIES[0].key not in memory
    assert memory.count("\n") == 5


def test_many_unknown_entries_are_told(
    cache: Counting, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(ledger, "_WORTH_SAYING", 3)
    look(cache)
    assert "latents     reading 5 entries for the first time" in capsys.readouterr().out

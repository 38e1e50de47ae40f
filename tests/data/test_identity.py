"""What an encoder is: names and contents of its files, each hashed once."""

import os
from pathlib import Path

import pytest

from bioicons_kit.data import identity
from bioicons_kit.data.identity import Identities
from bioicons_kit.errors import KitError
from bioicons_kit.files import sha256_file


@pytest.fixture
def encoder(tmp_path: Path) -> tuple[Path, ...]:
    """An encoder's two files."""
    folder = tmp_path / "one" / "vae"
    folder.mkdir(parents=True)
    (folder / "config.json").write_text("{}")
    (folder / "weights.safetensors").write_bytes(b"12345678")
    return (folder / "config.json", folder / "weights.safetensors")


@pytest.fixture
def hashed(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The files that were read and hashed, in order."""
    read: list[Path] = []

    def counting(path: Path) -> str:
        read.append(path)
        return sha256_file(path)

    monkeypatch.setattr(identity, "sha256_file", counting)
    return read


def test_the_same_files_elsewhere_are_the_same_encoder(
    tmp_path: Path, encoder: tuple[Path, ...]
) -> None:
    elsewhere = tmp_path / "two" / "vae"
    elsewhere.mkdir(parents=True)
    moved = tuple(elsewhere / path.name for path in encoder)
    for old, new in zip(encoder, moved, strict=True):
        new.write_bytes(old.read_bytes())
    known = Identities(tmp_path)
    assert known.of(moved) == known.of(encoder)
    assert known.of(tuple(reversed(moved))) == known.of(encoder)


def test_another_name_another_folder_or_a_file_less_is_another_encoder(
    tmp_path: Path, encoder: tuple[Path, ...]
) -> None:
    known = Identities(tmp_path)
    whole = known.of(encoder)
    assert known.of(encoder[:1]) != whole
    renamed = encoder[1].rename(encoder[1].with_name("other.safetensors"))
    assert known.of((encoder[0], renamed)) != whole
    renamed.rename(encoder[1])
    folder = encoder[0].parent.rename(encoder[0].parent.with_name("text_encoder"))
    assert known.of([folder / path.name for path in encoder]) != whole


def test_swapped_contents_are_another_encoder(tmp_path: Path, encoder: tuple[Path, ...]) -> None:
    before = Identities(tmp_path).of(encoder)
    first, second = (path.read_bytes() for path in encoder)
    encoder[0].write_bytes(second)
    encoder[1].write_bytes(first)
    assert Identities(tmp_path).of(encoder) != before


def test_changed_content_of_the_same_size_is_noticed_by_its_time(
    tmp_path: Path, encoder: tuple[Path, ...]
) -> None:
    before = Identities(tmp_path).of(encoder)
    stat = encoder[1].stat()
    encoder[1].write_bytes(b"12345679")
    os.utime(encoder[1], ns=(stat.st_atime_ns, stat.st_mtime_ns + 1))
    assert Identities(tmp_path).of(encoder) != before


def test_a_file_is_hashed_once_for_all_runs(
    tmp_path: Path, encoder: tuple[Path, ...], hashed: list[Path]
) -> None:
    first = Identities(tmp_path).of(encoder)
    assert hashed == list(encoder)
    assert Identities(tmp_path).of(encoder) == first
    assert hashed == list(encoder)


def test_only_the_changed_file_is_hashed_again(
    tmp_path: Path, encoder: tuple[Path, ...], hashed: list[Path]
) -> None:
    Identities(tmp_path).of(encoder)
    encoder[0].write_text('{"changed": 1}')
    Identities(tmp_path).of(encoder)
    assert hashed == [*encoder, encoder[0]]


@pytest.mark.parametrize("memory", [b"", b"{", b"[1]", b"\xff\xfe", b'{"a": 3, "b": null}'])
def test_a_damaged_memory_only_costs_time(
    tmp_path: Path, encoder: tuple[Path, ...], memory: bytes, hashed: list[Path]
) -> None:
    expected = Identities(tmp_path / "elsewhere").of(encoder)
    (tmp_path / "identities.json").write_bytes(memory)
    assert Identities(tmp_path).of(encoder) == expected
    assert Identities(tmp_path).of(encoder) == expected
    assert len(hashed) == 4  # two files for each root: the damaged memory was written anew


def test_a_memory_that_is_no_file_or_too_large_only_costs_time(
    tmp_path: Path, encoder: tuple[Path, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = Identities(tmp_path / "elsewhere").of(encoder)
    memory = tmp_path / "identities.json"
    os.mkfifo(memory)
    assert Identities(tmp_path).of(encoder) == expected
    memory.write_bytes(b"[" * 100_000)
    assert Identities(tmp_path).of(encoder) == expected
    monkeypatch.setattr(identity, "_LARGEST", 10)
    assert Identities(tmp_path)._known == {}


def test_what_another_process_hashed_meanwhile_is_kept(
    tmp_path: Path, encoder: tuple[Path, ...], hashed: list[Path]
) -> None:
    one, other = Identities(tmp_path), Identities(tmp_path)
    one.of(encoder[:1])
    other.of(encoder[1:])
    assert Identities(tmp_path).of(encoder)
    assert hashed == list(encoder)


def test_a_file_that_changes_while_it_is_read_is_refused(
    tmp_path: Path, encoder: tuple[Path, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    def growing(path: Path) -> str:
        path.write_bytes(path.read_bytes() + b"more")
        return "0" * 64

    monkeypatch.setattr(identity, "sha256_file", growing)
    with pytest.raises(KitError, match="changed while it was read"):
        Identities(tmp_path).of(encoder)


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, encoder: tuple[Path, ...]) -> None:
    gone = encoder[0].with_name("gone.safetensors")
    with pytest.raises(KitError, match=r"gone\.safetensors: cannot be read"):
        Identities(tmp_path).of((*encoder, gone))

"""Which files of a dataset folder the kit has written: nothing else in it is ever touched.

`.prepared.json` lists them: pictures by name, other files with the hash of their content
and of what they were made from. It is written before files are, so that after a crash at
any moment every file of the kit's is listed, and once more when all of them stand.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from pydantic import TypeAdapter, ValidationError

from bioicons_kit.errors import StorageError
from bioicons_kit.files import sha256_file, storage_errors, write_bytes

NAME = ".prepared.json"
FORMAT = 1

_CHOOSE = "choose another folder with --out"


@dataclass(frozen=True)
class Written:
    """A file that is no picture: the hash of what it was made from, and of its content.

    While files are being written, `contents` holds the hash of the old and the new one.
    """

    made_from: str
    contents: tuple[str, ...]


@dataclass(frozen=True)
class Journal:
    """The kit's files in a folder, by their posix paths below it."""

    pictures: frozenset[str] = frozenset()
    others: Mapping[str, Written] = field(default_factory=dict)


@dataclass(frozen=True)
class _File:
    """The journal as it is stored: sorted, with a format number."""

    format: int
    pictures: tuple[str, ...]
    others: dict[str, Written]


_FILES = TypeAdapter(_File)


def read(folder: Path) -> Journal:
    """Return the journal of a folder: an empty one for a new or empty folder.

    Raises:
        StorageError: the folder is a file, holds other things, or its journal is damaged.
    """
    path = folder / NAME
    with storage_errors(folder):
        if folder.exists() and not folder.is_dir():
            raise StorageError(f"{folder}: is a file; {_CHOOSE}")
        if not path.is_file():
            if folder.is_dir() and any(not _is_scratch(each) for each in folder.iterdir()):
                raise StorageError(
                    f"{folder}: holds files that are no dataset of this kit; {_CHOOSE}"
                )
            return Journal()
        text = path.read_bytes()
    try:
        stored = _FILES.validate_json(text)
    except ValidationError:
        stored = None
    if stored is None or stored.format != FORMAT:
        raise StorageError(f"{path}: damaged, or of another version of the kit; {_CHOOSE}")
    for name in (*stored.pictures, *stored.others):
        if not _is_below(name):
            raise StorageError(f"{path}: damaged: {name!r} is no file of this folder; {_CHOOSE}")
    return Journal(frozenset(stored.pictures), stored.others)


def write(folder: Path, journal: Journal) -> None:
    """Write a folder's journal.

    Raises:
        StorageError: no room or no permission.
    """
    others = dict(sorted(journal.others.items()))
    stored = _File(FORMAT, tuple(sorted(journal.pictures)), others)
    write_bytes(folder / NAME, _FILES.dump_json(stored, indent=0))


def refuse_strangers(folder: Path, journal: Journal, names: Iterable[str]) -> None:
    """Refuse to write where a file stands that is not the kit's.

    Raises:
        StorageError: it names the file.
    """
    for name in names:
        if name not in journal.pictures and name not in journal.others and _stands(folder / name):
            raise StorageError(
                f"{folder / name}: is in the way, and was not written by this kit; move it, or "
                f"{_CHOOSE}"
            )


def refuse_edited(folder: Path, journal: Journal) -> None:
    """Refuse to go on where a file of the kit's has been edited since it was written.

    Raises:
        StorageError: it names the file.
    """
    for name, written in journal.others.items():
        path = folder / name
        if path.is_file() and sha256_file(path) not in written.contents:
            raise StorageError(
                f"{path}: has been edited since it was written, and would be written anew; move "
                "it away (captions are edited in the file that dataset.captions names)"
            )


def strangers(folder: Path, journal: Journal) -> list[str]:
    """Return the files of a folder that are not the kit's, by their paths below it."""
    files = (each for each in folder.rglob("*") if each.is_symlink() or not each.is_dir())
    names = (each.relative_to(folder).as_posix() for each in files)
    return sorted({*names} - journal.pictures - journal.others.keys() - {NAME})


def sweep(folder: Path) -> None:
    """Remove what interrupted writes of the kit's left behind."""
    for path in folder.rglob(".*.tmp"):
        if _is_scratch(path):
            path.unlink(missing_ok=True)


def _stands(path: Path) -> bool:
    """Tell whether anything is at a path, a broken link too."""
    return path.is_symlink() or path.exists()


def _is_scratch(path: Path) -> bool:
    """Tell whether a file is one that `files.write_bytes` writes before it renames it."""
    parts = path.name.rsplit(".", 2)
    return path.name.startswith(".") and len(parts) == 3 and parts[2] == "tmp" and path.is_file()


def _is_below(name: str) -> bool:
    """Tell whether a posix path stays below the folder it starts at."""
    path = PurePosixPath(name)
    return bool(path.parts) and not path.is_absolute() and ".." not in path.parts

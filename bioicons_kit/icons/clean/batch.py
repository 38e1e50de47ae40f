"""Which files to simplify, where the results go, whose they are, and what came of it all."""

import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bioicons_kit.errors import KitError, LibraryError
from bioicons_kit.icons import licenses
from bioicons_kit.svg.credit import Credit

_ADDED = ".simplified"


def targets(inputs: Sequence[Path], out: Path | None) -> dict[Path, Path]:
    """Return where the result of each file goes: sources and targets.

    A folder stands for all SVGs below it, which keep their places below `out`. Without
    `out`, a result lies beside its source, as name.simplified.svg.

    Raises:
        KitError: an input is missing, nothing is to be done, or two results would be one.
    """
    found: dict[Path, Path] = {}
    if out is not None and out.suffix.lower() not in {"", ".svg"} and not out.is_dir():
        raise KitError(f"--out {out}: name a folder, or a file that ends in .svg")
    for given in inputs:
        if not given.exists():
            raise KitError(f"{given}: no such file or folder")
        for source, place in _sources(given):
            if out is None:
                found[source] = source.with_name(f"{source.stem}{_ADDED}.svg")
            elif out.suffix.lower() == ".svg":
                found[source] = out
            else:
                found[source] = out / place
    if not found:
        raise KitError(f"{inputs[0]}: holds no .svg file")
    if len(set(found.values())) < len(found):
        raise KitError(f"--out {out}: several files would be written to one place; give a folder")
    for source, target in found.items():
        if target.resolve() == source.resolve():
            raise KitError(f"--out {out}: would overwrite {source}; give another place")
    return found


def _sources(given: Path) -> list[tuple[Path, Path]]:
    """Return the SVG files that an input stands for, and their places in its folder."""
    if given.is_file():
        return [(given, Path(given.name))]
    return [
        (path, path.relative_to(given))
        for path in sorted(given.rglob("*"))
        if path.suffix.lower() == ".svg"
        and path.is_file()
        and not path.is_symlink()
        and not path.stem.endswith(_ADDED)
    ]


def credited(source: Path, given: Credit, from_folders: bool) -> Credit | None:
    """Return what to write of a file's origin: what is given, then what its folders say.

    Folders speak where they are those of the library, license/category/author/name.svg.
    """
    known = Credit()
    parts = source.resolve().parts
    if from_folders and len(parts) > 4:
        try:
            license_ = licenses.get(licenses.normalize(parts[-4]))
            known = Credit(license_.url, _spaced(parts[-2]), "", _spaced(source.stem))
        except LibraryError:
            pass  # other folders: they say nothing
    pairs = zip(_fields(given), _fields(known), strict=True)
    return Credit(*(one or other for one, other in pairs)) or None


def _fields(credit: Credit) -> tuple[str, str, str, str]:
    return credit.license, credit.author, credit.source, credit.title


def _spaced(name: str) -> str:
    """Return a folder's or file's name as people write it."""
    return " ".join(name.replace("_", " ").split())


def license_url(name: str) -> str:
    """Return what to write for a license: the address of a known one, else the words given."""
    try:
        return licenses.get(licenses.normalize(name)).url if name else ""
    except LibraryError:
        return name


def summary(entries: Sequence[dict[str, Any]]) -> str:
    """Return the totals of a report in a line."""
    if not entries:
        return "nothing"
    before, after, old, new = (
        sum(entry[f"{what}_{when}"] for entry in entries)
        for what in ("bytes", "nodes")
        for when in ("before", "after")
    )
    error = max(entry["max_error"] for entry in entries)
    seconds = statistics.median(entry["seconds"] for entry in entries)
    return (
        f"{len(entries)} file(s): {before / 1e3:,.0f} -> {after / 1e3:,.0f} kB, "
        f"{old:,} -> {new:,} nodes, largest error {error:.6f} of the view box, "
        f"median {seconds:.2f} s"
    )

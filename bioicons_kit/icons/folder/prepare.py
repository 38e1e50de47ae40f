"""From a preset to its dataset folder: the whole road, which can be walked again any time.

What stands and is right stays, what is missing is drawn, what is no longer wanted goes: the
folder ends up the same, byte for byte, however often the road was interrupted. Files that
the kit has not written are never touched (`journal`).
"""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from bioicons_kit import console
from bioicons_kit.errors import LibraryError
from bioicons_kit.icons import augment, captions, select, sources
from bioicons_kit.icons.folder import contents, draw, finish, journal, plan, texts
from bioicons_kit.icons.folder.contents import Contents
from bioicons_kit.icons.folder.plan import Skip, Wanted
from bioicons_kit.icons.row import Row
from bioicons_kit.icons.words import curated
from bioicons_kit.preset import Dataset, Preset

# What the workers say of a picture that met a limit, of time or of memory. On a machine that
# has less to do it may come through; other refusals are as they are.
_WORTH_ANOTHER_TRY = ("took longer", "ended the process")
_SKIPPED_SHOWN = 5


class Prepared(NamedTuple):
    """A dataset folder as it stands, and how many pictures were drawn to get there."""

    contents: Contents
    drawn: int


def prepare(preset: Preset, folder: Path, workers: int | None = None) -> Prepared:
    """Bring the dataset folder of a preset up to date.

    Args:
        preset: what the folder is to hold.
        folder: where; new, empty, or prepared before.
        workers: processes that draw; as many as there are cores if None.

    Raises:
        KitError: anything the user can put right; pictures already drawn stay.
    """
    before = journal.read(folder)
    journal.refuse_edited(folder, before)
    libraries = sources.libraries(preset.dataset, Path(preset.cache.root))
    wanted, unreadable = _planned(libraries, preset.dataset)
    paths = frozenset(each.path for each in wanted)
    journal.refuse_strangers(folder, before, paths)
    before = replace(before, pictures=before.pictures | paths)
    journal.write(folder, before)
    journal.sweep(folder)

    known = _known_failures(folder / texts.SKIPPED)
    stamps = draw.kept(wanted, folder)
    absent = [each for each in wanted if each.path not in stamps]
    missing = [each for each in absent if each.key not in known]
    failed = [known[each.key] for each in absent if each.key in known]
    console.say("pictures", f"{len(stamps)} as they are to be, {len(missing)} to draw")
    drawn, failed_now = draw.draw(missing, folder, workers) if missing else ({}, [])
    failed += failed_now
    _tell_failed(failed, len(wanted))

    stamps |= drawn
    pictures = [(each, stamps[each.path]) for each in wanted if each.path in stamps]
    skipped = sorted({*_left_out(libraries), *unreadable, *failed})
    whole = Contents(preset, folder, pictures, contents.records(pictures, preset.dataset), skipped)
    finish.finish(whole, before)
    return Prepared(whole, len(drawn))


def _planned(libraries: select.Libraries, dataset: Dataset) -> tuple[list[Wanted], list[Skip]]:
    """Return the pictures that the preset asks for, and say what there is."""
    rows = select.rows(libraries, dataset)
    icons = [icon for library in libraries.values() for icon in library.icons]
    console.say("icons", f"{len(icons)} found, {len(rows)} selected")
    written = curated.load(dataset.captions, icons)
    of_row = {row: captions.captions(row, dataset, written) for row in rows}
    _tell_sides(of_row, dataset)
    return plan.pictures(of_row, dataset)


def _tell_sides(of_row: dict[Row, tuple[str, ...]], dataset: Dataset) -> None:
    """Say how many pictures are not mirrored although their bucket's are."""
    sided = sum(
        dataset.buckets[row.bucket].augment.flip and augment.has_sides(row, words)
        for row, words in of_row.items()
    )
    if sided:
        console.say("mirrored", f"{sided} picture(s) never, because their words name a side")


def _left_out(libraries: select.Libraries) -> list[Skip]:
    """Return what the libraries themselves left out."""
    return [
        Skip(each.path, each.reason, "library")
        for library in libraries.values()
        for each in library.skipped
    ]


def _known_failures(path: Path) -> dict[str, Skip]:
    """Return by key what could not be drawn the last time, and cannot be this time."""
    if not path.is_file():
        return {}
    entries = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    failures = [Skip(**entry) for entry in entries if "key" in entry]
    return {each.key: each for each in failures if not each.reason.startswith(_WORTH_ANOTHER_TRY)}


def _tell_failed(failed: Sequence[Skip], total: int) -> None:
    """Name what could not be drawn; refuse to go on without any picture.

    Raises:
        LibraryError: nothing could be drawn.
    """
    reasons = {each.path: each.reason for each in failed}
    for path, reason in [*reasons.items()][:_SKIPPED_SHOWN]:
        console.warn(f"{path}: skipped, {reason}")
    if len(reasons) > _SKIPPED_SHOWN:
        console.warn(f"and {len(reasons) - _SKIPPED_SHOWN} more, all in {texts.SKIPPED}")
    if failed and len(failed) == total:
        raise LibraryError(
            f"none of the {total} pictures can be drawn; {failed[0].path}: {failed[0].reason}; "
            "choose other buckets, or repair the files"
        )

"""A preset's rows, whatever its sources: folders of icons or images, the hub, the model itself."""

from collections.abc import Callable
from pathlib import Path

from bioicons_kit import console
from bioicons_kit.data import prior
from bioicons_kit.data.job import Job
from bioicons_kit.errors import LibraryError
from bioicons_kit.icons import select, sources
from bioicons_kit.icons.row import Row
from bioicons_kit.icons.select import Libraries
from bioicons_kit.preset import Preset


def rows(
    preset: Preset, start: Callable[[], Job], *, generate: bool = True
) -> tuple[tuple[Row, ...], Job]:
    """Select a preset's rows and start its job.

    The rows come first, so that no model is fetched for a folder that is not there; but where
    buckets have their class pictures generated, it takes the model to make them.

    Args:
        preset: says what to select.
        start: starts its job.
        generate: whether to draw class pictures that are missing, or to refuse.

    Raises:
        KitError: a source, a bucket or the model cannot be used.
    """
    if any(bucket.generate is not None for bucket in preset.dataset.buckets):
        work = start()
        if not generate and any(each.missing for each in prior.wanted(work)):
            raise LibraryError(
                "class pictures are missing; draw them first with tools/make_prior.py"
            )
        prior.ensure(work)
        return _selected(preset), work
    found = _selected(preset)
    return found, start()


def _selected(preset: Preset) -> tuple[Row, ...]:
    """Return the rows, and say what was found and what of it is used."""
    libraries = sources.libraries(preset.dataset, Path(preset.cache.root))
    found = select.rows(libraries, preset.dataset)
    console.say("icons", describe(libraries, found))
    return found


def describe(libraries: Libraries, found: tuple[Row, ...]) -> str:
    """Return one line on what was found and what of it is used."""
    licenses = {row.icon.license for row in found}
    authors = {row.icon.author for row in found}
    places = [
        f"{len(each.icons)} in {console.shown(each.root)}"
        + (f" ({len(each.skipped)} files left out)" if each.skipped else "")
        for each in libraries.values()
    ]
    return (
        f"{', '.join(places)}; {len(found)} selected, by {len(authors)} author(s), under "
        f"{', '.join(sorted(licenses))}"
    )

"""Icons x buckets -> rows, the list of what a run trains on.

A bucket keeps the icons for which each of its filters holds (a filter that is empty
holds always): category, license and author are equal to one of those given, the file's
name matches one of the `name` patterns and none of the `exclude` patterns. Case does
not count; spaces, underscores and hyphens are one. An icon that two buckets select
belongs to the first of them only, which is told. Of what is left, `limit` keeps the
first in the order of the icons' ids, so that a selection depends on the library and the
preset alone.
"""

import difflib
import fnmatch
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from bioicons_kit import console
from bioicons_kit.errors import LibraryError
from bioicons_kit.icons import licenses
from bioicons_kit.icons.library import Icon, Library, name_key
from bioicons_kit.preset import Bucket

# More names than this in one error line hide the one that is looked for.
_NAMES_SHOWN = 30


@dataclass(frozen=True)
class Row:
    """One icon of the training set: the bucket that selected it, how often it is drawn."""

    icon: Icon
    bucket: int
    repeats: int


def rows(library: Library, buckets: Sequence[Bucket]) -> tuple[Row, ...]:
    """Return the rows of all buckets, sorted by bucket and icon id.

    Raises:
        LibraryError: a bucket names an unknown license, matches no icon, or matches only
            icons that earlier buckets have.
    """
    taken: dict[str, int] = {}
    selected: list[Row] = []
    for index, bucket in enumerate(buckets):
        matching = _matching(library, bucket, index)
        fresh = [icon for icon in matching if icon.relative not in taken]
        _tell_overlap(matching, fresh, index, taken)
        for icon in fresh[: bucket.limit]:
            taken[icon.relative] = index
            selected.append(Row(icon, index, bucket.repeats))
    return tuple(selected)


@dataclass(frozen=True)
class _Filter:
    """One condition of a bucket: how an icon's value reads, and whether it passes."""

    field: str
    wanted: tuple[str, ...]
    value: Callable[[Icon], str]
    passes: Callable[[Icon], bool]


def _matching(library: Library, bucket: Bucket, index: int) -> list[Icon]:
    """Return the icons that pass every filter of a bucket, in the order of their ids."""
    try:
        filters = _filters(bucket)
    except LibraryError as error:
        raise LibraryError(f"bucket {index}: {error}") from error
    matching = _passing(library.icons, filters)
    if not matching:
        raise LibraryError(_nothing_matches(library, filters, index))
    return sorted(matching, key=lambda icon: icon.relative)


def _passing(icons: Iterable[Icon], filters: Iterable[_Filter]) -> list[Icon]:
    """Return the icons that pass all of `filters`."""
    filters = tuple(filters)
    return [icon for icon in icons if all(each.passes(icon) for each in filters)]


def _filters(bucket: Bucket) -> list[_Filter]:
    """Return a bucket's conditions, those that are empty left out."""
    filters = []
    for field, wanted in (("category", bucket.category), ("author", bucket.author)):
        if wanted:
            filters.append(_equality(field, wanted))
    if bucket.license:
        ids = tuple(dict.fromkeys(licenses.normalize(text) for text in bucket.license))
        filters.insert(
            bool(bucket.category),
            _Filter("license", ids, lambda icon: icon.license, lambda icon: icon.license in ids),
        )
    if bucket.name:
        filters.append(_Filter("name", bucket.name, _stem, _matches_name(bucket.name)))
    if bucket.exclude:
        excluded = _matches_name(bucket.exclude)
        filters.append(_Filter("exclude", bucket.exclude, _stem, lambda icon: not excluded(icon)))
    return filters


def _equality(field: str, wanted: tuple[str, ...]) -> _Filter:
    """Return the condition that an icon's `field` is one of `wanted`."""
    keys = {name_key(text) for text in wanted}

    def value(icon: Icon) -> str:
        return str(getattr(icon, field))

    return _Filter(field, wanted, value, lambda icon: name_key(value(icon)) in keys)


def _matches_name(patterns: tuple[str, ...]) -> Callable[[Icon], bool]:
    """Return the condition that a file's name matches one of the shell-style patterns."""
    keys = [name_key(pattern) for pattern in patterns]

    def matches(icon: Icon) -> bool:
        stem = name_key(icon.path.stem)
        return any(fnmatch.fnmatchcase(stem, key) for key in keys)

    return matches


def _stem(icon: Icon) -> str:
    """Return the name that `name` and `exclude` patterns are held against."""
    return icon.path.stem


def _tell_overlap(
    matching: list[Icon], fresh: list[Icon], index: int, taken: dict[str, int]
) -> None:
    """Say that icons of a bucket count in an earlier one; refuse a bucket left empty."""
    overlap = [icon for icon in matching if icon.relative in taken]
    if not overlap:
        return
    earlier = ", ".join(str(bucket) for bucket in sorted({taken[i.relative] for i in overlap}))
    if not fresh:
        raise LibraryError(
            f"bucket {index}: bucket {earlier} already has all {len(overlap)} icons that it "
            "matches, and an icon counts only once; remove the bucket or narrow the earlier one"
        )
    console.warn(
        f"bucket {index}: {len(overlap)} of its {len(matching)} icons are also in bucket "
        f"{earlier}, where alone they count"
    )


def _nothing_matches(library: Library, filters: list[_Filter], index: int) -> str:
    """Say what a bucket looked for, and what there is instead."""
    allowing = [each for each in filters if each.field != "exclude"]
    what = " and ".join(f"{each.field} {_quoted(each)}" for each in allowing) or "anything"
    excluded = len(_passing(library.icons, allowing))
    if excluded:
        return (
            f"bucket {index}: exclude {_quoted(filters[-1])} leaves out all {excluded} icons that "
            f"match {what}; take a pattern away"
        )
    return f"bucket {index}: no icon matches {what}; {_alternatives(library, allowing)}"


def _alternatives(library: Library, filters: list[_Filter]) -> str:
    """List the values of the one filter without which the bucket would not be empty.

    Where no single filter is to blame, list the library's values of the first.
    """
    for each in filters:
        others = [other for other in filters if other is not each]
        near = _passing(library.icons, others)
        if near:
            return _offer(each, near, others)
    return _offer(filters[0], list(library.icons), [])


def _offer(wrong: _Filter, icons: list[Icon], others: list[_Filter]) -> str:
    """List the values that `icons` have where `wrong` looks, the likeliest first."""
    values = sorted({wrong.value(icon) for icon in icons}, key=str.casefold)
    by_key = {name_key(value): value for value in values}
    near = [
        by_key[match]
        for text in wrong.wanted
        for match in difflib.get_close_matches(name_key(text.strip("*")), by_key, n=1, cutoff=0.6)
    ]
    hint = f"did you mean {' or '.join(map(repr, dict.fromkeys(near)))}? " if near else ""
    plural = {"category": "categories"}.get(wrong.field, f"{wrong.field}s")
    shown = ", ".join(values[:_NAMES_SHOWN])
    more = f" and {len(values) - _NAMES_SHOWN} more" if len(values) > _NAMES_SHOWN else ""
    return f"{hint}{plural} {_of_icons(others)}: {shown}{more}"


def _of_icons(filters: list[_Filter]) -> str:
    """Say which icons the values listed in an error are those of."""
    by_field = {each.field: _quoted(each) for each in filters}
    before = f"{by_field['license']} " if "license" in by_field else ""
    after = "".join(
        f" {word} {by_field[field]}"
        for field, word in (("category", "of"), ("author", "by"), ("name", "named"))
        if field in by_field
    )
    return f"with {before}icons{after}"


def _quoted(each: _Filter) -> str:
    """Return a filter's values as an error names them; license ids need no quotes."""
    quote = str if each.field == "license" else repr
    return " or ".join(quote(text) for text in each.wanted)

"""What a bucket asks of an icon, and what to say when no icon has it.

Each filter given must hold: category, license and author are equal to one of those
wanted, the name (of an icon its file's, of an image its title) matches one of the `name`
patterns and none of the `exclude` patterns. Case does not count; spaces, underscores and
hyphens are one; of the shell's patterns there are `*` and `?` only.
"""

import difflib
import fnmatch
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass

from bioicons_kit.errors import LibraryError
from bioicons_kit.icons import licenses
from bioicons_kit.icons.library import Icon
from bioicons_kit.icons.scan.names import name_key, person_key
from bioicons_kit.preset import Bucket

# More names than this in one error line hide the one that is looked for.
_NAMES_SHOWN = 30


def matcher(bucket: Bucket) -> Callable[[Icon], bool]:
    """Return the question whether an icon passes every filter of a bucket.

    Raises:
        LibraryError: the bucket names a license that is not known.
    """
    filters = _filters(bucket)
    return lambda icon: all(each.passes(icon) for each in filters)


def matching(icons: Sequence[Icon], bucket: Bucket) -> list[Icon]:
    """Return the icons that pass every filter of a bucket, in the order of their ids.

    Raises:
        LibraryError: there is none, or the bucket names a license that is not known.
    """
    filters = _filters(bucket)
    found = _passing(icons, filters)
    if not found:
        raise LibraryError(_nothing_matches(icons, filters))
    return sorted(found, key=lambda icon: icon.relative)


def idle(icons: Sequence[Icon], bucket: Bucket) -> list[str]:
    """Return what a bucket names that none of the icons has: typing errors, most likely.

    Licenses are not asked about: to list all that are welcome is no error.
    """
    alone = [
        *(_equality("category", (text,)) for text in bucket.category),
        *(_equality("author", (text,)) for text in bucket.author),
        *(_Filter("name", (text,), _name, _matches_name((text,))) for text in bucket.name),
        *(_Filter("exclude", (text,), _name, _matches_name((text,))) for text in bucket.exclude),
    ]
    return [
        f"no icon has the {each.field.replace('exclude', 'excluded name')} {_quoted(each)}"
        f"{_hint(each, {each.value(icon) for icon in icons}, '; ')}"
        for each in alone
        if not _passing(icons, [each])
    ]


@dataclass(frozen=True)
class _Filter:
    """One condition of a bucket: how an icon's value reads, and whether it passes."""

    field: str
    wanted: tuple[str, ...]
    value: Callable[[Icon], str]
    passes: Callable[[Icon], bool]


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
        filters.append(_Filter("name", bucket.name, _name, _matches_name(bucket.name)))
    if bucket.exclude:
        excluded = _matches_name(bucket.exclude)
        filters.append(_Filter("exclude", bucket.exclude, _name, lambda icon: not excluded(icon)))
    return filters


def _equality(field: str, wanted: tuple[str, ...]) -> _Filter:
    """Return the condition that an icon's `field` is one of `wanted`."""
    key_of = person_key if field == "author" else name_key
    keys = {key_of(text) for text in wanted}

    def value(icon: Icon) -> str:
        return str(getattr(icon, field))

    return _Filter(field, wanted, value, lambda icon: key_of(value(icon)) in keys)


def _matches_name(patterns: tuple[str, ...]) -> Callable[[Icon], bool]:
    """Return the condition that an icon's name matches one of the patterns of `*` and `?`."""
    keys = [name_key(pattern).replace("[", "[[]") for pattern in patterns]

    def matches(icon: Icon) -> bool:
        name = name_key(icon.name)
        return any(fnmatch.fnmatchcase(name, key) for key in keys)

    return matches


def _name(icon: Icon) -> str:
    """Return the name that `name` and `exclude` patterns are held against."""
    return icon.name


def _nothing_matches(icons: Sequence[Icon], filters: list[_Filter]) -> str:
    """Say what a bucket looked for, and what there is instead."""
    allowing = [each for each in filters if each.field != "exclude"]
    what = " and ".join(f"{each.field} {_quoted(each)}" for each in allowing) or "anything"
    excluded = len(_passing(icons, allowing))
    if excluded:
        return (
            f"exclude {_quoted(filters[-1])} leaves out all {excluded} icons that "
            f"match {what}; take a pattern away"
        )
    return f"no icon matches {what}; {_alternatives(icons, allowing)}"


def _alternatives(icons: Sequence[Icon], filters: list[_Filter]) -> str:
    """List the values of the one filter without which the bucket would not be empty.

    Where no single filter is to blame, list the library's values of the first.
    """
    for each in filters:
        others = [other for other in filters if other is not each]
        near = _passing(icons, others)
        if near:
            return _offer(each, near, others)
    return _offer(filters[0], icons, [])


def _offer(wrong: _Filter, icons: Sequence[Icon], others: list[_Filter]) -> str:
    """List the values that `icons` have where `wrong` looks, the likeliest first."""
    values = sorted({wrong.value(icon) for icon in icons}, key=str.casefold)
    plural = {"category": "categories"}.get(wrong.field, f"{wrong.field}s")
    shown = ", ".join(values[:_NAMES_SHOWN])
    more = f" and {len(values) - _NAMES_SHOWN} more" if len(values) > _NAMES_SHOWN else ""
    hint = _hint(wrong, values)
    return f"{hint}{' ' * bool(hint)}{plural} {_of_icons(others)}: {shown}{more}"


def _hint(wrong: _Filter, values: Collection[str], before: str = "") -> str:
    """Return the question whether the values that are likest were meant, if any is like."""
    by_key = {name_key(value): value for value in sorted(values)}
    near = [
        by_key[match]
        for text in wrong.wanted
        for match in difflib.get_close_matches(name_key(text.strip("*")), by_key, n=1, cutoff=0.6)
    ]
    return f"{before}did you mean {' or '.join(map(repr, dict.fromkeys(near)))}?" if near else ""


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

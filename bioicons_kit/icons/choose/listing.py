"""Libraries and selections as tables, for people and (`--json`) for other programs."""

import dataclasses
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

from bioicons_kit.icons.library import Icon, Skipped
from bioicons_kit.icons.row import Row
from bioicons_kit.preset import Dataset

FIELDS = ("license", "category", "author")

_GAP = "  "
# A column is not cut below this many characters, however narrow the terminal.
_NARROWEST = 8
# A bucket of more licenses or authors than this is told by their number.
_NAMED = 3


def counts(icons: Iterable[Icon], by: Sequence[str]) -> list[tuple[tuple[str, ...], int]]:
    """Return how many icons have each combination of the fields `by`, in their order."""
    found = Counter(tuple(str(getattr(icon, field)) for field in by) for icon in icons)
    return sorted(found.items(), key=lambda item: [value.casefold() for value in item[0]])


def counts_table(icons: Sequence[Icon], by: Sequence[str], width: int | None) -> str:
    """Return the counts as a table whose cells are empty where they repeat the one above."""
    lines: list[tuple[str, ...]] = []
    above: tuple[str, ...] = ()
    for values, count in counts(icons, by):
        same = next((i for i, (a, b) in enumerate(zip(values, above, strict=False)) if a != b), 0)
        lines.append(("",) * same + values[same:] + (f"{count:,}",))
        above = values
    return table((*by, "icons"), lines, width)


def buckets(rows: Sequence[Row], dataset: Dataset) -> list[dict[str, Any]]:
    """Return what each bucket of a preset selects; `epoch` is how many pictures that shows."""
    of_bucket: dict[int, list[Row]] = defaultdict(list)
    for row in rows:
        of_bucket[row.bucket].append(row)
    return [
        {
            "bucket": index,
            "role": bucket.role,
            "icons": len(of_bucket[index]),
            "held_out": sum(row.role != bucket.role for row in of_bucket[index]),
            "repeats": bucket.repeats,
            "epoch": sum(row.repeats for row in of_bucket[index] if row.role != "validation"),
            "licenses": dict(counts_of(of_bucket[index], "license")),
            "authors": dict(counts_of(of_bucket[index], "author")),
        }
        for index, bucket in enumerate(dataset.buckets)
    ]


def counts_of(rows: Iterable[Row], field: str) -> list[tuple[str, int]]:
    """Return how many rows have each value of an icon's field, the most first."""
    found = Counter(str(getattr(row.icon, field)) for row in rows)
    return sorted(found.items(), key=lambda item: (-item[1], item[0]))


def buckets_table(rows: Sequence[Row], dataset: Dataset, width: int | None) -> str:
    """Return what each bucket selects as a table."""
    lines = [
        (
            str(each["bucket"]),
            each["role"],
            f"{each['icons']:,}",
            f"{each['held_out']:,}",
            f"x{each['repeats']}",
            f"{each['epoch']:,}",
            _named(each["licenses"]),
            _named(each["authors"]),
        )
        for each in buckets(rows, dataset)
    ]
    heads = ("bucket", "role", "icons", "held out", "repeats", "epoch", "licenses", "authors")
    return table(heads, lines, width)


def summary(icons: Sequence[Icon]) -> str:
    """Return in one line how many icons there are, under how much, of what and by whom."""
    numbers = {field: len({str(getattr(icon, field)) for icon in icons}) for field in FIELDS}
    return (
        f"{_counted(len(icons), 'icon')} under {_counted(numbers['license'], 'license')}, in "
        f"{_counted(numbers['category'], 'category', 'categories')}, by "
        f"{_counted(numbers['author'], 'author')}"
    )


def skipped_summary(skipped: Sequence[Skipped]) -> str:
    """Return in one line how many files are not used."""
    copies = sum(each.same_as is not None for each in skipped)
    return f"{_counted(len(skipped), 'file')}" + f", {copies} of them copies" * bool(copies)


def skipped_lines(skipped: Sequence[Skipped]) -> str:
    """Return the files that are not used, and below each the reason."""
    return "\n".join(f"{each.path}\n    {each.reason}" for each in skipped)


def as_json(icons: Sequence[Icon], skipped: Sequence[Skipped], by: Sequence[str]) -> dict[str, Any]:
    """Return the counts and what is not used, for JSON."""
    return {
        "icons": len(icons),
        "counts": [
            {**dict(zip(by, values, strict=True)), "icons": count}
            for values, count in counts(icons, by)
        ],
        "skipped": [dataclasses.asdict(each) for each in skipped],
    }


def table(heads: Sequence[str], lines: Sequence[Sequence[str]], width: int | None) -> str:
    """Return lines of cells under their heads, in columns.

    Numbers are set to the right. The widest columns are cut, with an ellipsis, until a
    line fits into `width` columns of a terminal; None is as wide as need be.
    """
    columns = list(zip(heads, *lines, strict=True))
    widths = [max(map(_width, column)) for column in columns]
    gaps = len(_GAP) * (len(widths) - 1)
    while width is not None and sum(widths) + gaps > width and max(widths) > _NARROWEST:
        widths[widths.index(max(widths))] -= 1
    is_number = [all(cell[:1].isdigit() for cell in column[1:]) for column in columns]
    rendered = [
        _GAP.join(map(_fitted, line, widths, is_number)).rstrip() for line in (heads, *lines)
    ]
    return "\n".join(rendered)


def _named(found: dict[str, int]) -> str:
    """Return names with their numbers, or of many only how many they are."""
    if len(found) > _NAMED:
        return f"{len(found)} different"
    return ", ".join(f"{name} ({count:,})" for name, count in found.items())


def _counted(number: int, noun: str, plural: str | None = None) -> str:
    """Return "1 icon", "2 icons"."""
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"


def _fitted(text: str, width: int, is_number: bool) -> str:
    """Return a cell cut or padded to `width` columns."""
    cut = _cut(text, width)
    padding = " " * (width - _width(cut))
    return padding + cut if is_number else cut + padding


def _cut(text: str, width: int | None) -> str:
    """Return `text` cut, with an ellipsis, to at most `width` columns."""
    if width is None or _width(text) <= width:
        return text
    kept = text
    while kept and _width(kept) > width - 1:
        kept = kept[:-1]
    return f"{kept}…"


def _width(text: str) -> int:
    """Return how many columns of a terminal `text` takes: wide letters two, accents none."""
    return sum(
        0 if unicodedata.combining(char) else 1 + (unicodedata.east_asian_width(char) in "WF")
        for char in text
    )

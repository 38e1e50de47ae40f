"""report.html: one page to look at before a dataset is trained on or passed on.

Whose the pictures are, what they look like, which are nearly the same, what was left out
and why, and what was taken out of which file.
"""

import math
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import PIL

from bioicons_kit.icons import licenses
from bioicons_kit.icons.folder import looks, near_duplicates, page
from bioicons_kit.icons.folder.contents import Contents, Pictures
from bioicons_kit.icons.folder.plan import Wanted
from bioicons_kit.icons.folder.stamp import Stamp
from bioicons_kit.icons.manifest import Record

VERSION = "1"

_SHOWN_PER_BUCKET = 240
_PAIRS_SHOWN = 150
_LINES_SHOWN = 500  # of what was skipped or removed; the rest is in the JSON files
_AUTHORS_SHOWN = 15
_CATEGORIES_OF_COLORS = 40
_THUMB, _PAIR_THUMB = 112, 144  # pixels
_WHOLE = 1000  # parts into which shares are divided where palettes are joined

Section = tuple[str, str, str]


def recipe(contents: Contents) -> list[object]:
    """Return all that shapes the page, for telling whether it has to be made anew."""
    keys = [each.key for each, _ in contents.pictures]
    stated = [contents.preset.name, [*contents.records], [[*each] for each in contents.skipped]]
    return [VERSION, PIL.__version__, keys, *stated]


def html(contents: Contents) -> bytes:
    """Return the page, UTF-8."""
    records, first = contents.records, contents.first
    left_out = list(dict.fromkeys(each[:3] for each in contents.skipped))
    duplicates = near_duplicates.pairs([stamp.looks for _, stamp in first])
    counts = [
        (len(records), "pictures"),
        (len(first), "originals"),
        (len({record["author"] for record in records}), "authors"),
        (len({record["license"] for record in records}), "licenses"),
        (len({record["category"] for record in records}), "categories"),
        (len(duplicates), "near-duplicates"),
        (len(left_out), "files left out"),
    ]
    side = contents.preset.dataset.resolution
    colors = page.band(_joined([stamp for _, stamp in first], 24), tall=True)
    whole = page.document(
        contents.preset.name,
        f"Dataset report: pictures of {side} x {side} pixels, prepared with bioicons_kit.",
        colors + page.tiles((f"{count:,}", label) for count, label in counts),
        [
            _licenses(records),
            _categories(records),
            _authors(records),
            *(_bucket(contents, *group) for group in contents.groups),
            _duplicates(contents.folder, first, duplicates),
            _palettes(first),
            _sizes(first),
            _skipped(left_out),
            _removed(contents.removed),
        ],
    )
    return whole.encode("utf-8")


def _licenses(records: Sequence[Record]) -> Section:
    """Return the section on licenses: how many pictures, and what each asks."""
    rows = []
    for spdx, count in Counter(record["license"] for record in records).most_common():
        license_ = licenses.get(spdx)
        authors = {record["author"] for record in records if record["license"] == spdx}
        rows.append(
            (
                page.link(f"{license_.name} ({spdx})", license_.url),
                f"{count:,}",
                f"{len(authors):,}",
                page.text(license_.asks),
                page.text(license_.asks_of_a_lora),
            )
        )
    headings = ("License", "Pictures", "Authors", "Who passes the pictures on", "A LoRA of them")
    told = page.note("The last column is a careful reading, no legal advice.")
    return "licenses", "Licenses", told + page.table(headings, rows)


def _categories(records: Sequence[Record]) -> Section:
    """Return the section on categories."""
    counts = Counter(record["category"] for record in records)
    return "categories", "Categories", page.bars(counts.most_common())


def _authors(records: Sequence[Record]) -> Section:
    """Return the section on authors, those with most pictures first."""
    counts = Counter(record["author"] for record in records)
    urls = {record["author"]: record["author_url"] for record in records}
    ids: dict[str, set[str]] = defaultdict(set)
    for record in records:
        ids[record["author"]].add(record["license"])
    rows = [
        (page.link(author, urls[author]), f"{count:,}", page.text(", ".join(sorted(ids[author]))))
        for author, count in counts.most_common()
    ]
    headings = ("Author", "Pictures", "Licenses")
    content = page.table(headings, rows[:_AUTHORS_SHOWN])
    rest = rows[_AUTHORS_SHOWN:]
    if rest:
        content += page.more(f"{len(rest):,} more authors", page.table(headings, rest))
    return "authors", "Authors", content


def _sizes(first: Pictures) -> Section:
    """Return the section on file sizes and on how much of the pictures is drawn on."""
    sizes = [each.row.icon.path.stat().st_size / 1000 for each, _ in first]
    steps = Counter(max(0, math.ceil(math.log2(max(size, 1e-3)))) for size in sizes)
    files = [(f"up to {2**step:,} kB", steps[step]) for step in range(min(steps), max(steps) + 1)]
    tenths = Counter(min(9, int(stamp.looks.coverage * 10)) for _, stamp in first)
    covered = [(f"{10 * tenth} to {10 * tenth + 10}%", tenths[tenth]) for tenth in range(10)]
    drawn_by = Counter(stamp.renderer for _, stamp in first)
    content = (
        f'<div class="two"><div><h3>Original files</h3>{page.bars(files)}</div>'
        f"<div><h3>Share of the picture drawn on</h3>{page.bars(covered)}</div></div>"
        f"<h3>Drawn by</h3>{page.bars(drawn_by.most_common())}"
    )
    return "sizes", "Sizes", content


def _palettes(first: Pictures) -> Section:
    """Return the section on colors, category by category."""
    groups: dict[str, list[Stamp]] = defaultdict(list)
    for each, stamp in first:
        groups[each.row.icon.category].append(stamp)
    largest = sorted(groups, key=lambda name: (-len(groups[name]), name))[:_CATEGORIES_OF_COLORS]
    told = page.note("The main colors of what is drawn, backgrounds left out.")
    rows = [(name, page.band(_joined(groups[name], 12))) for name in largest]
    return "palettes", "Palettes", told + page.named(rows)


def _joined(stamps: Iterable[Stamp], most: int) -> list[tuple[str, float]]:
    """Return the main colors of several pictures, by lightness."""
    colors = [
        [*bytes.fromhex(color[1:])]
        for stamp in stamps
        for color, share in stamp.looks.palette
        for _ in range(max(1, round(share * _WHOLE / 10)))
    ]
    pixels = np.array(colors, np.uint8).reshape(-1, 3)
    return sorted(looks.palette(pixels, most, 0.0), key=lambda each: _luma(each[0]))


def _luma(color: str) -> float:
    """Return the lightness of "#rrggbb" (ITU-R BT.601)."""
    red, green, blue = bytes.fromhex(color[1:])
    return 0.299 * red + 0.587 * green + 0.114 * blue


def _duplicates(folder: Path, first: Pictures, found: Sequence[near_duplicates.Pair]) -> Section:
    """Return the section on near-duplicates, side by side."""

    def shown(pair: near_duplicates.Pair) -> tuple[str, str, str, str]:
        both = [first[number][0] for number in pair[:2]]
        images = [
            page.image(folder / each.path, _PAIR_THUMB, each.row.icon.relative) for each in both
        ]
        names = " / ".join(each.row.icon.title for each in both)
        alike = f"{min(99, round(100 * (1 - pair.difference)))}% alike"
        return images[0], images[1], names, alike if pair.difference else "alike throughout"

    told = page.note(
        "Drawings that differ in little. A model sees such a drawing twice as often as others: "
        "leave one of the two out with a bucket's exclude, or keep both on purpose. "
        "Equal files are counted once in any case."
    )
    if not found:
        return "duplicates", "Near-duplicates", page.note("None.")
    content = told + page.pairs(map(shown, found[:_PAIRS_SHOWN]))
    if len(found) > _PAIRS_SHOWN:
        content += page.note(f"The {_PAIRS_SHOWN} most alike of {len(found):,} pairs.")
    return "duplicates", "Near-duplicates", content


def _skipped(left_out: Sequence[tuple[str, ...]]) -> Section:
    """Return the section on files that gave no picture."""
    if not left_out:
        return "skipped", "Left out", page.note("Nothing: every file could be used.")
    rows = [
        (f"<code>{page.text(path)}</code>", page.text(reason), page.text(stage))
        for path, reason, stage in left_out[:_LINES_SHOWN]
    ]
    told = page.note(f"{len(left_out):,} files; all of them are in skipped.jsonl.")
    return "skipped", "Left out", told + page.table(("File", "Reason", "Found out by"), rows)


def _removed(removed: dict[str, tuple[str, ...]]) -> Section:
    """Return the section on what the sanitizer took out."""
    if not removed:
        return "removed", "Taken out", page.note("Nothing was taken out of any file.")
    files = Counter(_kind(what) for each in removed.values() for what in set(map(_kind, each)))
    rows = [
        (f"<code>{page.text(path)}</code>", page.text("; ".join(what)))
        for path, what in [*removed.items()][:_LINES_SHOWN]
    ]
    told = page.note(
        f"What could run, reach out or not be drawn was taken out of {len(removed):,} files before "
        "drawing; all of it is in removed.jsonl. By number of files:"
    )
    table = page.table(("File", "Taken out"), rows)
    content = told + page.bars(files.most_common(12)) + page.more("File by file", table)
    return "removed", "Taken out", content


def _kind(what: str) -> str:
    """Return the kind of a thing taken out: its first words, without what is particular."""
    return re.split("[:=]", what, maxsplit=1)[0][:40]


def _bucket(contents: Contents, role: str, bucket: int) -> Section:
    """Return the section of a bucket's pictures of one role, with their captions."""
    group = contents.groups[role, bucket]
    step = max(1.0, len(group) / _SHOWN_PER_BUCKET)
    shown = [group[int(number * step)] for number in range(min(len(group), _SHOWN_PER_BUCKET))]
    showings = sum(each.repeats for each in group)
    told = page.note(
        f"Pictures: {len(group):,}, of which {len(shown):,} are here and all on the contact sheets "
        f"beside this page. Showings in an epoch: {showings:,}."
    )
    figures = page.figures(
        (page.image(contents.folder / each.path, _THUMB, _about(each)), each.captions[0])
        for each in shown
    )
    return f"{role}-{bucket}", f"Bucket {bucket}: {role}", told + figures


def _about(each: Wanted) -> str:
    """Return what a picture shows when it is pointed at."""
    icon = each.row.icon
    return f"{icon.title}, by {icon.author}, {icon.license}: {each.path}"

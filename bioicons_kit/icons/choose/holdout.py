"""Rows kept out of training to measure by, whole concepts or whole authors at a time.

A model that has learned one drawing of a mouse, by one author, knows something of all:
so what is held out is never split. Concepts are what file names say with the variant's
number and color taken off, in the singular: mouse-1, Mouse_white and mice are one.

Which groups are held out is decided by a hash of the seed and the group's own name, so
that an icon that comes or goes changes the choice as little as can be.
"""

import re
from collections import defaultdict
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from pathlib import Path

from bioicons_kit import console
from bioicons_kit.errors import LibraryError
from bioicons_kit.files import sha256_bytes
from bioicons_kit.icons import captions
from bioicons_kit.icons.library import Icon
from bioicons_kit.icons.row import Row
from bioicons_kit.icons.scan.names import person_key
from bioicons_kit.icons.words.wording import COLORS
from bioicons_kit.preset import HeldOut

_IRREGULAR = {
    **{"mice": "mouse", "feet": "foot", "teeth": "tooth", "men": "man", "women": "woman"},
    **{"people": "person", "children": "child", "geese": "goose", "leaves": "leaf"},
    **{"bacteria": "bacterium", "mitochondria": "mitochondrion", "cilia": "cilium"},
    **{"flagella": "flagellum", "spectra": "spectrum", "media": "medium", "ova": "ovum"},
    **{"fungi": "fungus", "nuclei": "nucleus", "bacilli": "bacillus", "cocci": "coccus"},
    **{"alveoli": "alveolus", "villi": "villus", "nucleoli": "nucleolus", "stimuli": "stimulus"},
    **{"algae": "alga", "larvae": "larva", "vertebrae": "vertebra", "hyphae": "hypha"},
    **{"axes": "axis", "matrices": "matrix", "vertices": "vertex", "genera": "genus"},
    **{"lenses": "lens", "lens": "lens", "species": "species", "series": "series"},
}


def held_out(rows: Sequence[Row], choice: HeldOut, seed: int) -> tuple[Row, ...]:
    """Return the rows with those of some concepts or authors made rows for validation.

    A held-out icon is measured once, whichever buckets have it, and prior rows of a
    held-out group go with it. The order of the rows stays.

    Raises:
        LibraryError: the share comes to no group, or to all of them.
    """
    key = _KEYS[choice.by]
    groups = {key(row.icon) for row in rows if row.role == "train"}
    held = _chosen(groups, choice, seed)
    result: list[Row] = []
    seen: set[Path] = {row.icon.path for row in rows if row.role == "validation"}
    for row in rows:
        if row.role == "validation" or key(row.icon) not in held:
            result.append(row)
        elif row.icon.path not in seen:
            seen.add(row.icon.path)
            result.append(replace(row, role="validation", repeats=1))
    _tell_emptied(rows, result)
    return tuple(result)


def concept(icon: Icon) -> str:
    """Return what an icon shows, as its name says, in the singular, without variant or color."""
    words = captions.clean_name(icon.name).casefold().split()
    uncolored = [word for word in words if word not in COLORS] or words
    return " ".join(map(_singular, uncolored))


def _author(icon: Icon) -> str:
    """Return what one author's icons have in common."""
    return person_key(icon.author)


_KEYS: dict[str, Callable[[Icon], str]] = {"concept": concept, "author": _author}


def _chosen(groups: Collection[str], choice: HeldOut, seed: int) -> frozenset[str]:
    """Return the groups that are held out: the share of them with the smallest hashes."""
    total = len(groups)
    count = int(choice.share * total + 0.5)
    what = f"held_out: the training rows have {total} {choice.by}{'' if total == 1 else 's'}"
    if total < 2:
        raise LibraryError(f"dataset.{what}, and to hold it out leaves nothing to learn from")
    if count == 0:
        raise LibraryError(
            f"dataset.{what}, of which a share of {choice.share:g} is none; set held_out.share "
            f"to {0.5 / total + 0.0005:.3f} or more"
        )
    assert count < total, "a share is at most one half"
    by_hash = sorted(groups, key=lambda group: sha256_bytes(f"held out {seed} {group}".encode()))
    return frozenset(by_hash[:count])


def _singular(word: str) -> str:
    """Return the singular of an English noun, or a form that it shares with its plural."""
    if word in _IRREGULAR:
        return _IRREGULAR[word]
    if re.search(r"[^aeiou]ies$", word):
        return f"{word[:-3]}y"
    if re.search(r"(ss|x|z|ch|sh|us)es$", word):
        return word[:-2]
    if re.search(r"[a-rt-z]s$", word) and not re.search(r"(us|is|as)$", word) and len(word) > 3:
        return word[:-1]
    return word


def _tell_emptied(before: Sequence[Row], after: Sequence[Row]) -> None:
    """Say which training buckets have nothing left to learn from."""
    left: dict[int, int] = defaultdict(int)
    for row in after:
        left[row.bucket] += row.role != "validation"
    for bucket in sorted({row.bucket for row in before if row.role == "train"}):
        if not left[bucket]:
            console.warn(f"bucket {bucket}: all of it is held out for validation")

"""Looking after a cache: what a preset would need and why, what is damaged, what is spare."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeGuard

from bioicons_kit import console
from bioicons_kit.data.cache import Cache, Entry, entry
from bioicons_kit.data.fill import FILE_OVERHEAD
from bioicons_kit.data.ledger import Ledger
from bioicons_kit.data.plan import Plan, Source, Sources
from bioicons_kit.errors import DamagedFileError

Parts = Mapping[str, str]

# What a part of a key is to people; the others go by their own names.
_NAMES = {
    "dtype": "cache.dtype",
    "encoder": "the encoder's files",
    "compute": "memory.dtype",
    "storage": "memory.text_encoder",
    "tokens": "model.max_sequence_length",
    "width": "size",
    "height": "size",
    "grid": "size",
    "version_background": "background",
    "from": "mask.source",
}


@dataclass(frozen=True)
class Need:
    """One entry that is missing: what of, why, and how many bytes it will take."""

    of: str
    reason: str
    nbytes: int


@dataclass(frozen=True)
class Needs:
    """What of one kind of entry is there, and what is missing."""

    kind: str
    hits: int
    missing: tuple[Need, ...]

    @property
    def nbytes(self) -> int:
        """Bytes that what is missing will take."""
        return sum(each.nbytes for each in self.missing)


@dataclass(frozen=True)
class Spare:
    """Entries that no preset needs."""

    entries: tuple[Entry, ...]
    nbytes: int


def needs(kind: str, sources: Sources, cache: Cache) -> Needs:
    """Tell what of `sources` is there and, of what is missing, why. Changes nothing."""
    ledger = Ledger(cache, kind)
    damaged = ledger.damaged(sources)
    missing = [each for each in sources if each in damaged or not ledger.has(each)]
    explain = _Explanations(cache, kind, [sources[each] for each in missing])
    return Needs(
        kind,
        len(sources) - len(missing),
        tuple(
            Need(
                sources[each].of,
                "damaged" if each in damaged else explain.reason(sources[each]),
                each.nbytes + FILE_OVERHEAD,
            )
            for each in missing
        ),
    )


def damaged(cache: Cache) -> tuple[dict[str, int], dict[str, str]]:
    """Read every entry to its end.

    Returns:
        how many there are of each kind, and what is wrong with which file.
    """
    counts: dict[str, int] = {}
    problems: dict[str, str] = {}
    for kind in cache.kinds():
        keys = cache.sweep(kind)
        counts[kind] = len(keys)
        with console.bar(kind, len(keys), kind) as bar:
            for key in keys:
                wanted = Entry(kind, key)
                problem = _problem(cache, wanted)
                if problem:
                    problems[console.shown(cache.path(wanted))] = problem
                bar.update()
    return counts, problems


def spare(cache: Cache, plans: Iterable[Plan]) -> Spare:
    """Return the entries that none of `plans` needs."""
    needed: dict[str, set[str]] = {}
    for planned in plans:
        for kind, sources in planned.sources().items():
            needed.setdefault(kind, set()).update(each.key for each in sources)
    entries: list[Entry] = []
    nbytes = 0
    for kind in cache.kinds():
        for key, stamp in cache.sweep(kind).items():
            if key not in needed.get(kind, set()):
                entries.append(Entry(kind, key))
                nbytes += stamp.size
    return Spare(tuple(entries), nbytes)


def _problem(cache: Cache, wanted: Entry) -> str:
    """Say what is wrong with an entry; nothing if it is whole."""
    try:
        cache.get(wanted)
    except DamagedFileError as error:
        return str(error).partition(": ")[2]
    parts = cache.about(wanted).get("parts")
    if not _is_parts(parts) or entry(wanted.kind, parts).key != wanted.key:
        return "its key is not that of what it says it was made from"
    return ""


class _Explanations:
    """Why entries are missing, from what the entries that are there tell about themselves."""

    def __init__(self, cache: Cache, kind: str, missing: Sequence[Source]) -> None:
        self._by_label: dict[str, list[Parts]] = {source.of: [] for source in missing}
        self._by_own: dict[tuple[str, str], list[Parts]] = {source.own: [] for source in missing}
        for key in cache.sweep(kind) if missing else ():
            told = cache.about(Entry(kind, key))
            if not _is_parts(parts := told.get("parts")):
                continue
            if (label := told.get("of")) in self._by_label:
                self._by_label[label].append(parts)
            for own in parts.items():
                if own in self._by_own:
                    self._by_own[own].append(parts)

    def reason(self, source: Source) -> str:
        """Return why an entry is missing: nothing like it was there, or what has changed."""
        name, _ = source.own
        wanted = source.about["parts"]
        near = [_differences(wanted, parts) for parts in self._by_own[source.own]]
        near += [_differences(wanted, parts) for parts in self._by_label[source.of]]
        if not near:
            return "new"
        changed = min(near, key=lambda keys: (len(keys), sorted(keys)))
        if changed == {name}:
            return "changed caption" if name == "text" else "changed picture"
        others = sorted({_NAMES.get(key, key.replace("_", " ")) for key in changed - {name}})
        also = [f"the {name}"] if name in changed else []
        return f"other {', '.join([*others, *also])}"


def _is_parts(value: Any) -> TypeGuard[Parts]:
    """Tell whether a value read from a header is what a key is made of."""
    return (
        isinstance(value, dict)
        and bool(value)
        and not {"format", "kind"} & value.keys()
        and all(isinstance(text, str) for text in value.values())
    )


def _differences(one: Parts, other: Parts) -> set[str]:
    """Return the names under which two keys' parts differ."""
    return {key for key in one.keys() | other.keys() if one.get(key) != other.get(key)}

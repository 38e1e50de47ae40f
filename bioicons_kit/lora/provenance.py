"""What a file made of several LoRAs says of itself: all licenses, authors and origins.

A merged LoRA is made of everything its parts were made of. Where their licenses cannot all
be followed at once, that is told in words; the kit decides nothing for anyone.
"""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from bioicons_kit.lora.metadata import carried

LICENSES, AUTHORS = "bioicons_kit.training_licenses", "bioicons_kit.training_authors"
MERGED_FROM = "bioicons_kit.merged_from"

# Texts in which parts may differ and of which the whole says each.
_JOINED = ("modelspec.license", "modelspec.trigger_phrase", "modelspec.author")


@dataclass(frozen=True)
class Origin:
    """One LoRA that went into a file.

    Attributes:
        name: of its file, without folders.
        sha256: of its content.
        weight: it was merged with.
        metadata: of its header.
    """

    name: str
    sha256: str
    weight: float
    metadata: dict[str, str]

    @property
    def licenses(self) -> dict[str, int]:
        """Training pictures by SPDX id, as far as the header says."""
        found = _value(self.metadata.get(LICENSES), dict)
        return {str(spdx): n for spdx, n in found.items() if isinstance(n, int)}

    @property
    def authors(self) -> list[str]:
        """Authors of the training pictures, as far as the header says."""
        return [str(author) for author in _value(self.metadata.get(AUTHORS), list)]


def united(origins: Sequence[Origin]) -> dict[str, str]:
    """Return the header of a file made of all `origins`.

    Entries in which all agree stay; licenses are counted together, authors listed once;
    what else differs is dropped, being true of one part only.
    """
    headers = [carried(origin.metadata) for origin in origins]
    same = {
        key: value
        for key, value in headers[0].items()
        if all(header.get(key) == value for header in headers)
    }
    joined = {key: "; ".join(_each(headers, key)) for key in _JOINED if _each(headers, key)}
    licenses: Counter[str] = Counter()
    for origin in origins:
        licenses.update(origin.licenses)
    authors = sorted({author for origin in origins for author in origin.authors})
    listed = [
        {"name": each.name, "sha256": each.sha256, "weight": each.weight, **_earlier(each)}
        for each in origins
    ]
    return {
        **same,
        **joined,
        LICENSES: json.dumps(dict(sorted(licenses.items()))),
        AUTHORS: json.dumps(authors, ensure_ascii=False),
        MERGED_FROM: json.dumps(listed, ensure_ascii=False),
    }


def concerns(origins: Sequence[Origin]) -> list[str]:
    """Return, in sentences, why the parts may not be passed on together; empty if nothing."""
    told = []
    silent = [origin.name for origin in origins if not origin.licenses]
    if silent and len(silent) < len(origins):
        told.append(f"{', '.join(silent)} says nothing of its training pictures' licenses")
    found = {spdx for origin in origins for spdx in origin.licenses}
    own = {text for origin in origins if (text := origin.metadata.get("modelspec.license"))}
    if len(own) > 1:
        told.append(f"the LoRAs are under different licenses: {', '.join(sorted(own))}")
    told += _conflicts(found | own, [origin.metadata for origin in origins])
    return told


def _conflicts(licenses: set[str], metadata: Sequence[dict[str, str]]) -> list[str]:
    """Return the conflicts between share-alike, no-derivatives and non-commercial terms."""
    marked = {text: text.upper().replace("_", "-").replace(" ", "-") for text in licenses}
    alike = sorted(text for text, mark in marked.items() if "-SA-" in f"{mark}-")
    closed = sorted(text for text, mark in marked.items() if "-ND-" in f"{mark}-")
    unpaid = sorted(text for text, mark in marked.items() if "-NC-" in f"{mark}-")
    if any("flux-1-dev" in header.get("modelspec.architecture", "") for header in metadata):
        unpaid.append("FLUX.1-dev's non-commercial license")
    told = []
    if closed:
        told.append(f"{', '.join(closed)} allows no adaptations, and a merge may be one")
    if alike and unpaid:
        told.append(
            f"{', '.join(alike)} asks that adaptations be shared under it, which "
            f"{', '.join(unpaid)} does not allow"
        )
    return told


def _earlier(origin: Origin) -> dict[str, Any]:
    """Return what `origin` itself was merged from."""
    earlier = _value(origin.metadata.get(MERGED_FROM), list)
    return {"merged_from": earlier} if earlier else {}


def _each(headers: Sequence[dict[str, str]], key: str) -> list[str]:
    """Return the different values of an entry, in order; those that are empty left out."""
    return list(dict.fromkeys(header[key] for header in headers if header.get(key)))


def _value(text: str | None, kind: type) -> Any:
    """Return the JSON value of an entry, an empty one where it is not of this kind."""
    try:
        value = json.loads(text or "null")
    except (ValueError, RecursionError):
        return kind()
    return value if isinstance(value, kind) else kind()

"""What a row of a hub dataset says: is it asked for, and what picture would it be.

Class labels are numbers in the rows and names for people: presets, file names and
captions have the names. Where a column is a class label, what a preset asks of it is
checked against the names there are, before anything is read.
"""

import re
import unicodedata
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from bioicons_kit.errors import LibraryError
from bioicons_kit.icons import licenses
from bioicons_kit.icons.library import Icon
from bioicons_kit.icons.pictures import images
from bioicons_kit.icons.scan import authors, names
from bioicons_kit.preset import Bucket, Hub, is_hub_id
from bioicons_kit.preset_errors import nearest

_NAMES_SHOWN = 30
_LONGEST_SLUG = 40  # characters; with four bytes each, a file's name stays below 255 bytes


class Reader(NamedTuple):
    """How the rows of one dataset are read."""

    root: str
    hub: Hub
    features: Mapping[str, Any]

    def check(self, buckets: Iterable[tuple[int, Bucket]]) -> None:
        """Refuse conditions and buckets, by number, that no row can meet.

        Raises:
            LibraryError: a class label has no such name, or no column is named to choose by.
        """
        for column, wanted in self._conditions():
            self._check_name(column, wanted, "hub.where")
        for number, bucket in buckets:
            for key in ("category", "author"):
                asked = getattr(bucket, key)
                column = getattr(self.hub, key)
                if asked and column is None:
                    raise LibraryError(
                        f"bucket {number} chooses by {key}: set hub.{key} to the column that has it"
                    )
                for name in asked:
                    self._check_name(column, name, f"bucket {number}: {key}")

    def is_asked_for(self, row: Mapping[str, Any]) -> bool:
        """Tell whether a row meets all conditions of `hub.where`."""
        return all(
            names.name_key(self._text(row, column) or "") == names.name_key(wanted)
            for column, wanted in self._conditions()
        )

    def says_nothing(self, row: Mapping[str, Any]) -> bool:
        """Tell whether a row has neither caption nor title where the preset asks for them."""
        asked = [column for column in (self.hub.caption, self.hub.title) if column is not None]
        return bool(asked) and not self._captions(row) and not self._text(row, self.hub.title)

    def icon(self, row: Mapping[str, Any], number: int) -> Icon:
        """Return the picture that a row would be; its `relative` has no suffix yet."""
        hub = self.hub
        title = self._text(row, hub.title)
        category = images.category(self._text(row, hub.category), "")
        stem = f"{_slug(title)}_{number:07d}" if title else f"{number:07d}"
        relative = f"{_slug(category)}/{stem}"
        return Icon(
            path=Path(relative),
            relative=relative,
            category=category,
            license=licenses.normalize(hub.license),
            author=names.spaced(self._text(row, hub.author) or "") or authors.UNKNOWN,
            title=title or f"row {number}",
            kind="image",
            text=self._captions(row),
            source_url=f"https://huggingface.co/datasets/{self.root}"
            if is_hub_id(self.root)
            else None,
        )

    def _conditions(self) -> list[tuple[str, str]]:
        """Return the columns that must hold something, and what."""
        split = (each.partition("=") for each in self.hub.where)
        return [(column.strip(), wanted.strip()) for column, _, wanted in split]

    def _check_name(self, column: str, wanted: str, where: str) -> None:
        """Refuse what a class label cannot be."""
        known = getattr(self.features[column], "names", None)
        keys = {names.name_key(name): name for name in known or ()}
        if known is None or names.name_key(wanted) in keys:
            return
        near = nearest(names.name_key(wanted), keys)
        hint = f"did you mean {keys[near]!r}? " if near else ""
        listed = ", ".join(map(names.printable, known[:_NAMES_SHOWN]))
        more = f" and {len(known) - _NAMES_SHOWN} more" if len(known) > _NAMES_SHOWN else ""
        raise LibraryError(
            f"{self.root}: {where}: {wanted!r} is no name of the column {column!r}; {hint}"
            f"names: {listed}{more}"
        )

    def _text(self, row: Mapping[str, Any], column: str | None) -> str | None:
        """Return what a row holds in a column, as one line; None for nothing."""
        value = None if column is None else row.get(column)
        if value is None or column is None:
            return None
        labels = getattr(self.features[column], "names", None)
        if labels is not None and isinstance(value, int):
            # a row without a label has -1
            value = labels[value] if 0 <= value < len(labels) else ""
        return names.plain(str(value)) or None

    def _captions(self, row: Mapping[str, Any]) -> str | None:
        """Return a row's captions, one a line; None for none."""
        value = None if self.hub.caption is None else row.get(self.hub.caption)
        if not isinstance(value, list):
            return self._text(row, self.hub.caption)
        texts = [names.plain(each) for each in value if isinstance(each, str)]
        return "\n".join(text for text in texts if text) or None


def _slug(text: str | None) -> str:
    """Return a text as part of a file's name on any system."""
    plain = unicodedata.normalize("NFC", text or "")
    return re.sub(r"[^\w-]+", "_", plain)[:_LONGEST_SLUG].strip("_") or "_"

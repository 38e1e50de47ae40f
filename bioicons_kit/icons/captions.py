"""Icon -> captions: what people or models wrote of it, or its name put into a template.

The first of these that there is gives a picture's captions, one or several:

    1. the captions file, `dataset.captions` (`curated`)
    2. the text file beside the icon, `mouse.txt` for `mouse.svg`, UTF-8, a caption a line
    3. the source's own text: a metadata.jsonl's or a hub dataset's caption
    4. the template, the bucket's or the dataset's

Of 1 to 3 the words stay as they are, but for the trigger. `{trigger}` in them is replaced.
A caption that has neither that nor the trigger's words gets the trigger in front
("bioicon style, a gray mouse"), if the template that would apply has a trigger, so that a
bucket whose template has none, for prior preservation, stays without.

Authors and licenses never enter a caption by a template.
"""

import re
from pathlib import Path

from bioicons_kit.errors import LibraryError
from bioicons_kit.icons.library import Icon
from bioicons_kit.icons.row import Row
from bioicons_kit.icons.scan import names, reading
from bioicons_kit.icons.words.curated import LONGEST, Curated
from bioicons_kit.icons.words.noun import article
from bioicons_kit.icons.words.wording import clean_name
from bioicons_kit.preset import Dataset

__all__ = ["article", "caption", "captions", "clean_name", "own_words"]

_TRIGGER = "{trigger}"
_ARTICLE = re.compile(r"(?:an?|the|my|our|his|her)\s")
_MAX_BYTES = 2**16
_NOTHING_WRITTEN = Curated({})


def captions(row: Row, dataset: Dataset, curated: Curated = _NOTHING_WRITTEN) -> tuple[str, ...]:
    """Return a row's captions, at least one, each on one line.

    Raises:
        LibraryError: the text file beside the icon is none, too large, no UTF-8, or empty.
    """
    template = row.template or dataset.caption
    written = curated.captions(row.icon.relative) or own_words(row.icon)
    if not written:
        return (caption(row.icon, template, dataset.trigger),)
    trigger = dataset.trigger if _TRIGGER in template else ""
    return tuple(dict.fromkeys(_with_trigger(each, trigger, dataset.trigger) for each in written))


def caption(icon: Icon, template: str, trigger: str) -> str:
    """Return the template with {trigger}, {article}, {name} and {category} filled in."""
    name = clean_name(icon.name)
    has_article = icon.kind == "image" and _ARTICLE.match(name)  # "the harbor", a title
    values = {
        "trigger": trigger,
        "article": "" if has_article else article(name),
        "name": name,
        "category": icon.category.lower(),
    }
    filled = re.sub(r"\{(\w+)\}", lambda match: values.get(match[1], match[0]), template)
    return " ".join(filled.split())


def own_words(icon: Icon) -> tuple[str, ...]:
    """Return the captions that came with an icon, in a text file or from its source.

    Raises:
        LibraryError: there is a text file that cannot be used.
    """
    beside = icon.path.with_suffix(".txt")
    if beside.is_symlink() or beside.exists():
        lines = _lines(reading.text(beside, _root(icon), _MAX_BYTES))
        if not lines:
            raise LibraryError(f"{beside}: holds no caption; write one or remove the file")
        longest = max(map(len, lines))
        if longest > LONGEST:
            raise LibraryError(
                f"{beside}: a caption of {longest} characters; the limit is {LONGEST}"
            )
        return lines
    return tuple(line for line in _lines(icon.text or "") if len(line) <= LONGEST)


def _lines(text: str) -> tuple[str, ...]:
    """Return the lines of a text that hold something, each on one line indeed."""
    lines = (names.plain(line) for line in text.splitlines())
    return tuple(dict.fromkeys(line for line in lines if line))


def _root(icon: Icon) -> Path:
    """Return the root of the library that an icon is in."""
    return icon.path.parents[icon.relative.count("/")]


def _with_trigger(text: str, trigger: str, words: str) -> str:
    """Return a written caption with the trigger where it says so, or else in front.

    Args:
        text: the caption.
        trigger: what to put in front of a caption without; empty where none belongs.
        words: what `{trigger}` stands for.
    """
    if _TRIGGER in text:
        return " ".join(text.replace(_TRIGGER, words).split())
    if not trigger or _says(text, trigger):
        return text
    return f"{' '.join(trigger.split())}, {text}"


def _says(text: str, words: str) -> bool:
    """Tell whether a text has these words, whatever their case and spacing."""
    pattern = r"\s+".join(re.escape(word) for word in words.split())
    return re.search(rf"(?<!\w){pattern}(?!\w)", text, re.IGNORECASE) is not None

"""Which installed font draws a text, the same for both engines, and chosen as Chromium does.

An icon names the fonts of its author's machine, and most are missing here. A browser takes
the first family of the list that is installed, or one made to the same measures (Liberation
Sans for Arial), or in the end its standard font, Times New Roman; cairo asks fontconfig,
which takes the system's sans-serif; resvg drops the text. So families are resolved here,
and the engines are given names of installed fonts only. Without any font, Pillow's own
stands in.

Source: Chromium's font_cache.cc and Skia's SkFontConfigInterface_direct.cpp (metric
equivalents, alternate names) and the defaults of its settings on Linux. Of a font's names
only that of the family counts: "Arial-BoldMT" is none.
"""

import functools
import hashlib
import re
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from lxml import etree
from PIL import ImageFont

from bioicons_kit.svg import styles, tree

_STANDARD = "times new roman"
_GENERIC = {
    **{"serif": _STANDARD, "sans-serif": "arial", "monospace": "dejavu sans mono"},
    **{"cursive": "comic sans ms", "fantasy": "impact"},
    **{"sans": "dejavu sans", "system-ui": "dejavu sans", "initial": _STANDARD},
}
# Families of equal measures: where one is missing, another takes its place.
_ALIKE = (
    ("arial", "helvetica", "liberation sans", "arimo", "nimbus sans", "albany"),
    ("times new roman", "times", "liberation serif", "tinos", "nimbus roman", "thorndale"),
    ("courier new", "courier", "liberation mono", "cousine", "nimbus mono ps", "cumberland"),
    ("calibri", "carlito"),
    ("cambria", "caladea"),
    ("georgia", "gelasio"),
    ("arial narrow", "liberation sans narrow"),
)
# What stands in where not even the standard font has an equivalent.
_LAST = ("dejavu sans", "noto sans", "arial", "liberation sans", "calibri", "segoe ui")
_FOLDERS = (
    *("/usr/share/fonts", "/usr/local/share/fonts", "~/.fonts", "~/.local/share/fonts"),
    *("/System/Library/Fonts", "/Library/Fonts", "~/Library/Fonts", "C:/Windows/Fonts"),
)
_MOST_IN_A_FILE = 64  # a collection (.ttc) holds several fonts
# Letters that a font for Latin and Greek may lack.
_FOREIGN = re.compile(r"[^\u0000-\u024f\u0370-\u03ff\u2000-\u206f]")
_SHORTHAND = re.compile(
    r"(?P<size>.*?[\d.]+(?:%|[a-z]+)?(?:\s*/\s*\S+)?)\s+(?P<families>\D.*)", re.DOTALL
)


class Readable(NamedTuple):
    """A document in which every text names a font that is there.

    Attributes:
        svg: the document.
        family: the font of texts that name none; None where there is no text.
        files: the fonts it names, for an engine that looks for none by itself.
        is_foreign: whether it has letters that these fonts may lack.
    """

    svg: bytes
    family: str | None = None
    files: tuple[Path, ...] = ()
    is_foreign: bool = False


@functools.cache
def installed() -> dict[str, tuple[str, tuple[Path, ...]]]:
    """Return the families installed here: name in lower case -> (name, its files)."""
    found: dict[str, tuple[str, tuple[Path, ...]]] = {}
    for folder in _FOLDERS:
        for path in sorted(Path(folder).expanduser().rglob("*.[toTO][tT][tfcTFC]")):
            for family in _families(path):
                name, files = found.get(family.lower(), (family, ()))
                found[family.lower()] = (name, (*files, path))
    return found


def resolve(families: Iterable[str]) -> str:
    """Return the installed family that stands for a list of them, or Pillow's own font."""
    for family in (*families, _STANDARD, *_LAST):
        wanted = " ".join(family.split()).lower()
        wanted = _GENERIC.get(wanted, wanted)
        alike = next((group for group in _ALIKE if wanted in group), (wanted,))
        for name in (wanted, *alike):
            if name in installed():
                return installed()[name][0]
    return next((family for family, _ in installed().values()), _own().family)


def readable(svg: bytes) -> Readable:
    """Return a sanitized document in which every text names an installed family."""
    if b"<text" not in svg:
        return Readable(svg)
    root = etree.fromstring(svg, etree.XMLParser(huge_tree=True))
    standard = resolve(())
    root.set("font-family", f"'{standard}'")
    named = {standard}
    for element in root.iter():
        if tree.local(element) == "style":
            rules = styles.rules(element.text or "")
            element.text = "\n".join(
                f"{rule[0]}{{{_declarations(rule[1], named)}}}" for rule in rules
            )
        if element.get("style"):
            element.set("style", _declarations(element.get("style"), named))
        for name in ("font-family", "font"):
            if element.get(name):
                element.set(name, _value(name, element.get(name), named))
    files = {path for each in named for path in _files(each)}
    is_foreign = _FOREIGN.search("".join(root.itertext())) is not None
    written = bytes(etree.tostring(root, method="c14n"))
    return Readable(written, standard, tuple(sorted(files)), is_foreign)


def fingerprint() -> str:
    """Return a short text that changes when fonts are installed or removed."""
    families = "\n".join(sorted(installed()))
    return f"{resolve(())}, {hashlib.sha256(families.encode('utf-8')).hexdigest()[:12]}"


def _files(family: str) -> tuple[Path, ...]:
    """Return the font files of an installed family, or Pillow's own."""
    known = installed().get(family.lower())
    return known[1] if known else (_own().file,)


class _Own(NamedTuple):
    """The font that Pillow brings along."""

    family: str
    file: Path
    folder: "tempfile.TemporaryDirectory[str]"  # lives as long as this does


@functools.cache
def _own() -> _Own:
    """Write Pillow's own font (Aileron, CC0) to a file, as engines want files."""
    font = ImageFont.load_default(16)
    assert isinstance(font, ImageFont.FreeTypeFont), "Pillow comes with FreeType"
    folder = tempfile.TemporaryDirectory(prefix="font-")
    file = Path(folder.name) / "font.ttf"
    file.write_bytes(font.font_bytes)
    return _Own(str(font.getname()[0]), file, folder)


def _families(path: Path) -> list[str]:
    """Return the families of the fonts in a file."""
    found = []
    for index in range(_MOST_IN_A_FILE):
        try:
            family = ImageFont.truetype(path, index=index).getname()[0]
        except OSError:
            break
        if family:
            found.append(family)
        if path.suffix.lower() != ".ttc":
            break
    return found


def _declarations(text: str, named: set[str]) -> str:
    """Return declarations with their fonts replaced."""
    return ";".join(
        f"{name}:{_value(name, value, named)}" for name, value in styles.declarations(text)
    )


def _value(name: str, value: str, named: set[str]) -> str:
    """Return a property's value; of a font's, with an installed family, added to `named`."""
    if name == "font-family":
        return value if value.strip().lower() == "inherit" else _resolved(value, named)
    if name == "font" and (match := _SHORTHAND.fullmatch(value)):
        return f"{match['size']} {_resolved(match['families'], named)}"
    return value


def _resolved(families: str, named: set[str]) -> str:
    """Return the installed family for a list as CSS writes it, quoted."""
    value, bang, important = families.partition("!")
    family = resolve(each.strip().strip("'\"") for each in value.split(","))
    named.add(family)
    return f"'{family}'{bang and ' !'}{important}"

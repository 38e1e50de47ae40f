"""A folder of SVGs -> icons with their category, license, author and title.

The layout is that of the bioicons repository's `static/icons`:

    license/category/author/name.svg     and beside the license folders: authors.json

An icon that lies directly under its category has the author "unknown". Whatever is
recognized as an SVG but cannot be placed is listed in `Library.skipped` with a reason;
other files are ignored. Nothing outside the root is ever read: links that lead out of
it are refused. No SVG is opened here.
"""

import json
import os
import re
import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from bioicons_kit.errors import LibraryError
from bioicons_kit.icons import licenses

SHIPPED = Path(__file__).parent / "shipped"
UNKNOWN_AUTHOR = "unknown"
LAYOUT = "license/category/author/name.svg"

_GET_BIOICONS = (
    "get the icons with `git clone --depth 1 https://github.com/duerrsimon/bioicons` and set "
    "dataset.root to its static/icons folder, or set it to 'shipped' for the kit's own icons"
)
_AUTHOR_DEPTH = len(LAYOUT.split("/"))


@dataclass(frozen=True)
class Icon:
    """One SVG of the library and what its place in the folders says about it.

    `relative` is its posix path below the root in Unicode's composed form (NFC): the
    icon's stable id on every system.
    """

    path: Path
    relative: str
    category: str
    license: str
    author: str
    title: str
    author_url: str | None = None


@dataclass(frozen=True)
class Skipped:
    """An SVG that is not used, by its path below the root, and why."""

    path: str
    reason: str


@dataclass(frozen=True)
class Library:
    """All icons below a root, in the order of their ids, and what was left out."""

    root: Path
    icons: tuple[Icon, ...]
    skipped: tuple[Skipped, ...]


def scan(root: str) -> Library:
    """Find the icons below `root`, a folder or "shipped" for the kit's own.

    Raises:
        LibraryError: the folder is missing, or holds no icon that can be used.
    """
    folder = SHIPPED if root == "shipped" else Path(root)
    if not folder.is_dir():
        raise LibraryError(f"{folder}: no such icon library; {_GET_BIOICONS}")
    authors = _read_authors(folder / "authors.json")
    icons: list[Icon] = []
    skipped: list[Skipped] = []
    for path in _svg_files(folder):
        found = _place(path, folder, authors)
        if isinstance(found, Icon):
            icons.append(found)
        else:
            skipped.append(found)
    if not icons:
        raise LibraryError(_nothing_found(folder, skipped))
    icons.sort(key=lambda icon: icon.relative)
    skipped.sort(key=lambda entry: entry.path)
    return Library(folder, tuple(icons), tuple(skipped))


def name_key(text: str) -> str:
    """Return the form in which two spellings of a folder or person's name are equal.

    Case, Unicode composition, and the choice of space, underscore or hyphen are dropped:
    "Simon_Dürr" and "simon dürr" have one key.
    """
    return re.sub(r"[\s_-]+", " ", unicodedata.normalize("NFC", text)).strip().casefold()


def _svg_files(root: Path) -> Iterator[Path]:
    """Yield every SVG below `root` but those in hidden folders; folder links stay closed."""
    for folder, subfolders, names in os.walk(root):
        subfolders[:] = [name for name in subfolders if not name.startswith(".")]
        linked = [name for name in subfolders if (Path(folder) / name).is_symlink()]
        for name in names + linked:
            is_svg = name.lower().endswith(".svg") and not name.startswith(".")
            if is_svg or name in linked:
                yield Path(folder) / name


def _place(path: Path, root: Path, authors: Mapping[str, tuple[str, str | None]]) -> Icon | Skipped:
    """Read an icon's license, category and author off its path, or say why not."""
    relative = unicodedata.normalize("NFC", path.relative_to(root).as_posix())
    reason = _refusal(path, root, relative)
    if reason:
        return Skipped(_printable(relative), reason)
    license_folder, category, *author_folder, name = relative.split("/")
    try:
        spdx = licenses.normalize(license_folder)
    except LibraryError as error:
        return Skipped(relative, str(error))
    folder_name = author_folder[0] if author_folder else UNKNOWN_AUTHOR
    author, url = authors.get(name_key(folder_name), (_spaced(folder_name), None))
    return Icon(
        path=path,
        relative=relative,
        category=_spaced(category),
        license=spdx,
        author=author,
        title=_spaced(Path(name).stem),
        author_url=url,
    )


def _printable(text: str) -> str:
    """Return `text` on one line, with escapes for what cannot be shown or encoded."""
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape").decode("ascii")
        for char in text
    )


def _refusal(path: Path, root: Path, relative: str) -> str | None:
    """Say why the file at `path` is not taken, whatever its license; None if it is."""
    if not relative.isprintable():
        return "its name holds characters that cannot be written down"
    if path.is_symlink():
        if path.is_dir():
            return "a link to a folder, which is not followed"
        if not path.resolve().is_relative_to(root.resolve()):
            return "a link that leads out of the library"
    if not path.is_file():
        return "not a file"
    depth = relative.count("/") + 1
    if depth not in {_AUTHOR_DEPTH - 1, _AUTHOR_DEPTH}:
        return f"misplaced: the layout is {LAYOUT}"
    return None


def _spaced(name: str) -> str:
    """Return a folder's or file's name as people write it."""
    return re.sub(r"[\s_]+", " ", name).strip()


def _read_authors(path: Path) -> dict[str, tuple[str, str | None]]:
    """Read authors.json into name key -> (name as written there, URL or None).

    Where two spellings have one key, the one that has a URL wins, then the first.
    """
    if not path.exists():
        return {}
    try:
        entries = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise LibraryError(f"{path}: cannot be read ({error}); repair or remove it") from error
    if not isinstance(entries, dict):
        raise LibraryError(f"{path}: must be one object of author names and URLs")
    authors: dict[str, tuple[str, str | None]] = {}
    for name, url in entries.items():
        entry = (_spaced(unicodedata.normalize("NFC", name)), _web_address(url))
        known = authors.get(name_key(name))
        if known is None or (known[1] is None and entry[1]):
            authors[name_key(name)] = entry
    return authors


def _web_address(text: object) -> str | None:
    """Return `text` as an http(s) URL, or None if it is empty or no web address.

    authors.json has "twitter.com/name" and "name@server" besides proper URLs.
    """
    if not isinstance(text, str):
        return None
    match = re.fullmatch(r"(https?://)?([\w-]+(?:\.[\w-]+)+(?:[/?#]\S*)?)", text.strip(), re.I)
    if match is None:
        return None
    return f"{(match[1] or 'https://').lower()}{match[2]}"


def _nothing_found(root: Path, skipped: list[Skipped]) -> str:
    """Say what is wrong with a root that gives no icon."""
    below = root / "static" / "icons"
    if below.is_dir():
        return f"{root}: no icon there; set dataset.root to {below}"
    if skipped:
        first = skipped[0]
        return (
            f"{root}: none of its {len(skipped)} SVGs can be used, the first being {first.path} "
            f"({first.reason}); the layout is {LAYOUT}"
        )
    return f"{root}: no SVG there; {_GET_BIOICONS}"

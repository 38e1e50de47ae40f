"""A folder of SVGs -> icons with their category, license, author and title.

The layout is that of the bioicons repository's `static/icons`:

    license/category/author/name.svg     and beside the license folders: authors.json

An icon that lies directly under its category has the author "unknown". Or the folder says
itself whose its pictures are, in a `licenses.toml` or `metadata.jsonl` (see `sidecar`):
then its folders may be any. What a sidecar says counts more than the folders' names.

Whatever is recognized as an SVG but cannot be placed is listed in `Library.skipped` with
a reason; other files are ignored. No SVG is drawn or parsed here.

A drawing that is there twice, byte for byte, is kept once: under the license that asks
more, because then nothing that either claim asks for is missed; next, the file that is no
link; next, the first id. The others are in `skipped`, with the id that is kept.
"""

import os
import urllib.parse
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from bioicons_kit.errors import LibraryError
from bioicons_kit.files import sha256_file
from bioicons_kit.icons import licenses
from bioicons_kit.icons.scan import authors, names, sidecar, walk
from bioicons_kit.icons.scan.authors import Authors
from bioicons_kit.icons.scan.sidecar import Facts, Sidecar
from bioicons_kit.icons.scan.walk import File

SHIPPED = Path(__file__).parent / "shipped"
LAYOUT = "license/category/author/name.svg"
UNSORTED = "unsorted"  # the category of an icon that lies in no folder
UNTITLED = "untitled"

_REPOSITORY = "https://github.com/duerrsimon/bioicons"
_GET_BIOICONS = (
    f"get the icons with `git clone --depth 1 {_REPOSITORY}` and set dataset.root to its "
    "static/icons folder, or set it to 'shipped' for the kit's own icons"
)
# How many folders an icon lies in: license, category, and usually author.
_FOLDERS = (2, 3)

Kind = Literal["svg", "image"]


@dataclass(frozen=True)
class Icon:
    """One picture of the library and what its place or its sidecar says about it.

    `relative` is its posix path below the root in Unicode's composed form (NFC): the
    icon's stable id on every system. `license` is an SPDX id. `text` is the source's own
    caption, several one a line; `source_url` where the original is on the web, if known.
    """

    path: Path
    relative: str
    category: str
    license: str
    author: str
    title: str
    author_url: str | None = None
    kind: Kind = "svg"
    text: str | None = None
    source_url: str | None = None

    @property
    def name(self) -> str:
        """What it is called: an icon by its file's name, an image by its title."""
        return self.path.stem if self.kind == "svg" else self.title


@dataclass(frozen=True)
class Skipped:
    """A file that is not used, by its path below the root, and why.

    `same_as` is the id of the icon that has the same content, where that is the reason.
    """

    path: str
    reason: str
    same_as: str | None = None


@dataclass(frozen=True)
class Library:
    """All icons below a root, in the order of their ids, and what was left out."""

    root: Path
    icons: tuple[Icon, ...]
    skipped: tuple[Skipped, ...]


def scan(root: str) -> Library:
    """Find the icons below `root`, a folder or "shipped" for the kit's own.

    Raises:
        LibraryError: the folder is missing, holds no icon that can be used, or has an
            authors.json or a sidecar that cannot be understood.
    """
    folder = SHIPPED if root == "shipped" else Path(root)
    if not os.path.isdir(folder):  # noqa: PTH112 - Path.is_dir raises for overlong names
        raise LibraryError(f"{folder}: no such icon library; {_GET_BIOICONS}")
    files, said, skipped = found(folder, (".svg",))
    placing = _Placing(authors.read(folder), said, _web_root(folder))
    placed: list[tuple[Icon, File]] = []
    for file in files:
        icon = placing.icon(file)
        if isinstance(icon, Icon):
            placed.append((icon, file))
        else:
            skipped.append(icon)
    icons = _without_copies(placed, skipped)
    if not icons:
        raise LibraryError(_nothing_found(folder, skipped))
    return Library(folder, icons, tuple(sorted(skipped, key=lambda each: each.path)))


def found(root: Path, suffixes: Sequence[str]) -> tuple[list[File], Sidecar, list[Skipped]]:
    """Look through a library for files with these suffixes.

    Returns:
        The files in the order of their ids, each id once; what the sidecars say of them; and
        what is not taken.

    Raises:
        LibraryError: a sidecar cannot be read or understood.
    """
    seen = list(walk.files(root, (*suffixes, sidecar.LISTING)))
    refused = [each for each in seen if not isinstance(each, File)]
    for each in refused:
        if Path(each.path).name == sidecar.LISTING and each.reason != walk.EMPTY:
            raise LibraryError(f"{root / each.path}: {each.reason}; repair or remove it")
    skipped = [Skipped(each.path, each.reason) for each in refused]
    files = [each for each in seen if isinstance(each, File)]
    listings = [file.path for file in files if file.path.name == sidecar.LISTING]
    said = sidecar.read(root, listings)
    taken = [file for file in files if file.path.name.lower().endswith(tuple(suffixes))]
    said.tell_unused({file.relative for file in taken})
    return list(_of_one_id(taken, skipped)), said, skipped


@dataclass(frozen=True)
class _Placing:
    """What makes an icon of a file: its place, and what is said of it.

    `web_root` is the address that paths below the root continue, if there is one.
    """

    authors: Authors
    sidecar: Sidecar
    web_root: str | None

    def icon(self, file: File) -> Icon | Skipped:
        """Return the icon that a file is, or why it is none."""
        *folders, name = file.relative.split("/")
        facts = self.sidecar.of(file.relative).over(_said_by(folders))
        in_place = len(folders) in _FOLDERS
        if facts.license is None and not in_place:
            what = f"the layout is {LAYOUT}, or {sidecar.TOML} says its license"
            return Skipped(file.relative, f"misplaced: {what}")
        try:
            spdx = licenses.normalize(facts.license or folders[0])
        except LibraryError as error:
            return Skipped(file.relative, str(error))
        author = self.authors.of_folder(facts.author or "")
        return Icon(
            path=file.path,
            relative=file.relative,
            category=names.spaced(facts.category or "") or UNSORTED,
            license=spdx,
            author=author.name,
            title=names.spaced(facts.title or Path(name).stem) or UNTITLED,
            author_url=facts.author_url or author.url,
            text=facts.text,
            source_url=facts.source_url or self._source_url(file),
        )

    def _source_url(self, file: File) -> str | None:
        """Return where the original is on the web; its name there is as it is on the disk."""
        if self.web_root is None:
            return None
        depth = file.relative.count("/") + 1
        return "/".join([self.web_root, *map(urllib.parse.quote, file.path.parts[-depth:])])


def _said_by(folders: Sequence[str]) -> Facts:
    """Return what the folders that an icon lies in say of it."""
    if len(folders) in _FOLDERS and licenses.is_known(folders[0]):
        return Facts(folders[0], category=folders[1], author="".join(folders[2:]) or None)
    return Facts(category=folders[0] if folders else None)


def _of_one_id(files: Sequence[File], skipped: list[Skipped]) -> Iterator[File]:
    """Yield files in the order of their ids; of those that share one, the first."""
    last = ""
    for file in sorted(files, key=lambda each: (each.relative, os.fsencode(each.path))):
        if file.relative == last:
            reason = "another file's name is the same but for how accents are written; rename one"
            skipped.append(Skipped(file.relative, reason))
            continue
        last = file.relative
        yield file


def _without_copies(
    placed: Sequence[tuple[Icon, File]], skipped: list[Skipped]
) -> tuple[Icon, ...]:
    """Return the icons in the order of their ids, each content once; add copies to `skipped`."""
    of_size: dict[int, list[tuple[Icon, File]]] = defaultdict(list)
    for icon, file in placed:
        of_size[file.size].append((icon, file))
    kept: dict[tuple[int, str], Icon] = {}
    for size, alike in of_size.items():
        for icon, _ in sorted(alike, key=_claim):
            try:
                content = sha256_file(icon.path) if len(alike) > 1 else ""
            except OSError as error:
                skipped.append(Skipped(icon.relative, f"cannot be read ({error.strerror})"))
                continue
            first = kept.setdefault((size, content), icon)
            if first is not icon:
                skipped.append(Skipped(icon.relative, _same(icon, first), first.relative))
    return tuple(sorted(kept.values(), key=lambda icon: icon.relative))


def _claim(placed: tuple[Icon, File]) -> tuple[int, bool, str]:
    """Return what sorts the icon that is kept before its copies."""
    icon, file = placed
    return -licenses.get(icon.license).strictness, file.linked, icon.relative


def _same(icon: Icon, kept: Icon) -> str:
    """Say which icon is kept instead of `icon`, and what that changes."""
    reason = f"the same drawing as {kept.relative}"
    if icon.license != kept.license:
        reason += f", whose license asks more ({kept.license}, not {icon.license})"
    return reason


def _web_root(root: Path) -> str | None:
    """Return the web address of a root that looks like a checkout of bioicons, or None."""
    real = Path(os.path.realpath(root))
    is_checkout = real.parts[-2:] == ("static", "icons") and os.path.lexists(real / "icons.json")
    return f"{_REPOSITORY}/blob/main/static/icons" if is_checkout else None


def _nothing_found(root: Path, skipped: Sequence[Skipped]) -> str:
    """Say what is wrong with a root that gives no icon."""
    below = root / "static" / "icons"
    if below.is_dir():
        return f"{root}: no icon there; set dataset.root to {below}"
    if skipped:
        first = min(skipped, key=lambda each: each.path)
        return (
            f"{root}: none of its {len(skipped)} SVGs can be used, the first being {first.path} "
            f"({first.reason}); the layout is {LAYOUT}"
        )
    return f"{root}: no SVG there; {_GET_BIOICONS}"

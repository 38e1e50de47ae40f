"""A folder of photographs or paintings -> icons of kind "image", with captions and licenses.

Any folder will do, nested or not:

    root/frogs/green.jpg       the category is the first folder, the title the file's name
    root/frogs/green.txt       its caption, if it has one (`captions`)
    root/licenses.toml         license and author, of all files or by pattern (`sidecar`)
    root/metadata.jsonl        or all of this by file, as in the Hugging Face hub's image
                               folders, and in the dataset folders that the kit prepares

A picture whose license nobody states is not used. Each is opened whole, and must meet the
preset's demands (`quality`); what does not is listed in `Library.skipped` with the reason,
and so is the second of two equal files. Nothing outside the root is read.
"""

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

from bioicons_kit import console
from bioicons_kit.errors import DocumentError, LibraryError
from bioicons_kit.icons import library, licenses, picture
from bioicons_kit.icons.library import UNSORTED, UNTITLED, Icon, Library, Skipped
from bioicons_kit.icons.pictures import quality
from bioicons_kit.icons.pictures.quality import Look, Memory
from bioicons_kit.icons.scan import authors, names, sidecar
from bioicons_kit.icons.scan.sidecar import Facts, Sidecar
from bioicons_kit.icons.scan.walk import File
from bioicons_kit.preset import Quality

SUFFIXES = (".bmp", ".gif", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")
UNSTATED = "nobody states its license"
# Decoding lets go of Python's lock. A picture of the largest size takes 1.4 GB meanwhile.
_MOST_THREADS = 4

HOW_TO_STATE = (
    f'state it in {sidecar.TOML} beside the pictures, for example license = "CC-BY-4.0", '
    'or license = "LicenseRef-own-work" for pictures of your own'
)


def scan(root: Path, demands: Quality, memory: Path | None = None) -> Library:
    """Find the pictures below a folder that are good enough and have a license.

    Args:
        root: the folder.
        demands: what the preset asks of a picture.
        memory: file in which to remember what was seen, so that unchanged files need not
            be opened again.

    Raises:
        LibraryError: the folder is missing, a sidecar is damaged, or no picture can be used.
    """
    if not os.path.isdir(root):  # noqa: PTH112 - Path.is_dir raises for overlong names
        raise LibraryError(f"{root}: no such folder of images; set dataset.root to yours")
    files, said, skipped = library.found(root, SUFFIXES)
    placed = _placed(files, said, skipped)
    good = _judged(placed, demands, Memory(memory), skipped)
    skipped.sort(key=lambda each: each.path)
    if not good:
        raise LibraryError(_nothing_found(root, skipped))
    return Library(root, good, tuple(skipped))


def category(said: str | None, relative: str) -> str:
    """Return what is said of a picture's category, or else its first folder's name."""
    first, _, rest = relative.partition("/")
    return names.spaced(said or (first if rest else "")) or UNSORTED


def _placed(files: Iterable[File], said: Sidecar, skipped: list[Skipped]) -> list[Icon]:
    """Return the pictures that may be used; tell `skipped` of the others."""
    icons: list[Icon] = []
    for file in files:
        try:
            icons.append(_icon(file, said.of(file.relative)))
        except LibraryError as error:
            skipped.append(Skipped(file.relative, str(error)))
    return icons


def _icon(file: File, facts: Facts) -> Icon:
    """Return a picture with what is said of it.

    Raises:
        LibraryError: its license is unknown.
    """
    if facts.license is None:
        raise LibraryError(UNSTATED)
    return Icon(
        path=file.path,
        relative=file.relative,
        category=category(facts.category, file.relative),
        license=licenses.normalize(facts.license),
        author=facts.author or authors.UNKNOWN,
        title=names.spaced(facts.title or Path(file.relative).stem) or UNTITLED,
        author_url=facts.author_url,
        kind="image",
        text=facts.text,
        source_url=facts.source_url,
    )


def _judged(
    icons: Sequence[Icon], demands: Quality, memory: Memory, skipped: list[Skipped]
) -> tuple[Icon, ...]:
    """Return the pictures that meet the demands, each content once; tell of the others."""
    good: list[Icon] = []
    first_with: dict[str, Icon] = {}
    for icon, look in zip(icons, _looks(icons, demands, memory), strict=True):
        reason = quality.refusal(look, demands)
        first = icon if reason else first_with.setdefault(look.sha256, icon)
        if reason:
            skipped.append(Skipped(icon.relative, reason))
        elif first is not icon:
            reason = f"the same picture as {first.relative}"
            skipped.append(Skipped(icon.relative, reason, first.relative))
        else:
            good.append(icon)
    return tuple(good)


def _looks(icons: Sequence[Icon], demands: Quality, memory: Memory) -> Iterator[Look]:
    """Return what each file shows, opening those that are new, several at a time."""
    keys = [_key(icon) for icon in icons]
    looks = {key: look for key in keys if (look := memory.recall(key)) is not None}
    pending = {
        key: icon
        for key, icon in zip(keys, icons, strict=True)
        if key not in looks or not (looks[key].is_whole or quality.refusal(looks[key], demands))
    }
    try:
        looks |= _fresh(pending, demands, memory) if pending else {}
    finally:  # after a Ctrl-C too: the next scan goes on from here
        memory.save()
    return (looks[key] for key in keys)


def _fresh(
    pending: Mapping[str, Icon], demands: Quality, memory: Memory
) -> Iterable[tuple[str, Look]]:
    """Yield what files show that were never opened, or have changed since."""
    threads = ThreadPoolExecutor(min(_MOST_THREADS, os.cpu_count() or 1), "look")
    with quality.quietly(), console.bar("look", len(pending), "image") as progress:
        try:  # quiet from before the first of them begins until the last has ended
            looks = threads.map(partial(_look, demands=demands), pending.values())
            for key, look in zip(pending, looks, strict=True):
                if look.bytes:  # it could be read; what could not may be another time
                    memory.keep(key, look)
                progress.update()
                yield key, look
        finally:
            threads.shutdown(wait=True, cancel_futures=True)


def _look(icon: Icon, demands: Quality) -> Look:
    """Return what a file's header shows; and if that is not refused, what the whole shows."""
    try:
        content = picture.read(icon.path, "image")
    except DocumentError as error:
        return Look(0, problem=str(error))
    header = quality.glance(content)
    return header if quality.refusal(header, demands) else quality.inspect(content)


def _key(icon: Icon) -> str:
    """Return what tells a file's versions apart without opening it."""
    try:
        found = icon.path.stat()
    except OSError:
        return f"{icon.relative}|gone"
    return f"{icon.relative}|{found.st_size}|{found.st_mtime_ns}"


def _nothing_found(root: Path, skipped: Sequence[Skipped]) -> str:
    """Say what is wrong with a folder that gives no picture."""
    if not skipped:
        return f"{root}: no image there; names of images end in {', '.join(SUFFIXES)}"
    unstated = [entry for entry in skipped if entry.reason == UNSTATED]
    if unstated:
        return f"{root}: nobody states the license of {unstated[0].path}; {HOW_TO_STATE}"
    first = skipped[0]
    return (
        f"{root}: none of its {len(skipped)} images can be used, the first being {first.path} "
        f"({first.reason})"
    )

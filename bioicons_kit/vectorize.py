"""Pictures -> icons as files: what `tools/vectorize.py` and the samples' `--svg` share.

The tracing itself is in `svg.trace`; here are the file it comes from, the title, the prompt,
and the credits.
"""

import io
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from PIL import Image

from bioicons_kit import files
from bioicons_kit.errors import DocumentError, KitError
from bioicons_kit.icons import picture
from bioicons_kit.sheet import PROMPT
from bioicons_kit.svg import tree
from bioicons_kit.svg.credit import Credit, written
from bioicons_kit.svg.trace import drawing, tracer
from bioicons_kit.svg.trace.settings import Settings

_LONGEST_PROMPT = 2000  # characters
_LEAST_SIDE = 16


@dataclass(frozen=True)
class Icon:
    """A vectorized picture: the SVG file, and in a few words what is in it."""

    svg: bytes
    summary: str


def targets(sources: Sequence[Path], out: Path | None) -> dict[Path, Path]:
    """Return where each picture's icon goes: beside it, or in the folder `out`.

    Raises:
        KitError: two pictures would go to one file, or `out` is a file.
    """
    if out is not None and out.exists() and not out.is_dir():
        raise KitError(f"{out}: is a file; --out names a folder")
    found: dict[Path, Path] = {}
    for source in dict.fromkeys(sources):
        target = (source.parent if out is None else out) / f"{source.stem}.svg"
        if target in found.values():
            raise KitError(f"{source}: {target} would be written twice; give another --out")
        found[source] = target
    return found


def from_file(source: Path, settings: Settings, credit: Credit, title: str | None) -> Icon:
    """Vectorize a picture's file.

    Args:
        source: PNG, JPEG, WebP or TIFF.
        settings: how to trace.
        credit: license, author and source, as far as they are known.
        title: what it shows; if None, the file's own prompt, or its name.

    Raises:
        DocumentError: it cannot be read as a picture, or nothing is in it.
    """
    content = picture.read(source, "image")
    image = picture.opened(content)
    prompt = prompt_of(content)
    return from_picture(image, settings, credit, title or subject(prompt or source.stem), prompt)


def from_picture(
    image: Image.Image, settings: Settings, credit: Credit, title: str, prompt: str
) -> Icon:
    """Vectorize a picture; what is transparent counts as white.

    The prompt becomes the description.

    Raises:
        DocumentError: it is too small or too large, or nothing is in it.
    """
    if not min(image.size) >= _LEAST_SIDE or max(image.size) > tracer.MAX_SIDE:
        raise DocumentError(
            f"{image.width} x {image.height} pixels; sides from {_LEAST_SIDE} to "
            f"{tracer.MAX_SIDE} can be vectorized"
        )
    white = Image.new("RGBA", image.size, "#ffffff")
    flat = Image.alpha_composite(white, image.convert("RGBA")).convert("RGB")
    traced = tracer.trace(np.asarray(flat), settings)
    if not traced.layers:
        raise DocumentError("there is nothing but background in it")
    metadata = written(replace(credit, title=title))
    svg = drawing.document(traced, title, prompt, metadata)
    tree.parse(svg)  # what is handed on can be read back
    colors, nodes = len(traced.layers), traced.nodes
    return Icon(svg, f"{len(svg) / 1000:.1f} kB, {colors} colors, {nodes} nodes")


def write(target: Path, icon: Icon) -> Path:
    """Write an icon's file, whole or not at all; return where."""
    return files.write_bytes(target, icon.svg)


def subject(prompt: str) -> str:
    """Return what a prompt or a file's name shows: its last part, without numbers before it."""
    last = prompt.rpartition(",")[2]
    words = re.sub(r"^\d+[-_ ]", "", re.sub(r"[-_]+", " ", last)).strip()
    return words or prompt.strip() or "icon"


def prompt_of(content: bytes) -> str:
    """Return the prompt that a PNG keeps, or nothing."""
    with Image.open(io.BytesIO(content)) as image:
        text = image.info.get(PROMPT)
    return text[:_LONGEST_PROMPT] if isinstance(text, str) else ""

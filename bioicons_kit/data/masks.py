"""Loss masks: how much of each latent pixel the drawing covers.

From the drawing's own alpha, or from mask files beside an image folder, white where the loss
is to look. A mask goes through the same geometry as its picture and is then averaged over
the pixels of each latent one. What the background weighs is not part of it: that may change
without a mask being made again.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from bioicons_kit.data import showings
from bioicons_kit.data.cache import Entry, Shape, entry
from bioicons_kit.errors import DocumentError
from bioicons_kit.files import sha256_bytes
from bioicons_kit.icons import picture
from bioicons_kit.icons.picture import Picture, Recipe
from bioicons_kit.icons.row import Row
from bioicons_kit.icons.workers import Task
from bioicons_kit.preset import Dataset

KIND = "mask"
VERSION = "1"  # raise it when a change of the code changes masks

Planned = tuple[Task, str, tuple[str, str], dict[str, str]]


def path(row: Row, settings: Dataset) -> Path | None:
    """Return a row's mask file; None where masks are not files."""
    if settings.mask is None or settings.mask.folder is None:
        return None
    return Path(settings.mask.folder) / PurePosixPath(row.icon.relative).with_suffix(".png")


def digest(row: Row, settings: Dataset) -> str:
    """Return the hash of a row's mask file; "" where masks are not files.

    Raises:
        DocumentError: the file is missing or cannot be read.
    """
    file = path(row, settings)
    if file is None:
        return ""
    try:
        return sha256_bytes(picture.read(file, "image"))
    except DocumentError as error:
        raise DocumentError(f"its mask {file} {error}") from error


def planned(
    task: Task, row: Row, settings: Dataset, mask: str, grid: Sequence[int]
) -> tuple[Entry, Planned]:
    """Return the entry of a picture's mask, and what it is made from.

    Args:
        task: the picture's.
        row: its row.
        settings: say where masks come from.
        mask: hash of the mask file, "" where it is the alpha.
        grid: height and width of the latents.
    """
    recipe = _of_shape_only(task.recipe)
    file = path(row, settings)
    task = task._replace(recipe=recipe) if file is None else Task(file, "image", recipe, mask)
    assert task.sha256 is not None
    shared = {
        **showings.parts(recipe),
        "mask": VERSION,
        "from": "alpha" if file is None else "file",
        "grid": f"{grid[0]} x {grid[1]}",
        "file": task.kind,
    }
    own = ("picture", task.sha256)
    layout = (Shape("coverage", torch.float32, (grid[0], grid[1])),)
    made = entry(KIND, {**shared, own[0]: own[1]}, layout)
    return made, (task, row.icon.relative, own, shared)


def reader(settings: Dataset) -> Callable[[Picture], Image.Image]:
    """Return what takes the mask, L, out of the picture that was made for it."""
    if settings.mask is not None and settings.mask.source == "files":
        return lambda made: made.image.convert("L")
    return lambda made: made.alpha


def coverage(mask: Image.Image, grid: Sequence[int]) -> Tensor:
    """Return a mask averaged over latent pixels, float32 `[height, width]` in 0..1."""
    small = mask.convert("F").resize((grid[1], grid[0]), Image.Resampling.BOX)
    return torch.from_numpy(np.asarray(small, np.float32) / 255).clamp(0, 1)


def _of_shape_only(recipe: Recipe) -> Recipe:
    """Return a recipe without what changes colors: it changes no mask."""
    version = replace(
        recipe.version, brightness=1.0, contrast=1.0, saturation=1.0, background="#000000"
    )
    return replace(recipe, version=version)

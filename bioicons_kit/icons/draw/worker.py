"""What a drawing process does with a task: one picture, made of one file."""

from pathlib import Path
from typing import NamedTuple

from bioicons_kit.errors import DocumentError
from bioicons_kit.files import sha256_bytes
from bioicons_kit.icons import picture
from bioicons_kit.icons.picture import Kind, Recipe
from bioicons_kit.icons.processes.serve import Answer


class Task(NamedTuple):
    """One picture to make. Where `sha256` is given, the file must still have that content."""

    path: Path
    kind: Kind
    recipe: Recipe
    sha256: str | None = None


def painted(task: Task) -> Answer:
    """Return a task's picture: engine and what was removed; RGB and alpha values.

    Raises:
        DocumentError: it cannot be made.
    """
    content = picture.read(task.path, task.kind)
    if task.sha256 is not None and sha256_bytes(content) != task.sha256:
        raise DocumentError("changed since this run began; run again")
    made = picture.make(content, task.kind, task.recipe)
    pixels = made.image.tobytes() + made.alpha.tobytes()
    return {"renderer": made.renderer, "removed": list(made.removed)}, pixels

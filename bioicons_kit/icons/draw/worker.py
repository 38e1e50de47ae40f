"""The process at the other end of `workers`: reads tasks, makes pictures, limits itself.

A task comes as its length in eight bytes and a pickle (from the parent, which is trusted);
the answer goes as a line of JSON and, where there is a picture, its RGB and alpha values.

The memory limit is one of address space, set on Linux only. An alarm ends a process whose
parent is no longer there to do it.
"""

import json
import math
import os
import pickle
import signal
import sys
from pathlib import Path
from typing import IO, Any, NamedTuple

from bioicons_kit.errors import DocumentError, KitError
from bioicons_kit.files import sha256_bytes
from bioicons_kit.icons import picture
from bioicons_kit.icons.picture import Kind, Picture, Recipe

# The status of a worker that was refused memory.
OUT_OF_MEMORY = 77
# By how much the alarm lets the parent go first.
_GRACE_SECONDS = 5


class Task(NamedTuple):
    """One picture to make. Where `sha256` is given, the file must still have that content."""

    path: Path
    kind: Kind
    recipe: Recipe
    sha256: str | None = None


def serve(seconds: float, memory: int) -> None:
    """Do tasks until the input ends.

    Args:
        seconds: the longest that a task may take.
        memory: bytes of address space that may be taken from here on.
    """
    questions, answers = _pipes()
    _limit_memory(memory)
    _answer(answers, {"ready": True})
    while length := questions.read(8):
        task: Task = pickle.loads(questions.read(int.from_bytes(length)))
        _alarm(math.ceil(seconds) + _GRACE_SECONDS)
        try:
            made = _done(task)
        except MemoryError:  # what has been torn on the way is not to be worked with
            os._exit(OUT_OF_MEMORY)
        except (DocumentError, KitError, OSError) as error:
            _answer(answers, {"problem": str(error)})
        else:
            pixels = made.image.tobytes() + made.alpha.tobytes()
            _answer(answers, {"renderer": made.renderer, "removed": made.removed}, pixels)
        _alarm(0)


def _done(task: Task) -> Picture:
    """Make a task's picture."""
    content = picture.read(task.path, task.kind)
    if task.sha256 is not None and sha256_bytes(content) != task.sha256:
        raise DocumentError("changed since this run began; run again")
    return picture.make(content, task.kind, task.recipe)


def _answer(answers: IO[bytes], header: dict[str, Any], pixels: bytes = b"") -> None:
    """Write one answer."""
    answers.write(json.dumps(header).encode("ascii") + b"\n" + pixels)
    answers.flush()


def _pipes() -> tuple[IO[bytes], IO[bytes]]:
    """Return input and output, and keep both from the libraries, some of which print."""
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.dup2(nowhere, sys.stderr.fileno())
    return sys.stdin.buffer, answers


def _limit_memory(memory: int) -> None:
    """Let address space grow by `memory` bytes at most, and write no core files."""
    if sys.platform == "linux":
        import resource

        pages = int(Path("/proc/self/statm").read_text("ascii").split()[0])
        limit = pages * resource.getpagesize() + memory
        _, hard = resource.getrlimit(resource.RLIMIT_AS)
        limit = limit if hard == resource.RLIM_INFINITY else min(limit, hard)
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _alarm(seconds: int) -> None:
    """End this process in so many seconds, by the signal's default action; 0: not at all."""
    if hasattr(signal, "alarm"):
        signal.alarm(seconds)

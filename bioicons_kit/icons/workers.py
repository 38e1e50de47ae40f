"""Pictures made in other processes, which can be killed when a file makes them hang or swell."""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from PIL import Image

from bioicons_kit.icons.draw import worker
from bioicons_kit.icons.draw.worker import Task
from bioicons_kit.icons.picture import Picture
from bioicons_kit.icons.processes.pool import Pool
from bioicons_kit.icons.processes.serve import Answer

__all__ = ["Outcome", "Painters", "Task"]


class Outcome(NamedTuple):
    """What became of a task: a picture, or the problem in a few words."""

    task: Task
    picture: Picture | None
    problem: str | None


class Painters(Pool[Task]):
    """Worker processes that make pictures; use it as a context manager.

    Args:
        workers: how many; as many as there are cores by default, at most 16.
        seconds: the longest a picture may take.
        memory: bytes a worker may have beyond what it starts with (on Linux).
    """

    def __init__(
        self, workers: int | None = None, seconds: float = 30.0, memory: int = 1_500_000_000
    ) -> None:
        super().__init__(worker.painted, workers, seconds, memory)

    def paint(self, tasks: Iterable[Task]) -> Iterator[Outcome]:
        """Yield each task's outcome, in the order of the tasks, a few of them made ahead.

        Raises:
            KitError: no worker can be started on this machine.
        """
        for done in self.run(tasks):
            if done.answer is None:
                yield Outcome(done.task, None, done.problem)
            else:
                yield _read(done.task, done.answer)


def _read(task: Task, answer: Answer) -> Outcome:
    """Return the picture that an answer holds; a worker that was taken over may send anything."""
    header, pixels = answer
    size = (task.recipe.width, task.recipe.height)
    area = size[0] * size[1]
    if len(pixels) != 4 * area or not isinstance(header.get("removed"), list):
        return Outcome(task, None, "its process did not answer with a picture")
    image = Image.frombytes("RGB", size, pixels[: 3 * area])
    alpha = Image.frombytes("L", size, pixels[3 * area :])
    removed = tuple(str(entry) for entry in header["removed"])
    return Outcome(task, Picture(image, alpha, str(header.get("renderer")), removed), None)

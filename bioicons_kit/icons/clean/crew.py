"""One function on many tasks in other processes, each of which can be killed.

For work on untrusted files that returns plain data: a task that takes too long, or whose
process dies, costs that task and nothing else. Processes are spawned, not forked: the
parent may have threads. (`workers` does the same for pictures, with limits on memory.)
"""

import multiprocessing
import os
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from typing import Any, Generic, TypeVar

from bioicons_kit.errors import KitError

T = TypeVar("T")
R = TypeVar("R")

_STARTUP_SECONDS = 60.0
_UP = "up"


@dataclass(frozen=True)
class Done(Generic[T, R]):
    """A task and what came of it: a result, or the problem in a few words."""

    task: T
    result: R | None
    problem: str = ""
    seconds: float = 0.0


def run(
    function: Callable[[T], R], tasks: Sequence[T], workers: int, seconds: float
) -> Iterator[Done[T, R]]:
    """Yield the outcomes of tasks as they come.

    Args:
        function: of one task; it and the tasks can be pickled. A `KitError` or `OSError` from
            it is the task's problem; what else it raises is, too, by its type.
        tasks: what to do.
        workers: how many processes.
        seconds: the longest that a task may take.
    """
    waiting = list(reversed(tasks))
    crew: list[_Worker] = []
    try:
        while waiting or any(one.task is not None for one in crew):
            while waiting and len(crew) < workers:
                crew.append(_Worker(function))
            for one in crew:
                if one.task is None and waiting:
                    one.give(waiting.pop(), seconds)
            busy = [one for one in crew if one.task is not None]
            due = min(one.deadline for one in busy) - time.monotonic()
            ready = wait([one.line for one in busy], max(due, 0.0))
            for one in busy:
                done = one.taken(one.line in ready, seconds)
                if done is not None:
                    yield done
            crew = [one for one in crew if one.process.is_alive()]
    finally:
        for one in crew:
            one.process.kill()
            one.process.join()


class _Worker:
    """The parent's end of one process."""

    def __init__(self, function: Callable[[Any], Any]) -> None:
        context = multiprocessing.get_context("spawn")
        self.line, theirs = context.Pipe()
        self.process = context.Process(target=_serve, args=(function, theirs), daemon=True)
        self.process.start()
        theirs.close()
        self.task: Any = None
        self.deadline = self.started = 0.0
        self.is_up = False

    def give(self, task: Any, seconds: float) -> None:
        """Start a task."""
        self.task, self.started = task, time.monotonic()
        self.deadline = self.started + (seconds if self.is_up else _STARTUP_SECONDS)
        self.line.send(task)

    def taken(self, is_ready: bool, seconds: float) -> Done[Any, Any] | None:
        """Return the task's outcome if there is one by now."""
        if is_ready:
            try:
                answer = self.line.recv()
                if answer == _UP:  # it has imported what it needs: now the task's time runs
                    self.is_up, self.started = True, time.monotonic()
                    self.deadline = self.started + seconds
                    return None
                result, problem, took = answer
            except (EOFError, OSError):
                self.process.join()
                return self._over(None, f"ended its process (status {self.process.exitcode})")
            return self._over(result, problem, took)
        if time.monotonic() < self.deadline:
            return None
        self.process.kill()
        self.process.join()
        return self._over(None, f"took longer than {seconds:g} s")

    def _over(self, result: Any, problem: str, took: float = 0.0) -> Done[Any, Any]:
        done = Done(self.task, result, problem, took or time.monotonic() - self.started)
        self.task = None
        return done


def _serve(function: Callable[[Any], Any], line: Connection) -> None:
    """Do tasks until the parent hangs up."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent ends its workers itself
    os.environ["OMP_NUM_THREADS"] = "1"
    line.send(_UP)
    while True:
        try:
            task = line.recv()
        except (EOFError, OSError):
            return
        started = time.process_time()
        result, problem = None, ""
        try:
            result = function(task)
        except (KitError, OSError) as error:
            problem = " ".join(str(error).split())
        except Exception as error:  # a bug, or memory: one file must not stop the others
            problem = f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
        line.send((result, problem, time.process_time() - started))

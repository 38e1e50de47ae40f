"""Pictures made in other processes, which can be killed when a file makes them hang or swell.

Each worker is a Python of its own (`worker`) that reads tasks from its standard input and
answers on its standard output. The parent kills it when a task is over time, and starts
another for the next task. Answers are a line of JSON and raw pixels, and are checked: a
worker taken over by a hostile file could tell its parent nothing but a wrong picture.

They are started as plain processes rather than by `multiprocessing`: a fork of a parent with
torch's threads may hang, and a spawn would import the parent's main module, torch and all.
"""

import contextlib
import json
import os
import pickle
import queue
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import IO, Any, NamedTuple, Self

from PIL import Image

from bioicons_kit.errors import DocumentError, KitError
from bioicons_kit.icons.draw import worker
from bioicons_kit.icons.draw.worker import Task
from bioicons_kit.icons.picture import Picture

__all__ = ["Outcome", "Painters", "Task"]

_MOST_WORKERS = 16
_AHEAD = 8  # pictures submitted per worker, so that one that takes long keeps no other waiting
_STARTUP_SECONDS = 60.0
_LONGEST_HEADER = 2**22


class Outcome(NamedTuple):
    """What became of a task: a picture, or the problem in a few words."""

    task: Task
    picture: Picture | None
    problem: str | None


class _GoneError(Exception):
    """The worker's end of the line is closed."""


class Painters:
    """Worker processes that make pictures; use it as a context manager.

    They start with the first tasks: without any, none is started.

    Args:
        workers: how many; as many as there are cores by default, at most 16.
        seconds: the longest a picture may take.
        memory: bytes a worker may have beyond what it starts with (on Linux).
    """

    def __init__(
        self, workers: int | None = None, seconds: float = 30.0, memory: int = 1_500_000_000
    ) -> None:
        self._count = workers or min(_cores(), _MOST_WORKERS)
        self._seconds, self._memory = seconds, memory
        # Each place holds a worker, or None where one has still to be started.
        self._places: queue.SimpleQueue[_Worker | None] = queue.SimpleQueue()
        self._threads = ThreadPoolExecutor(self._count, "painter")  # one waits for each worker
        self._alive: set[_Worker] = set()
        self._lock, self._is_closed = threading.Lock(), False
        for _ in range(self._count):
            self._places.put(None)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._is_closed = True
            for each in self._alive:
                each.kill()
        self._threads.shutdown(wait=True, cancel_futures=True)
        for each in self._alive:
            each.bury()

    def paint(self, tasks: Iterable[Task]) -> Iterator[Outcome]:
        """Yield each task's outcome, in the order of the tasks, a few of them made ahead.

        Raises:
            KitError: no worker can be started on this machine.
        """
        ahead: deque[Future[Outcome]] = deque()
        try:
            for task in tasks:
                ahead.append(self._threads.submit(self._outcome, task))
                if len(ahead) > _AHEAD * self._count:
                    yield ahead.popleft().result()
            while ahead:
                yield ahead.popleft().result()
        finally:
            for future in ahead:
                future.cancel()

    def _outcome(self, task: Task) -> Outcome:
        """Have a task done in the next free place."""
        there = self._places.get()
        try:
            there = there or self._started()
            return Outcome(task, there.do(task, self._seconds), None)
        except DocumentError as error:
            return Outcome(task, None, str(error))
        finally:
            self._places.put(self._kept(there))

    def _started(self) -> "_Worker":
        """Start a worker, unless all is over."""
        with self._lock:
            if self._is_closed:
                raise DocumentError("stopped before it was drawn")
            started = _Worker(self._seconds, self._memory)
            self._alive.add(started)
        return started

    def _kept(self, there: "_Worker | None") -> "_Worker | None":
        """Return the worker of a place if it can go on; forget it otherwise."""
        if there is None or there.is_alive:
            return there
        with self._lock:
            self._alive.discard(there)
        return None


class _Worker:
    """The parent's end of one worker process."""

    def __init__(self, seconds: float, memory: int) -> None:
        code = (
            f"import sys; sys.path += [each for each in {sys.path!r} if each not in sys.path]; "
            f"from {worker.__name__} import serve; serve({seconds!r}, {memory!r})"
        )
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-c", code],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            start_new_session=True,  # Ctrl-C is for the parent, which then ends its workers
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._questions: IO[bytes] = self._process.stdin
        self._answers: IO[bytes] = self._process.stdout
        self._is_ready = False

    @property
    def is_alive(self) -> bool:
        """Whether the process can take another task."""
        return self._process.returncode is None

    def kill(self) -> None:
        """End the process at once, whatever it is doing."""
        self._process.kill()

    def bury(self) -> int:
        """Wait for the end of a process that ended or was killed; return its status."""
        status = self._process.wait()
        for pipe in (self._questions, self._answers):
            with contextlib.suppress(OSError):  # what was not sent to it need not be
                pipe.close()
        return status

    def do(self, task: Task, seconds: float) -> Picture:
        """Return the task's picture.

        Raises:
            DocumentError: none can be made, or not within the limits.
            KitError: the process cannot start.
        """
        if not self._is_ready:
            self._wait_until_ready()
        with self._killed_after(seconds) as is_late:
            try:
                self._send(task)
                answer = self._received(task)
            except (_GoneError, ValueError, KeyError) as error:
                self.kill()
                status = self.bury()
                if is_late.is_set():
                    raise DocumentError(f"took longer than {seconds:g} s to draw") from None
                raise DocumentError(_last_words(status)) from error
        if isinstance(answer, str):
            raise DocumentError(answer)
        return answer

    def _wait_until_ready(self) -> None:
        """Wait until the process has imported what it needs."""
        with self._killed_after(_STARTUP_SECONDS):
            try:
                self._header()
            except (_GoneError, ValueError) as error:
                self.kill()
                raise KitError(
                    f"a drawing process cannot be started (status {self.bury()}); "
                    "the reason is above, if it gave one"
                ) from error
        self._is_ready = True

    @contextlib.contextmanager
    def _killed_after(self, seconds: float) -> Iterator[threading.Event]:
        """Kill the process if the block takes longer, and say so in the event."""
        is_late = threading.Event()

        def stop() -> None:
            is_late.set()
            self.kill()

        timer = threading.Timer(seconds, stop)
        timer.start()
        try:
            yield is_late
        finally:
            timer.cancel()
            timer.join()
            if is_late.is_set():  # perhaps after its answer had come
                self.bury()

    def _send(self, task: Task) -> None:
        """Hand a task over."""
        data = pickle.dumps(task)
        try:
            self._questions.write(len(data).to_bytes(8) + data)
            self._questions.flush()
        except OSError as error:
            raise _GoneError from error

    def _received(self, task: Task) -> Picture | str:
        """Return the answer to a task: a picture, or what is wrong with the file."""
        header = self._header()
        if "problem" in header:
            return str(header["problem"])
        size = (task.recipe.width, task.recipe.height)
        image = Image.frombytes("RGB", size, self._bytes(3 * size[0] * size[1]))
        alpha = Image.frombytes("L", size, self._bytes(size[0] * size[1]))
        removed = tuple(str(entry) for entry in header["removed"])
        return Picture(image, alpha, str(header["renderer"]), removed)

    def _header(self) -> dict[str, Any]:
        """Return the next line of the answers."""
        line = self._answers.readline(_LONGEST_HEADER)
        if not line:
            raise _GoneError
        header = json.loads(line)
        if not isinstance(header, dict):
            raise ValueError("an answer is an object")
        return header

    def _bytes(self, count: int) -> bytes:
        """Return the next `count` bytes of the answers."""
        data = self._answers.read(count)
        if len(data) < count:
            raise _GoneError
        return data


def _last_words(status: int) -> str:
    """Say why a worker ended that nobody killed."""
    if status == worker.OUT_OF_MEMORY:
        return "needs more memory to draw than a picture may have"
    reason = f"signal {-status}" if status < 0 else f"status {status}"
    return f"ended the process that drew it ({reason}), perhaps for want of memory"


def _cores() -> int:
    """Return how many processes can run at once."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1

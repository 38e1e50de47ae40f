"""One function on many tasks in other processes, which can be killed when a file hangs or swells.

Each worker is a Python of its own (`serve`) that reads tasks from its standard input and
answers on its standard output. The parent kills it when a task is over time, and starts
another for the next task. Answers are a line of JSON and raw bytes, and are checked: a
worker taken over by a hostile file could tell its parent nothing but a wrong answer.

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
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import IO, Any, Generic, Self, TypeVar

from bioicons_kit.errors import DocumentError, KitError
from bioicons_kit.icons.processes import serve
from bioicons_kit.icons.processes.serve import Answer, Work

T = TypeVar("T")

_MOST_WORKERS = 16
AHEAD = 8  # tasks submitted per worker, so that one that takes long keeps no other waiting
_STARTUP_SECONDS = 60.0
_LONGEST_HEADER = 2**22


@dataclass(frozen=True)
class Done(Generic[T]):
    """A task, and its answer or the problem in a few words; its processor seconds, if it ended."""

    task: T
    answer: Answer | None
    seconds: float = 0.0
    problem: str | None = None


class _GoneError(Exception):
    """The worker's end of the line is closed."""


class Pool(Generic[T]):
    """Worker processes that do a function's work; use it as a context manager.

    They start with the first tasks: without any, none is started.

    Args:
        work: of one task, which can be pickled; a function of a module, not of a script.
        workers: how many; as many as there are cores by default, at most 16.
        seconds: the longest a task may take.
        memory: bytes a worker may have beyond what it starts with (on Linux).
    """

    def __init__(self, work: Work, workers: int | None, seconds: float, memory: int) -> None:
        assert work.__module__ != "__main__", "another process could not import it"
        self._work, self._seconds, self._memory = work, seconds, memory
        self._count = workers or min(_cores(), _MOST_WORKERS)
        # Each place holds a worker, or None where one has still to be started.
        self._places: queue.SimpleQueue[_Worker | None] = queue.SimpleQueue()
        self._threads = ThreadPoolExecutor(self._count, "worker")  # one waits for each process
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

    def run(self, tasks: Iterable[T], in_order: bool = True) -> Iterator[Done[T]]:
        """Yield what becomes of each task, a few of them done ahead.

        Args:
            tasks: what to do.
            in_order: in the order of the tasks; else as they come.

        Raises:
            KitError: no worker can be started on this machine.
        """
        ahead: deque[Future[Done[T]]] = deque()
        try:
            for task in tasks:
                ahead.append(self._threads.submit(self._done, task))
                if len(ahead) > AHEAD * self._count:
                    yield _next(ahead, in_order)
            while ahead:
                yield _next(ahead, in_order)
        finally:
            for future in ahead:
                future.cancel()

    def _done(self, task: T) -> Done[T]:
        """Have a task done in the next free place."""
        there = self._places.get()
        try:
            there = there or self._started()
            return Done(task, *there.do(task, self._seconds))
        except DocumentError as error:
            return Done(task, None, problem=str(error))
        finally:
            self._places.put(self._kept(there))

    def _started(self) -> "_Worker":
        """Start a worker, unless all is over."""
        with self._lock:
            if self._is_closed:
                raise DocumentError("stopped before its turn")
            started = _Worker(self._work, self._seconds, self._memory)
            self._alive.add(started)
        return started

    def _kept(self, there: "_Worker | None") -> "_Worker | None":
        """Return the worker of a place if it can go on; forget it otherwise."""
        if there is None or there.is_alive:
            return there
        with self._lock:
            self._alive.discard(there)
        return None


def _next(ahead: "deque[Future[Done[T]]]", in_order: bool) -> Done[T]:
    """Take the next task's outcome: of the first one, or of one that is there."""
    if in_order:
        return ahead.popleft().result()
    there, _ = wait(ahead, return_when=FIRST_COMPLETED)
    first = next(future for future in ahead if future in there)
    ahead.remove(first)
    return first.result()


class _Worker:
    """The parent's end of one worker process."""

    def __init__(self, work: Work, seconds: float, memory: int) -> None:
        code = (
            f"import sys; sys.path += [each for each in {sys.path!r} if each not in sys.path]; "
            f"from {serve.__name__} import serve; from {work.__module__} import {work.__name__}; "
            f"serve({work.__name__}, {seconds!r}, {memory!r})"
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

    def do(self, task: Any, seconds: float) -> tuple[Answer, float]:
        """Return the task's answer, and the processor seconds that it took.

        Raises:
            DocumentError: there is none, or not within the limits.
            KitError: the process cannot start.
        """
        if not self._is_ready:
            self._wait_until_ready()
        with self._killed_after(seconds) as is_late:
            try:
                self._send(task)
                header, payload = self._received()
                took = float(header.pop("seconds"))
            except (_GoneError, ValueError, KeyError, TypeError) as error:
                self.kill()
                status = self.bury()
                if is_late.is_set():
                    raise DocumentError(f"took longer than {seconds:g} s") from None
                raise DocumentError(_last_words(status)) from error
        if "problem" in header:
            raise DocumentError(str(header["problem"]))
        return (header, payload), took

    def _wait_until_ready(self) -> None:
        """Wait until the process has imported what it needs."""
        with self._killed_after(_STARTUP_SECONDS):
            try:
                self._header()
            except (_GoneError, ValueError) as error:
                self.kill()
                raise KitError(
                    f"a working process cannot be started (status {self.bury()}); "
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

    def _send(self, task: Any) -> None:
        """Hand a task over."""
        data = pickle.dumps(task)
        try:
            self._questions.write(len(data).to_bytes(8) + data)
            self._questions.flush()
        except OSError as error:
            raise _GoneError from error

    def _received(self) -> Answer:
        """Return the answer to a task."""
        header = self._header()
        count = header.pop("bytes")
        if not isinstance(count, int) or not 0 <= count <= serve.MOST_BYTES:
            raise ValueError("no answer is of that size")
        return header, self._bytes(count)

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
    if status == serve.OUT_OF_MEMORY:
        return "needs more memory than one file may have"
    reason = f"signal {-status}" if status < 0 else f"status {status}"
    return f"ended the process that worked on it ({reason}), perhaps for want of memory"


def _cores() -> int:
    """Return how many processes can run at once."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1

"""Drawing, encoding and writing at once: a thread before the encoder, and one after it.

Both are bounded, so that neither pictures nor tensors pile up. An error on either side is
raised where the results are used; what was already handed to the writer is still written.
"""

import queue
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from typing import Any, Self, TypeVar

T = TypeVar("T")


@contextmanager
def ahead(items: Generator[T], most: int) -> Iterator[Iterator[T]]:
    """Run the generator `items` in a thread, at most `most` items ahead of who takes them.

    The thread ends with the `with` block, and closes the generator, whether or not all was
    taken.
    """
    made: queue.Queue[tuple[str, Any]] = queue.Queue(most)
    stopped = threading.Event()

    def hand_over(what: str, value: Any) -> None:
        while not stopped.is_set():
            with suppress(queue.Full):
                made.put((what, value), timeout=0.1)
                break

    def work() -> None:
        try:
            with closing(items):
                for item in items:
                    hand_over("item", item)
                    if stopped.is_set():
                        return
            hand_over("end", None)
        except BaseException as error:  # raised again where the items are taken
            hand_over("error", error)

    def taken() -> Iterator[T]:
        while True:
            what, value = made.get()
            if what == "error":
                raise value
            if what == "end":
                return
            yield value

    thread = threading.Thread(target=work, name="ahead", daemon=True)
    thread.start()
    try:
        yield taken()
    finally:
        stopped.set()
        thread.join()


class Writer:
    """A thread that does what it is handed, in order; use it as a context manager.

    Args:
        most: things handed over that may wait.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._waiting: deque[Future[None]] = deque()
        self._thread = ThreadPoolExecutor(1, "writer")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        self._thread.shutdown(wait=True)
        for each in self._waiting:
            if kind is None or each.exception() is None:
                each.result()

    def do(self, work: Callable[[], None]) -> None:
        """Hand something over; waits while too much is waiting.

        Raises:
            Exception: whatever an earlier piece of work raised.
        """
        while len(self._waiting) >= self._most:
            self._waiting.popleft().result()
        self._waiting.append(self._thread.submit(work))

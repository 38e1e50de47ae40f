"""Ctrl-C and termination while training: finish the step, keep the state, then stop.

A launcher that gets Ctrl-C often sends its processes SIGTERM on top of the terminal's own
SIGINT, so those two count as one request. A second Ctrl-C stops at once: files are written
whole or not at all, so that harms none of them.
"""

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from bioicons_kit import console

_HEEDED = (signal.SIGINT, signal.SIGTERM)
_TOLD = b"\nstopping    after this step, when its state is kept; Ctrl-C again stops at once\n"


class Request:
    """Whether, and by which signal, the run was asked to stop.

    Attributes:
        signal: its number; 0 as long as nobody asked.
    """

    def __init__(self) -> None:
        self.signal = 0
        self._interrupts = 0

    def __call__(self, number: int, _frame: FrameType | None) -> None:
        """Note a signal; at the second Ctrl-C, stop."""
        self._interrupts += number == signal.SIGINT
        if self._interrupts > 1:
            raise KeyboardInterrupt
        if not self.signal and console.is_main_process():
            # past Python's buffers: the signal may have come in the middle of a print
            os.write(sys.__stderr__.fileno() if sys.__stderr__ else 2, _TOLD)
        self.signal = self.signal or number


@contextmanager
def heeded() -> Iterator[Request]:
    """Note SIGINT and SIGTERM, instead of dying of them, for the length of a `with` block."""
    request = Request()
    before = {number: signal.signal(number, request) for number in _HEEDED}
    try:
        yield request
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def die_cleanly() -> None:
    """Make SIGTERM end the process as Ctrl-C does, files whole, with the status a shell expects."""

    def terminate(number: int, _frame: FrameType | None) -> None:
        raise SystemExit(128 + number)

    signal.signal(signal.SIGTERM, terminate)

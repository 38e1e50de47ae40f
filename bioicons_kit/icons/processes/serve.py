"""The process at the other end of `pool`: reads tasks, does its work, limits itself.

A task comes as its length in eight bytes and a pickle (from the parent, which is trusted);
the answer goes as a line of JSON and, where there are any, raw bytes.

The memory limit is one of address space, set on Linux only. An alarm ends a process whose
parent is no longer there to do it.
"""

import json
import math
import os
import pickle
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

from bioicons_kit.errors import KitError

# What JSON can hold, and bytes.
Answer = tuple[dict[str, Any], bytes]
Work = Callable[[Any], Answer]

# The most bytes of an answer: RGB and alpha of 16384 x 16384 pixels.
MOST_BYTES = 2**30
# The status of a worker that was refused memory.
OUT_OF_MEMORY = 77
# By how much the alarm lets the parent go first.
_GRACE_SECONDS = 5


def serve(work: Work, seconds: float, memory: int) -> None:
    """Do tasks until the input ends.

    Args:
        work: what to do with one. A `KitError` or `OSError` from it is the task's problem;
            what else it raises is, too, by its type: one file must not stop the others.
        seconds: the longest that a task may take.
        memory: bytes of address space that may be taken from here on.
    """
    questions, answers = _pipes()
    _limit_memory(memory)
    _answer(answers, {"ready": True})
    while length := questions.read(8):
        task = pickle.loads(questions.read(int.from_bytes(length)))
        _alarm(math.ceil(seconds) + _GRACE_SECONDS)
        started = time.process_time()
        try:
            header, payload = work(task)
        except MemoryError:  # what has been torn on the way is not to be worked with
            os._exit(OUT_OF_MEMORY)
        except (KitError, OSError) as error:
            header, payload = {"problem": " ".join(str(error).split())}, b""
        except Exception as error:
            reason = " ".join(str(error).split())[:200]
            header, payload = {"problem": f"{type(error).__name__}: {reason}"}, b""
        _answer(answers, {**header, "seconds": time.process_time() - started}, payload)
        _alarm(0)


def _answer(answers: IO[bytes], header: dict[str, Any], payload: bytes = b"") -> None:
    """Write one answer."""
    line = json.dumps({**header, "bytes": len(payload)})
    answers.write(line.encode("ascii") + b"\n" + payload)
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

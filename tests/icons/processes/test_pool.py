"""One function on many tasks, in processes that can be killed."""

import itertools
import os
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from bioicons_kit.errors import DocumentError
from bioicons_kit.icons.processes import pool
from bioicons_kit.icons.processes.pool import Pool
from bioicons_kit.icons.processes.serve import Answer

MEMORY = 1_000_000_000


def nap(seconds: float) -> Answer:
    """Work that takes a while, or goes wrong in some way."""
    if seconds < 0:
        raise DocumentError("cannot\nsleep backward")
    if seconds == 1.5:
        os._exit(3)
    if seconds == 1.25:
        raise ZeroDivisionError
    if seconds == 1.75:
        np.ones(2 * MEMORY, dtype=np.uint8)
    time.sleep(seconds)
    return {"slept": seconds}, b"\n\x00" * int(8 * seconds)


def count(number: int) -> Answer:
    """Work that keeps a processor busy, and prints."""
    print("not an answer", flush=True)
    return {"sum": sum(range(number))}, b""


def test_a_task_that_hangs_or_dies_costs_itself_only():
    tasks = [0.0, 60.0, -1.0, 1.5, 1.25, 1.75, 0.125]
    # the limit starts to count when the process is there
    with Pool[float](nap, 2, 0.5, MEMORY) as two:
        found = {done.task: done for done in two.run(tasks, in_order=False)}
    assert found[0.0].answer == ({"slept": 0.0}, b"")
    assert found[0.125].answer == ({"slept": 0.125}, b"\n\x00")
    assert found[60.0].problem == "took longer than 0.5 s"
    assert found[-1.0].problem == "cannot sleep backward"
    assert "ended the process that worked on it (status 3)" in found[1.5].problem
    assert "ZeroDivisionError" in found[1.25].problem
    if sys.platform == "linux":
        assert "more memory" in found[1.75].problem
    assert len(found) == len(tasks)


@pytest.mark.parametrize("in_order", [True, False])
def test_outcomes_come_in_order_or_as_they_are_there(in_order):
    tasks = [0.9, 0.0, 0.1]
    with Pool[float](nap, 3, 30.0, MEMORY) as three:
        list(three.run([0.0] * 3))  # now all are up
        came = [done.task for done in three.run(tasks, in_order=in_order)]
    assert came == (tasks if in_order else sorted(tasks))


def test_processor_seconds_are_told_and_prints_are_no_answers():
    with Pool[int](count, 1, 30.0, MEMORY) as one:
        little, much = one.run([10, 3_000_000])
    assert little.answer == ({"sum": 45}, b"")
    assert much.seconds > little.seconds >= 0


def test_tasks_are_taken_a_little_ahead_whatever_the_order():
    taken = itertools.count()
    tasks = (0.0 for _ in zip(itertools.count(), taken, strict=False))
    with Pool[float](nap, 1, 30.0, MEMORY) as one:
        outcomes = one.run(tasks, in_order=False)
        assert next(outcomes).answer
        outcomes.close()
    assert next(taken) <= pool.AHEAD + 2


def taken_over(_: int) -> Answer:
    """Work of a process that a hostile file has made its own."""
    line = b'{"bytes": 99999999999, "seconds": 0}\n'
    os.write(max(int(one.name) for one in Path("/proc/self/fd").iterdir() if _is_pipe(one)), line)
    time.sleep(30)
    return {}, b""


def _is_pipe(descriptor: Path) -> bool:
    try:
        return descriptor.name not in "012" and descriptor.readlink().name.startswith("pipe")
    except OSError:
        return False


@pytest.mark.skipif(sys.platform != "linux", reason="looks for the pipe in /proc")
def test_an_answer_that_cannot_be_is_none():
    with Pool[int](taken_over, 1, 10.0, MEMORY) as one:
        (done,) = one.run([1])
    assert done.answer is None
    assert "ended the process" in done.problem

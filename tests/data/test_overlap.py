"""The threads around the encoder: in order, bounded, and with nothing lost or left behind."""

import threading
import time
from collections.abc import Generator

import pytest

from bioicons_kit.data.overlap import Writer, ahead


def threads(name: str) -> list[threading.Thread]:
    return [each for each in threading.enumerate() if each.name.startswith(name)]


def numbers(made: list[int], closed: list[bool], most: int = 1000) -> Generator[int]:
    try:
        for number in range(most):
            made.append(number)
            yield number
    finally:
        closed.append(True)


def test_items_come_in_their_order() -> None:
    with ahead(numbers([], []), 3) as taken:
        assert list(taken) == list(range(1000))
    assert not threads("ahead")


def test_no_more_are_made_than_are_allowed_to_wait() -> None:
    made: list[int] = []
    with ahead(numbers(made, []), 4) as taken:
        assert next(taken) == 0
        time.sleep(0.3)
        assert len(made) <= 1 + 4 + 1  # taken, waiting, and one in the hand
        assert len(made) > 1  # made ahead


def test_leaving_early_closes_the_generator_and_ends_the_thread() -> None:
    closed: list[bool] = []

    def leave() -> None:
        with ahead(numbers([], closed), 2) as taken:
            raise ZeroDivisionError(next(taken))

    with pytest.raises(ZeroDivisionError):
        leave()
    assert closed == [True]
    assert not threads("ahead")


def test_an_error_while_making_is_raised_where_items_are_taken() -> None:
    def broken() -> Generator[int]:
        yield 1
        raise ArithmeticError("made wrong")

    with ahead(broken(), 2) as taken:
        assert next(taken) == 1
        with pytest.raises(ArithmeticError, match="made wrong"):
            next(taken)


def test_a_writer_does_all_it_was_handed_in_order() -> None:
    done: list[int] = []
    with Writer(3) as writer:
        for number in range(50):
            writer.do(lambda number=number: done.append(number))
    assert done == list(range(50))
    assert not threads("writer")


def test_no_more_is_handed_over_than_may_wait() -> None:
    release, handed = threading.Event(), []

    def hand_over() -> None:
        with Writer(3) as writer:
            for number in range(10):
                writer.do(release.wait)
                handed.append(number)

    thread = threading.Thread(target=hand_over)
    thread.start()
    time.sleep(0.3)
    assert len(handed) == 3
    release.set()
    thread.join(10)
    assert len(handed) == 10


def fail() -> None:
    raise ArithmeticError("no room")


def test_a_writers_error_is_raised_at_the_latest_when_it_ends() -> None:

    def write(most: int, times: int) -> None:
        with Writer(most) as writer:
            for _ in range(times):
                writer.do(fail)

    for most, times in ((10, 1), (1, 3)):
        with pytest.raises(ArithmeticError, match="no room"):
            write(most, times)


def test_what_was_handed_over_is_done_although_something_else_failed() -> None:
    done: list[int] = []

    def work() -> None:
        with Writer(10) as writer:
            writer.do(lambda: done.append(1))
            writer.do(fail)
            writer.do(lambda: done.append(2))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        work()
    assert done == [1, 2]

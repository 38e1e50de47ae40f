"""The learning rate's formulas: pure functions of the step."""

import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from bioicons_kit.preset import Train
from bioicons_kit.train import schedules

SCHEDULES = ("constant", "linear", "cosine", "polynomial", "wsd")
PEAK = 2e-3


def rates(schedule: str, steps: int, warmup: int = 0, **values: Any) -> list[float]:
    values = {"schedule": schedule, "steps": steps, "warmup_steps": warmup, **values}
    chosen = made(learning_rate=PEAK, **values)
    return [schedules.learning_rate(step, chosen) for step in range(steps)]


def made(**values: Any) -> Train:
    return Train.model_validate(values)


def test_each_schedule_by_its_formula() -> None:
    assert rates("constant", 4) == [PEAK] * 4
    assert rates("linear", 4) == pytest.approx([PEAK, 0.75 * PEAK, 0.5 * PEAK, 0.25 * PEAK])
    half = math.sqrt(0.5) / 2
    assert rates("cosine", 4) == pytest.approx(
        [PEAK, (0.5 + half) * PEAK, 0.5 * PEAK, (0.5 - half) * PEAK]
    )


def test_polynomial_is_a_power_of_what_remains() -> None:
    squares = [(4 / 4) ** 2, (3 / 4) ** 2, (2 / 4) ** 2, (1 / 4) ** 2]
    assert rates("polynomial", 4) == pytest.approx([PEAK * s for s in squares])
    cubes = [s**1.5 for s in squares]
    assert rates("polynomial", 4, power=3.0) == pytest.approx([PEAK * s for s in cubes])
    assert rates("polynomial", 7, 2, power=1.0) == pytest.approx(rates("linear", 7, 2))


def test_wsd_stays_and_then_falls_by_the_root() -> None:
    found = rates("wsd", 10, 2, decay_share=0.4)
    fall = [1 - math.sqrt(q) for q in (0, 0.25, 0.5, 0.75)]
    assert found == pytest.approx([PEAK / 2, *[PEAK] * 5, *[PEAK * f for f in fall]])
    assert rates("wsd", 10) == pytest.approx([*[PEAK] * 9, PEAK * (1 - math.sqrt(0.5))])
    # a decay that leaves no room for the warm-up starts after it
    assert rates("wsd", 4, 3, decay_share=1.0) == pytest.approx(
        [PEAK / 3, 2 * PEAK / 3, PEAK, PEAK]
    )


def test_a_warm_up_may_be_a_share_of_the_steps() -> None:
    assert rates("linear", 40, warmup_share=0.25) == rates("linear", 40, 10)
    assert made(steps=3, warmup_share=0.99).warmup == 2  # at least one step is at the peak


def test_beyond_the_last_step_nothing_rises_again() -> None:
    """A run that is told to go on may ask; a cosine would turn."""
    chosen = made(schedule="cosine", steps=4, learning_rate=PEAK)
    assert schedules.learning_rate(6, chosen) == pytest.approx(0)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"power": 2.0}, 'power is of schedule = "polynomial"'),
        ({"decay_share": 0.5, "schedule": "linear"}, 'decay_share is of schedule = "wsd"'),
        ({"warmup_steps": 5, "warmup_share": 0.1}, "say the same twice"),
        ({"steps": 5, "warmup_steps": 5}, "must be below steps"),
        (
            {"schedule": "wsd", "warmup_share": 0.6, "decay_share": 0.6},
            "come to more than all of them",
        ),
    ],
)
def test_what_cannot_apply_is_refused(values: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        made(**values)


def test_the_warm_up_rises_to_the_peak_and_the_schedule_starts_there() -> None:
    assert rates("constant", 6, warmup=4) == pytest.approx(
        [PEAK / 4, PEAK / 2, 0.75 * PEAK, PEAK, PEAK, PEAK]
    )
    assert rates("linear", 6, warmup=4) == pytest.approx(
        [PEAK / 4, PEAK / 2, 0.75 * PEAK, PEAK, PEAK, PEAK / 2]
    )


@given(schedule=st.sampled_from(SCHEDULES), steps=st.integers(1, 300), warm=st.floats(0, 1))
@settings(deadline=None)
def test_every_rate_is_above_zero_and_the_peak_is_reached(
    schedule: str, steps: int, warm: float
) -> None:
    warmup = min(int(warm * steps), steps - 1)
    series = rates(schedule, steps, warmup)
    assert all(0 < rate <= PEAK * (1 + 1e-12) for rate in series)
    assert max(series) == pytest.approx(PEAK)
    rising, falling = series[:warmup], series[warmup:]
    assert rising == sorted(rising)
    assert falling == sorted(falling, reverse=True)
    assert falling[0] == PEAK


def test_every_schedule_a_preset_may_name_is_known() -> None:
    assert Train.model_fields["schedule"].annotation is not None
    assert set(Train.model_fields["schedule"].annotation.__args__) == set(SCHEDULES)

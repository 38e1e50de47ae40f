"""The learning rate's formulas, and the optimizer."""

import math
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from bioicons_kit.preset import Lora, Train
from bioicons_kit.train import optim

SCHEDULES = ("constant", "linear", "cosine", "polynomial", "wsd")
PEAK = 2e-3


def rates(schedule: str, steps: int, warmup: int = 0) -> list[float]:
    chosen = made(schedule=schedule, steps=steps, warmup_steps=warmup, learning_rate=PEAK)
    return [optim.learning_rate(step, chosen) for step in range(steps)]


def made(**values: Any) -> Train:
    return Train.model_validate(values)


def test_each_schedule_by_its_formula() -> None:
    assert rates("constant", 4) == [PEAK] * 4
    assert rates("linear", 4) == pytest.approx([PEAK, 0.75 * PEAK, 0.5 * PEAK, 0.25 * PEAK])
    half = math.sqrt(0.5) / 2
    assert rates("cosine", 4) == pytest.approx(
        [PEAK, (0.5 + half) * PEAK, 0.5 * PEAK, (0.5 - half) * PEAK]
    )


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


def test_the_optimizer_is_adamw_with_the_presets_decay() -> None:
    weight = nn.Parameter(torch.ones(3))
    optimizer = optim.build(
        {"x.down": weight},
        made(learning_rate=0.1, weight_decay=0.5, steps=10, warmup_steps=5),
        Lora(),
    )
    assert isinstance(optimizer, torch.optim.AdamW)
    (group,) = optimizer.param_groups
    assert group["lr"] == pytest.approx(0.02)  # the first of five warm-up steps
    # decoupled decay: with a gradient of zero a step is a multiplication by 1 - lr * decay
    weight.grad = torch.zeros(3)
    optimizer.step()
    assert torch.allclose(weight.detach(), torch.full((3,), 1 - 0.02 * 0.5))


def test_the_learning_rate_is_set_in_every_group() -> None:
    groups = [{"params": [nn.Parameter(torch.ones(1))]} for _ in range(2)]
    optimizer = torch.optim.AdamW(groups, lr=1.0)
    optim.set_learning_rate(optimizer, 0.25)
    assert [group["lr"] for group in optimizer.param_groups] == [0.25, 0.25]

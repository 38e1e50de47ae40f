"""The choice of a layout: it fits, nothing that fits is faster, and what is settled stays."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bioicons_kit.memory import fit, plan
from bioicons_kit.memory.fit import Fixed, Room
from bioicons_kit.memory.plan import GIB, BlockCost, Layout, StepCost

BLOCK = BlockCost(
    output=28 * 2**20,
    kept=540 * 2**20,
    rise=100 * 2**20,
    again=700 * 2**20,
    back=680 * 2**20,
    gradient=2**20,
    forward=1_300 * 10**9,
    rerun=800 * 10**9,
    backward=1_500 * 10**9,
    weights=226 * 2**20,
)
STEP = StepCost(
    blocks=(BLOCK,) * 57,
    head=100 * 2**20,
    tail=50 * 2**20,
    forward_work=300 * 2**20,
    flops=10**12,
    modulation_weights=6 * GIB,
    modulation_answers=2 * 2**20,
    other_weights=16 * GIB,
    batch=5 * 2**20,
)
PLENTY = 10**15
FREE = Fixed()


def device(layout: Layout) -> int:
    return sum(plan.training(STEP, layout, 2**27, 2**28, micro_steps=1).values())


def best(gib: float, fixed: Fixed = FREE, host: float = PLENTY) -> Layout | None:
    found = fit.best(STEP, fixed, device, Room(int(gib * GIB), int(host)), 64)
    return None if found is None else found.layout


def test_where_there_is_room_nothing_is_done():
    assert best(1000) == Layout(kept=57)


def test_a_little_less_room_costs_what_is_free_first():
    layout = best(40)
    assert layout is not None
    assert layout.ahead
    assert not layout.offloaded
    assert 30 < layout.kept < 57


def test_the_smallest_room_moves_blocks_and_then_there_is_none():
    layout = best(8)
    assert layout is not None
    assert len(layout.offloaded) > 20
    assert best(1) is None


@settings(max_examples=15)
@given(st.floats(3, 60))
def test_it_fits_and_one_block_more_would_not(gib: float):
    found = fit.best(STEP, Fixed(), device, Room(int(gib * GIB), PLENTY), 64)
    if found is None:
        assert fit.least(STEP, Fixed(), device).device > gib * GIB
        return
    assert found.device == device(found.layout) <= gib * GIB
    layout = found.layout
    if layout.kept + len(layout.offloaded) < 57:
        more = Layout(
            layout.kept + 1,
            layout.inputs_on_host,
            layout.ahead,
            plan.spread(len(layout.offloaded), 56 - layout.kept),
        )
        assert device(more) > gib * GIB


@pytest.mark.parametrize(
    "fixed",
    [
        Fixed(kept=3),
        Fixed(inputs_on_host=True),
        Fixed(ahead=False),
        Fixed(offload=12),
        Fixed(0, False, True, 6),
    ],
    ids=str,
)
def test_what_is_settled_stays(fixed: Fixed):
    layout = best(30, fixed)
    assert layout is not None
    if fixed.kept is not None:
        assert layout.kept == fixed.kept
    if fixed.inputs_on_host is not None:
        assert layout.inputs_on_host == fixed.inputs_on_host
    if fixed.ahead is not None:
        assert layout.ahead == fixed.ahead
    if fixed.offload is not None:
        assert len(layout.offloaded) == fixed.offload


def test_the_host_has_to_have_room_for_what_leaves_the_device():
    layout = best(12, host=8 * GIB)
    assert layout is None or plan.on_host(STEP, layout, 64) <= 8 * GIB
    assert best(12, host=0) is None


def test_more_work_takes_longer():
    times = [fit.seconds(STEP, Layout(kept=n)) for n in (57, 30, 0)]
    assert times == sorted(times)
    assert fit.seconds(STEP, Layout(offloaded=tuple(range(0, 57, 3)))) > times[-1]
    assert fit.seconds(STEP, Layout(inputs_on_host=True)) > times[-1]

"""The plan against what a training step on the CPU really holds."""

import gc
import itertools
import math
import xml.etree.ElementTree as ET
from collections.abc import Sequence
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from bioicons_kit.families import flux, flux_memory
from bioicons_kit.memory import measure, plan, plan_picture
from bioicons_kit.memory.plan import GIB, BlockCost, Layout, Phase, Plan, StepCost
from bioicons_kit.memory.probe import probing
from bioicons_kit.preset import Memory, Train
from tests.memory import small

# Three scaled-down sizes: blocks, width, pictures, batch.
SIZES: list[tuple[dict[str, Any], int, int]] = [
    (small.CONFIG, 16, 2),
    ({**small.CONFIG, "num_layers": 2, "num_single_layers": 4, "num_attention_heads": 4}, 32, 1),
    ({**small.CONFIG, "num_layers": 4, "num_single_layers": 8, "num_attention_heads": 3}, 16, 1),
]


def predicted(
    config: dict[str, Any],
    side: int,
    count: int,
    level: str,
    targets: Sequence[str] = small.TARGETS,
) -> StepCost:
    """Return a step's costs, probed without weights."""
    model = small.denoiser(Memory(dtype="fp32", quantization=level, checkpointing="none"), config)  # type: ignore[arg-type]
    small.adapted(model, targets=targets)
    model.to("meta")
    given_ = small.batch(0, count, side).to(torch.device("meta"))
    subject = measure.Subject(
        model, flux_memory.blocks(model), flux_memory.modulation_linears(model)
    )
    settings = Train(batch_size=count)
    tensors = list(given_.tensors.values())
    return measure.step(
        subject, lambda: flux.loss(model, given_, settings, small.SCALING).mean(), tensors
    )


def measured(
    config: dict[str, Any],
    side: int,
    count: int,
    memory: Memory,
    targets: Sequence[str] = small.TARGETS,
) -> int:
    """Return the most that a second step held: activations, gradients, optimizer."""
    model = small.denoiser(memory, config)
    parameters = small.adapted(model, targets=targets)
    settings = Train(batch_size=count)
    optimizer = torch.optim.AdamW(parameters)
    with probing() as probe:
        for number in range(2):
            gc.collect()  # what other tests left is not this step's
            probe.mark()
            loss = flux.loss(model, small.batch(number, count, side), settings, small.SCALING)
            torch.autograd.backward([loss.mean()])
            del loss
            optimizer.step()
            optimizer.zero_grad()
    return probe.peak


@pytest.mark.parametrize(
    ("config", "side", "count", "level", "policy"),
    [
        *((*size, "qfloat8", "full") for size in SIZES),
        (*SIZES[0], "none", "full"),
        (*SIZES[1], "none", 3),
        (*SIZES[2], "qfloat8", "none"),
    ],
)
def test_the_peak_is_predicted_within_a_tenth(
    config: dict[str, Any], side: int, count: int, level: str, policy: str | int
):
    cost = predicted(config, side, count, level)
    memory = Memory(dtype="fp32", quantization=level, checkpointing=policy)  # type: ignore[arg-type]
    held = measured(config, side, count, memory)
    kept = {"full": 0, "none": len(cost.blocks)}.get(str(policy), policy)
    assert isinstance(kept, int)
    model = small.denoiser(memory, config)
    adapter = sum(p.nbytes for p in small.adapted(model))
    parts = plan.training(cost, Layout(kept=kept), adapter, 2 * adapter, micro_steps=1)
    assert parts["activations"] + parts["optimizer"] == pytest.approx(held, rel=0.1)


@pytest.mark.parametrize(("config", "side", "count"), SIZES)
def test_blocks_before_all_that_is_trained_run_once_and_keep_nothing(
    config: dict[str, Any], side: int, count: int
):
    targets = (r"single_transformer_blocks\.[34]\.attn\.to_.",)
    memory = Memory(dtype="fp32", checkpointing="full")
    cost = predicted(config, side, count, "qfloat8", targets)
    held = measured(config, side, count, memory, targets)
    first = config["num_layers"] + 3
    assert [each.rerun > 0 for each in cost.blocks] == [
        number >= first for number in range(len(cost.blocks))
    ]
    adapter = sum(each.gradient for each in cost.blocks)
    parts = plan.training(cost, Layout(), adapter, 2 * adapter, micro_steps=1)
    assert parts["activations"] + parts["optimizer"] == pytest.approx(held, rel=0.1)


@pytest.mark.parametrize("policy", ["full", 3, "none"])
@pytest.mark.parametrize(
    "targets", [small.TARGETS, (r"single_transformer_blocks\.[34]\.attn\..*",)]
)
def test_the_work_is_predicted(targets: tuple[str, ...], policy: str | int):
    cost = predicted(small.CONFIG, 16, 2, "qfloat8", targets)
    memory = Memory(dtype="fp32", checkpointing=policy)  # type: ignore[arg-type]
    model = small.denoiser(memory)
    small.adapted(model, targets=targets)
    model.to("meta")  # where attention's work is counted
    given_, settings = small.batch(0, 2, 16).to(torch.device("meta")), Train(batch_size=2)
    with probing() as whole:
        flux.loss(model, given_, settings, small.SCALING).mean().backward()
    kept = {"full": 0, "none": len(cost.blocks)}.get(str(policy), policy)
    assert isinstance(kept, int)
    # the first block that is trained asks for no gradient of its inputs; the plan counts one
    assert plan.flops(cost, Layout(kept=kept)) == pytest.approx(whole.flops, rel=0.05)


@pytest.mark.parametrize("level", ["none", "qfloat8", "qint8", "qint4", small.NF4])
def test_weights_adapter_and_optimizer_are_exact(level: str):
    memory = Memory(dtype="fp32", quantization=level)  # type: ignore[arg-type]
    model = small.denoiser(memory)
    frozen = measure.frozen_bytes([model])
    parameters = small.adapted(model)
    cost = predicted(small.CONFIG, 8, 2, level)
    adapter = sum(p.nbytes for p in parameters)
    optimizer = torch.optim.AdamW(parameters)
    for parameter in parameters:
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    moments = sum(
        state[name].nbytes
        for state in optimizer.state.values()
        for name in ("exp_avg", "exp_avg_sq")
    )
    parts = plan.training(cost, Layout(), adapter, 2 * adapter, micro_steps=1)
    assert parts["weights"] + parts["modulation"] == frozen
    assert parts["optimizer"] == moments
    assert sum(each.gradient for each in cost.blocks) == adapter


@pytest.mark.parametrize("count", [3, 8])
def test_the_bytes_of_offloaded_blocks_are_exact(count: int):
    memory = Memory(dtype="fp32", offload_blocks=count)
    cost = predicted(small.CONFIG, 8, 2, "qfloat8")
    layout = Layout(ahead=True, offloaded=plan.spread(count, 8))
    parts = plan.training(cost, layout, 0, 0, micro_steps=1)
    model = small.denoiser(memory.model_copy(update={"modulation": "ahead"}))
    held = {
        t.untyped_storage().data_ptr(): t.untyped_storage().nbytes()
        for t in (*model.parameters(), *model.buffers())
    }
    slots = [
        size for size in held.values() if size in {cost.blocks[0].weights, cost.blocks[-1].weights}
    ]
    # before the first step all offloaded blocks stand in the first slot, and there are two
    assert parts["weights"] == sum(held.values()) + max(slots)


def block(output: int = 1, kept: int = 20, again: int = 25, back: int = 24) -> BlockCost:
    return BlockCost(output, kept, 3, again, back, 1, 10, 7, 20, 100)


def step(count: int = 10) -> StepCost:
    return StepCost(
        blocks=(block(),) * count,
        head=5,
        tail=2,
        forward_work=6,
        flops=0,
        modulation_weights=50,
        modulation_answers=1,
        other_weights=1000,
        batch=4,
    )


class TestArithmetic:
    def test_all_checkpointed_the_last_block_run_again_is_the_peak(self):
        assert plan.activations(step(), Layout()) == 5 + 9 + 25

    def test_all_kept_the_peak_is_where_the_forward_pass_ends(self):
        assert plan.activations(step(), Layout(kept=10)) == 5 + 9 * 20 + 24

    def test_inputs_on_the_host_take_no_room(self):
        assert plan.activations(step(), Layout(inputs_on_host=True)) == 5 + 25 + 9  # gradients

    def test_each_block_kept_costs_more(self):
        held = [plan.activations(step(), Layout(kept=n)) for n in range(11)]
        assert held == sorted(held)

    def test_each_block_kept_saves_its_second_run(self):
        work = [plan.flops(step(), Layout(kept=n)) for n in range(11)]
        assert work[0] == 10 * (10 + 7 + 20)
        assert {a - b for a, b in itertools.pairwise(work)} == {7}

    def test_offloading_leaves_two_slots(self):
        away = Layout(offloaded=(1, 4, 7))
        held = plan.training(step(), away, 0, 0, micro_steps=1)
        assert held["weights"] == 1000 - 300 + 200
        assert plan.on_host(step(), away, 0) == 300

    def test_modulation_ahead_leaves_its_answers(self):
        held = plan.training(step(), Layout(ahead=True), 0, 0, micro_steps=1)
        assert held["modulation"] == 1
        assert plan.on_host(step(), Layout(ahead=True), 64) == 50 + 64 * 5

    @pytest.mark.parametrize(("card", "room"), [(12, 11.0), (16, 15.0), (24, 22.8), (80, 76.0)])
    def test_what_a_process_may_use_of_a_card(self, card: int, room: float):
        assert plan.usable(card) == int(room * GIB)

    @given(st.integers(1, 60), st.integers(1, 60))
    def test_spread_numbers_differ_and_are_in_range(self, count: int, able: int):
        if count <= able:
            chosen = plan.spread(count, able)
            assert len(set(chosen)) == count
            assert all(0 <= number < able for number in chosen)


PLAN = Plan(
    "<run> & co",
    (
        Phase("load", {"weights": 8 * GIB, "workspace": GIB // 4}, GIB),
        Phase(
            "train", {"weights": 8 * GIB, "activations": 9 * GIB}, GIB, flops=10**12, unit="step"
        ),
        Phase("save", {}, GIB, disk=2**20),
    ),
    ("a note",),
)


class TestPicture:
    def test_bars_are_as_long_as_their_numbers(self):
        lines = plan_picture.terminal(PLAN, int(15 * GIB))
        load, train = lines[1], lines[2]
        assert train.count("W") == pytest.approx(8 / (17 * 1.02) * 48, abs=1)
        assert train.count("a") - 1 == pytest.approx(9 / (17 * 1.02) * 48, abs=1)  # tr-a-in
        assert train.endswith("17.00 GiB  does not fit")
        assert "does not fit" not in load
        assert "|" in load
        assert lines[-1] == "a note"

    def test_without_a_card_nothing_is_compared(self):
        lines = plan_picture.terminal(PLAN, None)
        assert not any("fit" in line or "|" in line for line in lines)

    def test_the_table_names_every_part(self):
        text = "\n".join(plan_picture.table(PLAN))
        for number in ("8.25 GiB", "17.00 GiB", "activations 9.00 GiB", "1.0 per step", "1.0 MiB"):
            assert number in text

    @pytest.mark.parametrize("card", [None, 15 * GIB])
    def test_the_svg_is_well_formed_and_to_scale(self, card: int | None):
        root = ET.fromstring(plan_picture.svg(PLAN, card))
        space = "{http://www.w3.org/2000/svg}"
        rects = [r for r in root.iter(f"{space}rect") if r.find(f"{space}title") is not None]
        widths = [float(r.get("width", "nan")) for r in rects]
        assert len(widths) == 4
        assert math.isclose(widths[2] / widths[3], 8 / 9, rel_tol=1e-2)
        assert (root.find(f"{space}path") is not None) == (card is not None)
        assert root.findtext(f"{space}title") == "<run> & co"

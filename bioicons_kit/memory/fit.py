"""The fastest layout of a training step that fits a card.

Every layout is weighed by the time it would take on one card of the middle class, the same
for all comparisons: computing, decoding stored weights, and the copies that computing does
not hide. The seconds are for comparing; cards differ.
"""

from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple, TypeVar

from bioicons_kit.memory.plan import Layout, StepCost, flops, on_host, spread

# An RTX 4090 as trainers report it: half of 165 TFLOP/s, 1 TB/s; and half of PCIe 4.0 x16,
# for many cards sit in lesser slots.
_COMPUTE = 80e12  # operations a second
_MEMORY = 800e9  # bytes a second
_BUS = 12e9  # bytes a second

# Copies run beside computing, but how well they hide behind it has not been measured here: at
# least this share of each is counted, so that nothing is moved about for a doubtful gain.
_SEEN = 0.5

_DECODED = 5  # bytes moved to decode a weight and to read it again, beside its product
_OFFLOAD_STEP = 3  # blocks; fewer differences are not worth a look


Choice = TypeVar("Choice")


@dataclass(frozen=True)
class Fixed:
    """What a preset has settled; None where it is free.

    Attributes:
        kept: blocks that keep their activations.
        inputs_on_host, ahead: see `Layout`.
        offload: blocks on the host.
    """

    kept: int | None = None
    inputs_on_host: bool | None = None
    ahead: bool | None = None
    offload: int | None = None


class Room(NamedTuple):
    """What there is: bytes of device and of host memory."""

    device: int
    host: int


class Found(NamedTuple):
    """A layout and what it takes.

    Attributes:
        layout: what is where.
        seconds: of a micro-step, for comparing.
        device: bytes.
    """

    layout: Layout
    seconds: float
    device: int


def best(
    step: StepCost,
    fixed: Fixed,
    device: Callable[[Layout], int],
    room: Room,
    answers_ahead: int,
) -> Found | None:
    """Return the fastest layout that fits, the plainest of those as fast; None if none does.

    Args:
        step: costs of a micro-step.
        fixed: what is settled.
        device: returns the bytes on the device.
        room: what there is, the process' own host memory taken off.
        answers_ahead: batches whose modulation is computed at once.
    """
    found: Found | None = None
    for layout in _layouts(step, fixed, device, room.device):
        size = device(layout)
        if size > room.device or on_host(step, layout, answers_ahead) > room.host:
            continue
        time = seconds(step, layout)
        if found is None or time < found.seconds * 0.999:  # no trouble for a thousandth
            found = Found(layout, time, size)
    return found


def least(step: StepCost, fixed: Fixed, device: Callable[[Layout], int]) -> Found:
    """Return the layout that takes the least of the device, whatever its speed."""
    every = [
        Found(layout, seconds(step, layout), device(layout))
        for layout in _layouts(step, fixed, device, 0)
    ]
    return min(every, key=lambda each: (each.device, each.seconds))


def seconds(step: StepCost, layout: Layout) -> float:
    """Return about how long a micro-step takes."""
    compute = flops(step, layout) / _COMPUTE
    passes = 3 - layout.kept / len(step.blocks)  # forward, again, backward
    decode = step.dequantized * _DECODED * passes / _MEMORY
    if layout.ahead:
        decode *= 1 - step.modulation_weights / step.weights
    copies = 0.0
    if layout.offloaded:
        # each block comes twice, while those between it and the one before compute
        window = (compute + decode) / (2 * len(layout.offloaded))
        times = [step.blocks[number].weights / _BUS for number in layout.offloaded]
        copies += sum(2 * max(time - window, _SEEN * time) for time in times)
    if layout.inputs_on_host:
        moved = sum(each.output for each in step.blocks[: len(step.blocks) - layout.kept])
        copies += 2 * _SEEN * moved / _BUS
    return compute + decode + copies


def _layouts(
    step: StepCost, fixed: Fixed, device: Callable[[Layout], int], room: int
) -> Iterator[Layout]:
    """Yield what may be chosen, the plainest first; of blocks kept only the most that fit."""
    count = len(step.blocks)
    for ahead in _free(fixed.ahead, (False, True)):
        for on_the_host in _free(fixed.inputs_on_host, (False, True)):
            for offload in _free(
                fixed.offload, (0, *range(_OFFLOAD_STEP, count + 1, _OFFLOAD_STEP))
            ):

                def layout(
                    kept: int, on: bool = on_the_host, off: int = offload, early: bool = ahead
                ) -> Layout:
                    return Layout(kept, on, early, spread(off, count - kept))

                kept = fixed.kept
                if kept is None:  # each block kept takes more: the most that fit, by halving
                    able = range(count - offload + 1)
                    over = bisect_right(able, room, key=lambda kept: device(layout(kept)))
                    kept = max(0, over - 1)
                if kept + offload <= count and not (kept == count and on_the_host):
                    yield layout(kept)


def _free(settled: Choice | None, choices: Iterable[Choice]) -> tuple[Choice, ...]:
    """Return what is settled, or all there is to choose from."""
    return tuple(choices) if settled is None else (settled,)

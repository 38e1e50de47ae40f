"""What a run will hold, phase by phase: arithmetic on what its parts were probed to hold.

A training step's peak is put together from one probe of each kind of block (`probe`): in the
forward pass each block leaves its input, or all it keeps; in the backward pass blocks come
last to first, each on top of what the ones before it left. So a step of any number of blocks,
with any of them kept, checkpointed or waiting on the host, costs no further probe.

Bytes of weights, adapter, gradients and optimizer are exact. Activations are what torch's
tensors hold; `workspace` is an allowance for what kernels and the allocator take besides.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

GIB = 2**30

# Of a GPU: cuBLAS' and cuDNN's scratch memory, and what the allocator's blocks are larger than
# their tensors. A guess with a margin, to be held against measured peaks.
_SCRATCH = 160 * 2**20
_FRAGMENTS = 0.04  # of the activations

# What CUDA's context and a desktop take of a card; the rest is what a process may reserve.
_CONTEXT = 1.0 * GIB
_USABLE = 0.95  # of larger cards

SLOTS = 2  # blocks on the device of those that are offloaded, see `offload`


class BlockCost(NamedTuple):
    """One repeated block of a step.

    Attributes:
        output: bytes it leaves for the next block.
        kept: bytes it keeps for its backward pass, its output among them.
        rise: most bytes it holds in its forward pass over `kept`, where it keeps all.
        again: most bytes it holds while it runs again and then backward, over what it was given.
        back: most bytes it holds in its backward pass where it kept all, what it kept included.
        gradient: bytes of its parameters' gradients; part of `again` and `back`.
        forward: floating point operations of its forward pass.
        rerun: of its second run, where it is checkpointed: that ends with the last activation
            which the backward pass needs.
        backward: of its backward pass.
        weights: bytes of the weights that offloading moves.
    """

    output: int
    kept: int
    rise: int
    again: int
    back: int
    gradient: int
    forward: int
    rerun: int
    backward: int
    weights: int


@dataclass(frozen=True)
class StepCost:
    """A micro-step: its blocks, and what is around them.

    Attributes:
        blocks: in the order they run.
        head: bytes alive when the last block's backward pass starts, besides what blocks left.
        tail: bytes alive when the loss is there, that are not any more by then.
        forward_work: bytes of the forward pass's peak over what is alive then, where all blocks
            are checkpointed.
        flops: operations outside the blocks, forward and backward.
        modulation_weights: bytes of the modulation linears' weights.
        modulation_answers: bytes of what they answer to one batch.
        other_weights: bytes of all other frozen weights.
        batch: bytes of one batch's tensors.
        dequantized: bytes of weights that are decoded for each pass.
    """

    blocks: tuple[BlockCost, ...]
    head: int
    tail: int
    forward_work: int
    flops: int
    modulation_weights: int
    modulation_answers: int
    other_weights: int
    batch: int
    dequantized: int = 0

    @property
    def weights(self) -> int:
        """Bytes of all frozen weights."""
        return self.modulation_weights + self.other_weights


@dataclass(frozen=True)
class Layout:
    """What of a step is where.

    Attributes:
        kept: blocks, from the last, that keep their activations.
        inputs_on_host: whether the other blocks' inputs wait on the host.
        ahead: whether modulation is computed ahead.
        offloaded: numbers of the blocks on the host.
    """

    kept: int = 0
    inputs_on_host: bool = False
    ahead: bool = False
    offloaded: tuple[int, ...] = ()


@dataclass(frozen=True)
class Phase:
    """One phase of a run.

    Attributes:
        name: for people.
        parts: bytes on the device by what they are.
        host: bytes of host memory.
        disk: bytes it writes, or needs to be there.
        flops: floating point operations of one of its steps.
        unit: what one step is.
    """

    name: str
    parts: Mapping[str, int]
    host: int
    disk: int = 0
    flops: int = 0
    unit: str = ""

    @property
    def device(self) -> int:
        """Bytes on the device."""
        return sum(self.parts.values())


@dataclass(frozen=True)
class Plan:
    """A whole run.

    Attributes:
        title: what it is of.
        phases: in order.
        notes: what else is to be known.
    """

    title: str
    phases: tuple[Phase, ...]
    notes: tuple[str, ...] = field(default=())

    @property
    def largest(self) -> Phase:
        """The phase that needs most of the device."""
        return max(self.phases, key=lambda phase: phase.device)

    @property
    def host(self) -> int:
        """The most host memory that any phase needs."""
        return max(phase.host for phase in self.phases)


def usable(card: float) -> int:
    """Return the bytes that a process may take of a card of so many gigabytes (GiB)."""
    return int(min(card * GIB - _CONTEXT, card * GIB * _USABLE))


def activations(step: StepCost, layout: Layout, accumulated: bool = False) -> int:
    """Return the most bytes of activations and gradients that are alive at once in a step.

    Args:
        step: its costs.
        layout: what is where.
        accumulated: whether gradients stay from one micro-step to the next.
    """
    blocks = step.blocks
    first_kept = len(blocks) - layout.kept
    left = [
        each.kept if number >= first_kept else (0 if layout.inputs_on_host else each.output)
        for number, each in enumerate(blocks)
    ]
    gradients = sum(each.gradient for each in blocks) if accumulated else 0
    alive = step.head + sum(left) + gradients
    most = alive + step.tail
    if layout.kept:
        most = max(most, alive + blocks[-1].rise)
    if first_kept:
        most = max(most, alive - sum(left[first_kept:]) + step.forward_work)
    for number in reversed(range(len(blocks))):
        own = blocks[number]
        alive -= left[number]
        most = max(most, alive + (own.back if number >= first_kept else own.again))
        alive += 0 if accumulated else own.gradient
    return most


def training(
    step: StepCost, layout: Layout, adapter: int, moments: int, *, micro_steps: int, copies: int = 1
) -> dict[str, int]:
    """Return what is on the device while training, by what it is.

    Args:
        step: costs of a micro-step at the size in question.
        layout: what is where.
        adapter: bytes of the adapter's parameters.
        moments: bytes that the optimizer keeps.
        micro_steps: in an optimizer step.
        copies: processes that train together; more than one hold gradients twice.
    """
    away = [step.blocks[number].weights for number in layout.offloaded]
    slots = min(SLOTS, len(away)) * max(away, default=0)
    resident = step.other_weights - sum(away) + slots
    held = activations(step, layout, micro_steps > 1)
    if copies > 1:
        held += adapter
    return {
        "weights": resident,
        "modulation": step.modulation_answers if layout.ahead else step.modulation_weights,
        "adapter": adapter,
        "optimizer": moments,
        "activations": held + step.batch,
        "workspace": _SCRATCH + int(_FRAGMENTS * held),
    }


def on_host(step: StepCost, layout: Layout, answers_ahead: int) -> int:
    """Return the bytes that a step's layout puts on the host.

    Args:
        step: costs of a micro-step.
        layout: what is where.
        answers_ahead: batches whose modulation is computed at once.
    """
    total = sum(step.blocks[number].weights for number in layout.offloaded)
    if layout.ahead:
        total += step.modulation_weights
        total += answers_ahead * (step.modulation_answers + step.batch)
    if layout.inputs_on_host:
        total += sum(each.output for each in step.blocks[: len(step.blocks) - layout.kept])
    return total


def flops(step: StepCost, layout: Layout) -> int:
    """Return the floating point operations of a micro-step."""
    again = step.blocks[: len(step.blocks) - layout.kept]
    return (
        step.flops
        + sum(each.forward + each.backward for each in step.blocks)
        + sum(each.rerun for each in again)
    )


def with_workspace(parts: Mapping[str, int]) -> dict[str, int]:
    """Return a phase's parts with the allowance for what kernels take besides."""
    return {**parts, "workspace": _SCRATCH + int(_FRAGMENTS * parts.get("activations", 0))}


def gib(count: float) -> str:
    """Return bytes for people."""
    return f"{count / GIB:.2f} GiB" if count >= GIB / 8 else f"{count / 2**20:.1f} MiB"


def spread(count: int, able: int) -> tuple[int, ...]:
    """Return `count` of the numbers below `able`, as evenly spread as they can be."""
    return tuple((2 * i + 1) * able // (2 * count) for i in range(count))


def breakdown(phase: Phase) -> str:
    """Return one line on what a phase's device memory is."""
    return ", ".join(f"{name} {gib(size)}" for name, size in phase.parts.items() if size)


def total(phases: Sequence[Phase]) -> int:
    """Return the bytes that all phases want on the disk."""
    return sum(phase.disk for phase in phases)

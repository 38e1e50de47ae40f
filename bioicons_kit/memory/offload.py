"""Blocks whose weights stay on the host and visit the device in turn.

Each block on the host keeps its linears' frozen weights in one page-locked stretch of bytes.
The device has two slots; while one block computes in its slot, the next one's bytes are
copied into the other, on a stream of their own. The next one is the following block in the
forward pass and the preceding one in the backward pass, where each block is run again by
checkpointing. The last two blocks of one pass are the first two of the next, and are there.

Which blocks: as evenly spread as they can be, so that blocks that stay give the copies time.
Biases, norms and adapters stay on the device. No number changes: the weights are the same
bytes, and the order is the same in every step.

A block on the host has to be checkpointed: without, autograd would hold its weights from the
forward pass on, and its slot would be another block's by the time they are used. (Autograd
notices: a tensor that was overwritten since is an error, not a wrong gradient.)
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from bioicons_kit.memory import host
from bioicons_kit.memory.linear import QuantizedLinear
from bioicons_kit.memory.plan import SLOTS, spread

_ALIGNED = 256  # bytes; kernels read weights in wide words


@dataclass(frozen=True)
class _Place:
    """Where one tensor of a block lies in its stretch of bytes."""

    module: nn.Module
    name: str
    start: int
    stop: int
    dtype: torch.dtype
    shape: torch.Size

    def put(self, stretch: Tensor) -> None:
        """Make the module's tensor a view of a stretch of bytes."""
        view = stretch[self.start : self.stop].view(self.dtype).view(self.shape)
        if self.name in self.module._parameters:
            self.module._parameters[self.name] = nn.Parameter(view, requires_grad=False)
        else:
            self.module._buffers[self.name] = view


@dataclass(frozen=True)
class _Stored:
    """A block's bytes on the host, and what they are."""

    bytes: Tensor
    places: tuple[_Place, ...]

    def put(self, stretch: Tensor) -> None:
        """Make all of the block's tensors views of a stretch of bytes."""
        for place in self.places:
            place.put(stretch)


class _Slot:
    """A stretch of device memory that blocks take turns in: one computes, one is filled.

    Attributes:
        bytes: the memory.
        holds: number of the block whose bytes it has; None at first.
        filled: CUDA's event of the last copy into it; None on a CPU.
        free: CUDA's event of the last computation from it; None on a CPU.
    """

    def __init__(self, size: int, device: torch.device) -> None:
        self.bytes = torch.empty(size, dtype=torch.uint8, device=device)
        self.holds: int | None = None
        self.filled: torch.cuda.Event | None = None
        self.free: torch.cuda.Event | None = None


class Offload:
    """Keeps blocks of a model on the host, and brings each to the device as it runs.

    Args:
        model: frozen; its forward runs the blocks in the order given.
        blocks: those that stay on the host; changed in place.
        device: where they compute.
    """

    def __init__(self, model: nn.Module, blocks: Sequence[nn.Module], device: torch.device) -> None:
        self._stored = [_store(block) for block in blocks]
        size = max(each.bytes.numel() for each in self._stored)
        self._slots = [_Slot(size, device) for _ in range(min(SLOTS, len(blocks)))]
        self._stream: torch.cuda.Stream | None = None
        if device.type == "cuda":
            self._stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
        self._running: _Slot | None = None
        self._step = 1  # 1 in a forward pass, -1 in a backward pass
        self.copies = 0  # blocks fetched so far
        for number, block in enumerate(blocks):
            self._stored[number].put(self._slots[0].bytes)  # the device's, not yet the values
            block.to(device)  # what stays
            block.register_forward_pre_hook(self._begins(number))
        model.register_forward_pre_hook(self._starts)
        model.register_forward_hook(self._ends)

    def _starts(self, _model: nn.Module, _args: Any) -> None:
        """Note that a forward pass starts."""
        self._step = 1

    def _ends(self, _model: nn.Module, _args: Any, _output: Any) -> None:
        """Note that the next block to run is the last one, going backward, or the first."""
        self._leave_running()
        if torch.is_grad_enabled():
            self._step = -1
        else:
            self._fetch(0)

    def _begins(self, number: int) -> Any:
        """Return the hook that makes block `number` ready, and the next one on its way."""

        def ready(_block: nn.Module, _args: Any) -> None:
            if self._running is None or self._running.holds != number:
                self._leave_running()
            slot = self._running = self._fetch(number)
            if slot.filled is not None:
                torch.cuda.current_stream(slot.bytes.device).wait_event(slot.filled)
            self._stored[number].put(slot.bytes)
            coming = number + self._step
            if 0 <= coming < len(self._stored) and len(self._slots) > 1:
                self._fetch(coming)

        return ready

    def _leave_running(self) -> None:
        """Note that everything that computes from the running slot has been asked for."""
        if self._running is not None and self._stream is not None:
            current = torch.cuda.current_stream(self._running.bytes.device)
            self._running.free = current.record_event()

    def _fetch(self, number: int) -> _Slot:
        """Return the slot that has block `number` or will have, its copy started if need be."""
        for slot in self._slots:
            if slot.holds == number:
                return slot
        slot = next(each for each in self._slots if each is not self._running or self._alone)
        source = self._stored[number].bytes
        self.copies += 1
        slot.holds = number
        if self._stream is None:
            slot.bytes[: source.numel()].copy_(source)
            return slot
        if slot.free is not None:
            self._stream.wait_event(slot.free)
        with torch.cuda.stream(self._stream):
            slot.bytes[: source.numel()].copy_(source, non_blocking=True)
            slot.filled = self._stream.record_event()
        return slot

    @property
    def _alone(self) -> bool:
        """Whether there is but one slot."""
        return len(self._slots) == 1


def chosen(blocks: Sequence[str], count: int, kept: int) -> tuple[str, ...]:
    """Return the `count` blocks that go to the host, spread over those that are checkpointed.

    Args:
        blocks: names, in the order they run.
        count: how many go.
        kept: how many of the last blocks keep their activations, and so have to stay.
    """
    able = blocks[: len(blocks) - kept]
    assert count <= len(able), (count, len(able))
    return tuple(able[number] for number in spread(count, len(able)))


def apply(model: nn.Module, names: Sequence[str], device: torch.device) -> Offload | None:
    """Keep the blocks called `names` on the host; before an adapter is attached, or after."""
    if not names:
        return None
    return Offload(model, [model.get_submodule(name) for name in names], device)


def moved(block: nn.Module) -> Iterator[tuple[nn.Module, str, Tensor]]:
    """Yield the tensors of a block that go to the host: its frozen linears' weights."""
    for module in block.modules():
        if not isinstance(module, nn.Linear):
            continue
        for name, tensor in [*module._parameters.items(), *module._buffers.items()]:
            if tensor is not None and name != "bias" and not tensor.requires_grad:
                yield module, name, tensor


def aligned(size: int) -> int:
    """Return the bytes that a tensor of `size` bytes takes up in a stretch."""
    return -(-size // _ALIGNED) * _ALIGNED


def _store(block: nn.Module) -> _Stored:
    """Copy a block's weights into one stretch of bytes on the host."""
    places, start = [], 0
    tensors = list(moved(block))
    for module, name, tensor in tensors:
        if isinstance(module, QuantizedLinear):
            module.stays = False
        places.append(
            _Place(module, name, start, start + tensor.nbytes, tensor.dtype, tensor.shape)
        )
        start += aligned(tensor.nbytes)
    stretch = host.empty(start)
    for place, (_, _, tensor) in zip(places, tensors, strict=True):
        stretch[place.start : place.stop].view(place.dtype).view(place.shape).copy_(tensor)
    return _Stored(stretch, tuple(places))

"""Which blocks keep their activations, which compute them again, and where their inputs wait.

Checkpointing (Chen et al. 2016, "Training Deep Nets with Sublinear Memory Cost") keeps a
block's input and runs the block once more in the backward pass. Here the last blocks may
keep everything: their backward comes first, and what they kept is gone before the others
need room to compute again. The inputs that wait can do so on the host.

None of this changes a number: the same operations run on the same values.
"""

import weakref
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks
from torch.utils.checkpoint import checkpoint

# Below this, moving a tensor costs more than it frees (a sample's timestep embedding).
_WORTH_MOVING = 2**16


def kept_blocks(blocks: Sequence[object], policy: str | int) -> int:
    """Return how many of the blocks, from the last, keep their activations.

    Args:
        blocks: names, in the order they run.
        policy: "none" (no checkpointing: all keep them), "full", or a number; "auto" is "full"
            where nobody has asked what fits.
    """
    named = {"none": len(blocks), "full": 0, "auto": 0}
    return named[policy] if isinstance(policy, str) else min(policy, len(blocks))


def needs_graph(block: nn.Module, args: Sequence[Any]) -> bool:
    """Tell whether a backward pass will go through a block: else it need not be kept or rerun.

    The blocks before the first that is trained need none: nothing in them, nor before them,
    has anything to learn.
    """
    return torch.is_grad_enabled() and (
        any(isinstance(arg, Tensor) and arg.requires_grad for arg in args)
        or any(parameter.requires_grad for parameter in block.parameters())
    )


class Policy:
    """Runs a block with or without checkpointing; diffusers calls it for each block.

    Args:
        kept: the blocks that keep their activations.
        inputs_on_host: whether the other blocks' inputs wait on the host.
    """

    def __init__(self, kept: Sequence[nn.Module], inputs_on_host: bool) -> None:
        self._kept = frozenset(id(block) for block in kept)
        self._inputs = WaitingOnHost() if inputs_on_host else None

    def __call__(self, block: nn.Module, *args: Any) -> Any:
        """Return `block(*args)`."""
        if id(block) in self._kept:
            return block(*args)
        if not needs_graph(block, args):
            with torch.no_grad():
                return block(*args)
        waiting: AbstractContextManager[Any] = nullcontext()
        if self._inputs is not None:
            waiting = self._inputs.hooks()
        with waiting:  # of what the checkpoint saves, not of what the block itself does
            return checkpoint(block, *args, use_reentrant=False)


class _Ticket:
    """A tensor that waits on the host.

    Attributes:
        host: its values.
        device: where it came from.
        back: the values on their way back, once asked for.
        arrived: CUDA's event of the last copy; None on a CPU.
    """

    def __init__(self, host: Tensor, device: torch.device) -> None:
        self.host, self.device = host, device
        self.back: Tensor | None = None
        self.arrived: torch.cuda.Event | None = None


class WaitingOnHost:
    """Moves saved tensors to the host after the forward pass, and back before they are needed.

    Copies run on a stream of their own. In the backward pass tensors are asked for in the
    reverse order, so each request starts the next one's way back.
    """

    def __init__(self) -> None:
        self._tickets: list[weakref.ref[_Ticket]] = []  # the graph owns them
        self._stream: torch.cuda.Stream | None = None

    def hooks(self) -> AbstractContextManager[Any]:
        """Return a context in which autograd's saved tensors wait on the host."""
        return saved_tensors_hooks(self._leave, self._fetch)

    def _leave(self, tensor: Tensor) -> Tensor | _Ticket:
        """Start a tensor's way to the host."""
        # by its storage: a small part of a large tensor would keep all of it
        if tensor.untyped_storage().nbytes() < _WORTH_MOVING or tensor.is_meta:
            return tensor
        stream = self._side(tensor.device)
        host = torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=tensor.is_cuda)
        ticket = _Ticket(host, tensor.device)
        if stream is None:
            host.copy_(tensor)
        else:
            stream.wait_stream(torch.cuda.current_stream(tensor.device))
            with torch.cuda.stream(stream):
                host.copy_(tensor, non_blocking=True)
                ticket.arrived = stream.record_event()
            tensor.record_stream(stream)  # the allocator keeps it until the copy is done
        self._tickets.append(weakref.ref(ticket))
        return ticket

    def _fetch(self, ticket: Tensor | _Ticket) -> Tensor:
        """Return a tensor, and start the way back of the one that waits before it."""
        if isinstance(ticket, Tensor):
            return ticket
        self._bring(ticket)
        back = ticket.back
        assert back is not None
        if ticket.arrived is not None:
            current = torch.cuda.current_stream(ticket.device)
            current.wait_event(ticket.arrived)
            back.record_stream(current)
        while self._tickets and self._tickets.pop()() is not ticket:
            pass
        for other in self._tickets[-2:]:  # a block saves two: picture and text
            self._bring(other())
        return back

    def _bring(self, ticket: _Ticket | None) -> None:
        """Start a tensor's way back, unless it is on it, or is needed no more."""
        if ticket is None or ticket.back is not None:
            return
        stream = self._side(ticket.device)
        if stream is None:
            ticket.back = ticket.host
            return
        with torch.cuda.stream(stream):
            ticket.back = ticket.host.to(ticket.device, non_blocking=True)
            ticket.arrived = stream.record_event()

    def _side(self, device: torch.device) -> torch.cuda.Stream | None:
        """Return the stream that copies; None on a CPU, which copies at once."""
        if device.type != "cuda":
            return None
        if self._stream is None:
            self._stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
        return self._stream


def apply(
    model: Any, blocks: Sequence[str], policy: str | int, *, inputs_on_host: bool = False
) -> None:
    """Have a model run its blocks by a policy.

    Args:
        model: a diffusers model.
        blocks: names of its blocks, in the order they run.
        policy: see `kept_blocks`.
        inputs_on_host: whether checkpointed blocks' inputs wait on the host.
    """
    count = kept_blocks(blocks, policy)
    kept = [model.get_submodule(name) for name in blocks[len(blocks) - count :]]
    if count < len(blocks):
        model.enable_gradient_checkpointing(Policy(kept, inputs_on_host))

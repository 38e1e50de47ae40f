"""The costs of a training step, probed on a model that has no weights.

The step is run once forward on the meta device with every block checkpointed, which tells
what is around the blocks; then one block of each kind is run, again, and backward by itself.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_map
from torch.utils.checkpoint import checkpoint

from bioicons_kit.memory import checkpointing, offload
from bioicons_kit.memory.linear import QuantizedLinear
from bioicons_kit.memory.plan import BlockCost, StepCost
from bioicons_kit.memory.probe import Probe, cut_off, probing


@dataclass(frozen=True)
class Subject:
    """A denoiser to be probed.

    Attributes:
        denoiser: on the meta device, frozen, its linears swapped, the adapter attached.
        blocks: names of its repeated blocks, in the order they run.
        modulation: names of its modulation linears.
    """

    denoiser: nn.Module
    blocks: tuple[str, ...]
    modulation: tuple[str, ...]

    @property
    def trained(self) -> list[nn.Parameter]:
        """The adapter's parameters."""
        return [p for p in self.denoiser.parameters() if p.requires_grad]


def frozen_bytes(modules: Iterable[nn.Module]) -> int:
    """Return the bytes of the frozen tensors of modules, each tensor once."""
    held = {
        id(tensor): tensor.nbytes
        for module in modules
        for tensor in (*module.parameters(), *module.buffers())
        if not tensor.requires_grad
    }
    return sum(held.values())


def step(subject: Subject, loss: Callable[[], Tensor], batch: Iterable[Tensor]) -> StepCost:
    """Return the costs of a micro-step.

    Args:
        subject: the denoiser; it is checkpointed from here on.
        loss: computes the loss of one batch with it, on the meta device.
        batch: the batch's tensors.
    """
    denoiser = subject.denoiser
    names = subject.blocks
    blocks = [denoiser.get_submodule(name) for name in names]
    checkpointing.apply(denoiser, names, "full")
    last: list[Tensor] = []
    # a forward without gradient, as of the bare base model, has no way back
    end = blocks[-1].register_forward_hook(
        lambda *call: last.extend(each for each in call[-1] if each.requires_grad)
    )
    with probing() as whole, _noting(blocks, whole) as notes:
        value = loss()
        forward_live, forward_peak = whole.live, whole.peak
        # the way back as far as the last block, and no further
        gradients = torch.autograd.grad(value, last, allow_unused=True)
        del value
        alive = whole.live - _bytes(each for each in gradients if each is not None)
    end.remove()
    last.clear()
    costs = {kind: _block(*call) for kind, call in notes.called.items()}
    each = tuple(
        (costs[type(block)] if block in notes.graphed else _once(notes.work[block]))._replace(
            gradient=_bytes(p for p in block.parameters() if p.requires_grad),
            weights=_moved(block, subject.modulation, name),
        )
        for name, block in zip(names, blocks, strict=True)
    )
    linears = [denoiser.get_submodule(name) for name in subject.modulation]
    modulated = frozen_bytes(linears)
    return StepCost(
        blocks=each,
        head=alive - sum(cost.output for cost in each),
        tail=forward_live - alive,
        forward_work=forward_peak - alive,
        flops=whole.flops - sum(cost.forward for cost in each),
        modulation_weights=modulated,
        modulation_answers=_answers(linears, batch),
        other_weights=frozen_bytes([denoiser]) - modulated,
        batch=_bytes(batch),
        dequantized=sum(
            m.in_features * m.out_features
            for m in denoiser.modules()
            if isinstance(m, QuantizedLinear)
        ),
    )


@dataclass
class _Notes:
    """What was seen of blocks while a step ran.

    Attributes:
        called: of each class the last block that a backward pass will go through, its arguments.
        graphed: all blocks that a backward pass will go through.
        work: operations of each block's last forward pass.
    """

    called: dict[type, tuple[nn.Module, Any, Any]] = field(default_factory=dict)
    graphed: set[nn.Module] = field(default_factory=set)
    work: dict[nn.Module, int] = field(default_factory=dict)


@contextmanager
def _noting(blocks: Iterable[nn.Module], probe: Probe) -> Iterator[_Notes]:
    """Note what blocks are called with, and what they do, in a `with` block."""
    notes = _Notes()

    def before(block: nn.Module, args: Any, kwargs: Any) -> None:
        notes.work[block] = probe.flops
        if checkpointing.needs_graph(block, [*args, *kwargs.values()]):
            notes.graphed.add(block)
            notes.called[type(block)] = block, tree_map(cut_off, args), tree_map(cut_off, kwargs)

    def after(block: nn.Module, _args: Any, _output: Any) -> None:
        notes.work[block] = probe.flops - notes.work[block]

    hooks = [block.register_forward_pre_hook(before, with_kwargs=True) for block in blocks]
    hooks += [block.register_forward_hook(after) for block in blocks]
    yield notes
    for hook in hooks:
        hook.remove()


def _once(work: int) -> BlockCost:
    """Return what a block costs before all that is trained: it runs once and leaves nothing."""
    return BlockCost(0, 0, 0, 0, 0, 0, forward=work, rerun=0, backward=0, weights=0)


def _block(block: nn.Module, args: Any, kwargs: Any) -> BlockCost:
    """Probe one block: what it keeps, and what it holds while it runs again and backward."""
    with probing() as once:
        made = block(*args, **kwargs)
        kept, output, forward = once.live, _bytes(made), once.flops
        rise = once.peak - kept
        ends = _ends(made)
        del made
        back = _backward(once, ends)
    block.zero_grad(set_to_none=True)
    with probing() as twice:
        again = _backward(twice, _ends(checkpoint(block, *args, use_reentrant=False, **kwargs)))
    block.zero_grad(set_to_none=True)
    rerun = twice.flops - once.flops
    return BlockCost(output, kept, rise, again, back, 0, forward, rerun, once.flops - forward, 0)


def _ends(made: Sequence[Tensor]) -> list[Tensor]:
    """Return what a backward pass starts from, so that one gradient of each output comes in."""
    # times one: the gradient is of the output's size, and is held by nobody else
    return [(each * 1.0).sum() for each in made if each.requires_grad]


def _backward(probe: Probe, ends: list[Tensor]) -> int:
    """Run a backward pass; return the most that was held in it."""
    probe.mark()
    torch.autograd.backward(ends)
    return probe.peak


def _moved(block: nn.Module, modulation: Sequence[str], name: str) -> int:
    """Return the bytes of a block that offloading moves, modulation aside."""
    aside = {
        id(block.get_submodule(m[len(name) + 1 :])) for m in modulation if m.startswith(f"{name}.")
    }
    return sum(
        offload.aligned(tensor.nbytes)
        for module, _, tensor in offload.moved(block)
        if id(module) not in aside
    )


def _answers(linears: Sequence[nn.Module], batch: Iterable[Tensor]) -> int:
    """Return the bytes of what modulation linears answer to one batch."""
    count = next(iter(batch)).shape[0]
    widths = sum(linear.out_features for linear in linears if isinstance(linear, nn.Linear))
    dtype = next(t.dtype for linear in linears for t in [*linear.parameters()] if t is not None)
    return count * widths * dtype.itemsize


def _bytes(tensors: Iterable[Tensor]) -> int:
    """Return the bytes of the tensors' storages, each once."""
    storages = {id(t.untyped_storage()): t.untyped_storage().nbytes() for t in tensors}
    return sum(storages.values())

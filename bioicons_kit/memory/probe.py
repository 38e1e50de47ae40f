"""What a computation holds and does, told by running it on the meta device: no weights, no GPU.

A dispatch mode sees every operation that torch runs, forward and backward. It counts the
bytes of the storages that operations make, from their making until they are dropped (views
share a storage, and are counted once), and the floating point operations by torch's own
formulas. Attention is computed by a stand-in that keeps what fused kernels keep: queries,
keys, values, output and one number a row; torch's own way on the meta device would hold the
whole table of scores.

Limits: scratch space inside a kernel is not seen, nor what an allocator rounds up.
"""

import math
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_iter
from torch.utils.flop_counter import flop_registry


class Probe(TorchDispatchMode):
    """Counts bytes alive and operations done while it is active.

    Attributes:
        live: bytes of the storages made under it that are still held.
        peak: the most that `live` has been, since the start or the last `mark`.
        flops: floating point operations so far, two for each multiplication with addition.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.live = self.peak = self.flops = 0
        self._storages: dict[int, weakref.ref[torch.UntypedStorage]] = {}

    def mark(self) -> None:
        """Forget the peak so far."""
        self.peak = self.live

    def ignore(self, *values: object) -> None:
        """Leave tensors uncounted that were there before."""
        for storage in _storages(values):
            self._storages.setdefault(id(storage), weakref.ref(storage, self._dropped(storage, 0)))

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Run an operation, and count it."""
        self.ignore(args, kwargs or {})  # what was made before the probe is no part of it
        made = func(*args, **(kwargs or {}))
        count = flop_registry.get(func.overloadpacket)
        if count is not None:
            self.flops += count(*args, **(kwargs or {}), out_val=made)
        for storage in _storages(made):
            key = id(storage)
            if key not in self._storages:
                self._storages[key] = weakref.ref(storage, self._dropped(storage, storage.nbytes()))
                self.live += storage.nbytes()
        self.peak = max(self.peak, self.live)
        return made

    def _dropped(self, storage: torch.UntypedStorage, size: int) -> Callable[[object], None]:
        """Return what to do when a storage is dropped."""
        key = id(storage)

        def forget(_reference: object) -> None:
            self._storages.pop(key, None)
            self.live -= size

        return forget


@contextmanager
def probing() -> Iterator[Probe]:
    """Count what is done in a `with` block, attention as fused kernels do it."""
    probe = Probe()
    with _fused(probe), probe:
        yield probe


def cut_off(value: Any) -> Any:
    """Return a tensor without its history, still asking for a gradient if it did; else `value`.

    It shares the tensor's storage: kept beside it, it holds nothing more.
    """
    return (
        value.detach().requires_grad_(value.requires_grad) if isinstance(value, Tensor) else value
    )


@contextmanager
def _fused(probe: Probe) -> Iterator[None]:
    """Have attention on the meta device computed by the stand-in.

    By another function under torch's name: a mode for functions would be off in a backward
    pass, where checkpointing runs blocks again.
    """
    own = functional.scaled_dot_product_attention

    def attention(query: Tensor, key: Tensor, value: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        if not query.is_meta:
            return own(query, key, value, *args, **kwargs)
        made: Tensor = _Attention.apply(query, key, value, probe)  # type: ignore[no-untyped-call]
        return made

    functional.scaled_dot_product_attention = attention
    try:
        yield
    finally:
        functional.scaled_dot_product_attention = own


class _Attention(torch.autograd.Function):
    """Attention's shapes, memory and operations, `[batch, heads, tokens, width]`; no values."""

    @staticmethod
    def forward(ctx: Any, query: Tensor, key: Tensor, value: Tensor, probe: Probe) -> Tensor:
        # kernels write their output as [batch, tokens, heads, width]
        output = torch.empty_like(query.transpose(1, 2)).transpose(1, 2)
        rows = query.new_empty(query.shape[:-1], dtype=torch.float32)
        ctx.save_for_backward(query, key, value, output, rows)
        ctx.probe = probe
        probe.flops += _attention_flops(query, key)
        return output

    @staticmethod
    def backward(ctx: Any, *_grads: Tensor) -> tuple[Tensor | None, ...]:
        query, key, value, _, _ = ctx.saved_tensors
        # five products of the forward's two: scores again, then two for each operand's gradient
        ctx.probe.flops += _attention_flops(query, key) * 5 // 2
        return torch.empty_like(query), torch.empty_like(key), torch.empty_like(value), None


def _attention_flops(query: Tensor, key: Tensor) -> int:
    """Return the operations of two products of every query with every key."""
    return 4 * math.prod(query.shape) * key.shape[-2]


def _storages(values: object) -> Iterator[torch.UntypedStorage]:
    """Yield the storages of the tensors in nested values."""
    for value in tree_iter(values):
        if isinstance(value, Tensor):
            yield value.untyped_storage()

"""Several modules' updates as one, rows below rows, and back: exact, never by guess.

Query, key and value are one matrix in the original FLUX. Fusing separate updates puts
their ups on a block diagonal above stacked downs, which adds their ranks. Splitting
undoes that where each column of the fused up serves one part only; where columns serve
several parts (the fused matrix was trained as one), each part gets the whole down and its
own rows of the up, and fusing those again gives the first matrix back.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from bioicons_kit.errors import LoraError
from bioicons_kit.lora.layer import Layer

_LINEAR1 = 4  # parts of a single block's first linear: q, k, v, and the feed-forward's


def widths(parts: int, rows: int, columns: int) -> tuple[int, ...]:
    """Return the rows of each part of a fused weight `[rows, columns]`.

    Raises:
        LoraError: the rows cannot be shared out so.
    """
    if parts == _LINEAR1 and rows > 3 * columns:
        return (columns, columns, columns, rows - 3 * columns)
    if parts in {1, 3} and rows % parts == 0:
        return (rows // parts,) * parts
    raise LoraError(f"{rows} rows over {columns} columns are not {parts} parts")


def split(layer: Layer, rows: Sequence[int]) -> list[Layer | None]:
    """Return the layers of the parts with so many `rows` each; None is a part without update.

    Raises:
        LoraError: DoRA norms the columns of all parts together.
    """
    if len(rows) == 1:
        return [layer]
    if layer.dora is not None and not layer.rows_are_normed:
        raise LoraError("DoRA norms its columns over all parts, which cannot be taken apart")
    ups = torch.split(layer.up, list(rows))
    columns = _columns(ups, may_be_none=layer.dora is None)
    if layer.dora is None:
        return [_part(layer, *each, None) for each in zip(ups, columns, strict=True)]
    doras = torch.split(layer.dora, list(rows))
    return [_part(layer, *each) for each in zip(ups, columns, doras, strict=True)]


def fuse(parts: Sequence[Layer | None], rows: Sequence[int]) -> Layer:
    """Return the one layer whose rows are those of `parts`; None is a part without update.

    Raises:
        LoraError: DoRA on some parts only, or over columns: a fused matrix cannot say that.
    """
    dora = _fused_dora(parts)
    scales = {part.scale for part in parts if part is not None}
    if len(scales) > 1:
        parts = [part and part.folded() for part in parts]
    given = [part for part in parts if part is not None]
    first = given[0]
    if all(part.down.equal(first.down) for part in given):
        empty = [torch.zeros(count, first.rank) for count in rows]
        ups = [zeros if part is None else part.up for part, zeros in zip(parts, empty, strict=True)]
        return Layer(first.down, torch.cat(ups), first.alpha, dora)
    down = torch.cat([part.down for part in given])
    return Layer(down, _block_diagonal(parts, rows), down.shape[0] * first.scale, dora)


def swap_halves(layer: Layer) -> Layer:
    """Return the layer with the two halves of its rows exchanged."""
    if layer.dora is not None and layer.rows_are_normed:
        return Layer(layer.down, halves_swapped(layer.up), layer.alpha, halves_swapped(layer.dora))
    return Layer(layer.down, halves_swapped(layer.up), layer.alpha, layer.dora)


def halves_swapped(rows: Tensor) -> Tensor:
    """Return a tensor with the two halves of its first axis exchanged.

    Raises:
        LoraError: it has an odd number of rows.
    """
    if rows.shape[0] % 2:
        raise LoraError(f"{rows.shape[0]} rows have no halves")
    return torch.cat(rows.chunk(2)[::-1])


def _part(whole: Layer, up: Tensor, columns: Tensor, dora: Tensor | None) -> Layer | None:
    """Return the part of a fused layer that has these rows and needs these columns."""
    if len(columns) == 0:
        return None
    alpha = whole.alpha * len(columns) / whole.rank  # the scale stays
    return Layer(whole.down[columns].contiguous(), up[:, columns].contiguous(), alpha, dora)


def _block_diagonal(parts: Sequence[Layer | None], rows: Sequence[int]) -> Tensor:
    """Return the parts' ups, each in rows and columns of its own."""
    up = torch.zeros(sum(rows), sum(part.rank for part in parts if part is not None))
    row = column = 0
    for part, count in zip(parts, rows, strict=True):
        if part is not None:
            up[row : row + count, column : column + part.rank] = part.up
            column += part.rank
        row += count
    return up


def _columns(ups: Sequence[Tensor], may_be_none: bool) -> list[Tensor]:
    """Return, for each part's up, which columns of the fused up it needs.

    A part that needs none is left without (with DoRA it may not: its magnitudes count).
    """
    rank = ups[0].shape[1]
    everything = [torch.arange(rank)] * len(ups)
    used = torch.stack([(up != 0).any(dim=0) for up in ups])  # [parts, rank]
    if rank % len(ups) == 0:  # equal ranks: a part keeps its columns even where they are zero
        blocks = torch.eye(len(ups), dtype=torch.bool)
        blocks = blocks.repeat_interleave(rank // len(ups), dim=1)
        if not bool((used & ~blocks).any()):
            return [torch.nonzero(block).flatten() for block in blocks]
    needy = used.any(dim=1)
    if not bool(needy.any()) or not (may_be_none or bool(needy.all())):
        return everything
    if bool((used.sum(dim=0) > 1).any()):  # dense: whoever needs some gets all
        used = needy[:, None].expand_as(used)
    return [torch.nonzero(row).flatten() for row in used]


def _fused_dora(parts: Sequence[Layer | None]) -> Tensor | None:
    """Return the magnitudes of all parts, one below the other; None without DoRA."""
    doras = [None if part is None else part.dora for part in parts]
    present = [dora for dora in doras if dora is not None]
    if not present:
        return None
    if len(present) < len(doras) or any(dora.shape[1] != 1 for dora in present):
        raise LoraError("DoRA is on some of its parts only, or over columns, and cannot be fused")
    return torch.cat(present)

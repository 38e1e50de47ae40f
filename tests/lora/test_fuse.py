"""Fusing and splitting: the update stays the same, and what can come back exactly does."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from bioicons_kit.errors import LoraError
from bioicons_kit.lora import fuse
from bioicons_kit.lora.layer import Layer

HIDDEN, MLP = 6, 24
ROWS = {3: (HIDDEN,) * 3, 4: (HIDDEN, HIDDEN, HIDDEN, MLP)}


def layer(rows: int, rank: int, alpha: float, seed: int, dora: bool = False) -> Layer:
    generator = torch.Generator().manual_seed(seed)
    magnitudes = torch.rand(rows, 1, generator=generator) if dora else None
    return Layer(
        torch.randn(rank, HIDDEN, generator=generator),
        torch.randn(rows, rank, generator=generator),
        alpha,
        magnitudes,
    )


def delta(update: Layer | None, rows: int) -> Tensor:
    if update is None:
        return torch.zeros(rows, HIDDEN, dtype=torch.float64)
    return update.scale * update.up.double() @ update.down.double()


PARTS = st.lists(
    st.none() | st.tuples(st.integers(1, 5), st.sampled_from([0.5, 1.0, 2.0, 3.0, 8.0])),
    min_size=3,
    max_size=4,
).filter(any)


@given(parts=PARTS, seed=st.integers(0, 99))
def test_fusing_and_splitting_change_no_update(
    parts: list[tuple[int, float] | None], seed: int
) -> None:
    rows = ROWS[len(parts)]
    given_parts = [
        None if part is None else layer(count, *part, seed + n)
        for n, (part, count) in enumerate(zip(parts, rows, strict=True))
    ]
    fused = fuse.fuse(given_parts, rows)
    expected = torch.cat([delta(p, n) for p, n in zip(given_parts, rows, strict=True)])
    assert torch.allclose(delta(fused, sum(rows)), expected, rtol=1e-6, atol=1e-6)
    again = fuse.split(fused, rows)
    for before, after, count in zip(given_parts, again, rows, strict=True):
        assert torch.allclose(delta(after, count), delta(before, count), rtol=1e-6, atol=1e-6)
        assert (before is None) == (after is None) or after is not None
        if before is not None and after is not None and len({p[1] / p[0] for p in parts if p}) == 1:
            assert torch.equal(after.down, before.down)
            assert torch.equal(after.up, before.up)
            assert after.scale == pytest.approx(before.scale, rel=1e-12)


@given(rank=st.integers(1, 7), count=st.sampled_from([3, 4]), seed=st.integers(0, 99))
def test_a_dense_matrix_is_sliced_and_comes_back_bit_for_bit(
    rank: int, count: int, seed: int
) -> None:
    rows = ROWS[count]
    dense = layer(sum(rows), rank, 2.0, seed)
    parts = fuse.split(dense, rows)
    offsets = [0, *torch.tensor(rows).cumsum(0).tolist()]
    for part, start, stop in zip(parts, offsets, offsets[1:], strict=False):
        assert part is not None
        assert torch.equal(part.down, dense.down)  # the whole, never a piece of it
        assert torch.equal(part.up, dense.up[start:stop])
        assert part.alpha == dense.alpha
    again = fuse.fuse(parts, rows)
    assert torch.equal(again.down, dense.down)
    assert torch.equal(again.up, dense.up)
    assert again.alpha == dense.alpha


def test_parts_of_one_rank_become_a_block_diagonal_and_chunks_again() -> None:
    parts = [layer(HIDDEN, 2, 2.0, seed) for seed in range(3)]
    fused = fuse.fuse(parts, ROWS[3])
    assert fused.rank == 6
    assert fused.alpha == 6
    assert torch.equal(fused.up, torch.block_diag(*[part.up for part in parts]))
    assert torch.equal(fused.down, torch.cat([part.down for part in parts]))


def test_a_part_that_was_never_trained_keeps_its_factors_among_equal_ranks() -> None:
    parts = [layer(HIDDEN, 2, 2.0, seed) for seed in range(3)]
    idle = Layer(parts[1].down, torch.zeros(HIDDEN, 2), 2.0)
    again = fuse.split(fuse.fuse([parts[0], idle, parts[2]], ROWS[3]), ROWS[3])
    assert again[1] is not None
    assert torch.equal(again[1].down, idle.down)
    assert not again[1].up.any()


def test_one_part_alone_stays_alone() -> None:
    alone = layer(MLP, 3, 1.5, 0)
    fused = fuse.fuse([None, None, None, alone], ROWS[4])
    assert fused.rank == 3
    assert fuse.split(fused, ROWS[4])[:3] == [None] * 3


def test_an_update_of_zero_is_still_there() -> None:
    nothing = Layer(torch.ones(2, HIDDEN), torch.zeros(3 * HIDDEN, 2), 2.0)
    assert None not in fuse.split(nothing, ROWS[3])


def test_dora_over_rows_goes_with_its_rows() -> None:
    parts = [layer(HIDDEN, 2, 2.0, seed, dora=True) for seed in range(3)]
    fused = fuse.fuse(parts, ROWS[3])
    assert fused.dora is not None
    assert fused.dora.shape == (3 * HIDDEN, 1)
    for before, after in zip(parts, fuse.split(fused, ROWS[3]), strict=True):
        assert after is not None
        assert after.dora is not None
        assert before.dora is not None
        assert torch.equal(after.dora, before.dora)


def test_dora_that_cannot_be_said_is_refused() -> None:
    parts: list[Layer | None] = [layer(HIDDEN, 2, 2.0, seed, dora=seed > 0) for seed in range(3)]
    with pytest.raises(LoraError, match=r"some of its parts only"):
        fuse.fuse(parts, ROWS[3])
    over_columns = Layer(torch.ones(1, 6), torch.ones(18, 1), 1.0, torch.ones(1, HIDDEN))
    with pytest.raises(LoraError, match=r"over all parts"):
        fuse.split(over_columns, ROWS[3])


@pytest.mark.parametrize(("parts", "rows"), [(3, 17), (4, 18), (4, 6)])
def test_rows_that_cannot_be_shared_out_are_refused(parts: int, rows: int) -> None:
    with pytest.raises(LoraError, match=f"{rows} rows"):
        fuse.widths(parts, rows, HIDDEN)


def test_halves_are_exchanged_and_back() -> None:
    one = layer(8, 2, 2.0, 0, dora=True)
    there = fuse.swap_halves(one)
    assert torch.equal(there.up, torch.cat([one.up[4:], one.up[:4]]))
    back = fuse.swap_halves(there)
    assert torch.equal(back.up, one.up)
    assert back.dora is not None
    assert one.dora is not None
    assert torch.equal(back.dora, one.dora)
    with pytest.raises(LoraError, match=r"no halves"):
        fuse.swap_halves(layer(7, 2, 2.0, 0))

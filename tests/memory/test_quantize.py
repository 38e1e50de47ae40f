"""Which linears are quantized, and how exactly."""

import pytest
import torch
from accelerate import init_empty_weights
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from bioicons_kit.errors import ModelError
from bioicons_kit.memory.levels import LEVELS
from bioicons_kit.memory.quantize import swap_linears

KEEP = (r"embed", r"blocks\.\d+\.gate")
QUANTIZED = ("blocks.0.up", "blocks.0.down", "blocks.1.up", "blocks.1.down")


def skeleton() -> nn.Module:
    def block() -> nn.Module:
        parts = {"gate": nn.Linear(6, 6), "up": nn.Linear(6, 10), "down": nn.Linear(10, 6)}
        return nn.ModuleDict({"norm": nn.LayerNorm(6), **parts})

    with init_empty_weights():
        blocks = nn.ModuleList(block() for _ in range(2))
        return nn.ModuleDict({"embed": nn.Linear(4, 6), "blocks": blocks})


def test_swapping_keeps_excluded_linears_and_everything_else():
    model = skeleton()
    before = dict(model.named_modules())
    assert swap_linears(model, "qint8", KEEP) == QUANTIZED
    after = dict(model.named_modules())
    assert after.keys() == before.keys()
    assert {name for name in after if after[name] is not before[name]} == set(QUANTIZED)
    assert swap_linears(skeleton(), "none", ()) == ()


@pytest.mark.parametrize("pattern", ["emb", "mbed", "blocks", r"blocks\.\d+", "norm", "Embed"])
def test_an_exclusion_must_match_a_whole_name(pattern: str):
    with pytest.raises(ModelError, match=r"memory\.keep: '.*' is the name of no linear layer"):
        swap_linears(skeleton(), "qint8", ("embed", pattern))


@pytest.mark.parametrize("level", ["qfloat8", "qint8"])
@settings(max_examples=40, deadline=None)
@given(rows=st.integers(1, 6), columns=st.integers(1, 30), size=st.floats(1e-20, 1e20), seed=...)
def test_rows_are_quantized_within_half_a_step(
    level: str, rows: int, columns: int, size: float, seed: int
):
    generator = torch.Generator().manual_seed(seed % 2**63)
    weight = size * torch.randn(rows, columns, generator=generator)
    stored, scale = LEVELS[level].encode(weight)
    assert stored.shape == weight.shape
    assert stored.dtype == torch.uint8
    assert scale.shape == (rows,)
    assert (scale > 0).all()
    largest = weight.abs().amax(dim=1, keepdim=True)
    values = stored.view(torch.float8_e4m3fn if level == "qfloat8" else torch.int8)
    back = values.double() * scale.double()[:, None]
    # int8: steps of largest / 127 or 128. e4m3: 2^-4 of the value, subnormals below 2^-6 / 448.
    step = largest / 127 if level == "qint8" else weight.abs() / 8 + largest / 448 * 2**-9
    assert ((back - weight).abs() <= 0.51 * step.double()).all()


@settings(max_examples=40, deadline=None)
@given(rows=st.integers(1, 6), groups=st.integers(1, 6), size=st.floats(1e-20, 1e20), seed=...)
def test_groups_are_quantized_within_half_a_step(rows: int, groups: int, size: float, seed: int):
    generator = torch.Generator().manual_seed(seed % 2**63)
    weight = size * torch.randn(rows, 32 * groups, generator=generator)
    kept = LEVELS["qint4"].encode(weight)
    _, scale, shift = kept
    values, row_scale = LEVELS["qint4"].decode(kept, torch.float64)
    assert row_scale is None
    width = weight.shape[1] // scale.shape[1]
    step = scale.double().repeat_interleave(width, dim=1)
    least = shift.double().abs().repeat_interleave(width, dim=1)
    # half a step, and what rounding scale and shift to 8 bits takes from the ends of the range
    bound = 0.51 * step + 2**-8 * (15 * step + least)
    assert ((values - weight.double()).abs() <= bound).all()


@pytest.mark.parametrize("value", [0.0, 3.3, -0.01])
def test_a_group_of_one_value_comes_back(value: float):
    weight = torch.full((2, 64), value)
    values, _ = LEVELS["qint4"].decode(LEVELS["qint4"].encode(weight), torch.float32)
    torch.testing.assert_close(values, weight, rtol=2**-8, atol=0)

"""Singular values: products without forming them, large matrices by random directions."""

import pytest
import torch

from bioicons_kit.lora import layer, resize, svd
from bioicons_kit.lora.layer import Layer
from bioicons_kit.lora.resize import Rule


def test_a_products_parts_are_those_of_the_whole_matrix() -> None:
    generator = torch.Generator().manual_seed(0)
    up = torch.randn(70, 9, generator=generator)
    down = torch.randn(9, 50, generator=generator)
    parts = svd.of_product(up, down)
    values = torch.linalg.svdvals(up.double() @ down.double())[:9]
    assert torch.allclose(parts.values, values, rtol=1e-10)
    whole = (parts.left * parts.values) @ parts.right
    assert torch.allclose(whole, up.double() @ down.double(), atol=1e-10)


def test_a_product_wider_in_rank_than_in_size_is_no_trouble() -> None:
    up, down = torch.randn(3, 20), torch.randn(20, 5)
    parts = svd.of_product(up, down)
    assert len(parts.values) == 3
    whole = (parts.left * parts.values) @ parts.right
    assert torch.allclose(whole, up.double() @ down.double(), atol=1e-9)


def test_a_large_matrix_is_cut_nearly_as_well_as_can_be() -> None:
    """A slowly falling spectrum, on which random directions are at their worst."""
    generator = torch.Generator().manual_seed(1)
    left, _ = torch.linalg.qr(torch.randn(1400, 1100, generator=generator))
    right, _ = torch.linalg.qr(torch.randn(1100, 1100, generator=generator))
    values = 1 / torch.arange(1.0, 1101.0).sqrt()
    matrix = (left * values) @ right.T
    parts = svd.of_matrix(matrix, 8, seed=0)
    best = float((values[8:] ** 2).sum().sqrt() / values.norm())
    assert parts.error(8) == pytest.approx(best, rel=2e-3)
    up, down = parts.cut(8)
    actual = float((matrix - up @ down).norm() / matrix.norm())
    assert actual == pytest.approx(parts.error(8), rel=1e-4)
    again = svd.of_matrix(matrix, 8, seed=0)
    assert torch.equal(again.values, parts.values)


def test_the_norm_of_a_product_is_found_without_it() -> None:
    up, down = torch.randn(30, 4), torch.randn(4, 20)
    assert layer.norm(up, down) == pytest.approx(float((up @ down).norm()), rel=1e-5)


def spectrum(values: list[float], seed: int = 0) -> Layer:
    """A layer whose update has these singular values."""
    generator = torch.Generator().manual_seed(seed)
    count = len(values)
    left, _ = torch.linalg.qr(torch.randn(20, count, generator=generator))
    right, _ = torch.linalg.qr(torch.randn(15, count, generator=generator))
    return Layer(right.T.contiguous(), left * torch.tensor(values) * 2, count / 2)


VALUES = [4.0, 2.0, 1.0, 0.5]  # squares 16, 4, 1, .25; sum 21.25


@pytest.mark.parametrize(
    ("rule", "rank"),
    [
        (Rule(rank=2), 2),
        (Rule(rank=9), 4),
        (Rule(energy=16 / 21.25 - 1e-4), 1),
        (Rule(energy=16 / 21.25 + 1e-4), 2),
        (Rule(energy=1.0), 4),
        (Rule(error=(1.25 / 21.25) ** 0.5 + 1e-4), 2),
        (Rule(error=(1.25 / 21.25) ** 0.5 - 1e-4), 3),
        (Rule(error=1.0), 1),
        (Rule(rank=1, energy=0.99), 1),
        (Rule(energy=0.5, error=0.11), 3),
    ],
)
def test_the_rank_is_the_least_that_the_rule_allows(rule: Rule, rank: int) -> None:
    update = spectrum(VALUES)
    found = resize.resize({"a": update}, rule)["a"]
    assert found.layer.rank == rank
    lost = sum(value**2 for value in VALUES[rank:]) / 21.25
    assert found.error == pytest.approx(lost**0.5, abs=1e-6)
    assert found.effect == pytest.approx(21.25**0.5, rel=1e-5)
    difference = float((found.layer.delta() - update.delta()).norm())
    assert difference == pytest.approx(found.error * found.effect, abs=1e-5)


def test_an_update_of_nothing_stays_nothing_at_rank_one() -> None:
    nothing = Layer(torch.ones(4, 5), torch.zeros(6, 4), 4.0)
    found = resize.resize({"a": nothing}, Rule(energy=0.9))["a"]
    assert found.layer.rank == 1
    assert not found.layer.delta().any()
    assert found.error == 0


def test_convolutions_and_dora_keep_their_form() -> None:
    conv = Layer(torch.randn(4, 5, 3, 3), torch.randn(6, 4, 1, 1), 2.0, torch.rand(6, 1))
    found = resize.resize({"a": conv}, Rule(rank=4))["a"].layer
    assert found.shape == conv.shape
    assert torch.allclose(found.delta(), conv.delta(), atol=1e-5)
    assert found.dora is conv.dora


def test_the_error_over_all_is_weighted_by_effect() -> None:
    assert resize.total_error({"a": (3.0, 0.1), "b": (4.0, 0.0)}) == pytest.approx(0.3 / 5)
    assert resize.total_error({"a": (0.0, 0.0)}) == 0

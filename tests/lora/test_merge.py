"""Merging LoRAs: against plain arithmetic on whole updates, written here once more."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from bioicons_kit.errors import LoraError
from bioicons_kit.lora import blocks, merge, svd
from bioicons_kit.lora.formats import Lora
from bioicons_kit.lora.layer import Layer
from bioicons_kit.lora.merge import Input, Settings

Q, K, SINGLE = (
    "transformer.transformer_blocks.0.attn.to_q",
    "transformer.transformer_blocks.11.attn.to_k",
    "transformer.single_transformer_blocks.3.proj_mlp",
)
SHAPES = {Q: (40, 50), K: (50, 40), SINGLE: (30, 60)}


def layer(shape: tuple[int, int], rank: int, alpha: float, seed: int) -> Layer:
    generator = torch.Generator().manual_seed(seed)
    return Layer(
        torch.randn(rank, shape[1], generator=generator),
        torch.randn(shape[0], rank, generator=generator),
        alpha,
    )


def lora(names: tuple[str, ...], rank: int, alpha: float, seed: int) -> Lora:
    layers = {name: layer(SHAPES[name], rank, alpha, seed + n) for n, name in enumerate(names)}
    return Lora(Path(f"{seed}.safetensors"), ("diffusers",), layers, {})


@pytest.fixture
def inputs() -> list[Input]:
    """Three LoRAs of different ranks and alphas on different modules."""
    rules = blocks.parse("double.0-9:0.5,single.*:2")
    return [
        Input(lora((Q, K), 4, 2.0, 10), 0.8),
        Input(lora((Q, SINGLE), 6, 6.0, 20), -0.4, rules),
        Input(lora((Q, K, SINGLE), 3, 1.0, 30), 1.3),
    ]


BLOCK = {(1, Q): 0.5, (1, SINGLE): 2.0}  # what the second input's rules give


def deltas(inputs: list[Input], name: str) -> list[Tensor]:
    """Each weighted update in float64, straightforwardly."""
    return [
        each.weight
        * BLOCK.get((number, name), 1.0)
        * (x.alpha / x.down.shape[0])
        * (x.up.double() @ x.down.double())
        for number, each in enumerate(inputs)
        if (x := each.lora.layers.get(name)) is not None
    ]


def product(update: Layer) -> Tensor:
    return update.alpha / update.down.shape[0] * (update.up.double() @ update.down.double())


def relative(found: Tensor, expected: Tensor) -> float:
    return float((found - expected).norm() / expected.norm())


def merged(inputs: list[Input], settings: Settings) -> dict[str, merge.Merged]:
    return merge.merge(merge.terms(inputs), settings)


def test_concat_is_the_weighted_sum(inputs: list[Input]) -> None:
    for name, each in merged(inputs, Settings()).items():
        expected = sum(deltas(inputs, name))
        assert isinstance(expected, Tensor)
        assert relative(product(each.layer), expected) < 1e-5
        assert each.layer.rank == sum(
            x.lora.layers[name].rank for x in inputs if name in x.lora.layers
        )
        assert each.layer.alpha == each.layer.rank
        assert each.effect == pytest.approx(float(expected.norm()), rel=1e-5)
        assert each.error == 0


def test_svd_at_full_rank_is_the_weighted_sum(inputs: list[Input]) -> None:
    for name, each in merged(inputs, Settings("svd", rank=13)).items():
        expected = sum(deltas(inputs, name))
        assert isinstance(expected, Tensor)
        assert relative(product(each.layer), expected) < 1e-5
        assert each.error < 1e-6


@pytest.mark.parametrize("rank", [1, 2, 5])
def test_svd_at_a_rank_is_the_truncated_svd_of_the_sum(inputs: list[Input], rank: int) -> None:
    for name, each in merged(inputs, Settings("svd", rank=rank)).items():
        expected = sum(deltas(inputs, name))
        assert isinstance(expected, Tensor)
        u, s, v = torch.linalg.svd(expected, full_matrices=False)
        best = (u[:, :rank] * s[:rank]) @ v[:rank]
        assert each.layer.rank == rank
        assert relative(product(each.layer), best) < 1e-5
        assert each.error == pytest.approx(relative(best, expected), rel=1e-5)


def plain_ties(updates: list[np.ndarray], density: float) -> np.ndarray:
    """TIES entry by entry, as its paper tells it."""
    rows, columns = updates[0].shape
    trimmed = []
    for update in updates:
        count = max(1, round(density * update.size))
        least = np.sort(np.abs(update).flatten())[-count]
        trimmed.append(np.where(np.abs(update) >= least, update, 0.0))
    result = np.zeros((rows, columns))
    for i in range(rows):
        for j in range(columns):
            values = [update[i, j] for update in trimmed]
            sign = np.sign(sum(values))
            winners = [value for value in values if value != 0 and np.sign(value) == sign]
            result[i, j] = sum(winners) / len(winners) if winners else 0.0
    return result


@pytest.mark.parametrize("density", [0.1, 0.2, 0.7, 1.0])
def test_ties_is_the_papers(inputs: list[Input], density: float) -> None:
    for name, each in merged(inputs, Settings("ties", rank=30, density=density)).items():
        # trimming compares magnitudes in float32, as the kit has them
        updates = [delta.float().numpy() for delta in deltas(inputs, name)]
        expected = torch.from_numpy(plain_ties(updates, density))
        u, s, v = torch.linalg.svd(expected, full_matrices=False)
        best = (u[:, :30] * s[:30]) @ v[:30]
        assert relative(product(each.layer), best) < 1e-4
        assert each.error == pytest.approx(relative(best, expected), abs=1e-4)


@pytest.mark.parametrize("density", [0.3, 1.0])
def test_dare_drops_by_its_seed_and_scales_the_rest(inputs: list[Input], density: float) -> None:
    """The documented draw: for each LoRA, uniform numbers of a seed made of words."""
    for name, each in merged(inputs, Settings("dare", rank=40, density=density, seed=7)).items():
        expected = torch.zeros(SHAPES[name], dtype=torch.float64)
        for number, delta in enumerate(deltas(inputs, name)):
            draws = torch.Generator().manual_seed(svd.seed_of(7, name, number))
            uniform = torch.rand(delta.shape, generator=draws)
            for i, j in np.argwhere(uniform.numpy() < density):
                expected[i, j] += delta[i, j] / density
        rank = min(40, *expected.shape)
        u, s, v = torch.linalg.svd(expected, full_matrices=False)
        best = (u[:, :rank] * s[:rank]) @ v[:rank]
        assert relative(product(each.layer), best) < 1e-4


def test_dare_keeps_the_sum_on_average_and_differs_by_seed() -> None:
    delta = torch.ones(200, 200)
    one, other = (merge.dare([delta], 0.25, [seed]) for seed in (1, 2))
    assert set(one.unique().tolist()) == {0.0, 4.0}
    assert float(one.mean()) == pytest.approx(1.0, abs=0.05)
    assert not torch.equal(one, other)


def test_ties_of_one_update_is_its_largest_entries() -> None:
    delta = torch.tensor([[1.0, -2.0], [3.0, 0.5]])
    assert torch.equal(merge.ties([delta], 0.5), torch.tensor([[0.0, -2.0], [3.0, 0.0]]))


def test_ties_drops_those_that_lost_the_vote() -> None:
    votes = [torch.tensor([[3.0]]), torch.tensor([[1.0]]), torch.tensor([[-2.0]])]
    assert merge.ties(votes, 1.0).item() == 2.0  # the mean of 3 and 1
    assert merge.ties([votes[1], -votes[1]], 1.0).item() == 0.0


def test_a_weight_of_zero_leaves_a_lora_out(inputs: list[Input]) -> None:
    only_q = Input(inputs[0].lora, 1.0, blocks.parse("double.11:0"))
    assert merged([only_q], Settings()).keys() == {Q}
    with pytest.raises(LoraError, match="all weights are 0"):
        merge.terms([Input(inputs[0].lora, 0.0)])


def test_widths_that_differ_are_named(inputs: list[Input]) -> None:
    other = Lora(Path("o"), ("kohya",), {Q: layer((41, 50), 2, 1.0, 0)}, {})
    with pytest.raises(
        LoraError, match=r"different widths: '.*to_q' \(\[40, 50\] and \[41, 50\]\)"
    ):
        merge.terms([*inputs, Input(other, 1.0)])


def test_loras_of_two_models_are_not_merged(inputs: list[Input]) -> None:
    name = "unet.mid_block.attentions.0.proj_in"
    other = Lora(Path("sd.safetensors"), ("kohya",), {name: layer((4, 4), 2, 1.0, 0)}, {})
    with pytest.raises(
        LoraError, match=r"10\.safetensors is for FLUX\.1 and sd\.safetensors for SD1"
    ):
        merge.terms([*inputs, Input(other, 1.0)])


def test_dora_is_not_added_to_anything(inputs: list[Input]) -> None:
    with_dora = Layer(torch.ones(2, 50), torch.ones(40, 2), 2.0, torch.ones(40, 1))
    other = Input(Lora(Path("d"), ("kohya",), {Q: with_dora}, {}), 1.0)
    with pytest.raises(LoraError, match=r"DoRA depends on the base .*to_q"):
        merged([*inputs, other], Settings())


def test_convolutions_keep_their_shape() -> None:
    name = "unet.mid_block.resnets.0.conv1"
    conv = Layer(torch.randn(4, 5, 3, 3), torch.randn(6, 4, 1, 1), 2.0)
    sd1 = Lora(Path("c"), ("kohya",), {name: conv}, {})
    for settings in (Settings(), Settings("svd", rank=3), Settings("ties", rank=3, density=0.5)):
        found = merged([Input(sd1, 1.0), Input(sd1, 1.0)], settings)[name].layer
        assert found.shape == (6, 5, 3, 3)
        assert found.up.shape[2:] == (1, 1)
    exact = merged([Input(sd1, 1.0), Input(sd1, 1.0)], Settings())[name].layer
    assert relative(exact.delta().double(), 2 * conv.delta().double()) < 1e-6

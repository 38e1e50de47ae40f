"""Rectified flow: its formulas in numbers, and its levels against their densities."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from bioicons_kit.families import flow

SAMPLINGS = ("uniform", "logit_normal", "flux_shift")
DRAWS = 20_000
# Kolmogorov-Smirnov: a right sampler exceeds 1.95 / sqrt(n) once in a thousand seeds
KS_BOUND = 1.95 / math.sqrt(DRAWS)


def tokens(side: int) -> int:
    """Packed tokens of a square picture of `side` pixels."""
    return (side // 16) ** 2


def density(sampling: str, s: np.ndarray, k: float) -> np.ndarray:
    """The textbook density of the noise level."""
    if sampling == "uniform":
        return np.ones_like(s)
    if sampling == "logit_normal":  # Esser et al. 2024, eq. 19 with m = 0, s = 1
        logit = np.log(s / (1 - s))
        return np.exp(-(logit**2) / 2) / np.sqrt(2 * np.pi) / (s * (1 - s))
    # u -> k u / (1 + (k - 1) u), by the change of variables
    return k / (k - (k - 1) * s) ** 2


class TestLevels:
    @pytest.mark.parametrize("side", [512, 1024])
    @pytest.mark.parametrize("sampling", SAMPLINGS)
    def test_follow_their_density(self, sampling: str, side: int):
        uniform = flow.draw(range(DRAWS), (1, 1, 1)).uniform
        drawn = np.sort(flow.levels(flow.Sampling(sampling), uniform, tokens(side)).numpy())
        k = {512: 1.878, 1024: 3.158}[side]
        grid = np.linspace(0, 1, 20_001)
        middle = (grid[1:] + grid[:-1]) / 2
        below = np.concatenate([[0], np.cumsum(density(sampling, middle, k) * np.diff(grid))])
        assert below[-1] == pytest.approx(1, abs=1e-3)
        expected = np.interp(drawn, grid, below)
        found = np.arange(1, DRAWS + 1) / DRAWS
        assert np.abs(expected - found).max() < KS_BOUND

    def test_in_numbers(self):
        u = torch.tensor([0.1, 0.5, 0.9])
        assert torch.equal(flow.levels(flow.Sampling("uniform"), u, 1024), u)
        # the normal's 10 % quantile is -1.2815516
        low = 1 / (1 + math.exp(1.2815516))
        sigmoid = flow.levels(flow.Sampling("logit_normal"), u, 1024)
        torch.testing.assert_close(sigmoid, torch.tensor([low, 0.5, 1 - low]))
        k = math.exp(0.63)
        shifted = flow.levels(flow.Sampling("flux_shift"), u, 1024)
        torch.testing.assert_close(shifted, k * u / (1 + (k - 1) * u))

    def test_shift_is_that_of_diffusers_scheduler(self):
        from diffusers import FlowMatchEulerDiscreteScheduler
        from diffusers.pipelines.flux.pipeline_flux import calculate_shift

        scheduler = FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=True)
        u = np.linspace(0.05, 1, 20)[::-1]
        for side in (256, 512, 768, 1024):
            scheduler.set_timesteps(sigmas=u, mu=calculate_shift(tokens(side)))
            shifted = flow.levels(
                flow.Sampling("flux_shift"), torch.from_numpy(u.copy()), tokens(side)
            )
            torch.testing.assert_close(shifted, scheduler.sigmas[:-1], rtol=1e-5, atol=0)

    @pytest.mark.parametrize("sampling", SAMPLINGS)
    @settings(max_examples=100, deadline=None)
    @given(u=st.floats(1e-7, 1 - 1e-7), rows=st.integers(1, 128), columns=st.integers(1, 128))
    def test_stay_inside_and_float32(self, sampling: str, u: float, rows: int, columns: int):
        level = flow.levels(
            flow.Sampling(sampling), torch.tensor([u], dtype=torch.float64), rows * columns
        )
        assert level.dtype == torch.float32
        assert 0 < level.item() < 1

    @pytest.mark.parametrize("side", [64, 1024, 2048])
    @pytest.mark.parametrize("sampling", SAMPLINGS)
    def test_the_rarest_draws_stay_inside(self, sampling: str, side: int):
        extremes = torch.tensor([1e-7, 1 - 1e-7], dtype=torch.float64)
        least, most = flow.levels(flow.Sampling(sampling), extremes, tokens(side)).tolist()
        assert 0 < least < 0.01
        assert 0.99 < most < 1

    @pytest.mark.parametrize("sampling", SAMPLINGS)
    def test_rise_with_the_uniform_number(self, sampling: str):
        levels = flow.levels(flow.Sampling(sampling), torch.linspace(0.01, 0.99, 99), 1024)
        assert (levels.diff() > 0).all()

    def test_an_unknown_sampling_is_a_programmers_error(self):
        with pytest.raises(AssertionError, match="cosine"):
            flow.levels(flow.Sampling("cosine"), torch.tensor([0.5]), 1024)


@pytest.mark.parametrize(("side", "shift"), [(512, 1.878), (768, 2.332), (1024, 3.158)])
def test_shift_by_resolution(side: int, shift: float):
    assert math.exp(flow.resolution_mu(tokens(side))) == pytest.approx(shift, abs=5e-4)


def test_shift_at_the_two_points_it_is_drawn_through():
    assert flow.resolution_mu(256) == pytest.approx(0.5)
    assert flow.resolution_mu(4096) == pytest.approx(1.15)


class TestDraw:
    def test_a_sample_draws_the_same_in_any_company(self):
        together = flow.draw([7, 8, 9, 7], (2, 3, 4))
        for place, seed in enumerate([7, 8, 9, 7]):
            alone = flow.draw([seed], (2, 3, 4))
            for one, many in zip(alone, together, strict=True):
                assert torch.equal(one[0], many[place])

    def test_neither_reads_nor_moves_the_global_generator(self):
        torch.manual_seed(1)
        before = torch.get_rng_state()
        first = flow.draw([5], (1, 2, 2))
        assert torch.equal(torch.get_rng_state(), before)
        torch.manual_seed(2)
        assert all(map(torch.equal, first, flow.draw([5], (1, 2, 2))))

    def test_level_does_not_depend_on_the_pictures_size(self):
        small, large = flow.draw([3], (16, 8, 8)), flow.draw([3], (16, 64, 32))
        assert torch.equal(small.uniform, large.uniform)

    def test_shapes_and_precision(self):
        drawn = flow.draw([1, 2], (16, 4, 6))
        assert drawn.noise.shape == drawn.posterior.shape == (2, 16, 4, 6)
        assert drawn.noise.dtype == drawn.posterior.dtype == torch.float32
        assert drawn.uniform.shape == (2,)

    def test_noise_is_normal_and_no_two_draws_are_related(self):
        drawn = flow.draw(range(50), (16, 8, 8))
        kinds = [drawn.noise.flatten(1), drawn.posterior.flatten(1)]
        for values in kinds:
            assert values.mean().item() == pytest.approx(0, abs=0.02)
            assert values.std().item() == pytest.approx(1, abs=0.02)
        rows = torch.cat(kinds)
        correlation = torch.corrcoef(rows) - torch.eye(len(rows))
        assert correlation.abs().max() < 5 / math.sqrt(rows.shape[1])

    def test_uniform_numbers_have_two_open_ends(self):
        drawn = flow.draw(range(2000), (1, 1, 1)).uniform
        assert 0 < drawn.min() < 0.01
        assert 0.99 < drawn.max() < 1


class TestPath:
    def test_in_numbers(self):
        clean, noise = torch.tensor([[[2.0]], [[4.0]]]), torch.tensor([[[10.0]], [[-4.0]]])
        mixed = flow.interpolate(clean, noise, torch.tensor([0.25, 0.75]))
        assert mixed.flatten().tolist() == [4.0, -2.0]
        assert flow.velocity(clean, noise).flatten().tolist() == [8.0, -8.0]

    @settings(max_examples=50, deadline=None)
    @given(level=st.floats(0, 1, width=32), seed=st.integers(0, 2**32 - 1))
    def test_velocity_leads_from_any_level_to_both_ends(self, level: float, seed: int):
        clean, noise, _ = flow.draw([seed], (2, 3, 3))
        s = torch.tensor([level])
        x, v = flow.interpolate(clean, noise, s), flow.velocity(clean, noise)
        torch.testing.assert_close(x - level * v, clean, rtol=0, atol=1e-5)
        torch.testing.assert_close(x + (1 - level) * v, noise, rtol=0, atol=1e-5)

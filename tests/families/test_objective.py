"""The parts of the objective, each by its formula: levels, errors, weights, preservation."""

import itertools
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from scipy import integrate, stats
from torch import Tensor, nn

from bioicons_kit import families
from bioicons_kit.families import flow, flux, preservation
from bioicons_kit.families.base import Batch, Family
from bioicons_kit.lora import adapter
from bioicons_kit.preset import Memory, Model, Train

DRAWS = 20_000
KS_BOUND = 1.95 / math.sqrt(DRAWS)  # exceeded once in a thousand seeds by a right sampler
TOKENS = 1024  # of 512 x 512 pixels

SAMPLINGS = (
    flow.Sampling("uniform"),
    flow.Sampling("uniform", least=0.2, most=0.9),
    flow.Sampling("logit_normal", mean=-0.5, std=1.5),
    flow.Sampling("logit_normal", mean=0.5, std=0.5, least=0.3),
    flow.Sampling("shift"),
    flow.Sampling("shift", shift=0.4, most=0.5),
    flow.Sampling("flux_shift", least=0.1, most=0.6),
)


def density(chosen: flow.Sampling, s: np.ndarray) -> np.ndarray:
    """The textbook density, before any part of it is cut away."""
    if chosen.kind == "uniform":
        return np.ones_like(s)
    if chosen.kind == "logit_normal":
        logit = np.log(s / (1 - s))
        return stats.norm.pdf(logit, chosen.mean, chosen.std) / (s * (1 - s))
    k = math.exp(0.63) if chosen.kind == "flux_shift" else chosen.shift
    return k / (k - (k - 1) * s) ** 2  # of k u / (1 + (k - 1) u), by the change of variables


@pytest.mark.parametrize("chosen", SAMPLINGS)
def test_levels_have_the_histogram_of_their_density(chosen: flow.Sampling) -> None:
    levels = flow.levels(chosen, flow.draw_uniform(range(DRAWS)), TOKENS).double().numpy()
    edges = np.linspace(chosen.least, chosen.most, 21)
    shares = np.array(
        [
            integrate.quad(lambda s: density(chosen, np.array(s)), a, b)[0]
            for a, b in itertools.pairwise(edges)
        ]
    )
    shares /= shares.sum()
    counts = np.histogram(levels, edges)[0]
    assert counts.sum() == DRAWS  # and none lies outside
    assert stats.chisquare(counts, shares * DRAWS).pvalue > 1e-3
    assert np.abs(np.cumsum(counts) / DRAWS - np.cumsum(shares)).max() < KS_BOUND


@pytest.mark.parametrize("chosen", SAMPLINGS)
def test_the_rarest_draws_stay_between_the_ends(chosen: flow.Sampling) -> None:
    ends = torch.tensor([1e-7, 1 - 1e-7], dtype=torch.float64)
    low, high = flow.levels(chosen, ends, TOKENS).tolist()
    rounding = 1e-7  # of float32
    assert max(chosen.least - rounding, 0) < low < high < min(chosen.most + rounding, 1)


@given(
    kind=st.sampled_from(["uniform", "logit_normal", "shift", "flux_shift"]),
    u=st.floats(1e-7, 1 - 1e-7),
    mean=st.floats(-10, 10),
    std=st.floats(0.01, 10),
    shift=st.floats(0.01, 100),
    ends=st.tuples(st.floats(0, 1), st.floats(0, 1)).filter(lambda e: e[1] - e[0] > 1e-3),
)
def test_any_sampling_a_preset_allows_gives_levels_in_bounds(
    kind: str, u: float, mean: float, std: float, shift: float, ends: tuple[float, float]
) -> None:
    chosen = flow.Sampling(kind, mean, std, shift, *ends)
    level = flow.levels(chosen, torch.tensor([u], dtype=torch.float64), TOKENS)
    assert level.dtype == torch.float32
    assert 0 < level.item() < 1
    assert ends[0] - 1e-7 <= level.item() <= ends[1] + 1e-7


def test_a_preset_says_all_of_a_sampling() -> None:
    assert flow.sampling(Train()) == flow.Sampling("flux_shift")
    values: dict[str, Any] = {"min_timestep": 0.1, "max_timestep": 0.8}
    normal = Train(timestep_sampling="logit_normal", logit_mean=0.0, logit_std=2.0, **values)
    assert flow.sampling(normal) == flow.Sampling("logit_normal", 0.0, 2.0, 3.0, 0.1, 0.8)
    shifted = Train(timestep_sampling="shift", timestep_shift=1.15)
    assert flow.sampling(shifted) == flow.Sampling("shift", shift=1.15)


class TestError:
    def test_in_numbers(self) -> None:
        predicted, target = torch.tensor([3.0, 1.0]), torch.tensor([0.0, 1.0])
        assert flow.error("l2", predicted, target, None).tolist() == [9.0, 0.0]
        # sqrt(9 + 16) - 4 = 1
        assert flow.error("huber", predicted, target, 4.0).tolist() == [8.0, 0.0]
        assert flow.error("smooth_l1", predicted, target, 4.0).tolist() == [2.0, 0.0]

    @given(d=st.floats(-1e3, 1e3), c=st.floats(1e-3, 1e2))
    def test_formulas(self, d: float, c: float) -> None:
        args = torch.tensor([d], dtype=torch.float64), torch.zeros(1, dtype=torch.float64), c
        rise = math.sqrt(d * d + c * c) - c
        assert flow.error("huber", *args).item() == pytest.approx(2 * c * rise, rel=1e-6, abs=1e-9)
        assert flow.error("smooth_l1", *args).item() == pytest.approx(2 * rise, rel=1e-6, abs=1e-9)

    def test_small_errors_are_squared_and_large_ones_linear(self) -> None:
        small, large, zero = torch.tensor([1e-4]), torch.tensor([1e4]), torch.zeros(1)
        c = 0.5
        assert flow.error("huber", small, zero, c).item() == pytest.approx(1e-8, rel=1e-4)
        assert flow.error("huber", large, zero, c).item() == pytest.approx(2 * c * 1e4, rel=1e-3)
        assert flow.error("smooth_l1", small, zero, c).item() == pytest.approx(1e-8 / c, rel=1e-4)
        assert flow.error("smooth_l1", large, zero, c).item() == pytest.approx(2e4, rel=1e-3)

    @pytest.mark.parametrize("kind", ["l2", "huber", "smooth_l1"])
    def test_the_gradient_at_no_error_is_zero(self, kind: str) -> None:
        value = torch.zeros(1, requires_grad=True)
        flow.error(kind, value, torch.zeros(1), 0.1).sum().backward()
        assert value.grad is not None
        assert value.grad.item() == 0


class TestWeight:
    def test_in_numbers(self) -> None:
        s = torch.tensor([0.5])
        assert flow.weight("none", s).item() == 1
        assert flow.weight("sigma_sqrt", s).item() == 4
        assert flow.weight("cosmap", s).item() == pytest.approx(4 / math.pi)
        assert flow.weight("logit_normal", s).item() == pytest.approx(4 / math.sqrt(2 * math.pi))

    def test_sigma_sqrt_does_not_explode(self) -> None:
        assert flow.weight("sigma_sqrt", torch.tensor([1e-7])).item() == pytest.approx(1e6)

    @pytest.mark.parametrize("kind", ["cosmap", "logit_normal"])
    def test_the_mean_under_uniform_levels_is_one(self, kind: str) -> None:
        def value(s: float) -> float:
            return flow.weight(kind, torch.tensor([s], dtype=torch.float64)).item()

        assert integrate.quad(value, 0, 1, limit=200)[0] == pytest.approx(1, abs=1e-6)

    def test_the_weights_are_diffusers(self) -> None:
        from diffusers.training_utils import compute_loss_weighting_for_sd3

        s = torch.linspace(0.01, 0.99, 50)
        for kind in ("sigma_sqrt", "cosmap"):
            torch.testing.assert_close(
                flow.weight(kind, s), compute_loss_weighting_for_sd3(kind, sigmas=s)
            )

    @pytest.mark.parametrize("end", [1e-38, 1 - 2**-24])
    @pytest.mark.parametrize("kind", ["none", "sigma_sqrt", "cosmap", "logit_normal"])
    def test_every_weight_is_finite_at_the_ends(self, kind: str, end: float) -> None:
        assert math.isfinite(flow.weight(kind, torch.tensor([end])).item())


@pytest.fixture(scope="module")
def family(models: Path) -> Family:
    return families.load(Model(path="starter", max_sequence_length=16), models)


def adapted(family: Family, modulation: str = "resident") -> nn.Module:
    """A denoiser with an adapter that does something."""
    memory = Memory.model_validate({"dtype": "fp32", "modulation": modulation})
    denoiser: nn.Module = family.load_denoiser(memory, torch.device("cpu"), lambda _: None)[0]
    names = adapter.target_modules(denoiser, ["attention"], family.target_sets)
    torch.manual_seed(0)
    adapter.attach(denoiser, names, 4, None, 0.0)
    with torch.no_grad():
        for name, parameter in adapter.named(denoiser).items():
            if name.endswith(".up"):
                parameter.normal_(std=0.05)
    return denoiser


def batch(**extra: Tensor) -> Batch:
    """Two samples with texts, and the text of a class."""
    generator = torch.Generator().manual_seed(1)
    shapes = {"clip.pooled": (128,), "t5.states": (16, 128), "latents.mean": (16, 8, 8)}
    tensors = {name: torch.randn(2, *size, generator=generator) for name, size in shapes.items()}
    for name in ("clip.pooled", "t5.states"):
        one = torch.randn(tensors[name].shape[1:], generator=generator)
        tensors[preservation.PREFIX + name] = torch.stack([one, one])
    tensors["latents.logvar"] = torch.full((2, 16, 8, 8), -4.0)
    return Batch({**tensors, **extra}, (1, 2), torch.ones(2))


def with_levels(values: Batch, *levels: float) -> Batch:
    return replace(values, levels=torch.tensor(levels))


def objective(**values: Any) -> Train:
    return Train.model_validate(values)


def test_given_levels_take_the_place_of_drawn_ones(family: Family) -> None:
    denoiser, given = adapted(family), with_levels(batch(), 0.3, 0.7)
    uniform = family.loss(denoiser, given, objective(timestep_sampling="uniform"))
    assert torch.equal(family.loss(denoiser, given, objective()), uniform)
    assert not torch.equal(family.loss(denoiser, batch(), objective()), uniform)


@pytest.mark.parametrize("kind", ["none", "sigma_sqrt", "cosmap", "logit_normal"])
def test_the_loss_is_weighted_by_its_level(family: Family, kind: str) -> None:
    denoiser, given = adapted(family), with_levels(batch(), 0.3, 0.7)
    plain = family.loss(denoiser, given, objective())
    weighted = family.loss(denoiser, given, objective(weighting=kind))
    torch.testing.assert_close(weighted, plain * flow.weight(kind, torch.tensor([0.3, 0.7])))


@pytest.mark.parametrize("kind", ["huber", "smooth_l1"])
def test_the_loss_is_the_mean_error_of_its_kind(family: Family, kind: str) -> None:
    """Large and small deltas give back l2, and l1, as the formulas say."""
    denoiser, given = adapted(family), batch()
    squared = family.loss(denoiser, given, objective())
    wide = family.loss(denoiser, given, objective(loss=kind, loss_delta=100.0))
    scale = 1.0 if kind == "huber" else 100.0
    torch.testing.assert_close(wide * scale, squared, rtol=1e-3, atol=0)
    assert (family.loss(denoiser, given, objective(loss=kind)) < squared).all() == (kind == "huber")


def test_masks_weigh_every_kind_of_error(family: Family) -> None:
    denoiser = adapted(family)
    half = torch.zeros(2, 8, 8)
    half[:, :4] = 1
    inverse = 1 - half
    for kind in ("l2", "huber", "smooth_l1"):
        chosen = objective(loss=kind)
        whole = family.loss(denoiser, batch(), chosen)
        upper = family.loss(denoiser, batch(**{"mask.weight": half}), chosen)
        lower = family.loss(denoiser, batch(**{"mask.weight": inverse}), chosen)
        torch.testing.assert_close((upper + lower) / 2, whole)
        assert not torch.allclose(upper, lower, rtol=1e-3)


class TestPreservation:
    CLASS = "an icon"

    def kept(self, weight: float = 1.0, **values: Any) -> Train:
        return objective(
            preservation="output",
            preservation_class=self.CLASS,
            preservation_weight=weight,
            **values,
        )

    def test_adds_the_class_error_against_the_bare_model(self, family: Family) -> None:
        """By hand: two models, one without an adapter, on the same noisy latents."""
        denoiser, given = adapted(family), with_levels(batch(), 0.3, 0.7)
        bare: Any = family.load_denoiser(Memory(dtype="fp32"), torch.device("cpu"), lambda _: None)[
            0
        ]
        clean = given.tensors["latents.mean"]
        draws = flow.draw(given.seeds, clean.shape[1:])
        latents = flux.VaeScaling(0.1159, 0.3611).scale(clean)
        level = torch.tensor([0.3, 0.7])
        noisy = flow.interpolate(latents, draws.noise, level)
        text = preservation.texts(given.tensors)
        with torch.no_grad():
            now, before = (flux.predict(m, noisy, level, 1.0, text) for m in (denoiser, bare))
        expected = (now - before).square().mean(dim=(1, 2))
        assert expected.min() > 1e-6
        plain = family.loss(denoiser, given, objective(latents="mode"))
        found = family.loss(denoiser, given, self.kept(0.5, latents="mode"))
        torch.testing.assert_close(found - plain, 0.5 * expected, rtol=1e-3, atol=1e-6)

    def test_is_nothing_while_the_adapter_is_zero(self, family: Family) -> None:
        denoiser: Any = family.load_denoiser(
            Memory(dtype="fp32"), torch.device("cpu"), lambda _: None
        )[0]
        names = adapter.target_modules(denoiser, ["attention"], family.target_sets)
        adapter.attach(denoiser, names, 4, None, 0.0)
        plain = family.loss(denoiser, batch(), objective())
        torch.testing.assert_close(family.loss(denoiser, batch(), self.kept(100.0)), plain)

    def test_leaves_the_adapter_on_and_trained(self, family: Family) -> None:
        denoiser = adapted(family)
        before = family.loss(denoiser, batch(), objective())
        family.loss(denoiser, batch(), self.kept()).mean().backward()
        parameters = adapter.named(denoiser).values()
        assert all(p.requires_grad and p.grad is not None for p in parameters)
        assert torch.equal(family.loss(denoiser, batch(), objective()), before)

    def test_its_gradient_is_that_of_the_sum(self, family: Family) -> None:
        """Checkpointed blocks run again with the adapter on, although it was off before."""
        denoiser = adapted(family)

        def gradient(chosen: Train) -> Tensor:
            denoiser.zero_grad()
            family.loss(denoiser, batch(), chosen).sum().backward()
            return torch.cat([p.grad.flatten() for p in adapter.named(denoiser).values()])  # type: ignore[union-attr]

        plain, one, two = gradient(objective()), gradient(self.kept(1.0)), gradient(self.kept(2.0))
        assert (one - plain).abs().max() > 1e-6
        torch.testing.assert_close(two - one, one - plain, rtol=1e-2, atol=1e-6)

    def test_agrees_with_modulation_computed_ahead(self, family: Family) -> None:
        chosen = self.kept(3.0)
        resident, ahead = adapted(family), adapted(family, "ahead")
        (prepared,) = family.prepared(ahead, iter([batch()]), chosen, 1)
        expected = family.loss(resident, batch(), chosen)
        torch.testing.assert_close(family.loss(ahead, prepared, chosen), expected)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"logit_mean": 1.0}, "logit_mean is of timestep_sampling"),
        ({"logit_std": 1.0, "timestep_sampling": "shift"}, "logit_std is of timestep_sampling"),
        ({"timestep_shift": 2.0}, "timestep_shift is of timestep_sampling"),
        ({"loss_delta": 0.2}, 'loss_delta is of loss = "huber" or "smooth_l1"'),
        ({"min_timestep": 0.5, "max_timestep": 0.5}, "must be below max_timestep"),
        (
            {"weighting": "logit_normal", "timestep_sampling": "logit_normal"},
            "choose one of the two",
        ),
        ({"preservation": "output"}, "needs preservation_class"),
        ({"preservation_class": "an icon"}, 'preservation_class is of preservation = "output"'),
        ({"preservation_weight": 2.0}, 'preservation_weight is of preservation = "output"'),
    ],
)
def test_what_cannot_apply_is_refused(values: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        objective(**values)

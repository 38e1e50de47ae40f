"""The optimizers: their rules, their groups, their modes, and their states to the bit."""

import io
from contextlib import redirect_stdout
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from torch import Tensor, nn

from bioicons_kit.errors import TrainingError
from bioicons_kit.preset import Lora, Tables, Train
from bioicons_kit.train import optim

CPU = torch.device("cpu")
ON_CPU = ("adamw", "adafactor", "prodigy", "schedule_free")
SHAPES = {"a.down": (4, 6), "a.up": (6, 4), "b.down": (4, 3), "b.up": (5, 4), "b.magnitude": (5,)}


def made(**values: Any) -> Train:
    if values.get("optimizer") == "prodigy":
        values.setdefault("learning_rate", 1.0)
    return Train.model_validate(values)


def parameters() -> dict[str, nn.Parameter]:
    generator = torch.Generator().manual_seed(0)
    return {
        name: nn.Parameter(torch.randn(shape, generator=generator))
        for name, shape in SHAPES.items()
    }


def loss(values: dict[str, nn.Parameter], step: int) -> Tensor:
    """A different smooth task each step, of which all ask for the same parameters."""
    generator = torch.Generator().manual_seed(step)
    total = torch.zeros(())
    for value in values.values():
        noise = 0.1 * torch.randn(value.shape, generator=generator)
        total = total + (value - 3.0 + noise).square().mean()
    return total


def advance(
    values: dict[str, nn.Parameter],
    optimizer: torch.optim.Optimizer,
    settings: Train,
    steps: range,
) -> list[float]:
    losses = []
    for step in steps:
        optim.set_learning_rate(optimizer, optim.learning_rate(step, settings))
        value = loss(values, step)
        optimizer.zero_grad()
        value.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        losses.append(value.item())
    return losses


def test_every_optimizer_a_preset_may_name_is_tested() -> None:
    kinds = Train.model_fields["optimizer"].annotation
    assert kinds is not None
    assert set(kinds.__args__) == {*ON_CPU, "adamw8bit"}


def test_the_optimizer_is_adamw_with_the_presets_decay() -> None:
    weight = nn.Parameter(torch.ones(3))
    optimizer = optim.build(
        {"x.down": weight},
        made(learning_rate=0.1, weight_decay=0.5, steps=10, warmup_steps=5),
        Lora(),
    )
    assert isinstance(optimizer, torch.optim.AdamW)
    (group,) = optimizer.param_groups
    assert group["lr"] == pytest.approx(0.02)  # the first of five warm-up steps
    # decoupled decay: with a gradient of zero a step is a multiplication by 1 - lr * decay
    weight.grad = torch.zeros(3)
    optimizer.step()
    assert torch.allclose(weight.detach(), torch.full((3,), 1 - 0.02 * 0.5))


@pytest.mark.parametrize("optimizer", ON_CPU)
@pytest.mark.parametrize("schedule", ["constant", "cosine"])
def test_a_state_goes_on_to_the_bit(optimizer: str, schedule: str) -> None:
    """Two times k steps, and k steps, saved, loaded into new ones, and k steps."""
    if (optimizer, schedule) == ("schedule_free", "cosine"):
        schedule = "constant"
    settings = made(optimizer=optimizer, schedule=schedule, steps=20, warmup_steps=3)
    lora = Lora() if optimizer == "prodigy" else Lora(plus=16.0)
    whole = parameters()
    expected = advance(whole, optim.build(whole, settings, lora), settings, range(20))

    first = parameters()
    stopped = optim.build(first, settings, lora)
    losses = advance(first, stopped, settings, range(10))
    state = stopped.state_dict()
    second = {name: nn.Parameter(value.detach().clone()) for name, value in first.items()}
    resumed = optim.build(second, settings, lora)
    resumed.load_state_dict(state)
    losses += advance(second, resumed, settings, range(10, 20))
    assert losses == expected
    for name, value in whole.items():
        assert torch.equal(second[name], value), name
    assert losses[-1] < losses[0]


@pytest.mark.parametrize("optimizer", ON_CPU)
def test_moments_are_float32_or_numbers(optimizer: str) -> None:
    values = parameters()
    settings = made(optimizer=optimizer, steps=5)
    built = optim.build(values, settings, Lora())
    advance(values, built, settings, range(2))
    kept = [each for state in built.state_dict()["state"].values() for each in state.values()]
    assert kept
    assert {each.dtype for each in kept if isinstance(each, Tensor)} == {torch.float32}


@pytest.mark.parametrize("optimizer", ON_CPU)
def test_what_an_optimizer_knows_besides_tensors_survives_json(optimizer: str) -> None:
    """Checkpoints hold tensors and JSON: the groups have to be plain, and numbers exact."""
    import json

    values = parameters()
    settings = made(optimizer=optimizer, steps=5)
    built = optim.build(values, settings, Lora())
    advance(values, built, settings, range(3))
    groups = [
        {k: v for k, v in group.items() if not isinstance(v, Tensor)}
        for group in built.state_dict()["param_groups"]
    ]
    again = json.loads(json.dumps(groups))
    plain = [{k: list(v) if isinstance(v, tuple) else v for k, v in g.items()} for g in groups]
    assert again == plain


@pytest.mark.parametrize("optimizer", ON_CPU)
def test_every_optimizer_gets_there(optimizer: str) -> None:
    rates = {"adafactor": 0.3, "prodigy": 1.0}
    settings = made(
        optimizer=optimizer, steps=300, learning_rate=rates.get(optimizer, 0.05), weight_decay=0.0
    )
    values = parameters()
    built = optim.build(values, settings, Lora())
    losses = advance(values, built, settings, range(300))
    with optim.evaluation_mode(built):
        assert loss(values, 999).item() < losses[0] / 20


class TestRules:
    """The first step of each, by its paper."""

    def after_one(self, **values: Any) -> tuple[Tensor, Tensor]:
        settings = made(steps=5, weight_decay=0.0, **values)
        weight = nn.Parameter(torch.tensor([[1.0, -2.0], [3.0, 4.0]]))
        built = optim.build({"x.down": weight}, settings, Lora())
        weight.grad = torch.tensor([[0.5, -0.25], [2.0, 1.0]])
        before = weight.detach().clone()
        built.step()
        return before, weight.detach()

    def test_adam_moves_by_the_rate_against_the_signs(self) -> None:
        before, after = self.after_one(learning_rate=0.01)
        signs = torch.tensor([[1.0, -1.0], [1.0, 1.0]])
        torch.testing.assert_close(after, before - 0.01 * signs, rtol=0, atol=1e-6)

    def test_betas_are_the_presets(self) -> None:
        built = optim.build(parameters(), made(beta1=0.8, beta2=0.95), Lora())
        assert built.param_groups[0]["betas"] == (0.8, 0.95)

    def test_adafactor_moves_by_a_share_of_the_weights_size(self) -> None:
        """Algorithm 4: alpha = max(eps2, RMS(W)) rate; an update of an RMS of at most 1."""
        before, after = self.after_one(optimizer="adafactor", learning_rate=0.01)
        size = before.square().mean().sqrt()
        step = (after - before).square().mean().sqrt() / size
        assert 0 < step <= 0.01 * (1 + 1e-5)

    def test_schedule_free_first_step_is_the_whole_average(self) -> None:
        """x_1 = z_1: the average's first weight is 1."""
        settings = made(optimizer="schedule_free", steps=5, weight_decay=0.0, learning_rate=0.01)
        weight = nn.Parameter(torch.tensor([1.0]))
        built = optim.build({"x.down": weight}, settings, Lora())
        weight.grad = torch.tensor([0.5])
        built.step()
        with optim.evaluation_mode(built):
            assert weight.item() == pytest.approx(0.99, abs=1e-6)

    def test_prodigy_raises_its_estimate(self) -> None:
        values = parameters()
        settings = made(optimizer="prodigy", steps=50)
        built = optim.build(values, settings, Lora())
        first = built.param_groups[0]["d"]
        advance(values, built, settings, range(50))
        assert built.param_groups[0]["d"] > 100 * first

    def test_prodigy_says_nothing_on_its_own(self) -> None:
        with redirect_stdout(io.StringIO()) as printed:
            optim.build(parameters(), made(optimizer="prodigy", weight_decay=0.1), Lora())
        assert not printed.getvalue()


class TestEvaluationMode:
    @pytest.mark.parametrize("optimizer", ON_CPU)
    def test_looking_changes_nothing_by_a_bit(self, optimizer: str) -> None:
        settings = made(optimizer=optimizer, steps=10)
        series = []
        for looks in (False, True):
            values = parameters()
            built = optim.build(values, settings, Lora())
            losses = []
            for step in range(10):
                if looks:
                    with optim.evaluation_mode(built):
                        loss(values, 0)
                losses += advance(values, built, settings, range(step, step + 1))
            series.append((losses, [value.detach().clone() for value in values.values()]))
        assert series[0][0] == series[1][0]
        assert all(map(torch.equal, series[0][1], series[1][1]))

    def test_shows_schedule_frees_average(self) -> None:
        """x of y = (1 - beta1) z + beta1 x."""
        values, settings = parameters(), made(optimizer="schedule_free", steps=10)
        built = optim.build(values, settings, Lora())
        advance(values, built, settings, range(5))
        weight = values["a.down"]
        z, y = built.state[weight]["z"], weight.detach().clone()
        with optim.evaluation_mode(built):
            torch.testing.assert_close(0.1 * z + 0.9 * weight.detach(), y)
            assert not torch.equal(weight, y)

    def test_comes_back_after_an_error(self) -> None:
        values, settings = parameters(), made(optimizer="schedule_free", steps=10)
        built = optim.build(values, settings, Lora())
        advance(values, built, settings, range(5))
        before = values["a.up"].detach().clone()
        with pytest.raises(RuntimeError, match="stop"), optim.evaluation_mode(built):
            raise RuntimeError("stop")
        assert torch.equal(values["a.up"], before)
        advance(values, built, settings, range(5, 6))  # in training mode again


class TestGroups:
    def lora(self, **values: Any) -> Lora:
        return Lora.model_validate(values)

    def test_up_matrices_learn_faster_by_lora_plus(self) -> None:
        built = optim.build(parameters(), made(learning_rate=0.01), self.lora(plus=16.0))
        rates = {len(group["params"]): group["lr"] for group in built.param_groups}
        assert rates == {3: pytest.approx(0.01), 2: pytest.approx(0.16)}
        optim.set_learning_rate(built, 0.001)
        assert sorted(group["lr"] for group in built.param_groups) == pytest.approx([0.001, 0.016])

    def test_parts_have_learning_rates_of_their_own(self) -> None:
        lora = self.lora(
            plus=4.0, parts=[{"modules": "b", "learning_rate": 0.05}, {"modules": ".*", "rank": 2}]
        )
        found = optim.factors(SHAPES, made(learning_rate=0.01), lora)
        expected = {"a.down": 1, "a.up": 4, "b.down": 5, "b.up": 20, "b.magnitude": 5}
        assert found == pytest.approx(expected)

    def test_every_parameter_is_in_one_group(self) -> None:
        values = parameters()
        lora = self.lora(plus=4.0, parts=[{"modules": "b", "learning_rate": 0.05}])
        built = optim.build(values, made(), lora)
        grouped = [id(p) for group in built.param_groups for p in group["params"]]
        assert sorted(grouped) == sorted(map(id, values.values()))

    def test_a_rate_shows_in_the_step(self) -> None:
        values = parameters()
        lora = self.lora(parts=[{"modules": "b", "learning_rate": 1e-3}])
        settings = made(learning_rate=1e-2, weight_decay=0.0)
        before = {name: value.detach().clone() for name, value in values.items()}
        advance(values, optim.build(values, settings, lora), settings, range(1))
        moved = {n: (values[n].detach() - before[n]).abs().max().item() for n in values}
        assert moved["a.down"] == pytest.approx(1e-2, rel=1e-3)
        assert moved["b.down"] == pytest.approx(1e-3, rel=1e-3)

    @given(plus=st.floats(1.1, 100), own=st.floats(1e-6, 1), rate=st.floats(1e-6, 1))
    def test_factors_give_the_rates_asked_for(self, plus: float, own: float, rate: float) -> None:
        lora = self.lora(plus=plus, parts=[{"modules": "b", "learning_rate": own}])
        found = optim.factors(SHAPES, made(learning_rate=rate), lora)
        assert rate * found["b.up"] == pytest.approx(own * plus)
        assert rate * found["a.down"] == rate


def test_8_bit_adam_is_refused_without_cuda_in_one_line() -> None:
    with pytest.raises(TrainingError, match="needs an NVIDIA GPU, and this runs on cpu"):
        optim.build(parameters(), made(optimizer="adamw8bit"), Lora())
    optim.require(made(), CPU)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"optimizer": "schedule_free", "schedule": "cosine"}, "cannot apply to schedule_free"),
        ({"optimizer": "schedule_free", "beta1": 0.0}, "beta1 = 0 cannot apply"),
        ({"optimizer": "prodigy", "learning_rate": 1e-4}, "set learning_rate = 1.0"),
        ({"optimizer": "adafactor", "beta1": 0.9}, "beta1 cannot apply to adafactor"),
        ({"optimizer": "adafactor", "beta2": 0.9}, "beta2 cannot apply to adafactor"),
    ],
)
def test_what_cannot_apply_is_refused(values: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        Train.model_validate(values)


@pytest.mark.parametrize(
    ("lora", "more", "said"),
    [
        ({"plus": 4.0}, {"optimizer": "prodigy", "learning_rate": 1.0}, "one learning rate for"),
        (
            {"parts": [{"modules": "x", "learning_rate": 0.1}]},
            {"optimizer": "prodigy", "learning_rate": 1.0},
            "one learning rate for",
        ),
        ({"ema": 0.9}, {"optimizer": "schedule_free"}, "an average already"),
        ({"dora": True}, {}, 'memory.quantization = "none"'),
        ({"rslora": True}, {}, "rslora needs alpha"),
        ({"start_ranks": "resize"}, {}, "cannot apply without start"),
        ({"parts": [{"modules": "x"}]}, {}, "says nothing of its modules"),
    ],
)
def test_what_cannot_apply_together_is_refused(
    lora: dict[str, Any], more: dict[str, Any], said: str
) -> None:
    tables = {
        "model": {"path": "starter"},
        "dataset": {"root": "shipped", "trigger": "x", "buckets": [{"license": "CC0-1.0"}]},
        "lora": lora,
        "train": more,
    }
    with pytest.raises(ValidationError, match=said):
        Tables.model_validate(tables)


def test_the_learning_rate_is_set_in_every_group() -> None:
    groups = [{"params": [nn.Parameter(torch.ones(1))]} for _ in range(2)]
    optimizer = torch.optim.AdamW(groups, lr=1.0)
    optim.set_learning_rate(optimizer, 0.25)
    assert [group["lr"] for group in optimizer.param_groups] == [0.25, 0.25]

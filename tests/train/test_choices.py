"""Every choice of [train] and [lora] on a real small FLUX: it runs, learns, and resumes to the bit.

Each row is one run; together they name every value that a preset may give. A run of six
steps is held against three steps, their state put through JSON and back as a checkpoint does,
and three more steps with a model that was loaded anew.
"""

import json
import math
from pathlib import Path
from typing import Any, get_args

import pytest
import torch
from torch import nn

from bioicons_kit import families
from bioicons_kit.families import preservation
from bioicons_kit.families.base import Batch, Family
from bioicons_kit.lora import adapter
from bioicons_kit.lora.ema import Ema
from bioicons_kit.preset import Lora, Memory, Model, Train
from bioicons_kit.train import optim
from bioicons_kit.train.state import State, generators, set_generators

CPU = torch.device("cpu")
STEPS = 6

CHOICES: tuple[tuple[dict[str, Any], dict[str, Any]], ...] = (
    ({}, {}),
    (
        {"timestep_sampling": "uniform", "loss": "huber", "weighting": "cosmap"},
        {"targets": ["attention", "feed_forward"], "plus": 16.0, "dropout": 0.3},
    ),
    (
        {"timestep_sampling": "logit_normal", "optimizer": "schedule_free", "warmup_steps": 2},
        {"targets": ["style"], "rslora": True, "alpha": 4.0},
    ),
    (
        {
            **{"timestep_sampling": "shift", "loss": "smooth_l1", "loss_delta": 0.5},
            **{"schedule": "wsd", "decay_share": 0.5, "min_timestep": 0.1},
        },
        {"targets": ["all"], "ema": 0.9},
    ),
    (
        {"optimizer": "prodigy", "learning_rate": 1.0, "schedule": "cosine"},
        {"parts": [{"modules": ".*to_q", "rank": 2}], "dropout": 0.1},
    ),
    (
        {"optimizer": "adafactor", "schedule": "polynomial", "power": 3.0, "learning_rate": 1e-2},
        {"parts": [{"modules": ".*to_k", "learning_rate": 1e-3}], "ema": 0.5},
    ),
    (
        {
            **{"schedule": "linear", "warmup_share": 0.3, "weighting": "logit_normal"},
            **{"preservation": "output", "preservation_class": "an icon", "latents": "mode"},
        },
        {"targets": [r"single_transformer_blocks\.\d+\.proj_out"], "dropout": 0.2},
    ),
    ({"weighting": "sigma_sqrt", "max_timestep": 0.8, "beta1": 0.8}, {"dora": True}),
)


def train(values: dict[str, Any]) -> Train:
    return Train.model_validate({"steps": STEPS, "learning_rate": 1e-3, **values})


@pytest.fixture(scope="module")
def family(models: Path) -> Family:
    return families.load(Model(path="starter", max_sequence_length=16), models)


def begun(family: Family, settings: Train, lora: Lora) -> tuple[nn.Module, State]:
    memory = Memory(dtype="fp32", quantization="none" if lora.dora else "qfloat8")
    denoiser = family.load_denoiser(memory, CPU, lambda _: None)[0]
    names = adapter.target_modules(denoiser, lora.targets, family.target_sets)
    torch.manual_seed(0)
    adapter.create(denoiser, names, lora)
    named = adapter.named(denoiser)
    average = Ema(named, lora.ema) if lora.ema else None
    return denoiser.train(), State(named, optim.build(named, settings, lora), average)


def batch(step: int) -> Batch:
    generator = torch.Generator().manual_seed(step)
    shapes = {"clip.pooled": (128,), "t5.states": (16, 128), "latents.mean": (16, 8, 8)}
    tensors = {name: torch.randn(1, *size, generator=generator) for name, size in shapes.items()}
    for name in ("clip.pooled", "t5.states"):
        tensors[preservation.PREFIX + name] = tensors[name].flip(-1)
    tensors["latents.logvar"] = torch.full((1, 16, 8, 8), -4.0)
    return Batch(tensors, (step,), torch.ones(1))


def advance(family: Family, denoiser: nn.Module, state: State, settings: Train, to: int) -> None:
    parameters = list(state.adapter.values())
    for step in range(state.step, to):
        optim.set_learning_rate(state.optimizer, optim.learning_rate(step, settings))
        loss = family.loss(denoiser, batch(step), settings).mean()
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(parameters, settings.max_grad_norm)
        state.optimizer.step()
        state.optimizer.zero_grad()
        if state.average is not None:
            state.average.update(step)
        state.losses.append(loss.item())


@pytest.mark.parametrize(("of_train", "of_lora"), CHOICES)
def test_runs_and_resumes_to_the_bit(
    family: Family, of_train: dict[str, Any], of_lora: dict[str, Any]
) -> None:
    settings, lora = train(of_train), Lora.model_validate({"rank": 4, **of_lora})
    denoiser, whole = begun(family, settings, lora)
    at_first = {name: value.detach().clone() for name, value in whole.adapter.items()}
    advance(family, denoiser, whole, settings, STEPS // 2)
    kept = {
        file: {name: tensor.clone() for name, tensor in tensors.items()}
        for file, tensors in whole.tensors().items()
    }
    plain, drawn = json.dumps(whole.plain()), generators(CPU)
    advance(family, denoiser, whole, settings, STEPS)

    assert all(map(math.isfinite, whole.losses))
    moved = [n for n, value in whole.adapter.items() if not torch.equal(value, at_first[n])]
    assert len(moved) == len(whole.adapter)

    denoiser, resumed = begun(family, settings, lora)
    resumed.load(kept, json.loads(plain))
    set_generators(drawn, CPU)
    advance(family, denoiser, resumed, settings, STEPS)
    assert resumed.losses == whole.losses
    expected = whole.tensors()
    for file, tensors in resumed.tensors().items():
        for name, tensor in tensors.items():
            assert torch.equal(tensor, expected[file][name]), (file, name)
    assert resumed.plain() == whole.plain()


@pytest.mark.parametrize(
    "key", ["timestep_sampling", "loss", "weighting", "preservation", "optimizer", "schedule"]
)
def test_every_value_a_preset_may_give_is_run(key: str) -> None:
    values = set(get_args(Train.model_fields[key].annotation))
    run = {getattr(train(of_train), key) for of_train, _ in CHOICES}
    needs_cuda = {"adamw8bit"}  # on CPUs refused, which test_optim looks at
    assert values - needs_cuda == run


def test_every_target_set_is_run(family: Family) -> None:
    run = {target for _, of_lora in CHOICES for target in Lora.model_validate(of_lora).targets}
    assert set(family.target_sets) <= run

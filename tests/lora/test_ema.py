"""The adapter's moving average: its formula, its way out and in, and the parameters' way back."""

import pytest
import torch
from torch import nn

from bioicons_kit.lora.ema import Ema


def parameters() -> dict[str, nn.Parameter]:
    return {"a.down": nn.Parameter(torch.tensor([1.0, 2.0])), "a.up": nn.Parameter(torch.zeros(1))}


def test_follows_its_formula() -> None:
    values = parameters()
    ema = Ema(values, 0.5)
    expected = 1.0
    for step in range(12):
        with torch.no_grad():
            values["a.down"][0] = float(step)
        ema.update(step)
        decay = min(0.5, (1 + step) / (10 + step))
        expected = decay * expected + (1 - decay) * step
        assert ema.state()["a.down"][0].item() == pytest.approx(expected, rel=1e-6)
    assert ema.state()["a.down"][1].item() == pytest.approx(2.0)


def test_begins_as_a_copy_that_is_its_own() -> None:
    values = parameters()
    ema = Ema(values, 0.999)
    with torch.no_grad():
        values["a.down"].fill_(9)
    assert ema.state()["a.down"].tolist() == [1.0, 2.0]


def test_is_applied_for_a_while_and_the_parameters_come_back_to_the_bit() -> None:
    values = parameters()
    ema = Ema(values, 0.9)
    with torch.no_grad():
        values["a.down"].copy_(torch.tensor([0.1, 1e-30]))
    before = values["a.down"].detach().clone()
    with ema.applied():
        assert values["a.down"].tolist() == [1.0, 2.0]
    assert torch.equal(values["a.down"], before)
    with pytest.raises(RuntimeError, match="stop"), ema.applied():
        raise RuntimeError("stop")
    assert torch.equal(values["a.down"], before)
    assert values["a.down"].requires_grad


def test_goes_on_exactly_from_its_state() -> None:
    whole, stopped = parameters(), parameters()
    one, first = Ema(whole, 0.99), Ema(stopped, 0.99)
    generator = torch.Generator().manual_seed(0)
    moves = torch.randn(20, 2, generator=generator)
    for step in range(10):
        for values, ema in ((whole, one), (stopped, first)):
            with torch.no_grad():
                values["a.down"].add_(moves[step])
            ema.update(step)
    saved = {name: tensor.clone() for name, tensor in first.state().items()}
    second = Ema(stopped, 0.99)
    second.load(saved)
    for step in range(10, 20):
        for values, ema in ((whole, one), (stopped, second)):
            with torch.no_grad():
                values["a.down"].add_(moves[step])
            ema.update(step)
    assert torch.equal(one.state()["a.down"], second.state()["a.down"])


def test_averages_of_other_parameters_are_refused() -> None:
    with pytest.raises(KeyError, match="other parameters"):
        Ema(parameters(), 0.9).load({"b.down": torch.zeros(1)})

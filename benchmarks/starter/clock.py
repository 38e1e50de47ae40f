"""Training by the clock: how far along it is, the learning rate there, averaged weights, a log."""

import json
import math
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn


class Clock:
    """How much of a part's time has passed."""

    def __init__(self, seconds: float) -> None:
        self.started, self.seconds, self.steps = time.monotonic(), seconds, 0

    def passed(self) -> float:
        """Return the share of the time that has passed, 0 to 1."""
        return min((time.monotonic() - self.started) / self.seconds, 1.0)

    def rate(self, peak: float, warmup: int = 100) -> float:
        """Return the learning rate: a rise over some steps, then a half cosine to a hundredth."""
        rise = min(1.0, (self.steps + 1) / warmup)
        return peak * rise * (0.01 + 0.99 * (1 + math.cos(math.pi * self.passed())) / 2)


class Average:
    """An exponential moving average of parameters; starts fast (decay (1+n)/(10+n))."""

    def __init__(self, modules: Iterable[nn.Module], decay: float) -> None:
        self.parameters = [p for module in modules for p in module.parameters()]
        self.kept = [p.detach().clone() for p in self.parameters]
        self.decay, self.count = decay, 0

    @torch.no_grad()
    def update(self) -> None:
        """Take the weights of this step in."""
        decay = min(self.decay, (1 + self.count) / (10 + self.count))
        torch._foreach_lerp_(self.kept, self.parameters, 1 - decay)
        self.count += 1

    @torch.no_grad()
    def put(self) -> None:
        """Put the averages into the modules."""
        for parameter, kept in zip(self.parameters, self.kept, strict=True):
            parameter.copy_(kept)


class Log:
    """What happened, as JSON in a file that is whole after every entry of weight."""

    def __init__(self, path: Path) -> None:
        self.path, self.started = path, time.monotonic()
        self.entries: list[dict[str, Any]] = (
            json.loads(path.read_text("utf-8")) if path.exists() else []
        )

    def __call__(self, part: str, **values: Any) -> None:
        """Note and print an entry."""
        entry: dict[str, Any] = {"at": round(time.monotonic() - self.started, 1), "part": part}
        for key, value in values.items():
            number = value.item() if isinstance(value, Tensor) else value
            entry[key] = round(number, 5) if isinstance(number, float) else number
        self.entries.append(entry)
        print(json.dumps(entry), flush=True)
        lines = ",\n".join(json.dumps(each) for each in self.entries)
        self.path.write_text(f"[\n{lines}\n]\n", "utf-8")

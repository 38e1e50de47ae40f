"""What the tests of training share: a function that trains the small preset, and its numbers."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bioicons_kit.train.__main__ import main
from bioicons_kit.train.run_folder import RunFolder

Trained = Callable[..., RunFolder]
TIMED = ("seconds", "samples_per_second")
ONE_PICTURE = ("train.batch_size=1", "dataset.buckets.0.limit=3")


def lines(path: Path) -> list[dict[str, Any]]:
    """The objects of a file of numbers."""
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def series(run: RunFolder) -> list[dict[str, Any]]:
    """Every number of every step that does not tell the time."""
    return [
        {key: value for key, value in line.items() if key not in TIMED}
        for line in lines(run.metrics)
    ]


@pytest.fixture
def trained(small_preset: Path, tmp_path: Path) -> Trained:
    """A function that trains the small preset on single pictures, with overrides."""

    def run(name: str, *overrides: str, resume: bool = False) -> RunFolder:
        root = tmp_path / "runs" / name
        chosen = (*ONE_PICTURE, *overrides)
        arguments = [str(small_preset), *(f"--set={each}" for each in chosen), f"--out={root}"]
        main([*arguments, *(["--resume"] if resume else [])])
        return RunFolder(root)

    return run

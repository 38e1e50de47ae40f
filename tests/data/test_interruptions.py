"""A cache that is killed while it is filled, or filled by two at once, ends as any other."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

KILLS = 20


@pytest.fixture(scope="module")
def told(models: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What `interruptions.py` found."""
    folder = tmp_path_factory.mktemp("interruptions")
    preset = folder / "preset.toml"
    preset.write_text(
        '[model]\npath = "starter"\nmax_sequence_length = 16\n'
        '[dataset]\nroot = "shipped"\nresolution = 64\ntrigger = "bioicon style"\n'
        "[[dataset.buckets]]\nlimit = 12\n"
    )
    script = Path(__file__).with_name("interruptions.py")
    arguments = [preset, models / "models", folder, KILLS, 0]
    done = subprocess.run(
        [sys.executable, str(script), *map(str, arguments)],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@pytest.mark.slow
def test_killed_at_random_moments_it_ends_as_undisturbed(told: dict[str, Any]) -> None:
    assert told["kills"] == KILLS
    assert told["partial"] >= 10, "too few of the kills came while entries were written"
    assert told["damaged"] == {}
    assert told["killed"] == told["alone"]


@pytest.mark.slow
def test_two_processes_that_fill_one_cache_leave_what_one_leaves(told: dict[str, Any]) -> None:
    assert len(told["alone"]) == 12 + 2 * 14
    assert told["both"] == told["alone"]

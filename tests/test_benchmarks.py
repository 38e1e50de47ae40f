"""Benchmarks that can be run small are run small, so that they run at all."""

import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parent.parent


def test_full_size_flux_runs_small_and_holds_what_was_planned():
    done = subprocess.run(
        [
            *(sys.executable, REPOSITORY / "benchmarks" / "flux_full_size.py", "--size=small"),
            *("--steps=2", "--ways", "plain diffusers", "qfloat8 + ahead", "12 GB recipe"),
        ],
        capture_output=True,
        text=True,
        check=True,
        timeout=300,
    )
    rows = [
        [cell.strip() for cell in line.split("|")[1:-1]]
        for line in done.stdout.splitlines()
        if line.startswith("| ")
    ]
    assert [row[0] for row in rows] == ["way", "plain diffusers", "qfloat8 + ahead", "12 GB recipe"]
    for row in rows[1:]:
        difference = int(row[4].split("(")[1].rstrip("%)"))
        assert abs(difference) <= 10, row
        assert float(row[8]) > 0
    peaks = [float(row[3]) for row in rows[1:]]
    assert peaks == sorted(peaks, reverse=True)


def test_a_sample_is_held_against_the_plan(models: Path):
    done = subprocess.run(
        [
            *(sys.executable, REPOSITORY / "benchmarks" / "flux_phases.py"),
            *(REPOSITORY / "presets" / "quickstart.toml", f"--set=cache.root={models}"),
            "--phases=sample",
        ],
        capture_output=True,
        text=True,
        check=True,
        timeout=300,
    )
    rows = [line.split("|")[1:-1] for line in done.stdout.splitlines() if line.startswith("| ")]
    assert [row[0].strip() for row in rows] == ["phase", "sample"]
    # of a model this small, what the plan leaves out is a good part
    assert abs(int(rows[1][2].split("(")[1].rstrip("%) "))) <= 30, rows


def test_style_targets_runs_small_and_early_blocks_run_once():
    done = subprocess.run(
        [
            *(sys.executable, REPOSITORY / "benchmarks" / "style_targets.py"),
            *("--steps=2", "--hidden=128", "--pixels=64"),
        ],
        capture_output=True,
        text=True,
        check=True,
        timeout=300,
    )
    rows = [line.split("|")[1:-1] for line in done.stdout.splitlines() if line.startswith("| ")]
    again = {row[0].strip(): row[2].strip() for row in rows[1:]}
    assert again == {"all": "12", "style": "4"}


@pytest.mark.slow
def test_a_step_is_measured_beside_a_plain_loop(tmp_path: Path):
    script, folders = REPOSITORY / "benchmarks" / "step_time.py", (tmp_path / "m", tmp_path / "i")
    for options in (["--build"], ["--steps=1", "--ways", "plain", "kit, weights as they are"]):
        done = subprocess.run(
            [sys.executable, script, *folders, *options],
            capture_output=True,
            text=True,
            check=True,
            timeout=300,
        )
    rows = [line.split("|")[1:-1] for line in done.stdout.splitlines() if line.startswith("| ")][1:]
    assert [row[0].strip() for row in rows] == ["plain", "kit, weights as they are"]
    assert all(0.05 < float(row[4]) < 20 for row in rows)
    assert float(rows[0][2]) == 1

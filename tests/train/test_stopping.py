"""Runs that are stopped from outside, through the command line: signals, kills, full disks."""

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from bioicons_kit.train import checkpoint, loop
from bioicons_kit.train.__main__ import main
from bioicons_kit.train.run_folder import RunFolder
from tests.train.conftest import ONE_PICTURE, Trained, series
from tests.train.test_errors import NO_ROOM, files_up_to

PATIENCE = 240  # seconds
SETTINGS = ("sample.prompts=[]", "lora.dropout=0.3", "lora.ema=0.9", "checkpoint.every=1")
TWO = ("-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2")


def arguments(
    preset: Path, root: Path, *overrides: str, launcher: tuple[str, ...] = ()
) -> list[str]:
    chosen = [f"--set={each}" for each in (*ONE_PICTURE, *SETTINGS, *overrides)]
    words = [sys.executable, *launcher, "-m", "bioicons_kit.train", str(preset), *chosen]
    return [*words, f"--out={root}"]


@contextmanager
def started(command: list[str], errors: Path) -> Iterator["subprocess.Popen[str]"]:
    """Start a process in a group of its own, as a terminal does; none outlives the test."""
    with (
        errors.open("w") as told,
        subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=told,
            text=True,
            start_new_session=True,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        ) as process,
    ):
        try:
            yield process
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)


def wait_until(true: Callable[[], bool], process: "subprocess.Popen[str]") -> None:
    """Wait until something is so, or the process has ended."""
    deadline = time.monotonic() + PATIENCE
    while not true() and process.poll() is None:
        assert time.monotonic() < deadline, "nothing happened"
        time.sleep(0.001)


def steps_done(run: RunFolder) -> int:
    return run.metrics.read_bytes().count(b"\n") if run.metrics.is_file() else 0


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_the_step_and_keeps_its_state(
    small_preset: Path, tmp_path: Path, number: signal.Signals, status: int
) -> None:
    run = RunFolder(tmp_path / "runs" / "run")
    words = arguments(small_preset, run.root, "train.steps=500", "checkpoint.every=400")
    with started(words, tmp_path / "errors") as process:
        wait_until(lambda: steps_done(run) >= 2, process)
        process.send_signal(number)
        out, _ = process.communicate(timeout=PATIENCE)
    errors = (tmp_path / "errors").read_text()
    assert process.returncode == status, errors
    assert "Traceback" not in errors
    assert "after this step, when its state is kept; Ctrl-C again stops at once" in errors
    (step,) = checkpoint.steps(run.checkpoints)
    assert checkpoint.read(checkpoint.folder(run.checkpoints, step)).step == steps_done(run)
    assert f"step {step} in " in out
    assert f"bioicons_kit.train {small_preset} " in out.splitlines()[-1]
    assert out.splitlines()[-1].endswith(" --resume")
    assert not run.lora.exists()


def test_a_second_interrupt_stops_at_once_and_harms_nothing(
    small_preset: Path, tmp_path: Path
) -> None:
    run = RunFolder(tmp_path / "runs" / "run")
    words = arguments(small_preset, run.root, "train.steps=500", "train.accumulation=64")
    with started(words, tmp_path / "errors") as process:
        wait_until(run.metrics.is_file, process)
        process.send_signal(signal.SIGINT)  # in the first step, of 64 pictures
        time.sleep(0.3)
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=PATIENCE)
    errors = (tmp_path / "errors").read_text()
    assert process.returncode == 130, errors
    assert errors.splitlines()[-1] == "stopped"
    assert checkpoint.steps(run.checkpoints) == []
    assert not list(tmp_path.rglob("*.tmp"))


@pytest.mark.slow
def test_killed_at_any_moment_it_goes_on_as_if_nothing_had_been(
    small_preset: Path, tmp_path: Path, trained: Trained
) -> None:
    """SIGKILL, in turn in the middle of a save and at a moment drawn at random."""
    steps, draw = "train.steps=10", random.Random(5)
    whole = trained("whole", *SETTINGS, steps)
    run = RunFolder(tmp_path / "runs" / "run")
    words, kills = arguments(small_preset, run.root, steps), 0
    while not run.summary.is_file():
        begun, in_a_save = steps_done(run), kills % 2 == 0
        resume = ["--resume"] if checkpoint.steps(run.checkpoints) else []
        with started([*words, *resume], tmp_path / "errors") as process:
            if kills < 3:
                wait_until(lambda begun=begun: steps_done(run) >= begun + 2, process)
                if in_a_save:
                    wait_until(lambda: any(run.checkpoints.glob(".step-*.tmp")), process)
                else:
                    time.sleep(draw.random())
                process.kill()
                kills += 1
            process.communicate(timeout=PATIENCE)
        assert process.returncode in (0, -signal.SIGKILL), (tmp_path / "errors").read_text()
    assert kills == 3
    assert series(run) == series(whole)
    assert run.lora.read_bytes() == whole.lora.read_bytes()
    assert not list(run.checkpoints.glob(".*"))


def test_a_full_disk_leaves_the_checkpoint_there_was(
    command: Any, small_preset: Path, tmp_path: Path, trained: Trained
) -> None:
    whole = trained("whole", *SETTINGS, "train.steps=4")
    run = trained("run", *SETTINGS, "train.steps=2")
    words = arguments(small_preset, run.root, "train.steps=4")[3:]
    with files_up_to(100_000):
        line = command(main, *words, "--resume").error
    kept = checkpoint.folder(run.checkpoints, 2)
    assert NO_ROOM in line
    assert line.startswith(str(run.checkpoints / "."))
    assert checkpoint.read(kept).step == 2
    assert [path.name for path in run.checkpoints.iterdir()] == ["step-000001", "step-000002"]
    assert command(main, *words, "--resume").status == 0  # with room again
    assert series(run) == series(whole)
    assert run.lora.read_bytes() == whole.lora.read_bytes()


def test_a_last_state_without_room_does_not_cost_the_lora(
    command: Any, small_preset: Path, tmp_path: Path, trained: Trained
) -> None:
    """The optimizer's state is twice the LoRA's size."""
    trained("before", *SETTINGS, "train.steps=1", "checkpoint.every=9")
    words = arguments(small_preset, tmp_path / "run", "train.steps=1", "checkpoint.every=9")[3:]
    with files_up_to(500_000):
        done = command(main, *words)
    assert done.status == 0, done.err
    assert "without its last state the run cannot be extended" in done.err
    assert (tmp_path / "run" / "lora.safetensors").is_file()


@pytest.mark.parametrize("what", ["a file in the way", "a read-only folder"])
def test_checkpoints_that_cannot_be_written(
    command: Any, small_preset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    if what == "a read-only folder" and os.geteuid() == 0:
        pytest.skip("root may write everywhere")
    run, one_step = RunFolder(tmp_path / "runs" / "run"), loop.one_step

    def hindered(work: Any, denoiser: Any, state: Any, stream: Any) -> Any:
        if state.step == 1 and what == "a file in the way":
            run.checkpoints.rename(tmp_path / "away")
            run.checkpoints.write_text("words")
        elif state.step == 1:
            run.checkpoints.chmod(0o555)
        return one_step(work, denoiser, state, stream)

    monkeypatch.setattr(loop, "one_step", hindered)
    line = command(main, *arguments(small_preset, run.root, "train.steps=3")[3:]).error
    if what == "a read-only folder":
        run.checkpoints.chmod(0o755)
        assert "cannot be written (Permission denied)" in line
        assert checkpoint.steps(run.checkpoints) == [1]
    assert line.startswith(str(run.checkpoints))
    assert steps_done(run) == 2
    assert not run.lora.exists()


@pytest.mark.slow
def test_two_processes_stop_together_and_go_on(
    command: Any, small_preset: Path, tmp_path: Path
) -> None:
    """Ctrl-C reaches both and their launcher; dropout goes on where it was in each."""
    steps = ("train.steps=6", "dataset.held_out.share=0.34", "validation.every=3")
    roots = [RunFolder(tmp_path / "runs" / name) for name in ("whole", "run")]
    whole, run = roots
    words = [arguments(small_preset, each.root, *steps, launcher=TWO) for each in roots]
    done = subprocess.run(words[0], capture_output=True, text=True, check=False, timeout=PATIENCE)
    assert done.returncode == 0, done.stderr
    with started(words[1], tmp_path / "errors") as process:
        wait_until(lambda: steps_done(run) >= 2, process)
        os.killpg(process.pid, signal.SIGINT)
        out, _ = process.communicate(timeout=PATIENCE)
    assert process.returncode != 0
    assert out.count("resume  ") == 1, (out, (tmp_path / "errors").read_text())
    assert "accelerate launch" in out
    assert 2 <= steps_done(run) < 6
    done = subprocess.run(
        [*words[1], "--resume"], capture_output=True, text=True, check=False, timeout=PATIENCE
    )
    assert done.returncode == 0, done.stderr
    assert series(run) == series(whole)
    assert run.lora.read_bytes() == whole.lora.read_bytes()
    assert run.validation.read_bytes() == whole.validation.read_bytes()
    line = command(main, *arguments(small_preset, run.root, *steps)[3:], "--resume").error
    assert "made by 2 process(es), and there are 1" in line

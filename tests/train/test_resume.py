"""Stopped and gone on with, a run is the run that was not stopped; anything else is refused."""

import shutil
import signal
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from bioicons_kit import preset_file
from bioicons_kit.train import checkpoint, loop
from bioicons_kit.train.__main__ import main
from bioicons_kit.train.run_folder import RunFolder
from tests.train.conftest import lines, series

STEPS = 6
PRIOR = """
[[dataset.buckets]]
category = "Plants_Algae"
license = "CC0-1.0"
limit = 2
role = "prior"
"""
EVERYTHING = (
    "train.accumulation=2",
    "train.batch_size=1",
    "train.prior_share=0.4",
    "train.prior_weight=0.5",
    "train.caption_dropout=0.2",
    "lora.dropout=0.3",
    "lora.ema=0.9",
    "checkpoint.every=2",
)
PLAIN = ("train.batch_size=1", "dataset.buckets.0.limit=2")


Go = Callable[..., RunFolder]


@pytest.fixture
def go(small_preset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Go:
    """A function that trains, being asked to stop (SIGINT) while it takes step `stop`."""
    one_step = loop.one_step

    def run(
        name: str, overrides: Sequence[str], *more: str, stop: int | None = None, steps: int = STEPS
    ) -> RunFolder:
        def interrupted(work: Any, denoiser: Any, state: Any, stream: Any) -> Any:
            if state.step + 1 == stop:
                signal.raise_signal(signal.SIGINT)
            return one_step(work, denoiser, state, stream)

        monkeypatch.setattr(loop, "one_step", interrupted)
        root = tmp_path / "runs" / name
        chosen = (f"train.steps={steps}", "sample.prompts=[]", *overrides)
        arguments = [str(small_preset), *(f"--set={each}" for each in chosen), f"--out={root}"]
        if stop is None:
            main([*arguments, *more])
        else:
            with pytest.raises(SystemExit) as stopped:
                main([*arguments, *more])
            assert stopped.value.code == 130
        return RunFolder(root)

    return run


@pytest.fixture
def with_prior(small_preset: Path) -> None:
    """Add a bucket of prior pictures to the small preset."""
    small_preset.write_text(small_preset.read_text("utf-8") + PRIOR, "utf-8")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("more", "pairs"),
    [((), ((1, 2), (3, 5))), (("memory.modulation=ahead",), ((2, 4),))],
    ids=["resident", "ahead"],
)
def test_stopped_twice_and_gone_on_with_it_is_the_same_run(
    go: Go, with_prior: None, more: tuple[str, ...], pairs: tuple[tuple[int, int], ...]
) -> None:
    whole = go("whole", EVERYTHING + more)
    for stops in pairs:
        name = f"stopped-{stops[0]}"
        first = go(name, EVERYTHING + more, stop=stops[0])
        assert [line["step"] for line in lines(first.metrics)] == list(range(1, stops[0] + 1))
        assert not first.lora.exists()
        go(name, EVERYTHING + more, "--resume", stop=stops[1])
        run = go(name, EVERYTHING + more, "--resume")
        assert series(run) == series(whole)
        assert run.lora.read_bytes() == whole.lora.read_bytes()
        assert average(run) == average(whole)
        assert tensorboard(run) == tensorboard(whole)


def average(run: RunFolder) -> bytes:
    """The moving average of the adapter, as the last checkpoint has it."""
    return (checkpoint.folder(run.checkpoints, STEPS) / "ema.safetensors").read_bytes()


def tensorboard(run: RunFolder) -> list[tuple[int, float]]:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(run.logs))
    events.Reload()
    # files of one second, which only one process writes, are read by name: the 10th before the 9th
    return sorted((event.step, event.value) for event in events.Scalars("loss"))


def test_an_optimizer_that_keeps_its_numbers_in_its_groups_goes_on(go: Go) -> None:
    """Every choice there is does so in `test_choices`; here one, through the command line."""
    chosen = (*PLAIN, "train.optimizer=schedule_free", "train.preservation=output")
    chosen = (*chosen, "train.preservation_class=an icon", "lora.dropout=0.3")
    whole = go("whole", chosen, steps=4)
    go("run", chosen, steps=4, stop=2)
    run = go("run", chosen, "--resume", steps=4)
    assert series(run) == series(whole)
    assert run.lora.read_bytes() == whole.lora.read_bytes()


def test_an_earlier_checkpoint_takes_the_run_back_to_it(go: Go) -> None:
    """Numbers and checkpoints of later steps go, and come again as they were."""
    overrides = (*PLAIN, "checkpoint.every=1", "checkpoint.keep=9")
    run = go("run", overrides, steps=4)
    lora, told = run.lora.read_bytes(), series(run)
    assert checkpoint.steps(run.checkpoints) == [1, 2, 3, 4]
    go("run", overrides, f"--resume={checkpoint.folder(run.checkpoints, 2)}", steps=4, stop=3)
    assert checkpoint.steps(run.checkpoints) == [1, 2, 3]
    assert len(series(run)) == 3
    go("run", overrides, "--resume", steps=4)
    assert (run.lora.read_bytes(), series(run)) == (lora, told)


def test_another_runs_checkpoint_begins_a_run_of_its_own(go: Go) -> None:
    first = go("first", PLAIN, stop=2)
    other = go("other", PLAIN, f"--resume={first.root}", steps=3)
    assert [line["step"] for line in lines(other.metrics)] == [1, 2, 3]
    assert len(lines(first.metrics)) == 2
    assert go("whole", PLAIN, steps=3).lora.read_bytes() == other.lora.read_bytes()


def test_a_finished_run_is_extended(go: Go) -> None:
    run = go("run", PLAIN, steps=2)
    go("run", PLAIN, "--resume", steps=4)
    whole = go("whole", PLAIN, steps=4)
    assert run.lora.read_bytes() == whole.lora.read_bytes()
    assert series(run) == series(whole)
    assert preset_file.load(run.preset).train.steps == 4


def test_only_the_newest_are_kept(go: Go) -> None:
    run = go("run", (*PLAIN, "checkpoint.every=1", "checkpoint.keep=2"), steps=4)
    assert checkpoint.steps(run.checkpoints) == [3, 4]


def damage(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-40])


@pytest.mark.parametrize("file", ["adapter.safetensors", "progress.safetensors", "state.json"])
def test_a_damaged_checkpoint_is_told_and_the_one_before_taken(
    go: Go, capsys: pytest.CaptureFixture[str], file: str
) -> None:
    run = go("run", (*PLAIN, "checkpoint.every=1"), steps=3)
    lora = run.lora.read_bytes()
    newest = checkpoint.folder(run.checkpoints, 3)
    damage(newest / file)
    go("run", (*PLAIN, "checkpoint.every=1"), "--resume", steps=3)
    told = capsys.readouterr()
    assert str(newest) in told.err
    assert "going on from the one before it" in told.err
    assert "from step 2" in told.out
    assert run.lora.read_bytes() == lora
    checkpoint.read(newest)


Refuse = Callable[..., str]


@pytest.fixture
def refuse(go: Go, command: Any, small_preset: Path) -> Refuse:
    """A function that stops a run at step 2 and returns why it is not gone on with."""

    def run(before: Sequence[str], after: Sequence[str], resume: str = "--resume") -> str:
        folder = go("run", (*PLAIN, *before), stop=2)
        kept = {path: path.read_bytes() for path in folder.root.rglob("*") if path.is_file()}
        chosen = (f"train.steps={STEPS}", "sample.prompts=[]", *PLAIN, *before, *after)
        overrides = [f"--set={each}" for each in chosen]
        line: str = command(main, small_preset, *overrides, f"--out={folder.root}", resume).error
        assert all(path.read_bytes() == content for path, content in kept.items())
        return line

    return run


def test_settings_that_matter_are_refused_by_name(refuse: Refuse) -> None:
    changes = ("train.learning_rate=2e-3", "lora.rank=8", "train.accumulation=2")
    line = refuse((), changes)
    assert "made under other settings: lora.rank (was 4), train.accumulation (was 1)" in line
    assert "train.learning_rate (was 0.001)" in line


def test_other_rows_are_refused_by_the_setting_that_changed_them(refuse: Refuse) -> None:
    line = refuse((), ("dataset.buckets.0.limit=3",))
    assert "other rows, pictures, captions or encoders (dataset.buckets.0.limit)" in line


def test_another_model_is_refused(refuse: Refuse, starter_folder: Path, tmp_path: Path) -> None:
    """By its weights: the same ones elsewhere are the same model."""
    other = Path(shutil.copytree(starter_folder, tmp_path / "other"))
    (config,) = (other / "transformer").glob("config.json")
    config.write_text(config.read_text("utf-8") + "\n", "utf-8")
    assert "made with another model (model.path)" in refuse((), (f"model.path={other}",))


def test_steps_are_refused_where_the_rates_follow_them(refuse: Refuse) -> None:
    line = refuse(("train.schedule=cosine",), ("train.steps=9",))
    assert "made under train.steps = 6, and train.schedule = 'cosine' follows it" in line


def test_fewer_steps_than_are_done_are_refused(refuse: Refuse) -> None:
    assert "is 2 steps on, and train.steps is 1" in refuse((), ("train.steps=1",))


def test_a_damaged_checkpoint_that_is_named_is_refused(
    refuse: Refuse, tmp_path: Path, go: Go, command: Any
) -> None:
    run = go("named", PLAIN, stop=1)
    named = checkpoint.folder(run.checkpoints, 1)
    damage(named / "optimizer.safetensors")
    line = refuse((), (), f"--resume={named}")
    assert line == f"{named / 'optimizer.safetensors'}: not what was written there"


def test_nothing_to_go_on_from(command: Any, small_preset: Path, tmp_path: Path) -> None:
    assert "no checkpoint to go on from" in command(main, small_preset, "--resume").error
    line = command(main, small_preset, f"--resume={tmp_path}").error
    assert line == f"{tmp_path}: neither a checkpoint nor a run that has one"


def test_what_does_not_reach_the_numbers_may_change(go: Go, tmp_path: Path) -> None:
    go("run", PLAIN, stop=1)
    free = ("memory.checkpointing=2", "memory.modulation=ahead", "checkpoint.keep=5")
    run = go("run", (*PLAIN, *free), "--resume", steps=3)
    assert run.lora.read_bytes() == go("whole", PLAIN, steps=3).lora.read_bytes()


def test_how_to_go_on_is_told(go: Go, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    go("a run", PLAIN, stop=1)
    told = capsys.readouterr().out
    (line,) = (each for each in told.splitlines() if each.startswith("resume"))
    assert line.split()[1:4] == ["python", "-m", "bioicons_kit.train"]
    assert f"'--out={tmp_path}/runs/a run' --resume" in line

"""Validation and pictures on the way: the same each time, and no bit of the training changed."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from PIL import Image, ImageChops

from bioicons_kit.train import checkpoint, pictures, tracking
from bioicons_kit.train.__main__ import main
from bioicons_kit.train.validate import Validator
from tests.train.conftest import Trained, lines, series

HELD_OUT = ("dataset.held_out.share=0.34", "train.steps=3", "lora.dropout=0.3")
OFTEN = ("validation.every=1", "validation.levels=[0.2, 0.8]", "sample.every=2")


@pytest.mark.parametrize(
    "more",
    [("lora.ema=0.5", "memory.modulation=ahead"), ("train.optimizer=schedule_free",)],
    ids=["ema", "schedule_free"],
)
def test_looking_changes_no_bit_of_the_training(
    trained: Trained, monkeypatch: pytest.MonkeyPatch, more: tuple[str, ...]
) -> None:
    measured = Validator.losses

    def twice(self: Validator) -> dict[str, float]:
        first = measured(self)
        assert measured(self) == first
        return first

    monkeypatch.setattr(Validator, "losses", twice)
    looked = trained("looked", *HELD_OUT, *OFTEN, *more)
    monkeypatch.setattr(Validator, "is_due", lambda self, step: False)
    plain = trained("plain", *HELD_OUT, *more, "sample.prompts=[]")
    assert series(looked) == series(plain)
    assert looked.lora.read_bytes() == plain.lora.read_bytes()

    told = lines(looked.validation)
    assert [line["step"] for line in told] == [0, 1, 2, 3]
    for line in told:
        assert line["levels"].keys() == {"0.200", "0.800"}
        assert line["mean"] == pytest.approx(sum(line["levels"].values()) / 2)
    assert len({line["mean"] for line in told}) == 4  # what is learned shows
    assert not plain.validation.exists()

    steps = looked.step_pictures
    drawn = sorted(steps.glob("step-*/00-*.png"))
    assert [path.parent.name for path in drawn] == ["step-000000", "step-000002"]
    difference = ImageChops.difference(*(Image.open(path) for path in drawn))
    assert difference.getbbox() is not None
    assert Image.open(steps / "strip-00.png").width > 2 * 192
    assert (steps / "strip-01.png").is_file()


def test_the_best_is_named_and_kept(
    trained: Trained, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    means = iter([1.0, 0.5, 0.9, 0.8])
    monkeypatch.setattr(Validator, "losses", lambda self: {"0.500": next(means)})
    chosen = ("sample.prompts=[]", "checkpoint.keep=1", "validation.every=1")
    run = trained("run", *HELD_OUT, *chosen)
    assert json.loads(run.summary.read_text("utf-8"))["best"] == {"step": 1, "mean": 0.5}
    assert checkpoint.steps(run.checkpoints) == [1, 3]  # the best besides the newest
    assert "step 1: 0.5000 on 1 held-out rows, the best so far" in capsys.readouterr().out


def test_validation_goes_on_where_a_run_does(
    trained: Trained, monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen = ("sample.prompts=[]", "validation.every=1")
    whole = trained("whole", *HELD_OUT, *chosen)
    run = trained("run", *HELD_OUT, *chosen, "train.steps=2")
    trained("run", *HELD_OUT, *chosen, resume=True)
    assert run.validation.read_bytes() == whole.validation.read_bytes()


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("validation.every=5", "[validation]: there is nothing to measure; hold rows out"),
        ("tracking.project=icons", "[tracking]: project is of Weights & Biases"),
        ("validation.levels=[0.5, 1.0]", "levels"),
    ],
)
def test_what_cannot_apply_is_refused(
    command: Any, small_preset: Path, override: str, said: str
) -> None:
    assert said in command(main, small_preset, f"--set={override}").error


def test_pictures_without_prompts_are_refused(command: Any, small_preset: Path) -> None:
    done = command(main, small_preset, "--set=sample.every=5", "--set=sample.prompts=[]")
    assert "[sample]: every cannot apply without prompts" in done.error


@pytest.mark.parametrize(
    ("count", "chosen"), [(3, [0, 1, 2]), (19, [0, 2, 4, 6, 8, 10, 12, 14, 16, 18])]
)
def test_a_strip_is_spread_over_all_steps(count: int, chosen: list[int]) -> None:
    assert pictures.spread(count, 10) == chosen


def test_weights_and_biases_is_refused_where_it_is_not_installed(
    command: Any, small_preset: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(sys.modules, "wandb", None)
    monkeypatch.setattr(tracking.importlib.util, "find_spec", lambda name: None)
    line = command(main, small_preset, "--set=tracking.wandb=true").error
    assert line.startswith("tracking.wandb needs wandb: pip install")
    assert not (tmp_path / "runs").exists()

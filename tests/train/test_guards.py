"""Numbers that are none, rates that are far off, a GPU that is too small: found and told."""

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch

from bioicons_kit.data.batches import Content, Item, View
from bioicons_kit.data.bucketing import Size
from bioicons_kit.data.cache import Cache, Entry
from bioicons_kit.families import flux
from bioicons_kit.preset import Train
from bioicons_kit.train import checkpoint, guards, loop
from bioicons_kit.train.__main__ import main
from bioicons_kit.train.run_folder import RunFolder
from tests.train.conftest import ONE_PICTURE, Trained, lines, series

SILENT = "sample.prompts=[]"


def run_small(command: Any, preset: Path, *overrides: str, resume: bool = False) -> Any:
    chosen = [f"--set={each}" for each in (*ONE_PICTURE, SILENT, *overrides)]
    return command(main, preset, *chosen, *(["--resume"] if resume else []))


def spoil(root: Path, count: int) -> int:
    """Make cached latents overflow, `count` of them; return how many there are."""
    cache, found = Cache(root), sorted(root.glob("latents/*/*.safetensors"))
    for path in found[:count]:
        wanted = Entry("latents", path.stem)
        content = {name: torch.full_like(t, 3e38) for name, t in cache.get(wanted).items()}
        cache.put(wanted, content)
    return len(found)


def test_numbers_that_are_none_from_the_start_are_not_blamed_on_the_rate(
    command: Any, small_preset: Path, fresh_cache: Path, tmp_path: Path
) -> None:
    """Latents that are not sound: three steps are skipped, and the run stops."""
    place = f"cache.root={fresh_cache}"
    assert run_small(command, small_preset, place, "train.steps=1").status == 0
    spoil(fresh_cache, 3)
    refused = run_small(command, small_preset, place, "train.steps=9")
    assert "steps 1 to 3: loss or gradient is no number, before anything was" in refused.error
    assert "that is not the learning rate, but the pictures (cc-0/Animals/" in refused.error
    run = RunFolder(tmp_path / "runs/small")
    assert not run.lora.exists()
    assert [line["loss"] for line in lines(run.metrics)] == [None] * 3


def test_a_single_bad_picture_is_named_skipped_and_counted(
    command: Any, small_preset: Path, fresh_cache: Path, tmp_path: Path
) -> None:
    place = f"cache.root={fresh_cache}"
    assert run_small(command, small_preset, place, "train.steps=1").status == 0
    assert spoil(fresh_cache, 1) == 3
    done = run_small(command, small_preset, place, "train.steps=6")
    assert done.status == 0, done.err
    run = RunFolder(tmp_path / "runs/small")
    assert json.loads(run.summary.read_text("utf-8"))["skipped_steps"] == 2  # of two epochs
    assert sum(line["loss"] is None for line in lines(run.metrics)) == 2
    assert done.err.count("skipped, loss or gradient is no number; pictures: cc-0/Animals/") == 2
    kept = checkpoint.read(checkpoint.folder(run.checkpoints, 6)).tensors["adapter"]
    assert all(bool(tensor.isfinite().all()) for tensor in kept.values())


def test_a_run_that_breaks_keeps_its_last_good_state(
    command: Any, small_preset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From the third step on the loss is no number; later it is one again."""
    loss, calls, broken = flux.loss, iter(range(100)), [True]

    def breaking(*arguments: Any) -> torch.Tensor:
        found = loss(*arguments)
        return found * math.nan if broken and next(calls) > 2 else found  # 0 is the rehearsal

    monkeypatch.setattr(flux, "loss", breaking)
    refused = run_small(command, small_preset, "train.steps=7")
    run = RunFolder(tmp_path / "runs/small")
    assert "steps 3 to 5: loss or gradient is no number (pictures: cc-0/Animals/" in refused.error
    assert "train.learning_rate (now 0.001)" in refused.error
    assert checkpoint.steps(run.checkpoints) == [5]
    broken.clear()
    assert run_small(command, small_preset, "train.steps=7", resume=True).status == 0
    assert [line["loss"] is None for line in lines(run.metrics)] == [False] * 2 + [True] * 3 + [
        False
    ] * 2
    assert run.lora.is_file()


def test_a_gpu_that_runs_full_on_the_way_leaves_a_state_to_go_on_from(
    command: Any,
    small_preset: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    trained: Trained,
) -> None:
    whole = trained("whole", "train.steps=4", SILENT, "lora.dropout=0.4")
    one_step = loop.one_step

    def exhausted(work: Any, denoiser: Any, state: Any, stream: Any) -> Any:
        if state.step == 2:
            torch.rand(9)  # as dropout would have drawn by then
            raise torch.OutOfMemoryError
        return one_step(work, denoiser, state, stream)

    monkeypatch.setattr(loop, "one_step", exhausted)
    refused = run_small(command, small_preset, "train.steps=4", "lora.dropout=0.4")
    assert refused.error.startswith("train: the GPU has not enough memory; set memory.modulation")
    assert "resume" in refused.out
    monkeypatch.setattr(loop, "one_step", one_step)
    done = run_small(command, small_preset, "train.steps=4", "lora.dropout=0.4", resume=True)
    assert done.status == 0
    run = RunFolder(tmp_path / "runs/small")
    assert series(run) == series(whole)
    assert run.lora.read_bytes() == whole.lora.read_bytes()


def test_a_gpu_that_is_too_small_is_told_before_the_first_step(
    command: Any, small_preset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def exhausted(*_: Any) -> torch.Tensor:
        raise torch.OutOfMemoryError

    monkeypatch.setattr(flux, "loss", exhausted)
    refused = run_small(command, small_preset)
    assert refused.error.startswith("train: the GPU has not enough memory")
    assert not (tmp_path / "runs/small/metrics.jsonl").exists()


@pytest.mark.parametrize(
    ("optimizer", "rate", "said"),
    [
        ("adamw", 0.05, "the adapter may be ruined"),
        ("adamw", 1e-8, "nothing may be learned"),
        ("schedule_free", 0.2, "the adapter may be ruined"),
        ("adamw", 1e-4, ""),
        ("prodigy", 1.0, ""),
    ],
)
def test_rates_that_are_far_off_are_told(
    capsys: pytest.CaptureFixture[str], optimizer: Any, rate: float, said: str
) -> None:
    guards.warn_of_rate(Train(optimizer=optimizer, learning_rate=rate))
    told = capsys.readouterr().err
    assert said in told
    assert bool(told) == bool(said)


def test_the_rehearsal_is_a_full_batch_of_the_largest_size() -> None:
    def item(*sides: int) -> Item:
        views = tuple(View(Size(side, side), (Entry("latents", str(side)),)) for side in sides)
        return Item((views,), ())

    content = Content((item(64, 128), item(256, 512), item(64)))
    showings = guards.largest(content, Train(batch_size=3))
    assert len({each.seed for each in showings}) == 3
    for each in showings:
        assert each.item == 1
        version = content.items[1].views[0]
        assert version[(each.item + each.repeat + each.epoch) % 2].size == Size(512, 512)

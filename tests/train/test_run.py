"""The whole road: a preset in, a LoRA and its pictures out, twice the same."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image, ImageChops

from bioicons_kit import preset_file, tensors
from bioicons_kit.families import starter
from bioicons_kit.files import sha256_file
from bioicons_kit.lora.formats import read_diffusers
from bioicons_kit.train.__main__ import main
from bioicons_kit.train.run_folder import RunFolder
from tests.train.conftest import series

Train = Callable[..., RunFolder]


def metrics(folder: RunFolder) -> list[dict[str, float]]:
    return [json.loads(line) for line in folder.metrics.read_text("utf-8").splitlines()]


def losses(folder: RunFolder) -> list[float]:
    return [step["loss"] for step in metrics(folder)]


@pytest.fixture(scope="module")
def finished(finished_run: Path) -> RunFolder:
    """A finished run of the small preset; only read."""
    return RunFolder(finished_run)


@pytest.fixture
def train(small_preset: Path, tmp_path: Path) -> Train:
    """A function that trains the small preset without samples, with overrides."""

    def run(name: str, *overrides: str) -> RunFolder:
        root = tmp_path / "runs" / name
        chosen = ["sample.prompts=[]", *overrides]
        main([str(small_preset), *(f"--set={each}" for each in chosen), "--out", str(root)])
        return RunFolder(root)

    return run


def test_every_file_of_a_run_is_there_and_no_other(finished: RunFolder) -> None:
    found = {
        str(path.relative_to(finished.root))
        for path in finished.root.rglob("*")
        if path.is_file() and not path.is_relative_to(finished.logs)
    }
    assert found == {
        "preset.toml",
        "dataset/metadata.jsonl",
        "dataset/ATTRIBUTION.md",
        "lora.safetensors",
        "comparison.png",
        "metrics.jsonl",
        "run.json",
        "README.md",
        "report.html",
        *(
            f"checkpoints/step-000003/{name}"
            for name in (
                *("state.json", "preset.toml", "adapter.safetensors"),
                *("optimizer.safetensors", "progress.safetensors"),
            )
        ),
        "samples/00-bioicon-style-a-mouse.base.png",
        "samples/00-bioicon-style-a-mouse.lora.png",
        "samples/01-bioicon-style-a-jellyfish.base.png",
        "samples/01-bioicon-style-a-jellyfish.lora.png",
    }
    assert any(finished.logs.rglob("events.out.tfevents.*"))


def test_the_resolved_preset_is_the_one_that_was_trained(finished: RunFolder) -> None:
    given = preset_file.load(finished.root.parents[1] / "small.toml")
    assert preset_file.load(finished.preset).model_dump(exclude={"name"}) == given.model_dump(
        exclude={"name"}
    )
    assert finished.preset.read_text("utf-8") == preset_file.dumps(given)


def test_the_manifest_and_the_credits_name_every_icon(finished: RunFolder) -> None:
    records = [json.loads(line) for line in finished.manifest.read_text("utf-8").splitlines()]
    assert len(records) == 5
    assert {record["license"] for record in records} == {"CC0-1.0"}
    credits_ = finished.attribution.read_text("utf-8").replace("\\", "")  # Markdown escapes
    for record in records:
        assert record["text"].startswith("bioicon style, ")
        assert record["source"] in credits_
        assert record["author"] in credits_


def test_the_lora_says_what_it_was_trained_on(finished: RunFolder) -> None:
    layers, said = read_diffusers(finished.lora, "transformer")
    double, single = (starter.TRANSFORMER[name] for name in ("num_layers", "num_single_layers"))
    assert len(layers) == double * 8 + single * 3
    assert {update.rank for update in layers.values()} == {4}
    assert all(bool(update.up.any()) for update in layers.values())  # all of them have moved
    assert said["modelspec.architecture"] == "flux-starter/lora"
    assert said["modelspec.trigger_phrase"] == "bioicon style"
    assert said["bioicons_kit.base_model"] == "starter"
    digest = sha256_file(finished.manifest)
    assert said["bioicons_kit.manifest_sha256"] == digest


def test_the_lora_loads_in_diffusers_and_changes_the_output(
    finished: RunFolder, starter_folder: Path
) -> None:
    from diffusers import FluxPipeline

    pipeline: Any = FluxPipeline.from_pretrained(starter_folder, dtype=torch.float32)
    pipeline.set_progress_bar_config(disable=True)

    def draw() -> torch.Tensor:
        drawn: torch.Tensor = pipeline(
            "bioicon style, a mouse",
            width=64,
            height=64,
            num_inference_steps=2,
            max_sequence_length=16,
            generator=torch.Generator().manual_seed(0),
            output_type="pt",
        ).images
        return drawn

    before = draw()
    pipeline.load_lora_weights(finished.lora)
    loaded = {name for name, _ in pipeline.transformer.named_parameters() if "lora_" in name}
    content, _ = tensors.read(finished.lora)
    assert len(loaded) == len(content)
    assert not torch.allclose(draw(), before, atol=1e-3)


def test_the_metrics_are_those_of_every_step(finished: RunFolder) -> None:
    steps = metrics(finished)
    assert [step["step"] for step in steps] == [1, 2, 3]
    for step in steps:
        assert step.keys() == {
            *("step", "loss", "smoothed", "learning_rate", "grad_norm", "adapter_norm"),
            *("seconds", "samples_per_second"),
        }
        assert step["learning_rate"] == 1e-3
        assert 0 < step["loss"] < 10
        assert step["grad_norm"] > 0


def test_tensorboard_has_the_same_numbers(finished: RunFolder) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(finished.logs))
    events.Reload()
    assert {"loss", "learning_rate", "grad_norm"} <= set(events.Tags()["scalars"])
    for key in ("loss", "learning_rate"):
        written = [(event.step, event.value) for event in events.Scalars(key)]
        assert written == [
            (step["step"], pytest.approx(step[key], rel=1e-6)) for step in metrics(finished)
        ]


def test_the_summary_is_true(finished: RunFolder) -> None:
    summary = json.loads(finished.summary.read_text("utf-8"))
    assert summary["loss_first_tenth"] == losses(finished)[0]
    assert summary["loss_last_tenth"] == losses(finished)[-1]
    assert summary["processes"] == 1
    assert summary["torch"] == torch.__version__


def test_base_and_fine_tuned_pictures_differ(finished: RunFolder) -> None:
    for base in finished.samples.glob("*.base.png"):
        one = Image.open(base)
        other = Image.open(base.with_name(base.name.replace(".base.", ".lora.")))
        assert one.size == other.size == (64, 64)
        assert ImageChops.difference(one, other).getbbox() is not None


def test_the_comparison_is_a_labelled_grid_of_all_prompts(finished: RunFolder) -> None:
    """Two columns and two rows of 256 pixel squares, below the title and the training icons."""
    picture = Image.open(finished.comparison)
    width, height = picture.size
    assert 190 + 2 * 256 <= width <= 190 + 2 * 256 + 100
    assert 128 + 2 * 256 <= height <= 128 + 2 * 256 + 150
    colors = picture.convert("RGB").getcolors(maxcolors=2**24)
    assert colors is not None
    assert len(colors) > 1000  # pictures are in it


def test_two_runs_give_the_same_losses_the_same_lora_and_the_same_pictures(
    finished: RunFolder, small_preset: Path, tmp_path: Path
) -> None:
    again = RunFolder(tmp_path / "runs" / "small")
    main([str(small_preset)])
    assert series(again) == series(finished)
    assert again.lora.read_bytes() == finished.lora.read_bytes()
    assert again.comparison.read_bytes() == finished.comparison.read_bytes()
    assert again.manifest.read_bytes() == finished.manifest.read_bytes()


def test_the_resolved_preset_trains_the_same_lora_again(
    finished: RunFolder, tmp_path: Path
) -> None:
    root = tmp_path / "again"
    main([str(finished.preset), "--set=sample.prompts=[]", "--out", str(root)])
    assert RunFolder(root).lora.read_bytes() == finished.lora.read_bytes()


def test_another_seed_gives_another_lora(finished: RunFolder, train: Train) -> None:
    other = train("other", "train.seed=1")
    assert losses(other) != losses(finished)
    assert other.lora.read_bytes() != finished.lora.read_bytes()


def test_a_repeated_run_replaces_and_a_changed_one_is_kept_beside(
    train: Train, tmp_path: Path
) -> None:
    first = train("run", "train.steps=1")
    before = first.lora.read_bytes()
    again = train("run", "train.steps=1")
    assert again.lora.read_bytes() == before
    assert len(metrics(again)) == 1  # not appended to
    train("run", "train.steps=2")
    assert len(metrics(again)) == 2
    kept = RunFolder(tmp_path / "runs" / "run.1")
    assert kept.lora.read_bytes() == before
    assert not (tmp_path / "runs" / "run.2").exists()


def test_the_loss_falls(train: Train) -> None:
    """One icon, by heart: the last of 45 steps' thirds has 0.80 of the first's mean loss."""
    run = train(
        "long",
        "dataset.buckets.0.limit=1",
        "train.steps=45",
        "train.batch_size=1",
        "train.learning_rate=5e-3",
        "memory.checkpointing=false",
    )
    told = losses(run)
    assert sum(told[-15:]) < 0.9 * sum(told[:15])


def test_accumulated_steps_are_larger_batches(train: Train) -> None:
    """Two micro-steps of one picture see the samples of one step of two: the same gradient.

    That holds within an epoch, whose last batch takes what is left.
    """
    whole = train("whole", "train.steps=2")
    run = train("accumulated", "train.steps=2", "train.batch_size=1", "train.accumulation=2")
    assert losses(run) == pytest.approx(losses(whole), rel=1e-4)
    one, _ = tensors.read(run.lora)
    other, _ = tensors.read(whole.lora)
    for name, tensor in one.items():
        # AdamW's first steps have the size of the learning rate whatever the gradient's
        # size, so that rounding may turn single, nearly zero, gradients about
        assert (tensor - other[name]).abs().mean() < 1e-5, name


@pytest.mark.parametrize(
    "override",
    [
        "memory.dtype=bf16",
        "memory.quantization=none",
        "memory.quantization=qint8",
        "lora.dropout=0.5",
        "train.timestep_sampling=logit_normal",
        "lora.targets=['all']",
    ],
)
def test_other_settings_train_too_and_each_in_its_own_way(
    train: Train, finished: RunFolder, override: str
) -> None:
    run = train("other", override, "train.steps=2")
    told = losses(run)
    assert all(0 < loss < 10 for loss in told)
    assert told != losses(finished)[:2]
    if override != "train.timestep_sampling=logit_normal":
        assert told == pytest.approx(losses(finished)[:2], rel=0.05)  # but for rounding
    assert read_diffusers(run.lora, "transformer")[0]


def test_checkpointing_changes_no_loss(train: Train, finished: RunFolder) -> None:
    run = train("plain", "memory.checkpointing=false")
    assert losses(run) == losses(finished)
    assert run.lora.read_bytes() != b""


def test_the_schedule_reaches_the_optimizer(train: Train) -> None:
    run = train("warm", "train.warmup_steps=1", "train.schedule=linear")
    rates = [step["learning_rate"] for step in metrics(run)]
    assert rates == pytest.approx([1e-3, 1e-3, 5e-4])


def test_repeats_and_licenses_reach_the_manifest(train: Train) -> None:
    run = train("repeated", "dataset.buckets.0.repeats=3", "train.steps=1")
    records = [json.loads(line) for line in run.manifest.read_text("utf-8").splitlines()]
    assert {record["repeats"] for record in records} == {3}
    assert read_diffusers(run.lora, "transformer")[1]["ss_num_train_images"] == "15"


def test_without_prompts_there_are_no_samples(
    train: Train, capsys: pytest.CaptureFixture[str]
) -> None:
    run = train("silent", "train.steps=1")
    assert run.lora.is_file()
    assert not run.samples.exists()
    assert not run.comparison.exists()
    told = capsys.readouterr().out
    assert "the preset has no sample.prompts" in told
    assert "comparison.png" not in told  # nothing to look at


def test_it_ends_by_saying_where_everything_is(
    small_preset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main([str(small_preset), "--set=train.steps=1", "--set=sample.steps=1"])
    told = capsys.readouterr().out
    root = tmp_path / "runs" / "small"
    for text in (str(root), str(root / "comparison.png"), "ATTRIBUTION.md", "tools/sample.py"):
        assert text in told
    assert "0 to encode" in told


def command(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments],
        env={**os.environ, "OMP_NUM_THREADS": "1", **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )


def test_a_process_of_its_own_gives_the_same_run(
    small_preset: Path, tmp_path: Path, finished: RunFolder
) -> None:
    """With another hash seed, and its bars on standard error."""
    done = command("-m", "bioicons_kit.train", str(small_preset), PYTHONHASHSEED="7")
    assert done.returncode == 0, done.stderr
    run = RunFolder(tmp_path / "runs" / "small")
    assert series(run) == series(finished)
    assert run.lora.read_bytes() == finished.lora.read_bytes()
    assert "training" in done.stderr
    assert "step/s" in done.stderr
    assert "Traceback" not in done.stderr
    assert "0 to encode" in done.stdout


@pytest.mark.slow
def test_two_processes_give_the_losses_of_one_that_accumulates(
    small_preset: Path, tmp_path: Path, fresh_cache: Path, train: Train, finished: RunFolder
) -> None:
    root = tmp_path / "runs" / "two"
    done = command(
        *("-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"),
        *("-m", "bioicons_kit.train", str(small_preset), "--out", str(root)),
        *("--set=train.batch_size=1", f"--set=cache.root={fresh_cache}"),
    )
    assert done.returncode == 0, done.stderr
    run = RunFolder(root)
    assert ", 2 processes" in done.stdout
    assert done.stdout.count("everything is in") == 1  # only one of them speaks
    assert "0 in the cache, 5 to encode" in done.stdout

    one = train("one", "train.batch_size=1", "train.accumulation=2")
    assert [step["step"] for step in metrics(run)] == [1, 2, 3]  # only one of them writes
    assert losses(run) == pytest.approx(losses(one), rel=1e-4)
    ours, _ = tensors.read(run.lora)
    theirs, _ = tensors.read(one.lora)
    for name, tensor in ours.items():
        assert (tensor - theirs[name]).abs().mean() < 1e-5, name
    assert run.manifest.read_bytes() == finished.manifest.read_bytes()
    assert len(list(run.samples.glob("*.png"))) == 4


def test_an_adapter_on_the_embedder_trains(
    command: Any, small_preset: Path, tmp_path: Path
) -> None:
    done = command(main, small_preset, "--set=lora.targets=x_embedder", "--set=train.steps=2")
    assert done.status == 0, done.err
    layers, _ = read_diffusers(tmp_path / "runs/small/lora.safetensors", "transformer")
    assert list(layers) == ["x_embedder"]


@pytest.mark.parametrize(
    "overrides",
    [
        ("memory.modulation=ahead",),
        ("memory.modulation=ahead", "train.accumulation=2"),
        ("memory.offload_blocks=6", "memory.checkpointing=3", "memory.checkpoint_inputs=host"),
    ],
    ids=str,
)
def test_where_weights_and_activations_are_changes_no_loss(
    train: Train, overrides: tuple[str, ...]
) -> None:
    plain = [each for each in overrides if not each.startswith("memory.")]
    moved, resident = train("moved", *overrides), train("resident", *plain)
    assert losses(moved) == losses(resident)
    assert moved.lora.read_bytes() == resident.lora.read_bytes()


def test_modulation_ahead_refuses_an_adapter_on_it(command: Any, small_preset: Path) -> None:
    done = command(
        main, small_preset, "--set=memory.modulation=ahead", '--set=lora.targets=["all"]'
    )
    assert "cannot apply: lora.targets train" in done.error


@pytest.mark.slow
def test_two_processes_compute_modulation_ahead_each_for_itself(
    small_preset: Path, tmp_path: Path
) -> None:
    found = []
    for where in ("resident", "ahead"):
        root = tmp_path / "runs" / where
        done = subprocess.run(
            [
                *(sys.executable, "-m", "torch.distributed.run", "--standalone"),
                *("--nproc_per_node=2", "-m", "bioicons_kit.train", str(small_preset)),
                *("--out", str(root), "--set=sample.prompts=[]"),
                f"--set=memory.modulation={where}",
            ],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        found.append(RunFolder(root))
    assert losses(found[0]) == losses(found[1])
    assert found[0].lora.read_bytes() == found[1].lora.read_bytes()

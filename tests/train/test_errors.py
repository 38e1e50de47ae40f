"""What a user can get wrong, through the command line: one line, status 2, nothing left behind."""

import json
import os
import resource
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from accelerate.state import AcceleratorState

from bioicons_kit.data import job
from bioicons_kit.icons import library
from bioicons_kit.train.__main__ import main

Fail = Callable[..., str]
BROKEN = "<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 9 9'><path d="


@pytest.fixture(autouse=True)
def nothing_half_written(tmp_path: Path) -> Iterator[None]:
    """Whatever a test does: no temporary file or folder stays."""
    yield
    assert [path for path in tmp_path.rglob("*") if path.suffix == ".tmp"] == []


@pytest.fixture
def fail(command: Any, small_preset: Path, tmp_path: Path) -> Fail:
    """A function that trains the small preset with overrides, to be refused before training.

    It returns the error's line and makes sure that no run folder was begun.
    """

    def run(*overrides: str, preset: Path = small_preset) -> str:
        outcome = command(main, preset, *(f"--set={each}" for each in overrides))
        line: str = outcome.error
        assert not (tmp_path / "runs").exists()
        return line

    return run


# The preset.


def test_a_missing_preset(fail: Fail, tmp_path: Path) -> None:
    line = fail(preset=tmp_path / "smal.toml")
    assert line.startswith(f"{tmp_path}/smal.toml: no such preset")
    assert "small.toml" in line  # the one that is there


def test_a_preset_that_is_not_toml(fail: Fail, small_preset: Path) -> None:
    text = small_preset.read_text("utf-8")
    lines = text.splitlines()
    number = lines.index("rank = 4") + 1
    small_preset.write_text(text.replace("rank = 4", "rank = four"), "utf-8")
    assert fail().startswith(f"{small_preset}: line {number}, column 8: invalid value")


def test_an_unknown_key(fail: Fail, small_preset: Path) -> None:
    text = small_preset.read_text("utf-8").replace("limit = 5", "limit = 5\nrepeat = 2")
    small_preset.write_text(text, "utf-8")
    expected = "[dataset.buckets][0]: unknown key 'repeat', did you mean 'repeats'?"
    assert fail() == f"{small_preset}: {expected}"


def test_a_value_of_a_wrong_type(fail: Fail, small_preset: Path) -> None:
    text = small_preset.read_text("utf-8").replace("steps = 3", 'steps = "3"')
    small_preset.write_text(text, "utf-8")
    line = fail()
    assert line.startswith(f"{small_preset}: [train]: steps = '3' must be ")


def test_a_value_out_of_range_on_the_command_line(fail: Fail) -> None:
    assert fail("train.steps=0").startswith("--set train.steps=0: [train]: steps = 0 must be ")


def test_a_missing_argument(command: Any) -> None:
    assert "required: preset" in command(main).error


# The icons.


def test_an_empty_bucket_lists_what_there_is(fail: Fail) -> None:
    line = fail("dataset.buckets.0.category=Animal")
    assert "no icon matches category 'Animal' and license CC0-1.0;" in line
    assert "categories with CC0-1.0 icons: Animals, Cell types, " in line


def test_a_missing_library_says_how_to_get_one(fail: Fail, tmp_path: Path) -> None:
    line = fail(f"dataset.root={tmp_path / 'bioicons'}")
    assert line.startswith(f"{tmp_path}/bioicons: no such icon library")
    assert "git clone --depth 1 https://github.com/duerrsimon/bioicons" in line
    assert "'shipped'" in line


def test_a_library_without_icons(fail: Fail, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert "no SVG there" in fail(f"dataset.root={tmp_path / 'empty'}")


@pytest.fixture
def icons(tmp_path: Path) -> Path:
    """A library of three icons."""
    folder = tmp_path / "library/cc-0/Animals/Petri_Press"
    folder.mkdir(parents=True)
    for name in ("mouse", "frog", "sea-turtle"):
        shutil.copy(library.SHIPPED / "cc-0/Animals/Petri_Press" / f"{name}.svg", folder)
    return folder


def test_an_unreadable_icon_is_named_skipped_and_counted(
    command: Any, small_preset: Path, icons: Path, tmp_path: Path
) -> None:
    (icons / "frog.svg").write_text(BROKEN)
    (icons / "newt.svg").write_bytes(b"\x89PNG not an SVG at all")
    overrides = (f"dataset.root={icons.parents[2]}", "train.steps=1", "sample.prompts=[]")
    done = command(main, small_preset, *(f"--set={each}" for each in overrides))
    assert done.status == 0, done.err
    for name in ("frog", "newt"):
        assert f"cc-0/Animals/Petri_Press/{name}.svg: skipped, " in done.err
    assert "2 of 4 icons could not be drawn" in done.out
    manifest = (tmp_path / "runs/small/dataset/metadata.jsonl").read_text("utf-8")
    trained = {Path(json.loads(line)["source"]).stem for line in manifest.splitlines()}
    assert trained == {"mouse", "sea-turtle"}


def test_nothing_but_unreadable_icons(fail: Fail, icons: Path) -> None:
    for path in icons.iterdir():
        path.write_text(BROKEN + path.stem)  # equal files would be taken once
    line = fail(f"dataset.root={icons.parents[2]}")
    assert "none of the 3 selected icons can be drawn" in line
    assert "cc-0/Animals/Petri_Press/" in line


# The model.


def test_a_model_path_that_is_not_there(fail: Fail, tmp_path: Path) -> None:
    line = fail(f"model.path={tmp_path / 'nothing' / 'here'}")
    assert "no such model folder" in line
    assert '"starter"' in line


def test_a_folder_that_is_no_model(fail: Fail, tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    line = fail(f"model.path={tmp_path / 'model'}")
    assert line.startswith(f"{tmp_path}/model: not a diffusers model folder")
    assert "model_index.json" in line


def test_a_model_of_another_family(fail: Fail, tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    index = json.dumps({"_class_name": "StableDiffusionPipeline"})
    (tmp_path / "model" / "model_index.json").write_text(index)
    line = fail(f"model.path={tmp_path / 'model'}")
    assert "holds a StableDiffusionPipeline" in line
    assert "needs a FluxPipeline" in line


def test_a_hub_model_without_network(fail: Fail) -> None:
    line = fail("model.path=nobody-at-all/FLUX.1-none")
    assert line.startswith("nobody-at-all/FLUX.1-none: ")
    assert "the hub cannot be reached" in line
    assert "hf download nobody-at-all/FLUX.1-none" in line


@pytest.fixture
def model(tmp_path: Path, starter_folder: Path) -> Path:
    """A copy of the starter model to be damaged."""
    return Path(shutil.copytree(starter_folder, tmp_path / "model"))


@pytest.mark.parametrize("part", ["transformer", "vae", "text_encoder", "text_encoder_2"])
def test_a_model_with_damaged_weights(
    fail: Fail, model: Path, fresh_cache: Path, part: str
) -> None:
    (weights,) = (model / part).glob("*.safetensors")
    weights.write_bytes(weights.read_bytes()[:5000])
    assert f"{model / part}" in fail(f"model.path={model}", f"cache.root={fresh_cache}")


@pytest.mark.parametrize("part", ["transformer", "vae", "text_encoder_2", "tokenizer"])
def test_a_model_with_a_missing_part(fail: Fail, model: Path, part: str) -> None:
    shutil.rmtree(model / part)
    assert f"{model / part}" in fail(f"model.path={model}")


def test_a_flux_without_guidance(fail: Fail, model: Path) -> None:
    config = model / "transformer" / "config.json"
    values = json.loads(config.read_text("utf-8")) | {"guidance_embeds": False}
    config.write_text(json.dumps(values), "utf-8")
    assert "no guidance embedding" in fail(f"model.path={model}")


@pytest.mark.parametrize(
    ("part", "change", "said"),
    [
        ("transformer", {"num_layers": "four"}, "num_layers is 'four'; a FLUX's is a whole number"),
        ("transformer", {"axes_dims_rope": [8, 8, 8]}, "three even numbers that add up to 32"),
        ("vae", {"shift_factor": None}, "shift_factor is missing; a FLUX's is a number"),
    ],
)
def test_a_config_that_is_wrong(
    fail: Fail, model: Path, part: str, change: dict[str, object], said: str
) -> None:
    config = model / part / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text("utf-8")) | change), "utf-8")
    assert said in fail(f"model.path={model}")


def test_targets_that_match_nothing(fail: Fail) -> None:
    line = fail("lora.targets=atention")
    assert line.startswith("lora.targets: 'atention' matches no linear layer")
    assert "attention, feed_forward, all" in line


# The places.


def test_a_run_folder_that_is_something_else(
    command: Any, small_preset: Path, tmp_path: Path
) -> None:
    thesis = tmp_path / "thesis"
    thesis.mkdir()
    (thesis / "chapter.txt").write_text("words")
    refused = command(main, small_preset, "--out", thesis)
    assert refused.error.startswith(f"{thesis}: holds files that are no run of this kit")
    assert [path.name for path in thesis.iterdir()] == ["chapter.txt"]
    refused = command(main, small_preset, "--out", thesis / "chapter.txt")
    assert refused.error.startswith(f"{thesis}/chapter.txt: is a file")
    assert (thesis / "chapter.txt").read_text() == "words"


@pytest.mark.parametrize("key", ["cache.root", "output.root"])
def test_a_folder_below_a_file(fail: Fail, tmp_path: Path, key: str) -> None:
    (tmp_path / "file").write_text("words")
    line = fail(f"{key}={tmp_path}/file/folder")
    assert f"{tmp_path}/file/folder" in line
    assert "cannot be written (Not a directory)" in line


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
@pytest.mark.parametrize("key", ["cache.root", "output.root"])
def test_a_read_only_folder(fail: Fail, tmp_path: Path, key: str) -> None:
    (tmp_path / "locked").mkdir(mode=0o555)
    line = fail(f"{key}={tmp_path}/locked/folder")
    assert f"{tmp_path}/locked/folder" in line
    assert "cannot be written (Permission denied)" in line


# The launch and the training itself.


def train(
    preset: Path, *overrides: str, largest_file: int | None = None, **environment: str
) -> subprocess.CompletedProcess[str]:
    """Train in a process of its own, in which no file may grow beyond `largest_file` bytes."""

    def limit() -> None:
        if largest_file is not None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (largest_file, largest_file))

    return subprocess.run(
        [
            *(sys.executable, "-m", "bioicons_kit.train", str(preset)),
            *(f"--set={each}" for each in overrides),
        ],
        preexec_fn=limit,
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1", **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )


def refusal(done: subprocess.CompletedProcess[str]) -> str:
    """The one line of a refusal."""
    lines = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert done.returncode == 2, done.stderr
    assert len(lines) == 1, done.stderr
    assert "Traceback" not in done.stderr
    assert done.stderr.splitlines()[-1] == lines[0]
    return lines[0].removeprefix("error: ")


@pytest.mark.parametrize("precision", ["fp16", "bf16", "fp8"])
def test_accelerates_mixed_precision_is_told_to_be_unused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], precision: str
) -> None:
    """As `accelerate config` says it, to a process that has no state yet."""
    AcceleratorState._reset_state(reset_partial_state=True)
    monkeypatch.setenv("ACCELERATE_MIXED_PRECISION", precision)
    try:
        assert job.accelerator().mixed_precision == "no"
    finally:
        AcceleratorState._reset_state(reset_partial_state=True)
    assert f"mixed precision '{precision}' is not used" in capsys.readouterr().err


def test_a_missing_preset_costs_no_import_of_torch(tmp_path: Path) -> None:
    """An honest exit status, one line and nothing else, from a real process."""
    (tmp_path / "torch.py").write_text("raise SystemExit('torch was imported')")
    done = train(tmp_path / "gone.toml", PYTHONPATH=str(tmp_path))
    assert refusal(done).startswith(f"{tmp_path}/gone.toml: no such preset")
    assert done.stdout == ""
    assert len(done.stderr.splitlines()) == 1
    (tmp_path / "torch.py").unlink()


NO_ROOM = "no room to write it"


@contextmanager
def files_up_to(largest: int) -> Iterator[None]:
    """Let no file of this process grow beyond `largest` bytes (what is captured is in memory)."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (largest, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_no_room_for_the_starter(small_preset: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    line = refusal(train(small_preset, f"cache.root={cache}", largest_file=100_000))
    assert NO_ROOM in line
    assert "cache.root" in line
    assert list((cache / "models").iterdir()) == []
    assert not (tmp_path / "runs").exists()


def test_no_room_for_the_cache(fail: Fail, fresh_cache: Path) -> None:
    """The first entry of 4 KB does not fit; what was written before it is whole."""
    with files_up_to(3000):
        line = fail(f"cache.root={fresh_cache}")
    assert NO_ROOM in line
    assert str(fresh_cache / "latents") in line
    assert [path for path in fresh_cache.rglob("*.safetensors") if path.is_file()] == [
        path for path in fresh_cache.rglob("*.safetensors") if "models" in path.parts
    ]
    assert json.loads((fresh_cache / "identities.json").read_text("utf-8"))


@pytest.fixture
def encoded(command: Any, small_preset: Path, tmp_path: Path) -> Path:
    """The small preset, everything of which is in the cache already."""
    done = command(main, small_preset, "--set=train.steps=1", "--set=sample.steps=1")
    assert done.status == 0
    shutil.rmtree(tmp_path / "runs")
    return small_preset


@pytest.mark.parametrize(
    ("largest", "failed", "written"),
    [
        (300, "preset.toml", set()),
        (100_000, "lora.safetensors", {"preset.toml", "metrics.jsonl"}),
        (150_000, "comparison.png", {"lora.safetensors", "samples"}),
    ],
)
def test_no_room_for_the_run(
    command: Any, encoded: Path, tmp_path: Path, largest: int, failed: str, written: set[str]
) -> None:
    with files_up_to(largest):
        line = command(main, encoded, "--set=lora.rank=2").error
    run = tmp_path / "runs" / "small"
    assert line.startswith(f"{run / failed}: {NO_ROOM}")
    assert "output.root" in line
    there = {path.name for path in run.iterdir()}
    assert written <= there
    assert failed not in there
    assert "run.json" not in there  # a run that did not end does not say that it did

    # once there is room, the same command goes through, in the same place
    assert command(main, encoded, "--set=lora.rank=2").status == 0
    assert (run / failed).is_file()
    assert [path.name for path in run.parent.iterdir()] == ["small"]


def test_no_room_for_the_logs(encoded: Path, tmp_path: Path) -> None:
    """TensorBoard writes in a thread of its own, which must not die with a traceback."""
    overrides = ("train.steps=90", "dataset.buckets.0.limit=1", "train.batch_size=1")
    line = refusal(train(encoded, *overrides, largest_file=4000))
    run = tmp_path / "runs" / "small"
    assert line.startswith(f"{run / 'metrics.jsonl'}: {NO_ROOM}")
    assert not (run / "lora.safetensors").exists()

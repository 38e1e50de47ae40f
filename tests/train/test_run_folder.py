"""A run's folder: made, replaced by the same run, set aside by another, or refused."""

import shutil
from pathlib import Path

import pytest

from bioicons_kit import preset_file
from bioicons_kit.errors import StorageError
from bioicons_kit.train import run_folder
from bioicons_kit.train.run_folder import RunFolder


def opened(root: Path, resolved: str, manifest: str = "icons") -> RunFolder:
    """Open a run's folder, and end without doing anything."""
    with run_folder.opened(root, resolved, manifest) as folder:
        return folder


def finish(root: Path, resolved: str, manifest: str = "icons") -> RunFolder:
    """Leave a finished run at `root`."""
    with run_folder.opened(root, resolved, manifest) as folder:
        fill(folder, resolved, manifest)
    return folder


def fill(folder: RunFolder, resolved: str, manifest: str = "icons") -> None:
    folder.logs.mkdir(exist_ok=True)
    folder.manifest.parent.mkdir(exist_ok=True)
    folder.manifest.write_text(manifest, "utf-8")
    for path, text in (
        (folder.preset, resolved),
        (folder.metrics, f"metrics of {resolved}"),
        (folder.lora, f"lora of {resolved}"),
        (folder.logs / "events", f"events of {resolved}"),
        (folder.summary, "{}"),
    ):
        path.write_text(text, "utf-8")


def test_a_new_folder_is_made_with_its_parents(tmp_path: Path) -> None:
    root = tmp_path / "runs" / "a" / "b"
    assert opened(root, "x") == RunFolder(root)
    assert list(root.iterdir()) == []


def test_an_empty_folder_is_taken(tmp_path: Path) -> None:
    opened(tmp_path, "x")
    assert list(tmp_path.iterdir()) == []


def test_the_same_run_is_replaced_once_the_new_one_is_done(tmp_path: Path) -> None:
    root = tmp_path / "run"
    finish(root, "x")
    with run_folder.opened(root, "x", "icons") as folder:
        assert list(root.iterdir()) == []
        assert RunFolder(tmp_path / "run.1").lora.read_text() == "lora of x"
        fill(folder, "x")
    assert list(tmp_path.iterdir()) == [root]
    assert folder.lora.read_text() == "lora of x"


@pytest.mark.parametrize("resolved", ["x", "y"])
@pytest.mark.parametrize("error", [StorageError, KeyboardInterrupt])
def test_a_run_that_fails_before_it_has_anything_gives_the_place_back(
    tmp_path: Path, resolved: str, error: type[BaseException]
) -> None:
    """Whether it was the same or another: numbers, logs and all."""
    root = tmp_path / "run"
    finish(root, "x")
    before = {path: path.read_bytes() for path in root.rglob("*") if path.is_file()}

    def run() -> None:
        with run_folder.opened(root, resolved, "icons") as folder:
            folder.preset.write_text(resolved)
            folder.metrics.write_text("of a step or two")
            raise error

    with pytest.raises(error):
        run()
    assert {path: path.read_bytes() for path in root.rglob("*") if path.is_file()} == before
    assert list(tmp_path.iterdir()) == [root]


def test_a_run_that_fails_with_a_state_to_go_on_from_stays(tmp_path: Path) -> None:
    root = tmp_path / "run"
    finish(root, "x")

    def run() -> None:
        with run_folder.opened(root, "x", "icons") as folder:
            (folder.checkpoints / "step-000003").mkdir(parents=True)
            raise SystemExit(130)

    with pytest.raises(SystemExit):
        run()
    assert RunFolder(root).is_worth_keeping()
    assert RunFolder(tmp_path / "run.1").lora.read_text() == "lora of x"


def test_what_is_left_of_a_run_without_a_result_is_not_set_aside(
    small_preset: Path, tmp_path: Path
) -> None:
    """But a preset that a person wrote is, whatever lies beside it."""
    root = tmp_path / "run"
    root.mkdir()
    resolved = preset_file.dumps(preset_file.load(small_preset))
    (root / "preset.toml").write_text(resolved, "utf-8")
    (root / "metrics.jsonl").write_text("numbers")
    opened(root, "y")
    assert list(root.iterdir()) == []
    assert not (tmp_path / "run.1").exists()
    shutil.copy(small_preset, root / "preset.toml")
    opened(root, "y")
    assert (tmp_path / "run.1" / "preset.toml").read_bytes() == small_preset.read_bytes()


def test_a_run_goes_back_to_a_step(tmp_path: Path) -> None:
    folder = finish(tmp_path / "run", "x")
    for path in (folder.metrics, folder.validation):
        path.write_text('{"step": 1}\n{"step": 2}\n{"step": 3}\n{"st', "utf-8")
    for name in ("step-000002", "step-000003", ".step-000004.abc.tmp"):
        (folder.checkpoints / name).mkdir(parents=True)
    (folder.root / ".lora.safetensors.abc.tmp").write_text("half")
    run_folder.check(folder.root)
    run_folder.rewind(folder, 2)
    assert folder.metrics.read_text() == '{"step": 1}\n{"step": 2}\n'
    assert folder.validation.read_text() == folder.metrics.read_text()
    assert [path.name for path in folder.checkpoints.iterdir()] == ["step-000002"]
    assert not list(folder.root.glob(".*"))
    assert not folder.summary.exists()


def test_a_run_on_other_icons_is_set_aside(tmp_path: Path) -> None:
    """Credits and LoRA in one folder belong together, whatever happens to the next run."""
    root = tmp_path / "run"
    finish(root, "x", "an icon")
    folder = opened(root, "x", "an icon and another")
    assert not folder.lora.exists()
    assert RunFolder(tmp_path / "run.1").manifest.read_text() == "an icon"
    assert RunFolder(tmp_path / "run.1").lora.exists()


def test_other_runs_are_set_aside_whole_and_numbered(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = tmp_path / "run"
    for resolved in ("x", "y", "z"):
        finish(root, resolved)
    kept = {path.name: (path / "preset.toml").read_text() for path in tmp_path.iterdir()}
    assert kept == {"run": "z", "run.1": "x", "run.2": "y"}
    for name, resolved in kept.items():
        folder = RunFolder(tmp_path / name)
        assert folder.lora.read_text() == f"lora of {resolved}"
        assert folder.metrics.read_text() == f"metrics of {resolved}"
        assert (folder.logs / "events").read_text() == f"events of {resolved}"
    told = capsys.readouterr().out
    assert "run.1" in told
    assert "run.2" in told


def test_a_number_that_is_taken_by_a_file_is_passed_over(tmp_path: Path) -> None:
    root = tmp_path / "run"
    finish(root, "x")
    (tmp_path / "run.1").write_text("somebody's")
    opened(root, "y")
    assert (tmp_path / "run.1").read_text() == "somebody's"
    assert RunFolder(tmp_path / "run.2").lora.read_text() == "lora of x"


def test_a_name_with_a_dot_keeps_it_when_set_aside(tmp_path: Path) -> None:
    root = tmp_path / "v1.5"
    finish(root, "x")
    finish(root, "y")
    assert (tmp_path / "v1.5.1").is_dir()


def test_a_folder_that_is_no_run_is_refused_and_left_alone(tmp_path: Path) -> None:
    root = tmp_path / "thesis"
    root.mkdir()
    (root / "chapter.txt").write_text("words")
    for refuse in (run_folder.check, lambda path: opened(path, "x")):
        with pytest.raises(StorageError, match=r"thesis: holds files that are no run.*--out"):
            refuse(root)
    assert [path.name for path in root.iterdir()] == ["chapter.txt"]


def test_a_project_that_holds_a_preset_is_no_run(tmp_path: Path) -> None:
    root = tmp_path / "project"
    root.mkdir()
    (root / "preset.toml").write_text("x")
    (root / "thesis.txt").write_text("words")
    with pytest.raises(StorageError, match=r"project: holds files that are no run"):
        run_folder.check(root)
    assert (root / "thesis.txt").read_text() == "words"


def test_a_file_is_refused_and_left_alone(tmp_path: Path) -> None:
    root = tmp_path / "file"
    root.write_text("words")
    for refuse in (run_folder.check, lambda path: opened(path, "x")):
        with pytest.raises(StorageError, match=r"file: is a file; choose another"):
            refuse(root)
    assert root.read_text() == "words"


def test_a_folder_below_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("words")
    with pytest.raises(StorageError, match=r"cannot be written"):
        opened(tmp_path / "file" / "run", "x")


def test_checking_changes_nothing(tmp_path: Path) -> None:
    finish(tmp_path / "run", "x")
    run_folder.check(tmp_path / "run")
    run_folder.check(tmp_path / "new")
    assert not (tmp_path / "new").exists()
    assert RunFolder(tmp_path / "run").metrics.exists()


def test_the_docstring_names_every_place_there_is() -> None:
    folder = RunFolder(Path())
    said = run_folder.__doc__ or ""
    for name, value in vars(RunFolder).items():
        if isinstance(value, property):
            assert str(getattr(folder, name)).split("/")[-1] in said, name

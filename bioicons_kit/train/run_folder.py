"""A run's folder: what stands where, and what happens to an earlier run's.

runs/<name>/
  preset.toml              every setting, resolved; trains the same LoRA again
  dataset/metadata.jsonl   the icons: captions, authors, licenses, hashes
  dataset/ATTRIBUTION.md   the credits their licenses ask for
  lora.safetensors         the result, in diffusers' layout
  lora-ema.safetensors     its moving average, if lora.ema asks for one
  lora-kohya.safetensors   the result in kohya's layout, if output.formats asks for it
  README.md                the model card
  report.html              the page on the run: curves, pictures, credits
  samples/                 the preset's prompts, without and with the LoRA
  samples/steps/           the same while training, and a strip of each over the steps
  comparison.png           the same, side by side in one picture
  metrics.jsonl  logs/     loss, learning rate and more, as text and for TensorBoard
  validation.jsonl         the loss on held-out rows, by noise level
  checkpoints/             states of the run, from which it can go on
  run.json                 when, how long, on what

An earlier run's files are never written over before there are new ones: it is moved aside.
"""

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bioicons_kit import console, preset_file
from bioicons_kit.errors import KitError, StorageError
from bioicons_kit.files import storage_errors, write_text
from bioicons_kit.train import checkpoint


@dataclass(frozen=True)
class RunFolder:
    """The places of one run's files."""

    root: Path

    @property
    def preset(self) -> Path:
        """The resolved preset."""
        return self.root / "preset.toml"

    @property
    def manifest(self) -> Path:
        """The dataset manifest."""
        return self.root / "dataset" / "metadata.jsonl"

    @property
    def attribution(self) -> Path:
        """The credits."""
        return self.root / "dataset" / "ATTRIBUTION.md"

    @property
    def lora(self) -> Path:
        """The trained LoRA."""
        return self.root / "lora.safetensors"

    @property
    def lora_ema(self) -> Path:
        """The trained LoRA's moving average, where one was kept."""
        return self.root / "lora-ema.safetensors"

    @property
    def lora_kohya(self) -> Path:
        """The trained LoRA in kohya's layout, where it was asked for."""
        return self.root / "lora-kohya.safetensors"

    @property
    def card(self) -> Path:
        """The model card, for people and for the hub."""
        return self.root / "README.md"

    @property
    def report(self) -> Path:
        """The page on the run."""
        return self.root / "report.html"

    @property
    def samples(self) -> Path:
        """Folder of the single pictures."""
        return self.root / "samples"

    @property
    def step_pictures(self) -> Path:
        """Folder of the pictures drawn while training."""
        return self.samples / "steps"

    @property
    def comparison(self) -> Path:
        """The picture to look at."""
        return self.root / "comparison.png"

    @property
    def metrics(self) -> Path:
        """Numbers of each step, one JSON object a line."""
        return self.root / "metrics.jsonl"

    @property
    def validation(self) -> Path:
        """Each validation, one JSON object a line."""
        return self.root / "validation.jsonl"

    @property
    def checkpoints(self) -> Path:
        """Folder of the states to go on from."""
        return self.root / "checkpoints"

    @property
    def logs(self) -> Path:
        """TensorBoard's folder."""
        return self.root / "logs"

    @property
    def summary(self) -> Path:
        """When and how the run went."""
        return self.root / "run.json"

    def is_worth_keeping(self) -> bool:
        """Whether a run has left a result here, or a state to go on from."""
        return self.lora.is_file() or bool(checkpoint.steps(self.checkpoints))


# A folder with anything else in it is somebody's own, and is neither moved nor written to.
_NAMES = {
    *("preset.toml", "dataset", "lora.safetensors", "samples", "comparison.png"),
    *("metrics.jsonl", "validation.jsonl", "logs", "checkpoints", "run.json"),
    *("lora-ema.safetensors", "lora-kohya.safetensors", "README.md", "report.html"),
}


def check(root: Path) -> None:
    """Refuse a place where no run may be written.

    Raises:
        StorageError: a file, or a folder that holds something other than a run.
    """
    with storage_errors(root):
        if root.exists() and not root.is_dir():
            raise StorageError(f"{root}: is a file; choose another folder with --out")
        names = {path.name for path in root.iterdir()} if root.is_dir() else set()
    names = {name for name in names if not _is_half_written(name)}
    if names and (not names <= _NAMES or "preset.toml" not in names):
        raise StorageError(
            f"{root}: holds files that are no run of this kit; choose another folder with --out"
        )


@contextmanager
def opened(root: Path, resolved: str, manifest: str) -> Iterator[RunFolder]:
    """Make room for a run at `root` for the length of a `with` block.

    An earlier run is moved aside to the first free of `root.1`, `root.2`, ...: credits and
    LoRA in one folder always belong together. If it had the very same settings and icons, it
    is dropped when the block ends well, the new run being its equal; and if the block fails
    before the new run has anything to show, an earlier one comes back to its place. What a
    run left that never got to a result or a checkpoint is removed.

    Args:
        root: the run's folder.
        resolved: the text of the run's resolved preset.
        manifest: the text of its dataset manifest.

    Raises:
        StorageError: the folder holds something that is no run, or cannot be made.
    """
    folder = RunFolder(root)
    check(root)
    with storage_errors(root):
        earlier, is_same = _moved_aside(folder, resolved, manifest)
        root.mkdir(parents=True, exist_ok=True)
    try:
        yield folder
    except BaseException:
        if earlier is not None and not folder.is_worth_keeping():
            shutil.rmtree(root, ignore_errors=True)
            if not root.exists():
                earlier.rename(root)
        raise
    if earlier is not None and is_same:
        shutil.rmtree(earlier, ignore_errors=True)


def rewind(folder: RunFolder, step: int) -> None:
    """Take a run's files back to what they were after a step: it goes on from there.

    Checkpoints, pictures and numbers of later steps go, and what a killed process left
    half-written.

    Raises:
        StorageError: something cannot be removed or written.
    """
    with storage_errors(folder.root):
        for path in folder.root.iterdir():
            if _is_half_written(path.name) and path.is_file():
                path.unlink()
        checkpoint.sweep(folder.checkpoints)
        for later in (each for each in checkpoint.steps(folder.checkpoints) if each > step):
            checkpoint.remove(checkpoint.folder(folder.checkpoints, later))
        for pictures in folder.step_pictures.glob("step-*"):
            if int(pictures.name.removeprefix("step-")) > step:
                shutil.rmtree(pictures)
        folder.summary.unlink(missing_ok=True)  # it told of another end
    for path in (folder.metrics, folder.validation):
        if path.is_file():
            write_text(path, "".join(_lines_until(path, step)))


def branch(source: RunFolder, folder: RunFolder, step: int) -> None:
    """Begin a run's numbers with those of another one, up to the step it goes on from."""
    with storage_errors(folder.root):
        for here, there in (
            (source.metrics, folder.metrics),
            (source.validation, folder.validation),
        ):
            if here.is_file():
                write_text(there, "".join(_lines_until(here, step)))
        if source.logs.is_dir():
            shutil.copytree(source.logs, folder.logs)


def _moved_aside(folder: RunFolder, resolved: str, manifest: str) -> tuple[Path | None, bool]:
    """Move an earlier run aside; return where to, and whether it is the same as the new one."""
    if not folder.root.is_dir() or not any(folder.root.iterdir()):
        return None, False
    if _is_fragment(folder):
        shutil.rmtree(folder.root)
        return None, False
    texts = {folder.preset: resolved, folder.manifest: manifest}
    is_same = all(p.is_file() and p.read_bytes() == t.encode("utf-8") for p, t in texts.items())
    is_finished = folder.summary.is_file()
    number = 1
    while (aside := folder.root.with_name(f"{folder.root.name}.{number}")).exists():
        number += 1
    folder.root.rename(aside)
    what = "the earlier run, with other settings or icons,"
    if is_same and is_finished:
        what = "the earlier run, until this one is done,"
    elif is_same:
        what = "the earlier run, which --resume would have gone on with,"
    console.say("kept", f"{what} is now {console.shown(aside)}")
    return aside, is_same


def _is_fragment(folder: RunFolder) -> bool:
    """Tell whether a run of the kit began here and left nothing: no result, no checkpoint.

    A preset that a person wrote is not as the kit writes them, and is not taken for one.
    """
    if folder.is_worth_keeping() or not folder.preset.is_file():
        return not any(not _is_half_written(path.name) for path in folder.root.iterdir())
    try:
        written = preset_file.dumps(preset_file.load(folder.preset))
    except KitError:
        return False
    return folder.preset.read_bytes() == written.encode("utf-8")


def _lines_until(path: Path, step: int) -> Iterator[str]:
    """Yield the lines of a file of numbers up to a step; one that is not whole ends it."""
    for line in path.read_text("utf-8", errors="replace").splitlines():
        try:
            if json.loads(line)["step"] <= step:
                yield line + "\n"
        except (ValueError, KeyError, TypeError):
            return


def _is_half_written(name: str) -> bool:
    """Tell whether a name is that of a file a killed process was about to write."""
    return name.startswith(".") and name.endswith(".tmp")

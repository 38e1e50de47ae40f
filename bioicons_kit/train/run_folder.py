"""A run's folder: what stands where, and what happens to an earlier run's.

runs/<name>/
  preset.toml              every setting, resolved; trains the same LoRA again
  dataset/metadata.jsonl   the icons: captions, authors, licenses, hashes
  dataset/ATTRIBUTION.md   the credits their licenses ask for
  lora.safetensors         the result, in diffusers' layout
  samples/                 the preset's prompts, without and with the LoRA
  comparison.png           the same, side by side in one picture
  metrics.jsonl  logs/     loss and learning rate, as text and for TensorBoard
  run.json                 when, how long, on what
"""

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from bioicons_kit import console
from bioicons_kit.errors import StorageError
from bioicons_kit.files import storage_errors


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
    def samples(self) -> Path:
        """Folder of the single pictures."""
        return self.root / "samples"

    @property
    def comparison(self) -> Path:
        """The picture to look at."""
        return self.root / "comparison.png"

    @property
    def metrics(self) -> Path:
        """Loss and learning rate of each step, one JSON object a line."""
        return self.root / "metrics.jsonl"

    @property
    def logs(self) -> Path:
        """TensorBoard's folder."""
        return self.root / "logs"

    @property
    def summary(self) -> Path:
        """When and how the run went."""
        return self.root / "run.json"


# A folder with anything else in it is somebody's own, and is neither moved nor written to.
_NAMES = {
    *("preset.toml", "dataset", "lora.safetensors", "samples", "comparison.png"),
    *("metrics.jsonl", "logs", "run.json"),
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
        if names and (not names <= _NAMES or not RunFolder(root).preset.is_file()):
            raise StorageError(
                f"{root}: holds files that are no run of this kit; choose another folder with --out"
            )


def prepare(root: Path, resolved: str, manifest: str) -> RunFolder:
    """Make room for a run at `root`.

    An earlier run with the very same settings and icons is replaced file by file; another
    is kept, moved aside to the first free of `root.1`, `root.2`, ...: credits and LoRA in
    one folder always belong together.

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
        if root.is_dir() and any(root.iterdir()):
            _clear(folder, {folder.preset: resolved, folder.manifest: manifest})
        root.mkdir(parents=True, exist_ok=True)
    return folder


def _clear(folder: RunFolder, same: Mapping[Path, str]) -> None:
    """Move another run aside; of the same run, drop the logs that would be appended to."""
    if all(p.is_file() and p.read_bytes() == text.encode("utf-8") for p, text in same.items()):
        shutil.rmtree(folder.logs, ignore_errors=True)
        folder.metrics.unlink(missing_ok=True)
        return
    number = 1
    while (aside := folder.root.with_name(f"{folder.root.name}.{number}")).exists():
        number += 1
    folder.root.rename(aside)
    console.say(
        "kept", f"the earlier run, with other settings or icons, is now {console.shown(aside)}"
    )

"""A run's state on disk: whole folders, or none.

checkpoints/step-000100/
  state.json              step, best validation, optimizer's numbers; every file's hash
  preset.toml             the settings it was made with, resolved
  adapter.safetensors     the trained parameters
  optimizer.safetensors   the optimizer's tensors
  ema.safetensors         their running average, where one is kept
  progress.safetensors    losses so far; torch's generators, of every process

A folder is written under another name, flushed to the disk, and renamed: a process that is
killed, or a disk that is full, leaves the older ones as they were. What lies on disk is
checked against its hashes before it is used. No pickle.
"""

import json
import re
import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from bioicons_kit import __version__, files, tensors
from bioicons_kit.errors import DamagedFileError

_FORMAT = 1
_NAME = re.compile(r"step-(\d{6,})")
_STATE, PRESET = "state.json", "preset.toml"


@dataclass(frozen=True)
class Kept:
    """A checkpoint, read and found whole.

    Attributes:
        path: its folder.
        plain: what is no tensor: `state.State.plain`, and what identifies the run.
        tensors: by file and by name.
        rng: torch's generators, of every process.
    """

    path: Path
    plain: Mapping[str, Any]
    tensors: Mapping[str, Mapping[str, Tensor]]
    rng: Sequence[Mapping[str, Tensor]]

    @property
    def step(self) -> int:
        """Optimizer steps done."""
        return int(self.plain["step"])

    @property
    def preset(self) -> Path:
        """The settings it was made with."""
        return self.path / PRESET


def write(
    root: Path,
    preset: str,
    plain: Mapping[str, Any],
    content: Mapping[str, Mapping[str, Tensor]],
    rng: Sequence[Mapping[str, Tensor]],
) -> Path:
    """Write a checkpoint; return its folder.

    Args:
        root: folder of all checkpoints.
        preset: the text of the resolved preset.
        plain: has `step`.
        content: tensors by file and by name.
        rng: torch's generators, of every process.

    Raises:
        StorageError: no room or no permission; the other checkpoints are untouched.
    """
    path = folder(root, int(plain["step"]))
    of_rng = {f"rng.{i}.{name}": t for i, each in enumerate(rng) for name, t in each.items()}
    packed = {
        f"{name}.safetensors": tensors.pack({**each, **(of_rng if name == "progress" else {})}, {})
        for name, each in content.items()
    }
    packed[PRESET] = preset.encode()
    said = {
        "format": _FORMAT,
        "kit": __version__,
        "torch": torch.__version__,
        "processes": len(rng),
        **plain,
        "files": {name: files.sha256_bytes(data) for name, data in packed.items()},
    }
    with files.atomic_folder(path) as scratch:
        for name, data in packed.items():
            files.write_bytes(scratch / name, data)
        files.write_text(scratch / _STATE, json.dumps(said, indent=1) + "\n")
        files.flush_folder(scratch)
    files.flush_folder(root)
    return path


def read(path: Path) -> Kept:
    """Read a checkpoint.

    Raises:
        DamagedFileError: it is none, or not whole.
    """
    try:
        plain = json.loads((path / _STATE).read_text("utf-8"))
        if plain["format"] != _FORMAT:
            raise DamagedFileError(
                f"{path}: written by another version, {plain['kit']}, of the kit"
            )
        for name, digest in plain["files"].items():
            if files.sha256_file(path / name) != digest:
                raise DamagedFileError(f"{path / name}: not what was written there")
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise DamagedFileError(f"{path}: no whole checkpoint ({_reason(error)})") from error
    content = {
        Path(name).stem: tensors.read(path / name)[0]
        for name in plain["files"]
        if name.endswith(".safetensors")
    }
    rng: list[dict[str, Tensor]] = [{} for _ in range(plain["processes"])]
    for name, tensor in content["progress"].items():
        if name.startswith("rng."):
            _, process, generator = name.split(".")
            rng[int(process)][generator] = tensor
    return Kept(path, plain, content, rng)


def folder(root: Path, step: int) -> Path:
    """Return where the checkpoint of a step is."""
    return root / f"step-{step:06d}"


def steps(root: Path) -> list[int]:
    """Return the steps that have a checkpoint, whole or not, in order."""
    if not root.is_dir():
        return []
    found = (_NAME.fullmatch(path.name) for path in root.iterdir() if path.is_dir())
    return sorted(int(match[1]) for match in found if match)


def prune(root: Path, keep: int, spared: Iterable[int]) -> None:
    """Remove all checkpoints but the newest `keep`, and those of the steps that are spared."""
    for step in set(steps(root)[:-keep]) - set(spared):
        remove(folder(root, step))


def remove(path: Path) -> None:
    """Remove a checkpoint; half-removed, it is none any more."""
    (path / _STATE).unlink(missing_ok=True)
    shutil.rmtree(path, ignore_errors=True)


def sweep(root: Path) -> None:
    """Remove what a killed process left half-written."""
    if root.is_dir():
        for path in root.glob(".step-*.tmp"):
            shutil.rmtree(path, ignore_errors=True)


def _reason(error: Exception) -> str:
    """Return why something could not be read, in a few words."""
    if isinstance(error, FileNotFoundError):
        return f"{Path(error.filename).name} is missing"
    return (isinstance(error, OSError) and error.strerror) or type(error).__name__

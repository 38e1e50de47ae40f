"""Numbers while training: `metrics.jsonl`; through accelerate TensorBoard, and W&B by option."""

import importlib.util
import json
import math
import os
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from accelerate import Accelerator

from bioicons_kit.errors import TrainingError
from bioicons_kit.files import sha256_bytes, storage_errors
from bioicons_kit.preset import Preset

_LOGS = "logs"  # folder of the run's


def trackers(preset: Preset, root: Path) -> list[Any]:
    """Return what accelerate is to log with.

    Args:
        preset: says whether Weights & Biases is wanted.
        root: the run's folder, by which a run that goes on is the same one there.

    Raises:
        TrainingError: it is wanted, and not installed.
    """
    if not preset.tracking.wandb:
        return ["tensorboard"]
    if importlib.util.find_spec("wandb") is None:
        raise TrainingError(
            "tracking.wandb needs wandb: pip install -c constraints.txt -e '.[tracking]'"
        )
    from accelerate.tracking import WandBTracker

    same = sha256_bytes(str(root).encode())[:16]
    place, known = str(root / _LOGS), {"id": same, "resume": "allow"}
    return [
        "tensorboard",
        WandBTracker(preset.tracking.project, name=preset.name, dir=place, **known),
    ]


@contextmanager
def _refusals() -> Iterator[None]:
    """Turn what Weights & Biases refuses into one line."""
    try:
        yield
    except Exception as error:
        if not type(error).__module__.startswith("wandb."):
            raise
        first = next(iter(str(error).splitlines()), type(error).__name__)
        raise TrainingError(
            f"Weights & Biases: {first}; run wandb login, set WANDB_MODE=offline, or leave "
            "tracking.wandb out"
        ) from error


class Tracker:
    """Writes each step's numbers; on the main process only. Use it in a `with` block.

    Args:
        accelerator: made with what `trackers` returned, and the run's folder.
        metrics: the file that gets one JSON object a line.
        settings: shown as hyperparameters.
        start: the step that the run goes on from; later ones in the logs are void.
    """

    def __init__(
        self,
        accelerator: Accelerator,
        metrics: Path,
        settings: dict[str, str | int | float],
        start: int = 0,
    ) -> None:
        self._accelerator, self._metrics = accelerator, metrics
        self._hook = threading.excepthook
        with storage_errors(metrics), _refusals():
            if accelerator.is_main_process:
                (metrics.parent / _LOGS).mkdir(exist_ok=True)
            accelerator.init_trackers(
                _LOGS,
                config=None if start else settings,
                init_kwargs={"tensorboard": {"purge_step": start + 1}} if start else {},
            )
            self._file = (
                metrics.open("a", encoding="utf-8") if accelerator.is_main_process else None
            )

    def log(self, step: int, values: Mapping[str, float]) -> None:
        """Record the numbers of optimizer step `step`, counted from 1.

        One that is not finite is `null` in the file: JSON has no word for it.

        Raises:
            StorageError: no room.
        """
        with storage_errors(self._metrics):
            finite = {key: value for key, value in values.items() if math.isfinite(value)}
            self._accelerator.log(finite, step=step)
            if self._file is not None:
                line = {"step": step, **{key: finite.get(key) for key in values}}
                self._file.write(json.dumps(line) + "\n")
                self._file.flush()

    def show(self, step: int, values: Mapping[str, float]) -> None:
        """Show numbers beside those of the steps; their own file is not written here.

        Raises:
            StorageError: no room.
        """
        with storage_errors(self._metrics):
            self._accelerator.log(dict(values), step=step)

    def flush(self) -> None:
        """Have the numbers so far on the disk.

        Raises:
            StorageError: no room.
        """
        with storage_errors(self._metrics):
            if self._file is not None:
                os.fsync(self._file.fileno())

    def __enter__(self) -> Self:
        """Return the tracker."""
        threading.excepthook = self._in_thread
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        """Close the files, and accelerate's process group with them."""
        try:
            with storage_errors(self._metrics):  # what was written late may only now fail
                if self._file is not None:
                    self._file.close()
                self._accelerator.end_training()
        finally:
            threading.excepthook = self._hook

    def _in_thread(self, error: threading.ExceptHookArgs) -> None:
        """Keep TensorBoard's writer from printing what it raises again at the next flush."""
        if not isinstance(error.exc_value, OSError):
            self._hook(error)

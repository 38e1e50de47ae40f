"""Numbers while training: TensorBoard through accelerate, and `metrics.jsonl`."""

import json
import math
import os
import threading
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from accelerate import Accelerator

from bioicons_kit.files import storage_errors


class Tracker:
    """Writes each step's numbers; on the main process only. Use it in a `with` block.

    Args:
        accelerator: made with `log_with="tensorboard"` and the run's folder.
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
        with storage_errors(metrics):
            accelerator.init_trackers(
                "logs",
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

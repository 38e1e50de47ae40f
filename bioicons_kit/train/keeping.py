"""When a run's state is kept, and by whom: the main process writes what all of them are."""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from accelerate.utils import gather_object

from bioicons_kit import console, preset_file
from bioicons_kit.data.job import Job
from bioicons_kit.errors import StorageError
from bioicons_kit.train import checkpoint
from bioicons_kit.train.run_folder import RunFolder
from bioicons_kit.train.state import State

_MINUTES = 15.0  # where a preset says nothing


class Keeper:
    """Keeps a run's state in its folder.

    Args:
        work: its preset says how often, and how many.
        folder: of the run.
        identity: what the run rests on; see `resume.identity`.
        command: how to go on from what is kept, for people.
        step: that the run begins at, which needs no keeping.
    """

    def __init__(
        self, work: Job, folder: RunFolder, identity: Mapping[str, str], command: str, step: int
    ) -> None:
        self.folder = folder
        self._work, self._identity, self._command = work, dict(identity), command
        self._settings = work.preset.checkpoint
        self._resolved = preset_file.dumps(work.preset)
        self._last, self._since = step, time.monotonic()

    def is_due(self, step: int) -> bool:
        """Tell whether the state after `step` is to be kept, as this process sees it."""
        every, minutes = self._settings.every, self._settings.minutes
        if every is None and minutes is None:
            minutes = _MINUTES
        if every is not None and step % every == 0:
            return True
        return minutes is not None and time.monotonic() - self._since >= 60 * minutes

    def keep(self, state: State) -> None:
        """Write the state; every process has to call it, and the main one writes.

        Raises:
            StorageError: no room or no permission; what was kept before stays.
        """
        self._since = time.monotonic()
        if state.step == self._last:
            return
        rng = gather_object([state.rng])
        if self._work.accelerator.is_main_process:
            root = self.folder.checkpoints
            plain = {**state.plain(), "identity": self._identity}
            checkpoint.write(root, self._resolved, plain, state.tensors(), rng)
            spared = [] if state.best is None else [state.best.step]
            checkpoint.prune(root, self._settings.keep, spared)
        self._last = state.step

    def keep_the_end(self, state: State) -> None:
        """Write the last state, so that a run can be extended; not worth losing its LoRA for."""
        try:
            self.keep(state)
        except StorageError as error:
            console.warn(f"{error}; without its last state the run cannot be extended")

    @contextmanager
    def rescuing(self, state: State) -> Iterator[None]:
        """Where the GPU runs out of memory in a `with` block, keep the state before it.

        With several processes this one cannot: the others wait for its gradients, and do not
        come to write. The last checkpoint stays.

        Raises:
            torch.OutOfMemoryError: what was raised.
        """
        try:
            yield
        except torch.OutOfMemoryError:
            if state.is_whole and state.step and self._work.accelerator.num_processes == 1:
                state.optimizer.zero_grad()
                self.keep(state)
                self.tell()
            raise

    def tell(self) -> None:
        """Say where the last state is, and how to go on."""
        if self._last:
            where = checkpoint.folder(self.folder.checkpoints, self._last)
            console.say("kept", f"step {self._last} in {console.shown(where)}")
            console.say("resume", self._command)

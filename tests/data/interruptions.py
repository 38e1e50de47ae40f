"""Fill caches undisturbed, killed again and again, and two at once; print what they hold.

    python interruptions.py PRESET MODELS FOLDER KILLS SEED

A script of its own, so that it can fork before torch starts any thread, and import torch
once for all the runs. Prints JSON: for each cache its files with their hashes, how many
runs were killed while they worked, and what is damaged.
"""

import json
import os
import random
import signal
import sys
import time
from pathlib import Path

from accelerate import Accelerator
from diffusers import AutoencoderKL  # noqa: F401  # imported once, before forking
from transformers import CLIPTextModel, CLIPTokenizer, T5EncoderModel  # noqa: F401

from bioicons_kit import preset_file
from bioicons_kit.data import encode, job, selection, upkeep
from bioicons_kit.data.cache import Cache
from bioicons_kit.files import sha256_file


def fill(preset_path: str, root: Path) -> None:
    """Fill the cache at `root`, as tools/cache_latents.py does."""
    preset = preset_file.load(Path(preset_path), [f"cache.root={root}"])
    rows, work = selection.rows(preset, lambda: job.start(preset, Accelerator(cpu=True)))
    encode.dataset(rows, work)


def started(preset_path: str, root: Path) -> int:
    """Fill a cache in a child process of a process group of its own; return its id."""
    child = os.fork()
    if child:
        return child
    status = 1
    try:
        quiet = os.open(os.devnull, os.O_WRONLY)
        os.dup2(quiet, 1)
        os.dup2(quiet, 2)
        fill(preset_path, root)
        status = 0
    finally:
        os._exit(status)


def finished(child: int) -> int:
    """Wait for a child; return its exit status, negative if a signal ended it."""
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def wait(child: int, root: Path, most: int) -> None:
    """Wait until a cache has `most` entries, or the child has ended (but do not reap it)."""
    while sum(1 for _ in root.glob("*/*/*.safetensors")) < most:
        if os.waitid(os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None:
            return
        time.sleep(0.005)


def fresh(folder: Path, models: str) -> Path:
    """Return a new cache root with the models linked into it."""
    folder.mkdir()
    (folder / "models").symlink_to(models, target_is_directory=True)
    return folder


def contents(root: Path) -> dict[str, str]:
    """Return the entries of a cache and the hash of each one's file."""
    found = sorted(root.glob("*/*/*.safetensors"))
    return {str(path.relative_to(root)): sha256_file(path) for path in found}


def main() -> None:
    """Do all of it."""
    preset, models, place, kills, seed = sys.argv[1:]
    folder, moments = Path(place), random.Random(int(seed))
    alone = fresh(folder / "alone", models)
    assert finished(started(preset, alone)) == 0

    both = fresh(folder / "both", models)
    children = [started(preset, both) for _ in range(2)]
    assert [finished(child) for child in children] == [0, 0]

    killed = fresh(folder / "killed", models)
    count = partial = rounds = 0
    while count < int(kills):
        child = started(preset, killed)
        wait(child, killed, len(contents(killed)) + moments.randrange(12))
        time.sleep(moments.uniform(0, 0.1))
        os.kill(child, signal.SIGKILL)
        if finished(child) == -signal.SIGKILL:
            count += 1
            partial += 0 < len(contents(killed)) < len(contents(alone))
        else:  # it was done before: start over
            rounds += 1
            killed = fresh(folder / f"killed{rounds}", models)
    assert finished(started(preset, killed)) == 0
    _, damaged = upkeep.damaged(Cache(killed))
    print(
        json.dumps(
            {
                "alone": contents(alone),
                "both": contents(both),
                "killed": contents(killed),
                "kills": count,
                "partial": partial,
                "damaged": damaged,
            }
        )
    )


if __name__ == "__main__":
    main()

"""Encode pictures into the cache as the kit does, and in a plain loop, side by side.

    python benchmarks/encoding.py [--root LIBRARY] [--limit N] [--size 512] [--runs 5]

Both sides use the starter's VAE, the same renderer, batches and cache, one thread of torch
each. The plain loop draws, encodes and writes one batch after the other in one process. The
kit draws in other processes and writes in a thread meanwhile; the start of its processes
counts. Runs of the two alternate; printed are medians, the ratio, and what of the plain
loop's time is drawing, encoding and writing: the ratio can be no more than the whole by the
largest of the three (on as many cores as there are of them).
"""

import argparse
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch
from accelerate import Accelerator
from PIL.Image import Image

from bioicons_kit import preset_file
from bioicons_kit.data import encode, fill, job, plan, selection
from bioicons_kit.data.encode import batch_pictures
from bioicons_kit.data.job import Job
from bioicons_kit.data.plan import Plan
from bioicons_kit.families.base import batched
from bioicons_kit.icons import picture
from bioicons_kit.icons.workers import Task

PRESET = """
[model]
path = "starter"
[dataset]
root = "{root}"
resolution = {size}
trigger = "bioicon style"
[dataset.licenses]
allow = ["CC-BY-SA-3.0", "CC-BY-SA-4.0"]
[[dataset.buckets]]
limit = {limit}
repeats = {versions}
[dataset.buckets.augment]
rotation = 10.0
"""


def prepared(options: argparse.Namespace, folder: Path) -> tuple[Job, Plan]:
    """Return a job with an empty cache, and what it is to encode."""
    text = PRESET.format(**vars(options))
    path = folder / "preset.toml"
    path.write_text(text)
    preset = preset_file.load(path, [f"cache.root={folder / 'cache'}"])
    rows, work = selection.rows(preset, lambda: job.start(preset, Accelerator(cpu=True)))
    return work, plan.dataset(rows, work)


def overlapped(work: Job, wanted: Plan) -> dict[str, float]:
    """Encode as the kit does."""
    start = time.perf_counter()
    failed = encode.pictures(wanted, work)
    assert not failed, failed
    return {"whole": time.perf_counter() - start}


def plain(work: Job, wanted: Plan) -> dict[str, float]:
    """Encode in a plain loop; return the seconds of its parts as well."""
    spent = dict.fromkeys(("drawing", "encoding", "writing"), 0.0)

    def timed(part: str, act: Callable[[], object]) -> object:
        begun = time.perf_counter()
        done = act()
        spent[part] += time.perf_counter() - begun
        return done

    start = time.perf_counter()
    with work.family.image_encoder().loaded(work.device) as function:
        encoding = fill.Encoding(function)
        entries = list(wanted.pictures)
        task = wanted.pictures[entries[0]].input
        assert isinstance(task, Task)
        size = batch_pictures(made(task), work.device)
        for some in batched(entries, size):
            tasks = [wanted.pictures[each].input for each in some]
            images = timed("drawing", lambda tasks=tasks: [made(each) for each in tasks])
            contents = timed("encoding", lambda images=images: encoding.all(images, size))
            for each, content in zip(some, contents, strict=True):
                source = wanted.pictures[each]
                timed(
                    "writing",
                    lambda each=each, content=content, source=source: fill.write(
                        work.cache, each, content, source
                    ),
                )
    return {"whole": time.perf_counter() - start, **spent}


def made(task: Task) -> Image:
    """Draw one picture in this process."""
    return picture.make(task.path.read_bytes(), task.kind, task.recipe).image


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--root", default="shipped")
    parser.add_argument("--limit", type=int, default=54)
    parser.add_argument("--versions", type=int, default=3)
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--runs", type=int, default=5)
    options = parser.parse_args()
    torch.set_num_threads(1)
    found: dict[str, list[dict[str, float]]] = {"plain loop": [], "kit": []}
    ways = {"plain loop": plain, "kit": overlapped}
    for _ in range(options.runs):
        for name, way in ways.items():
            with tempfile.TemporaryDirectory() as folder:
                work, wanted = prepared(options, Path(folder))
                found[name].append(way(work, wanted))
    count = len(wanted.pictures)
    print(f"{count} pictures of {options.size} px; {platform.machine()}, {os.cpu_count()} cores")
    print("| way | seconds, median (min-max) | pictures/s |\n|---|---|---|")
    medians = {}
    for name, runs in found.items():
        seconds = [run["whole"] for run in runs]
        medians[name] = statistics.median(seconds)
        spread = f"{min(seconds):.1f}-{max(seconds):.1f}"
        print(f"| {name} | {medians[name]:.1f} ({spread}) | {count / medians[name]:.1f} |")
    print(f"ratio {medians['plain loop'] / medians['kit']:.2f}")
    for part in ("drawing", "encoding", "writing"):
        seconds = statistics.median(run[part] for run in found["plain loop"])
        print(f"{part}: {seconds:.1f} s of the plain loop's median")


if __name__ == "__main__":
    main()

"""Measure how many icons a second the drawing processes make, with one of them and with more.

    python benchmarks/rendering.py ROOT [--icons 100] [--size 1024] [--rounds 5] [--workers 2]

A seeded sample of the SVGs below ROOT is drawn by `icons.workers.Painters`, alternately with
one worker and with several, so that whatever else the machine does falls on both. Each
round starts its workers anew; their start is timed by itself. Prints medians over the
rounds, the best of each, and the median ratio of neighbors.
"""

import argparse
import os
import platform
import random
import statistics
import time
from pathlib import Path

from bioicons_kit.icons.picture import Recipe
from bioicons_kit.icons.workers import Painters, Task


def once(tasks: list[Task], workers: int) -> tuple[float, float]:
    """Draw all tasks; return the seconds until all workers were up, and icons a second."""
    started = time.monotonic()
    with Painters(workers) as painters:
        for _ in painters.paint(tasks[:1] * workers):
            pass
        up = time.monotonic()
        drawn = sum(outcome.picture is not None for outcome in painters.paint(tasks))
        return up - started, drawn / (time.monotonic() - up)


def main() -> None:
    """Print one row for one worker and one for several."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("root", type=Path)
    parser.add_argument("--icons", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--size", type=int, default=1024)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()
    paths = sorted(options.root.rglob("*.svg"))
    sample = random.Random(options.seed).sample(paths, min(options.icons, len(paths)))
    recipe = Recipe(options.size, options.size, 0.05, "auto")
    tasks = [Task(path, "svg", recipe) for path in sample]
    counts = (1, options.workers)
    rounds = [{count: once(tasks, count) for count in counts} for _ in range(options.rounds)]
    print(f"Python {platform.python_version()}, {platform.machine()}, {os.cpu_count()} cores")
    print(f"load {os.getloadavg()[0]:.1f}; {len(tasks)} icons at {options.size} px")
    print("| workers | icons/s, median (best) | start, median s |\n|---|---|---|")
    for count in counts:
        starts, speeds = zip(*(each[count] for each in rounds), strict=True)
        print(
            f"| {count} | {statistics.median(speeds):.1f} ({max(speeds):.1f}) "
            f"| {statistics.median(starts):.2f} |"
        )
    ratios = [each[options.workers][1] / each[1][1] for each in rounds]
    print(f"ratio, median (range): {statistics.median(ratios):.2f} ", end="")
    print(f"({min(ratios):.2f}-{max(ratios):.2f})")


if __name__ == "__main__":
    main()

"""Time the quick start as a user runs it: with an empty cache, and with a full one.

    python benchmarks/quickstart.py [--runs 3]

Each run is a process of its own in a folder of its own, one thread, as `accelerate launch`
starts it on a CPU. Prints the median seconds from start to exit and the largest resident
memory of any run, from the operating system's own account of the finished processes.
"""

import argparse
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

PRESET = Path(__file__).parent.parent / "presets" / "quickstart.toml"


def once(folder: Path) -> tuple[float, float]:
    """Run the quick start in `folder`; return its seconds and peak resident memory in MB."""
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    started = time.monotonic()
    process = subprocess.Popen(
        [sys.executable, "-m", "bioicons_kit.train", str(PRESET)],
        cwd=folder,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.monotonic() - started
    if status != 0:
        raise SystemExit(f"the quick start failed with status {os.waitstatus_to_exitcode(status)}")
    return seconds, usage.ru_maxrss / 1024  # kB on Linux


def main() -> None:
    """Print one row for the empty cache and one for the full one."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=3)
    runs = parser.parse_args().runs
    empty, full = [], []
    for _ in range(runs):
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            empty.append(once(folder))
            full.append(once(folder))
    print(f"Python {platform.python_version()}, {platform.machine()}, {os.cpu_count()} cores")
    print("| cache | seconds, median (min-max) | peak resident MB |\n|---|---|---|")
    for label, results in (("empty", empty), ("full", full)):
        seconds = [result[0] for result in results]
        memory = max(result[1] for result in results)
        spread = f"{min(seconds):.0f}-{max(seconds):.0f}"
        print(f"| {label} | {statistics.median(seconds):.0f} ({spread}) | {memory:.0f} |")


if __name__ == "__main__":
    main()

"""How long a full cache takes to start with: scanning, key lookup and planning an epoch.

    python benchmarks/cache_scan.py [--entries 100000] [--folder FOLDER]

Writes that many synthetic entries (a 16 x 8 x 8 bfloat16 tensor each), once as the kit does,
one file an entry, and once packed into shards of 1,000 with their index in the safetensors
header, which is what the kit does not do. Each way is then measured in a process of its
own: listing what is there, computing the keys of as many rows and looking them up, and
laying out the first epochs of training on them. Planning does not depend on the way.
"""

import argparse
import json
import os
import platform
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch
from safetensors import safe_open

from bioicons_kit import tensors
from bioicons_kit.data import batches, cache
from bioicons_kit.data.batches import Content, Item, View
from bioicons_kit.data.bucketing import table
from bioicons_kit.data.cache import Cache, Entry, Shape, entry
from bioicons_kit.data.ledger import Ledger
from bioicons_kit.memory import peak
from bioicons_kit.preset import Train

SHARED = {f"part{number}": "x" * 20 for number in range(24)}  # a real key has some 24 parts
LAYOUT = (Shape("mean", torch.bfloat16, (16, 8, 8)),)
PER_SHARD = 1000
EPOCHS = 3
READ = 1000


def key(number: int) -> Entry:
    """Return the entry of synthetic row `number`."""
    return entry("latents", {**SHARED, "picture": f"{number:064x}"}, LAYOUT)


def write(root: Path, count: int) -> None:
    """Write the entries both ways, without flushing each to the disk."""
    content = {"mean": torch.zeros(16, 8, 8, dtype=torch.bfloat16)}
    digest = cache._checksum(content, "{}")
    files, shards = Cache(root / "files"), root / "shards"
    shards.mkdir(parents=True)
    known, packed = [], {}
    for number in range(count):
        made = key(number)
        metadata = {"about": "{}", "format": cache.FORMAT, "key": made.key, "sha256": digest}
        path = files.path(made)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(tensors.pack(content, metadata))
        stamp = files.stamp(made)
        known.append(f"{made.key} {stamp.size} {stamp.modified}\n")
        packed[made.key] = content["mean"].clone()
        if len(packed) == PER_SHARD or number == count - 1:
            path = shards / f"{number // PER_SHARD:06d}.safetensors"
            path.write_bytes(tensors.pack(packed, {}))
            packed = {}
    (root / "files/latents/known.txt").write_text("".join(known))


def scan_files(root: Path) -> Callable[[Entry], bool]:
    """List the cache as the kit does; return what tells whether an entry is there and whole."""
    ledger = Ledger(Cache(root / "files"), "latents")
    return lambda wanted: bool(ledger.sound([wanted]))


def scan_shards(root: Path) -> Callable[[Entry], bool]:
    """Read the index of every shard."""
    where: dict[str, str] = {}
    for path in sorted((root / "shards").iterdir()):
        with path.open("rb") as file:
            header = json.loads(file.read(int.from_bytes(file.read(8), "little")))
        where.update(dict.fromkeys(header, path.name))
    return lambda wanted: wanted.key in where


def read_files(root: Path, wanted: list[Entry]) -> None:
    """Read entries as the kit does, checksum and all."""
    opened = Cache(root / "files")
    for each in wanted:
        opened.get(each)


def read_shards(root: Path, wanted: list[Entry]) -> None:
    """Read entries out of shards, each opened anew (a step reads few of any one)."""
    where = {}
    for path in sorted((root / "shards").iterdir()):
        with safe_open(path, framework="pt") as file:
            where.update(dict.fromkeys(file.keys(), path))
    for each in wanted:
        with safe_open(where[each.key], framework="pt") as file:
            file.get_tensor(each.key).clone()


WAYS = {"files": (scan_files, read_files), "shards": (scan_shards, read_shards)}


def measure(root: Path, way: str, count: int) -> dict[str, float]:
    """Return the seconds of each phase and the peak memory in MB."""
    scan, read = WAYS[way]
    before = peak.resident() or 0
    times = {}
    start = time.perf_counter()

    def lap(name: str) -> None:
        nonlocal start
        times[name] = time.perf_counter() - start
        start = time.perf_counter()

    has = scan(root)
    lap("scan")
    entries = [key(number) for number in range(count)]
    lap("keys")
    assert all(has(each) for each in entries)
    assert not has(key(count))
    lap("lookup")
    sizes = table(512)
    views = [((View(sizes[n % len(sizes)], (made,)),),) for n, made in enumerate(entries)]
    content = Content(
        tuple(Item(each, ((entries[0],),), 1 + n % 3) for n, each in enumerate(views))
    )
    lap("items")
    order = batches.order(content, Train(batch_size=4))
    number = 0
    for epoch in range(EPOCHS):
        order.batch(number)  # lays the epoch out
        number += order.epoch_batches(epoch)
    lap(f"{EPOCHS} epochs")
    times["total"] = sum(times.values())
    times["peak MB"] = (peak.resident() or 0) / 1e6
    times["imports MB"] = before / 1e6
    start = time.perf_counter()
    read(root, random.Random(0).sample(entries, min(READ, count)))
    lap(f"{READ} reads")
    return times


def on_disk(folder: Path) -> float:
    """Return the megabytes that a folder's files occupy, blocks counted."""
    files = (file for file in folder.rglob("*") if file.is_file())
    return sum(file.stat().st_blocks * 512 for file in files) / 1e6


def main() -> None:
    """Print one row for each way."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--entries", type=int, default=100_000)
    parser.add_argument("--folder", type=Path, help="where to write them (default: temporary)")
    parser.add_argument("--measure", choices=WAYS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        print(json.dumps(measure(options.folder, options.measure, options.entries)))
        return
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        root = Path(name)
        write(root, options.entries)
        print(f"{options.entries:,} entries; Python {platform.python_version()}, ", end="")
        print(f"{platform.machine()}, {os.cpu_count()} cores; seconds unless said otherwise")
        for way in (*WAYS, *WAYS):  # twice: the first finds nothing in the page cache's favor
            script = [sys.executable, __file__, "--measure", way, "--folder", str(root)]
            done = subprocess.run(
                [*script, "--entries", str(options.entries)],
                stdout=subprocess.PIPE,
                check=True,
            )
            found = json.loads(done.stdout)
            row = ", ".join(f"{name} {value:.2f}" for name, value in found.items())
            print(f"{way}: {row}, on disk MB {on_disk(root / way):.0f}")


if __name__ == "__main__":
    main()

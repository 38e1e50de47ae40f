"""Compare tools/simplify_svg.py with scour, svgo and picosvg on a folder of icons.

    python benchmarks/simplify.py .../bioicons/static/icons --every 10
    pip install scour picosvg                       # for their rows, wherever this runs
    npm install --prefix ~/svgo svgo@4              # for svgo's, with
                                                    # --svgo ~/svgo/node_modules/.bin/svgo

Prints one row a tool: files it accepted (well-formed output that can be drawn where the input
can), bytes against the input stripped of metadata (parsed, without comments, document type,
metadata, and elements and attributes of other vocabularies, and written again), nodes (moves and
ends of path segments, points of polygons and polylines), files larger or with more nodes than
before, broken files (somewhere 3 x 3 pixels of 1024 x 1024 all differ by more than 64 of 255, by
cairosvg), the lowest and the median structural similarity by cairosvg and resvg, and processor
seconds a file, drawing for the check apart. Ratios are of totals over the files a tool accepted.
"""

import argparse
import importlib.util
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from lxml import etree

from bioicons_kit import console
from bioicons_kit.errors import KitError
from bioicons_kit.icons.clean import cleaner
from bioicons_kit.icons.clean.pictures import Pictures
from bioicons_kit.svg import likeness, optimize, tree
from bioicons_kit.svg.cleaning import cleanup

Tool = Callable[[bytes], bytes]
LIMIT = 30  # seconds a file; picosvg reaches it often


@dataclass
class Row:
    """What a tool did to the files so far."""

    accepted: int = 0
    before: list[int] = field(default_factory=lambda: [0, 0])  # bytes, nodes
    after: list[int] = field(default_factory=lambda: [0, 0])
    worse: int = 0
    broken: int = 0
    similarity: list[float] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)


def stripped(data: bytes) -> bytes:
    """Return a document without metadata."""
    root = tree.parse(data)
    cleanup.strip(root)
    return etree.tostring(root, encoding="unicode").encode()


def ours(tolerance: float, checked: bool) -> Tool:
    """Return this kit's simplifier, with or without its own check of the pictures."""
    if checked:
        return lambda data: cleaner.simplified(data, tolerance).result.svg
    return lambda data: optimize.simplify_document(data, tolerance).svg


def through(command: list[str]) -> Tool:
    """Return a program that reads one file and writes another."""

    def run(data: bytes) -> bytes:
        with tempfile.TemporaryDirectory() as name:
            source, target = Path(name, "in.svg"), Path(name, "out.svg")
            source.write_bytes(data)
            words = [word.format(source=source, target=target) for word in command]
            done = subprocess.run(words, capture_output=True, timeout=LIMIT, check=True)
            return target.read_bytes() if target.exists() else done.stdout

    return run


def tools(svgo: str | None) -> dict[str, Tool]:
    """Return the tools that are here, by the name of their row."""
    found = {
        "simplify_svg": ours(0.00025, True),
        "the same, unchecked": ours(0.00025, False),
        "simplify_svg --tolerance 0.0005": ours(0.0005, True),
    }
    if importlib.util.find_spec("scour"):
        options = "--enable-viewboxing --enable-id-stripping --enable-comment-stripping"
        options += " --shorten-ids --indent=none --remove-metadata --strip-xml-prolog"
        words = [sys.executable, "-m", "scour.scour", "-i", "{source}", "-o", "{target}"]
        found["scour, all options"] = through([*words, *options.split()])
    if svgo:
        words = [svgo, "--multipass", "-i", "{source}", "-o", "{target}"]
        found["svgo --multipass"] = through(words)
        found["svgo --multipass -p 1"] = through([*words, "-p", "1"])
    if importlib.util.find_spec("picosvg"):
        found["picosvg"] = through([sys.executable, "-m", "picosvg.picosvg", "{source}"])
    return found


def used() -> float:
    """Return the processor seconds of this process and of those it waited for."""
    waited_for = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + waited_for.ru_utime + waited_for.ru_stime


def measure(data: bytes, before: Pictures, tool: Tool, row: Row) -> None:
    """Add what a tool does to one file, drawn before, to its row."""
    started = used()
    try:
        result = tool(data)
        root = tree.parse(result)
    except (KitError, OSError, subprocess.SubprocessError):
        return
    seconds = used() - started
    after = Pictures(result)
    pictures = {name: (before.by(name), after.by(name)) for name in ("cairosvg", "resvg")}
    if any(one is not None and other is None for one, other in pictures.values()):
        return
    row.accepted += 1
    row.seconds.append(seconds)
    was = (len(stripped(data)), optimize.count_nodes(tree.parse(data)))
    now = (len(result), optimize.count_nodes(root))
    for index in range(2):
        row.before[index] += was[index]
        row.after[index] += now[index]
    row.worse += len(result) > len(data) or now[1] > was[1]
    for name, (one, other) in pictures.items():
        if one is not None and other is not None:
            row.similarity.append(likeness.ssim(one, other))
            row.broken += name == "cairosvg" and likeness.broken(one, other)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--every", type=int, default=1, help="take each nth file")
    parser.add_argument("--svgo", help="the program, where it is installed")
    parser.add_argument("--only", help="measure only tools whose names contain this")
    parser.add_argument("--skip", help="leave out tools whose names contain this")
    options = parser.parse_args()
    files = sorted(options.folder.rglob("*.svg"))[:: options.every]
    rows = {
        name: (tool, Row())
        for name, tool in tools(options.svgo).items()
        if (options.only or "") in name and not (options.skip and options.skip in name)
    }
    with console.bar("files", len(files), "file") as bar:
        for path in files:
            data = path.read_bytes()
            before = Pictures(data)
            for tool, row in rows.values():
                measure(data, before, tool, row)
            bar.update()
    print(f"{len(files)} files")
    print(
        "| tool | accepted | bytes | nodes | larger or more nodes | broken | similarity, "
        "lowest / median | s median / p95 |\n|---|---|---|---|---|---|---|---|"
    )
    for name, (_, row) in rows.items():
        print(told(name, row))


def told(name: str, row: Row) -> str:
    """Return a row of the table."""
    if row.accepted < 2:
        return f"| {name} | {row.accepted} | | | | | | |"
    bytes_, nodes = (new / old for new, old in zip(row.after, row.before, strict=True))
    slowest = statistics.quantiles(row.seconds, n=20)[-1]
    return (
        f"| {name} | {row.accepted} | {bytes_:.3f} | {nodes:.3f} | {row.worse} | {row.broken} "
        f"| {min(row.similarity):.4f} / {statistics.median(row.similarity):.5f} "
        f"| {statistics.median(row.seconds):.2f} / {slowest:.2f} |"
    )


if __name__ == "__main__":
    main()

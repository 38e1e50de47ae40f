"""Simplify SVG files: fewer nodes and bytes, outlines within a proven distance, same picture.

python tools/simplify_svg.py drawing.svg --out small.svg
python tools/simplify_svg.py icons/ --out simplified/ --report report.json --preview
"""

import json
import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bioicons_kit import cli, console, files
from bioicons_kit.errors import KitError


def main(arguments: Sequence[str]) -> None:
    """Simplify the files that the command line names."""
    options = _parser().parse_args(arguments)
    if not 0 < options.tolerance <= 0.1:
        raise KitError(f"--tolerance {options.tolerance:g}: must be above 0 and at most 0.1")
    if not 0 < options.seconds < math.inf:
        raise KitError(f"--seconds {options.seconds:g}: must be above 0")

    from bioicons_kit.icons.clean import (  # late: a mistyped option is told at once
        batch as clean_batch,
    )
    from bioicons_kit.icons.clean.cleaner import MEMORY, Task, clean
    from bioicons_kit.icons.processes.pool import Pool
    from bioicons_kit.svg.credit import Credit

    found = clean_batch.targets(options.inputs, options.out)
    if options.report is not None and options.report.is_dir():
        raise KitError(f"--report {options.report}: is a folder; name a file")
    if options.resume:
        found = {source: target for source, target in found.items() if not target.exists()}
    url = clean_batch.license_url(options.license)
    given = Credit(url, options.author, options.source, options.title)
    tasks = [
        Task(
            source,
            target,
            options.tolerance,
            options.keep_structure,
            clean_batch.credited(source, given, options.credit),
            options.preview,
        )
        for source, target in found.items()
    ]
    report: dict[str, Any] = {"tolerance": options.tolerance, "files": [], "failed": []}
    try:
        with (
            console.bar("simplify", len(tasks), "file") as bar,
            Pool[Task](clean, options.workers, options.seconds, MEMORY) as pool,
        ):
            for done in pool.run(tasks, in_order=False):
                if done.answer is None:
                    console.warn(f"{console.shown(done.task.source)}: {done.problem}")
                    failure = {"file": str(done.task.source), "problem": done.problem}
                    report["failed"].append(failure)
                else:
                    report["files"].append({**done.answer[0], "seconds": round(done.seconds, 3)})
                bar.update()
    finally:  # what was done before Ctrl-C is told, too
        report["files"].sort(key=lambda entry: entry["file"])
        if options.report is not None:
            text = json.dumps(report, indent=1, ensure_ascii=False)
            files.write_text(options.report, f"{text}\n")
    console.say("done", clean_batch.summary(report["files"]))
    if report["failed"]:
        raise KitError(f"{len(report['failed'])} of {len(tasks)} files could not be simplified")


def _parser() -> cli.Parser:
    """Return the command line's parser."""
    parser = cli.Parser(prog="simplify_svg.py", description="Simplify SVG files.")
    add = parser.add_argument
    add("inputs", type=Path, nargs="+", metavar="IN", help="SVG files, or folders of them")
    add("--out", type=Path, help="file or folder (default: name.simplified.svg beside each file)")
    add(
        "--tolerance",
        type=float,
        default=0.00025,
        help="how far outlines may move, as a share of the view box's longest side; "
        "default 0.00025, a quarter of a pixel at 1024",
    )
    add("--keep-structure", action="store_true", help="leave ids, groups, titles and layers")
    add("--report", type=Path, help="write what became of each file to this JSON file")
    add("--preview", action="store_true", help="write before, after and difference as a PNG")
    add("--license", default="", help="SPDX id or address, written into files without their own")
    add("--author", default="", help="likewise")
    add("--source", default="", help="likewise: where the drawing comes from")
    add("--title", default="", help="likewise")
    add(
        "--credit",
        action="store_true",
        help="write license, author and title from folders license/category/author/name.svg",
    )
    add("--resume", action="store_true", help="skip files whose result is there already")
    add("--workers", type=cli.positive, default=os.cpu_count() or 1, help="processes")
    add("--seconds", type=float, default=60.0, help="the longest that one file may take")
    return parser


if __name__ == "__main__":
    cli.run(main)

"""What a person sees while the kit works: labelled lines and progress bars.

Only the main process of a launch speaks.
"""

import os
import sys
from pathlib import Path
from typing import Any

from tqdm import tqdm

from bioicons_kit.errors import plain

_LABEL_WIDTH = 11


def is_main_process() -> bool:
    """Tell whether this process is the one that speaks (rank 0, or the only one)."""
    return os.environ.get("RANK", "0") == "0"


def say(label: str, text: str) -> None:
    """Print one line, `label` in the margin, on the main process."""
    if is_main_process():
        tqdm.write(f"{label:<{_LABEL_WIDTH}} {plain(text)}", file=sys.stdout)
        sys.stdout.flush()


def warn(text: str) -> None:
    """Print one warning line to standard error, on the main process."""
    if is_main_process():
        tqdm.write(f"{'warning':<{_LABEL_WIDTH}} {plain(text)}", file=sys.stderr)


def shown(path: Path) -> str:
    """Return `path` as a person would type it here: relative where it is below this folder."""
    here = Path.cwd()
    return str(path.relative_to(here)) if path.is_relative_to(here) else str(path)


def bar(label: str, total: int, unit: str, scale: bool = False, done: int = 0) -> "tqdm[Any]":
    """Return a progress bar with rate and ETA, to be moved by hand.

    Args:
        label: in the margin.
        total: units to come.
        unit: what is counted.
        scale: whether to write 12.3M for large counts, as of bytes.
        done: units that were done before.
    """
    return tqdm(
        desc=f"{label:<{_LABEL_WIDTH}}",
        total=total,
        initial=done,
        unit=unit,
        unit_scale=scale,
        dynamic_ncols=True,
        disable=not is_main_process(),
    )

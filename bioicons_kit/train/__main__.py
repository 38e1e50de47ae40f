"""The command line of training: `accelerate launch -m bioicons_kit.train PRESET`."""

import argparse
import os
import shlex
from collections.abc import Sequence
from pathlib import Path

from bioicons_kit import cli, preset_file

LATEST = Path()  # stands for --resume without a path


def main(arguments: Sequence[str]) -> None:
    """Train what the command line asks for."""
    parser = cli.Parser(
        prog="python -m bioicons_kit.train",
        description="Train a LoRA as a preset describes; run it alone or under accelerate launch.",
    )
    parser.add_preset()
    parser.add_overrides()
    parser.add_argument("--out", type=Path, help="the run's folder (default: runs/NAME)")
    parser.add_argument(
        "--resume",
        type=Path,
        nargs="?",
        const=LATEST,
        metavar="PATH",
        help="go on from the run's newest checkpoint, or from the checkpoint or run at PATH",
    )
    options = parser.parse_args(arguments)
    preset = preset_file.load(options.preset, options.overrides)

    # torch and diffusers take seconds to import: a mistyped key must not cost them
    from bioicons_kit.train import signals
    from bioicons_kit.train.run import Resume, run

    signals.die_cleanly()
    resume = None
    if options.resume is not None:
        resume = Resume(None if options.resume == LATEST else options.resume)
    root = options.out or Path(preset.output.root) / preset.name
    run(preset, root, resume, again(options))


def again(options: argparse.Namespace) -> str:
    """Return the command that goes on with what these options began."""
    launched = "accelerate launch" if int(os.environ.get("WORLD_SIZE", "1")) > 1 else "python"
    words = [str(options.preset), *(f"--set={each}" for each in options.overrides)]
    words += [] if options.out is None else [f"--out={options.out}"]
    return f"{launched} -m bioicons_kit.train {shlex.join(words)} --resume"


if __name__ == "__main__":
    cli.run(main)

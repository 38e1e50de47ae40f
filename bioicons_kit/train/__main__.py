"""The command line of training: `accelerate launch -m bioicons_kit.train PRESET`."""

from collections.abc import Sequence
from pathlib import Path

from bioicons_kit import cli, preset_file


def main(arguments: Sequence[str]) -> None:
    """Train what the command line asks for."""
    parser = cli.Parser(
        prog="python -m bioicons_kit.train",
        description="Train a LoRA as a preset describes; run it alone or under accelerate launch.",
    )
    parser.add_preset()
    parser.add_overrides()
    parser.add_argument("--out", type=Path, help="the run's folder (default: runs/NAME)")
    options = parser.parse_args(arguments)
    preset = preset_file.load(options.preset, options.overrides)

    # torch and diffusers take seconds to import: a mistyped key must not cost them
    from bioicons_kit.train.run import run

    run(preset, options.out or Path(preset.output.root) / preset.name)


if __name__ == "__main__":
    cli.run(main)

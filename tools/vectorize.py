"""Turn pictures into icons: few colors, clean curves, transparent background.

python tools/vectorize.py runs/quickstart/samples/*.lora.png
python tools/vectorize.py fox.png --out icons --colors 6 --license CC0-1.0 --author "Jane Doe"
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

from bioicons_kit import cli, console
from bioicons_kit.errors import DocumentError, KitError
from bioicons_kit.svg.trace.settings import Settings

_MOST_COLORS = 256


def main(arguments: Sequence[str]) -> None:
    """Vectorize the pictures that the command line names."""
    parser = cli.Parser(prog="vectorize.py", description="Turn pictures into SVG icons.")
    parser.add_argument("pictures", type=Path, nargs="+", metavar="PNG", help="pictures")
    parser.add_argument("--out", type=Path, help="folder (default: beside each picture)")
    parser.add_argument("--colors", default="auto", help="most flat colors, or auto (default)")
    parser.add_argument(
        "--background",
        choices=("auto", "keep"),
        default="auto",
        help="auto (default): what is reached from the border in the border's color is left out",
    )
    parser.add_argument("--detail", type=float, default=0.5, help="0 (coarse) to 1; default 0.5")
    parser.add_argument("--title", help="of the icon (default: the picture's prompt, or its name)")
    parser.add_argument("--license", default="", help="SPDX id, such as CC0-1.0; written inside")
    parser.add_argument("--author", default="", help="written inside")
    parser.add_argument("--source", default="", help="where it comes from; written inside")
    options = parser.parse_args(arguments)
    settings = _settings(options)

    from bioicons_kit import vectorize  # late, so that a mistyped option is told at once
    from bioicons_kit.icons import licenses
    from bioicons_kit.svg.credit import Credit

    license_ = licenses.get(licenses.normalize(options.license)).url if options.license else ""
    credit = Credit(license_, options.author, options.source)
    targets = vectorize.targets(options.pictures, options.out)
    failed = 0
    with console.bar("vectorize", len(targets), "picture") as bar:
        for source, target in targets.items():
            try:
                icon = vectorize.from_file(source, settings, credit, options.title)
                vectorize.write(target, icon)
                console.say("icon", f"{console.shown(target)}: {icon.summary}")
            except DocumentError as error:
                failed += 1
                console.warn(f"{source}: {error}")
            bar.update()
    if failed:
        raise DocumentError(f"{failed} of {len(targets)} pictures could not be vectorized")


def _settings(options: argparse.Namespace) -> Settings:
    """Return how to trace, as the command line says.

    Raises:
        KitError: a value that cannot be.
    """
    colors = None
    if options.colors != "auto":
        if not options.colors.isdecimal() or not 1 <= int(options.colors) <= _MOST_COLORS:
            raise KitError(f"--colors {options.colors}: must be auto, or 1 to {_MOST_COLORS}")
        colors = int(options.colors)
    if not 0 <= options.detail <= 1:
        raise KitError(f"--detail {options.detail}: must be from 0 (coarse) to 1 (fine)")
    return Settings(colors, options.background, options.detail)


if __name__ == "__main__":
    cli.run(main)

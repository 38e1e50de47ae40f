"""Draw a sheet of the generator's drawings, all subjects or some, in every style.

python benchmarks/starter/sheet.py sheet.png [--subjects mouse neuron ...] [--side 96]
"""

import argparse
from pathlib import Path

from PIL import Image

from bioicons_kit.drawings import generate
from bioicons_kit.icons import raster

COLUMNS = 3  # of subjects


def main() -> None:
    """Write the sheet."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("sheet", type=Path)
    parser.add_argument("--subjects", nargs="*", default=generate.NAMES, choices=generate.NAMES)
    parser.add_argument("--side", type=int, default=96)
    chosen = parser.parse_args()
    side, styles = chosen.side, generate.STYLE_NAMES
    rows = -(-len(chosen.subjects) // COLUMNS)
    whole = Image.new("RGB", (COLUMNS * len(styles) * side, rows * side), "white")
    for at, name in enumerate(chosen.subjects):
        row, column = divmod(at, COLUMNS)
        for turn, style in enumerate(styles):
            svg = generate.drawing(at, name, style).svg
            drawn = raster.draw(svg.encode(), (side, side), "resvg").image.convert("RGB")
            whole.paste(drawn, ((column * len(styles) + turn) * side, row * side))
    whole.save(chosen.sheet)


if __name__ == "__main__":
    main()

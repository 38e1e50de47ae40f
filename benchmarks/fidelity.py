"""Compare the kit's rasters with headless Chromium's, icon by icon.

    python benchmarks/fidelity.py ROOT [--icons 80] [--seed 0] [--size 512] [--all] [--keep DIR]

Draws a seeded sample of the SVGs below ROOT as the kit does (`icons.picture`, no margin, on
white) and as Chromium shows them, and prints the structural similarity of each pair that is
below .98, and of all together. Wants Chromium installed (Debian: `apt install chromium`) and
installs nothing itself. `--keep` writes the pairs below .98 to a folder, Chromium's first.

The status is 1 where more than 2 icons in 80 are below .98, or any is below .97, or an icon
that Chromium shows is not drawn or blank.
"""

import argparse
import random
import statistics
from collections import Counter
from pathlib import Path

import numpy as np
from chromium import Chromium
from PIL import Image
from ssim import ssim

from bioicons_kit.console import bar
from bioicons_kit.errors import DocumentError
from bioicons_kit.icons import picture
from bioicons_kit.icons.picture import Recipe

GOOD, BEARABLE = 0.98, 0.97
FEWER_ALLOWED = 2 / 80  # share of the icons that may be below GOOD


def main() -> None:
    """Print what differs, and the summary."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("root", type=Path)
    parser.add_argument("--icons", type=int, default=80)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--renderer", default="auto", choices=("auto", "cairosvg", "resvg"))
    parser.add_argument("--all", action="store_true", help="all icons instead of a sample")
    parser.add_argument("--keep", type=Path)
    options = parser.parse_args()
    paths = sorted(options.root.rglob("*.svg"))
    if not options.all:
        paths = sorted(random.Random(options.seed).sample(paths, min(options.icons, len(paths))))
    recipe = Recipe(options.size, options.size, 0.0, options.renderer)
    found: dict[Path, float] = {}
    engines: Counter[str] = Counter()
    with Chromium(options.size) as browser, bar("compared", len(paths), "icon") as progress:
        for path in paths:
            progress.update()
            reference = browser.draw(path)
            try:
                made = picture.make(path.read_bytes(), "svg", recipe)
            except DocumentError as error:
                print(f"{'only Chromium' if reference else 'neither'} draws {path}: {error}")
                found.update({path: 0.0} if reference else {})
                continue
            if reference is None:
                print(f"only the kit draws {path}")
                continue
            found[path] = 0.0 if _is_blank(made.image, reference) else ssim(reference, made.image)
            engines[made.renderer] += 1
            if found[path] < GOOD:
                print(f"{found[path]:.4f} {made.renderer} {path.relative_to(options.root)}")
                _keep(options.keep, path, reference, made.image)
    _summary(found, engines)


def _is_blank(drawn: Image.Image, reference: Image.Image) -> bool:
    """Tell whether a picture is white where Chromium's is not."""
    return bool(np.asarray(drawn).min() >= 250 > 200 > np.asarray(reference).min())


def _keep(folder: Path | None, path: Path, *pictures: Image.Image) -> None:
    """Write pictures side by side."""
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
        both = np.concatenate([np.asarray(picture) for picture in pictures], axis=1)
        Image.fromarray(both).save(folder / f"{path.stem}.png")


def _summary(found: dict[Path, float], engines: Counter[str]) -> None:
    """Print all results in a few numbers, and exit by whether they are good enough."""
    values = sorted(found.values())
    below = {limit: sum(value < limit for value in values) for limit in (GOOD, BEARABLE)}
    print(f"drawn by {', '.join(f'{engine}: {count}' for engine, count in engines.items())}")
    print(
        "| icons | median | 5th percentile | lowest | below .98 | below .97 |",
        "|---|---|---|---|---|---|",
        sep="\n",
    )
    low = [statistics.median(values), values[len(values) // 20], values[0]]
    numbers = " | ".join(f"{value:.4f}" for value in low)
    print(f"| {len(values)} | {numbers} | {below[GOOD]} | {below[BEARABLE]} |")
    raise SystemExit(below[GOOD] > FEWER_ALLOWED * len(values) or below[BEARABLE] > 0)


if __name__ == "__main__":
    main()

"""Vectorize flat icons and hold the result against the picture; beside it, vtracer.

    python benchmarks/vectorize.py FOLDER_OF_SVGS [--icons 30] [--size 1024] [--seed 7]

Icons are drawn at random (seeded) among those that are flat art: no gradients, filters,
pictures, text, patterns, masks or opacity, 1 to 12 colors. Each is rasterized on white and
vectorized, once clean and once degraded as generated pictures are (blur of 1 pixel, a slow
drift of up to 2.5 levels, noise of 1.5 levels, JPEG at quality 88), and the result is
rendered and held against the clean picture. SSIM is that of `ssim.py`. Seconds are the
process's own (CPU) time for one picture on one thread.

vtracer runs with its defaults, if it is installed (`pip install vtracer`; no part of the
kit). Nodes are counted alike for all: every point of every path; shapes count as four.
"""

import argparse
import io
import random
import re
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import cairosvg
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter
from ssim import ssim

from bioicons_kit import vectorize
from bioicons_kit.errors import DocumentError
from bioicons_kit.icons import document
from bioicons_kit.svg import path as path_data
from bioicons_kit.svg import tree
from bioicons_kit.svg.credit import Credit
from bioicons_kit.svg.trace.settings import Settings

_NOT_FLAT = re.compile(rb"Gradient|<image|<filter|<text|<pattern|<mask|opacity", re.IGNORECASE)
_COLOR = re.compile(rb"#[0-9a-fA-F]{6}\b")
_SHAPES = ("circle", "ellipse", "rect")


class Result(NamedTuple):
    """What one method made of one picture."""

    bytes: int
    paths: int
    colors: int
    nodes: int
    ssim: float
    seconds: float


def flat_icons(root: Path, count: int, seed: int, size: int) -> dict[str, Image.Image]:
    """Return `count` pictures of flat icons below `root`, by name."""
    files = sorted(root.rglob("*.svg"))
    random.Random(seed).shuffle(files)
    found: dict[str, Image.Image] = {}
    for file in files:
        data = file.read_bytes()
        if _NOT_FLAT.search(data) or not 1 <= len(set(_COLOR.findall(data))) <= 12:
            continue
        try:
            found[str(file)] = rendered(document.sanitize(data, 0.05).svg, size)
        except DocumentError:
            continue
        if len(found) == count:
            break
    return found


def rendered(svg: bytes, size: int) -> Image.Image:
    """Draw an SVG on white."""
    png = cairosvg.svg2png(
        bytestring=svg, output_width=size, output_height=size, background_color="#ffffff"
    )
    return Image.open(io.BytesIO(png)).convert("RGB")


def degraded(picture: Image.Image, seed: int) -> Image.Image:
    """Return a picture with the flaws of generated ones."""
    random_ = np.random.default_rng(seed)
    soft = np.asarray(picture.filter(ImageFilter.GaussianBlur(1.0)), dtype=np.float64)
    coarse = Image.fromarray(random_.integers(0, 256, (4, 4, 3), dtype=np.uint8))
    drift = np.asarray(coarse.resize(picture.size, Image.Resampling.BICUBIC), dtype=np.float64)
    noisy = soft + (drift / 255 - 0.5) * 5 + random_.normal(0, 1.5, soft.shape)
    data = io.BytesIO()
    Image.fromarray(np.clip(noisy, 0, 255).astype(np.uint8)).save(data, "JPEG", quality=88)
    return Image.open(data).convert("RGB")


def ours(picture: Image.Image) -> bytes:
    """Vectorize with the kit's defaults."""
    return vectorize.from_picture(picture, Settings(), Credit(), "icon", "").svg


def with_vtracer(picture: Image.Image) -> bytes:
    """Vectorize with vtracer's defaults."""
    import vtracer

    data = io.BytesIO()
    picture.save(data, "PNG")
    text: str = vtracer.convert_raw_image_to_svg(data.getvalue(), img_format="png")
    return text.encode()


def measured(
    method: Callable[[Image.Image], bytes], given: Image.Image, clean: Image.Image
) -> Result:
    """Run one method on one picture."""
    started = time.process_time()
    svg = method(given)
    seconds = time.process_time() - started
    root = tree.parse(svg)
    paths = [path_data.parse(element.get("d", "")) for element in root.iter("{*}path")]
    shapes = sum(1 for name in _SHAPES for _ in root.iter(f"{{*}}{name}"))
    fills = {element.get("fill") for element in root.iter() if element.get("fill")}
    nodes = sum(path.nodes for path in paths) + 4 * shapes
    back = rendered(svg, clean.width)
    return Result(len(svg), len(paths), len(fills), nodes, ssim(clean, back), seconds)


def row(name: str, results: list[Result]) -> str:
    """Return one line of the table."""
    middle = [statistics.median(result[field] for result in results) for field in range(6)]
    low: NDArray[np.float64] = np.percentile([result.ssim for result in results], 5)
    return (
        f"| {name} | {middle[0] / 1000:.1f} | {middle[1]:.0f} | {middle[2]:.0f} | "
        f"{middle[3]:.0f} | {middle[4]:.4f} | {low:.4f} | {middle[5]:.2f} |"
    )


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--icons", type=int, default=30)
    parser.add_argument("--size", type=int, default=1024)
    parser.add_argument("--seed", type=int, default=7)
    options = parser.parse_args()
    pictures = flat_icons(options.folder, options.icons, options.seed, options.size)
    methods: dict[str, Callable[[Image.Image], bytes]] = {"this kit": ours}
    try:
        import vtracer  # noqa: F401
    except ImportError:
        print("vtracer is not installed, and left out: pip install vtracer")
    else:
        methods["vtracer, defaults"] = with_vtracer
    print(f"{len(pictures)} flat icons at {options.size} px; medians")
    print("| method | kB | paths | colors | nodes | SSIM | SSIM 5% | seconds |")
    print("|---|---|---|---|---|---|---|---|")
    for kind in ("clean", "degraded"):
        for name, method in methods.items():
            results = [
                measured(method, picture if kind == "clean" else degraded(picture, seed), picture)
                for seed, picture in enumerate(pictures.values())
            ]
            print(row(f"{name}, {kind}", results), flush=True)


if __name__ == "__main__":
    main()

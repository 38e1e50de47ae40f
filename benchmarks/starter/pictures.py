"""Drawings -> pixels, by all processors at once, in files.

Four kinds: "plain", the generator's drawings in their five styles, the only ones that the
denoiser sees; "held", the same with other numbers, for tests; "flat", the same subjects as flat
areas of color, for the judge alone; "abstract", colored shapes of nothing, for the VAE, which is
to carry every color, and as the judge's example of no drawing.
"""

import multiprocessing
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from clock import Log
from PIL import Image
from torch import Tensor

from bioicons_kit.drawings import generate
from bioicons_kit.drawings.pen import Pen, polar
from bioicons_kit.drawings.subjects import SUBJECTS
from bioicons_kit.files import atomic_file
from bioicons_kit.icons import raster

SIZE = 96
CHUNK = 200
KINDS = ("plain", "held", "flat", "abstract")
HELD_FROM = 10**8  # numbers of drawings that nothing is trained on

Chunk = tuple[str, np.ndarray, np.ndarray, np.ndarray]


def draw(kind: str, number: int) -> tuple[np.ndarray, int, int]:
    """Return pixels `[SIZE, SIZE, 3]`, subject and style (-1: none) of one drawing."""
    if kind in {"plain", "held"}:
        drawn = generate.drawing(number + (HELD_FROM if kind == "held" else 0))
        return pixels(drawn.svg), drawn.subject, drawn.style
    rng = random.Random(f"{kind} {number}")
    if kind == "flat":
        name = rng.choice(generate.NAMES)
        marks = generate.marks_of(SUBJECTS[name], rng)
        return pixels(flat(marks, rng)), generate.NAMES.index(name), -1
    return pixels(abstract(rng)), -1, -1


def pixels(svg: str) -> np.ndarray:
    """Return an SVG's pixels on white."""
    drawing = raster.draw(svg.encode(), (SIZE, SIZE), "resvg").image
    return np.asarray(drawing.convert("RGB"))


def color(rng: random.Random) -> str:
    """Return any color."""
    return f"#{rng.randrange(2**24):06x}"


def flat(marks: list[Any], rng: random.Random) -> str:
    """Return marks as areas of flat color without outlines, their lines as thin bands."""
    palette = [color(rng) for _ in range(rng.randint(3, 6))]
    shapes = []
    for mark in marks:
        body = "L".join(f"{x:.1f} {y:.1f}" for x, y in mark.points)
        paint = "#1c2541" if mark.solid else rng.choice(palette)
        if mark.closed:
            shapes.append(f'<path d="M{body}Z" fill="{paint}"/>')
        else:
            width = rng.uniform(1.6, 3) * mark.weight
            shapes.append(f'<path d="M{body}" stroke="{paint}" stroke-width="{width:.1f}"/>')
    return document(shapes, "#ffffff")


def abstract(rng: random.Random) -> str:
    """Return colored blobs, bands and lines of no meaning."""
    pen, shapes = Pen(rng), []
    for _ in range(rng.randint(3, 14)):
        x, y, r = rng.uniform(5, 95), rng.uniform(5, 95), rng.uniform(3, 30)
        flat_points: list[float] = []
        for i in range(rng.randint(3, 8)):
            flat_points.extend(polar(x, y, r * rng.uniform(0.4, 1.2), 360 * i / 7))
        (pen.blob if rng.random() < 0.6 else pen.poly)(*flat_points)
    for mark in pen.marks:
        body = "L".join(f"{x:.1f} {y:.1f}" for x, y in mark.points)
        fill = color(rng) if rng.random() < 0.75 else "none"
        edge = f' stroke="{color(rng)}" stroke-width="{rng.uniform(0.6, 4):.1f}"'
        shapes.append(f'<path d="M{body}Z" fill="{fill}"{edge if rng.random() < 0.6 else ""}/>')
    return document(shapes, "#ffffff" if rng.random() < 0.6 else color(rng))


def document(shapes: list[str], ground: str) -> str:
    """Return the SVG of some shapes."""
    return (
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 100 100" width="100" height="100" '
        f'fill="none" stroke-linecap="round" stroke-linejoin="round"><rect width="100" '
        f'height="100" fill="{ground}"/>{"".join(shapes)}</svg>'
    )


def chunk(task: tuple[str, int]) -> Chunk:
    """Draw `CHUNK` pictures of a kind, from a number on."""
    kind, start = task
    drawn = [draw(kind, number) for number in range(start, start + CHUNK)]
    return (
        kind,
        np.stack([each[0] for each in drawn]),
        np.array([each[1] for each in drawn]),
        np.array([each[2] for each in drawn]),
    )


class Bank:
    """Pictures of one kind, what they show, and their style."""

    def __init__(
        self, pixels: np.ndarray, subjects: np.ndarray, styles: np.ndarray, device: torch.device
    ) -> None:
        self.pixels = torch.from_numpy(pixels).permute(0, 3, 1, 2).contiguous().to(device)
        self.subjects = torch.from_numpy(subjects).to(device)
        self.styles = torch.from_numpy(styles).to(device)
        self.count = len(pixels)

    def pick(self, count: int) -> Tensor:
        """Return indices of `count` pictures, by chance."""
        return torch.randint(self.count, (count,), device=self.pixels.device)

    def floats(self, at: Tensor | slice) -> Tensor:
        """Return pictures in -1..1, float32."""
        return self.pixels[at].float() / 127.5 - 1


def make(folder: Path, counts: dict[str, int], workers: int, log: Log) -> None:
    """Draw so many pictures of each kind into files of `folder`; what is there stays."""
    folder.mkdir(parents=True, exist_ok=True)
    with multiprocessing.Pool(workers) as pool:
        for kind, count in counts.items():
            path = folder / f"{kind}.npz"
            if path.exists():
                continue
            tasks = [(kind, start) for start in range(0, count, CHUNK)]
            parts = pool.map(chunk, tasks, chunksize=1)
            arrays = [np.concatenate([part[at] for part in parts]) for at in (1, 2, 3)]
            with atomic_file(path) as file:
                np.savez(file, pixels=arrays[0], subjects=arrays[1], styles=arrays[2])
            log("drawn", kind=kind, count=len(arrays[0]))


def load(folder: Path, device: torch.device) -> dict[str, Bank]:
    """Return the banks of a folder that `make` filled."""
    banks = {}
    for kind in KINDS:
        with np.load(folder / f"{kind}.npz") as arrays:
            banks[kind] = Bank(arrays["pixels"], arrays["subjects"], arrays["styles"], device)
    return banks


def grid(pictures: Sequence[Image.Image], columns: int = 16) -> Image.Image:
    """Return pictures of one size side by side."""
    width, height = pictures[0].size
    rows = -(-len(pictures) // columns)
    whole = Image.new("RGB", (columns * width, rows * height), "white")
    for at, picture in enumerate(pictures):
        whole.paste(picture, (at % columns * width, at // columns * height))
    return whole

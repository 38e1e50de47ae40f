"""Drawings -> pixels, by all processors at once, while something else is being trained on them.

Four kinds: "plain", the generator's drawings in their five styles, the only ones that the
denoiser sees; "held", the same with other numbers, for tests; "flat", the same subjects as flat
areas of color, for the judge alone; "abstract", colored shapes of nothing, for the VAE, which is
to carry every color, and as the judge's example of no drawing.
"""

import multiprocessing
import random
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor

from bioicons_kit.drawings import generate
from bioicons_kit.drawings.pen import Pen, polar
from bioicons_kit.drawings.subjects import SUBJECTS
from bioicons_kit.icons import raster

SIZE = 96
CHUNK = 200
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
    """Pictures of one kind on the device, growing."""

    def __init__(self, capacity: int, device: torch.device) -> None:
        self.pixels = torch.empty(capacity, 3, SIZE, SIZE, dtype=torch.uint8, device=device)
        self.subjects = torch.empty(capacity, dtype=torch.long, device=device)
        self.styles = torch.empty(capacity, dtype=torch.long, device=device)
        self.count = 0

    def add(self, pictures: np.ndarray, subjects: np.ndarray, styles: np.ndarray) -> None:
        """Put pictures `[n, SIZE, SIZE, 3]` in."""
        end = self.count + len(pictures)
        self.pixels[self.count : end] = (
            torch.from_numpy(pictures).permute(0, 3, 1, 2).to(self.pixels.device)
        )
        self.subjects[self.count : end] = torch.from_numpy(subjects).to(self.pixels.device)
        self.styles[self.count : end] = torch.from_numpy(styles).to(self.pixels.device)
        self.count = end

    def pick(self, count: int) -> Tensor:
        """Return indices of `count` pictures, by chance."""
        return torch.randint(self.count, (count,), device=self.pixels.device)

    def floats(self, at: Tensor | slice) -> Tensor:
        """Return pictures in -1..1, float32."""
        return self.pixels[at].float() / 127.5 - 1


class Studio:
    """Draws in processes; `poll` puts what is finished into the banks."""

    def __init__(self, counts: dict[str, int], workers: int, device: torch.device) -> None:
        self.pool = multiprocessing.get_context("fork").Pool(workers)
        capacity = {kind: -(-count // CHUNK) * CHUNK for kind, count in counts.items()}
        self.results: Any = self.pool.imap_unordered(chunk, _tasks(capacity))
        self.banks: dict[str, Bank] = {}
        self._capacity, self.device = capacity, device
        self.done = False

    def open(self) -> None:
        """Make room on the device; after the processes were made, as CUDA wants it."""
        self.banks = {kind: Bank(count, self.device) for kind, count in self._capacity.items()}

    def poll(self, wait: float = 0.0) -> None:
        """Take what is drawn by now, waiting at most this long for each piece."""
        while not self.done:
            try:
                kind, *arrays = self.results.next(timeout=wait)
            except multiprocessing.TimeoutError:
                return
            except StopIteration:
                self.done = True
                self.pool.terminate()
                return
            self.banks[kind].add(*arrays)

    def wait_for(self, kind: str, count: int, deadline: float) -> None:
        """Wait until there are `count` pictures of a kind, or the time has come."""
        while self.banks[kind].count < count and not self.done and time.monotonic() < deadline:
            self.poll(0.2)

    def close(self) -> None:
        """Stop drawing."""
        self.pool.terminate()
        self.done = True


def _tasks(counts: dict[str, int]) -> Iterator[tuple[str, int]]:
    """Yield pieces of work, the kinds in proportion from the start on."""
    pieces = [
        ((index + 0.5) / (count // CHUNK), kind, index * CHUNK)
        for kind, count in counts.items()
        for index in range(count // CHUNK)
    ]
    for _, kind, start in sorted(pieces):
        yield kind, start

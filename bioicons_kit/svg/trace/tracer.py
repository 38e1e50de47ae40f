"""A picture -> an icon: few colors, one layer each, curves instead of pixels.

The road: noise level -> patches -> palette (`palette`, `paints`) -> what every pixel is made
of (`regions`) -> background removed, layers in painting order (`layers`) -> outlines between
the pixels, corners, curves (`contours`) -> circles, ellipses, rectangles (`recognize`).

Meant for flat art with anti-aliased edges, as icons and pictures in their style are; on a
photograph it gives a poster.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from bioicons_kit.svg.geometry import Arc, Bools, Floats
from bioicons_kit.svg.path import ARC, CLOSE, CUBIC, LINE, Path, Subpath
from bioicons_kit.svg.trace import contours, layers, palette, recognize, regions
from bioicons_kit.svg.trace.contours import Loop
from bioicons_kit.svg.trace.paints import Paint
from bioicons_kit.svg.trace.recognize import Ellipse, Rectangle
from bioicons_kit.svg.trace.settings import Settings

MAX_SIDE = 4096  # pixels; memory is some 60 bytes each
_SCALE = 1024.0  # the side for which the following are meant
_SPECK = 12.0  # pixels; what is smaller is noise at medium detail
_COARSE, _FINE = 0.9, 0.15  # pixels the curves may be off at detail 0 and 1
_NOISY = 0.4  # of 255: from this noise on, edges are smoothed
_CALM = 1.0  # pixels by which they are
_EMPTY = np.empty((0, 4, 2))


@dataclass(frozen=True)
class Layer:
    """What one paint paints: one compound path, and the shapes beside it."""

    paint: Paint
    path: Path
    shapes: tuple[Ellipse | Rectangle, ...]


@dataclass(frozen=True)
class Traced:
    """A traced picture: its size in pixels, and its layers, the lowest first."""

    width: int
    height: int
    layers: tuple[Layer, ...]

    @property
    def nodes(self) -> int:
        """Nodes of all paths; a shape counts as four."""
        return sum(each.path.nodes + 4 * len(each.shapes) for each in self.layers)


def trace(pixels: NDArray[np.uint8], settings: Settings | None = None) -> Traced:
    """Trace a picture `[height, width, 3]`, sRGB.

    Coordinates come with at most `decimals(width, height)` places.
    """
    settings = settings or Settings()
    height, width = pixels.shape[:2]
    scale = max(width, height) / _SCALE
    tolerance = _COARSE * (_FINE / _COARSE) ** settings.detail * max(1.0, scale)
    slack = palette.noise_level(pixels)
    limit = settings.colors
    if limit is not None and settings.background == "auto":
        limit += 1  # the background's, which is left out
    speck = _SPECK * 4 ** (1 - 2 * settings.detail) * scale * scale
    least = round(max(4, speck) * (1 + 2 * slack))
    paints, start = palette.start(pixels, slack, least, limit)
    found = regions.regions(pixels, paints, start, slack, limit)
    found = regions.without_specks(found, start.inside, least)
    behind = np.zeros(found.first.shape, dtype=bool)
    if settings.background == "auto":
        behind = layers.background(found)
    traced = []
    for layer in layers.layers(found, behind):
        cover = layer.cover if slack < _NOISY else ndimage.gaussian_filter(layer.cover, _CALM)
        outlines = contours.outlines(cover, least)
        placed = [outline + np.array(layer.corner) for outline in outlines]
        if placed:
            paint = found.paints[layer.color]
            traced.append(_layer(paint, placed, tolerance, decimals(width, height)))
    return Traced(width, height, tuple(traced))


def decimals(width: int, height: int) -> int:
    """Return the places that coordinates are written with: a tenth of a pixel at 1024."""
    return 1 if max(width, height) >= _SCALE / 2 else 2


def _layer(paint: Paint, outlines: list[Floats], tolerance: float, places: int) -> Layer:
    """Return a layer's path and shapes from its outlines."""
    holes = [outline[0] for outline in outlines if contours.area(outline) < 0]
    shapes: list[Ellipse | Rectangle] = []
    loops: list[Loop | Ellipse] = []
    rest: list[Floats] = []
    for outline in outlines:
        oval = recognize.ellipse(outline, tolerance)
        if oval is None:
            rest.append(outline)
        elif contours.area(outline) < 0 or any(_inside(hole, outline) for hole in holes):
            loops.append(oval if contours.area(outline) > 0 else oval._replace(ry=-oval.ry))
        else:
            shapes.append(oval)
    for outline, loop in zip(rest, contours.fitted(rest, tolerance, places), strict=True):
        box = recognize.rectangle(loop, tolerance)
        alone = contours.area(outline) > 0 and not any(_inside(hole, outline) for hole in holes)
        if box is not None and alone:
            shapes.append(box)
        elif np.ptp(loop.cubics, axis=(0, 1)).min() > 0:  # else it encloses nothing
            loops.append(loop)
    return Layer(paint, _path(loops), tuple(shapes))


def _inside(point: Floats, outline: Floats) -> bool:
    """Tell whether a point lies in a closed polygon (crossings of a ray)."""
    x, y = outline.T
    u, v = np.roll(x, -1), np.roll(y, -1)
    spans = (y > point[1]) != (v > point[1])
    at = x[spans] + (point[1] - y[spans]) * (u[spans] - x[spans]) / (v[spans] - y[spans])
    return bool((at > point[0]).sum() % 2)


def _path(loops: list[Loop | Ellipse]) -> Path:
    """Return one path of all loops; an ellipse among them is two arcs."""
    kinds: list[NDArray[np.int8]] = [np.empty(0, dtype=np.int8)]
    points: list[Floats] = [_EMPTY]
    arcs: dict[int, Arc] = {}
    subpaths, count = [], 0
    for loop in loops:
        if isinstance(loop, Ellipse):
            mine, halves = _two_arcs(loop)
            arcs |= {count + index: half for index, half in enumerate(halves)}
            kinds.append(np.full(2, ARC, dtype=np.int8))
        else:
            mine = loop.cubics
            kinds.append(_kinds(loop.is_line))
        points.append(mine)
        begin = (float(mine[0, 0, 0]), float(mine[0, 0, 1]))
        subpaths.append(Subpath(count, count + len(mine), True, begin))
        count += len(mine)
    return Path(np.concatenate(kinds), np.concatenate(points), arcs, tuple(subpaths))


def _kinds(is_line: Bools) -> NDArray[np.int8]:
    """Return segments' kinds; a last line is drawn by closing."""
    kinds = np.where(is_line, LINE, CUBIC).astype(np.int8)
    if is_line[-1]:
        kinds[-1] = CLOSE
    return kinds


def _two_arcs(oval: Ellipse) -> tuple[Floats, tuple[Arc, Arc]]:
    """Return an ellipse as two halves; a negative `ry` runs the other way round."""
    angle = np.radians(oval.angle)
    half = oval.rx * np.array([np.cos(angle), np.sin(angle)])
    center = np.array([oval.x, oval.y])
    ends = np.array([[center - half, center + half], [center + half, center - half]])
    arc = Arc(oval.rx, abs(oval.ry), oval.angle, False, oval.ry > 0)
    return np.stack([ends[:, 0], ends[:, 0], ends[:, 1], ends[:, 1]], axis=1), (arc, arc)

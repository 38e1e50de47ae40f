"""What a stroke does at joints and ends, which a bound on the center line does not cover.

Between joints a stroke is the center line widened by a disk: curves within a distance have
strokes within it. At a joint the outline depends on directions: a miter's tip is as far out
as 4 half-widths at the usual limit, and jumps to a bevel beyond it. So here tips and the
corners of caps are compared as points, in the shapes of SVG 2, 13.5.5 ("Line join shape");
what reaches out of the disk by less than the budget needs no comparison.
"""

from typing import NamedTuple

import numpy as np

from bioicons_kit.svg.geometry import Bools, Floats, dot

# Turns beyond this are counted as going straight back: no tip, a cap's half.
_BACK = -1 + 1e-9


class Stroke(NamedTuple):
    """Half the width; "miter", "round" or "bevel"; the miter limit; "butt", "round" or "square"."""

    half_width: float
    join: str = "miter"
    limit: float = 4.0
    cap: str = "butt"


def excursions(arrive: Floats, leave: Floats, stroke: Stroke) -> Floats:
    """Return by how much joints reach out of, or stay inside, the disk around their node, [k].

    Args:
        arrive: unit tangents at the ends of the segments before, [k, 2].
        leave: unit tangents at the starts of those after, [k, 2].
        stroke: how the line is drawn.
    """
    reach = np.hypot(*tips(arrive, leave, stroke).T)
    apart: Floats = np.abs(reach - stroke.half_width)
    return apart


def tips(arrive: Floats, leave: Floats, stroke: Stroke) -> Floats:
    """Return the outer points of joints, seen from their nodes, [k, 2].

    A miter's tip; the middle of a bevel; for round joins, the point of the disk between.
    """
    outward = arrive - leave  # points along the bisector, to the outer side
    size = np.hypot(outward[:, 0], outward[:, 1])
    straight = size < 1e-9
    direction = np.where(
        straight[:, None], _left(arrive), outward / np.maximum(size, 1e-9)[:, None]
    )
    cosine = np.clip(dot(arrive, leave), _BACK, 1.0)
    half = np.sqrt((1 + cosine) / 2)  # the cosine of half the turn
    if stroke.join == "round":
        reach = np.ones_like(half)
    elif stroke.join == "bevel":
        reach = half
    else:
        reach = np.where(1 / half <= stroke.limit, 1 / half, half)
    points: Floats = stroke.half_width * reach[:, None] * direction
    return points


def moved(
    old: tuple[Floats, Floats], new: tuple[Floats, Floats], stroke: Stroke, budget: float
) -> Bools:
    """Tell which joints' outlines move by more than a budget, [k].

    Args:
        old: arriving and leaving unit tangents before, [k, 2] each.
        new: the same after.
        stroke: how the line is drawn.
        budget: in the units of the width.
    """
    if stroke.join == "round":
        return np.zeros(len(old[0]), dtype=np.bool_)
    reaches_out = np.maximum(excursions(*old, stroke), excursions(*new, stroke)) > budget
    shift = tips(*new, stroke) - tips(*old, stroke)
    wrong: Bools = reaches_out & (np.hypot(shift[:, 0], shift[:, 1]) > budget)
    return wrong


def turned(old: Floats, new: Floats, stroke: Stroke, budget: float) -> Bools:
    """Tell which caps' corners move by more than a budget, [k], for end tangents [k, 2]."""
    if stroke.cap == "round":
        return np.zeros(len(old), dtype=np.bool_)
    corner = stroke.half_width * (np.sqrt(2) if stroke.cap == "square" else 1.0)
    shift = np.hypot(*(new - old).T)
    wrong: Bools = corner * shift > budget
    return wrong


def _left(direction: Floats) -> Floats:
    """Return directions turned by a right angle."""
    return np.stack([direction[:, 1], -direction[:, 0]], axis=1)

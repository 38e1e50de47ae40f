"""Whether the strokes of simplified paths have their joints and caps where they were.

What `stroke` says of one joint, for all joints of all paths: a joint after is compared with
the one before at the same node. Joints that went with their nodes were smooth, or else the
chain would have ended there.
"""

from collections.abc import Sequence

import numpy as np

from bioicons_kit.svg.curves import fit, stroke
from bioicons_kit.svg.curves.grid import Table
from bioicons_kit.svg.curves.replace import Replaced
from bioicons_kit.svg.curves.stroke import Stroke
from bioicons_kit.svg.geometry import Bools, Floats, Ints

# The unit tangents of segments at their starts and at their ends, [n, 2] each.
Tangents = tuple[Floats, Floats]


def in_steps(line: Stroke, table: Table, owner: int) -> Stroke:
    """Return a stroke in the grid units of its path."""
    return line._replace(half_width=line.half_width * 10.0 ** table.decimals[owner])


def moved(
    table: Table, lines: Sequence[Stroke | None], new: Replaced, tangents: Tangents
) -> set[int]:
    """Return the paths of which a joint or cap moves by more than the tolerance.

    Args:
        table: the originals.
        lines: the stroke of each path, in its own units; None for those without.
        new: the segments that are to replace them.
        tangents: of the originals.
    """
    found = set()
    has_length = np.abs(new.cubics - new.cubics[:, :1]).max((1, 2), initial=0) > 0
    for owner, line in enumerate(lines):
        if line is None:
            continue
        scaled, budget = in_steps(line, table, owner), float(table.tolerances[owner])
        for piece in table.pieces_of(owner):
            low, high = np.searchsorted(new.start, (piece.start, piece.stop))
            mine = low + np.flatnonzero(has_length[low:high])
            pair = (_old(new, mine, tangents), fit.tangents(new.cubics[mine]))
            if len(mine) and _differ(pair, piece.closed, scaled, budget).any():
                found.add(owner)
    return found


def _old(new: Replaced, mine: Ints, tangents: Tangents) -> Tangents:
    """Return the original tangents at the ends of new segments."""
    leave, arrive = tangents
    return leave[new.start[mine]], arrive[new.stop[mine] - 1]


def _differ(pair: tuple[Tangents, Tangents], closed: bool, line: Stroke, budget: float) -> Bools:
    """Tell which joints of a subpath move, and then, if it is open, which of its caps."""
    (old_leave, old_arrive), (leave, arrive) = pair
    before, after = np.arange(len(leave)), np.roll(np.arange(len(leave)), -1)
    if not closed:  # else its last segment meets its first
        before, after = before[:-1], after[:-1]
    joints = stroke.moved(
        (old_arrive[before], old_leave[after]), (arrive[before], leave[after]), line, budget
    )
    if closed:
        return joints
    old_ends = np.stack([old_leave[0], old_arrive[-1]])
    caps = stroke.turned(old_ends, np.stack([leave[0], arrive[-1]]), line, budget)
    return np.concatenate([joints, caps])

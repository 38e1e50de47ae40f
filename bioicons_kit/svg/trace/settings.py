"""How to trace."""

from typing import Literal, NamedTuple


class Settings(NamedTuple):
    """How to trace.

    Attributes:
        colors: most flat colors; None for as many as can be told apart.
        background: "auto" leaves out what a flood fill from the border reaches.
        detail: 0 (coarse, small) to 1 (fine).
    """

    colors: int | None = None
    background: Literal["auto", "keep"] = "auto"
    detail: float = 0.5

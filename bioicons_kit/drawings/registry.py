"""The subjects that can be drawn: a name, other names for it, and a function that draws it."""

from collections.abc import Callable
from dataclasses import dataclass

from bioicons_kit.drawings.pen import Pen

Draw = Callable[[Pen], None]


@dataclass(frozen=True)
class Subject:
    """Something that can be drawn.

    Attributes:
        name: as the shipped icons name it, where they show it.
        also: other names; captions use them now and then.
        draw: puts it on a pen's sheet, a little different each time.
        spin: how far it may be turned, in degrees either way.
    """

    name: str
    also: tuple[str, ...]
    draw: Draw
    spin: float


SUBJECTS: dict[str, Subject] = {}


def subject(name: str, *also: str, spin: float = 10.0) -> Callable[[Draw], Draw]:
    """Return a decorator that enters a drawing function under its subject's names."""

    def enter(draw: Draw) -> Draw:
        assert name not in SUBJECTS, name
        SUBJECTS[name] = Subject(name, also, draw, spin)
        return draw

    return enter

"""Number -> drawing: which subject, which style, its SVG and what can be said of it."""

import random
from dataclasses import dataclass

from bioicons_kit.drawings import pose
from bioicons_kit.drawings.pen import Mark, Pen
from bioicons_kit.drawings.registry import Subject
from bioicons_kit.drawings.styles import STYLES
from bioicons_kit.drawings.subjects import SUBJECTS
from bioicons_kit.icons.words.noun import article

VERSION = 2  # raise it with any change of what is drawn

# How captions name a style; none of the words is one that the shipped icons go by.
PHRASES: dict[str, tuple[str, ...]] = {
    "outline": ("outline drawing", "line drawing", "black outline drawing"),
    "hatched": ("hatched drawing", "hatched illustration", "drawing with hatched lines"),
    "shaded": ("gray shaded drawing", "shaded drawing", "soft gray shaded picture"),
    "child-like": ("child like drawing", "crayon drawing by a child", "drawing by a child"),
    "blueprint": ("blueprint", "blueprint drawing", "white and blue blueprint"),
}

# Made-up words in the place of a style: a model learns to draw on without knowing them.
_SYLLABLES = ("ba", "do", "fi", "gu", "ka", "lo", "mi", "nu", "pe", "ra", "so", "ti", "vu", "ze")

NAMES = tuple(SUBJECTS)
STYLE_NAMES = tuple(STYLES)


@dataclass(frozen=True)
class Drawn:
    """A drawing and what it shows.

    Attributes:
        svg: the document, 100 x 100.
        subject: index into `NAMES`.
        style: index into `STYLE_NAMES`.
    """

    svg: str
    subject: int
    style: int


def drawing(number: int, subject: str | None = None, style: str | None = None) -> Drawn:
    """Return the drawing of that number; the same one each time.

    Args:
        number: any; subject, style, pose and all details follow from it.
        subject: in place of the number's own.
        style: in place of the number's own.
    """
    rng = random.Random(f"drawing {VERSION} {number}")
    chosen, way = rng.choice(NAMES), rng.choice(STYLE_NAMES)
    name, style = subject or chosen, style or way
    return Drawn(
        STYLES[style](marks_of(SUBJECTS[name], rng), rng),
        NAMES.index(name),
        STYLE_NAMES.index(style),
    )


def marks_of(subject: Subject, rng: random.Random) -> list[Mark]:
    """Return a subject's marks, in a pose."""
    pen = Pen(rng)
    subject.draw(pen)
    return pose.posed(pen.marks, subject.spin, rng)


def prompt(subject: int, style: int) -> str:
    """Return the plainest of a drawing's captions."""
    name = NAMES[subject]
    return f"{PHRASES[STYLE_NAMES[style]][0]}, {article(name)} {name}".replace("  ", " ")


def caption(subject: int, style: int, rng: random.Random) -> str:
    """Return one of the captions that a drawing may have, by chance.

    Most name both; some name only the subject, or put an unknown word where the style is said.
    """
    names = SUBJECTS[NAMES[subject]]
    name = names.name if not names.also or rng.random() < 0.75 else rng.choice(names.also)
    what = f"{article(name)} {name}".strip()
    phrase = rng.choice(PHRASES[STYLE_NAMES[style]])
    kind = rng.random()
    if kind < 0.45:
        return f"{phrase}, {what}"
    if kind < 0.72:
        return f"{article(phrase)} {phrase} of {what}"
    if kind < 0.82:
        return f"{what}, {phrase}"
    if kind < 0.9:
        return what
    made_up = "".join(rng.choice(_SYLLABLES) for _ in range(rng.randint(2, 4)))
    return f"{made_up} style, {what}"

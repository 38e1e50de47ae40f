"""The judge: a small network that names the subject and the style of a drawing.

It was trained on the kit's own drawings (`drawings`), in their generic styles and in flat
colors, and on the shipped icons; `benchmarks/starter` holds the script and the log. It knows the
subjects it was trained on and no others: a picture of something else is taken for the one that
looks most alike. A style is one of the generic ones, "icon" (flat areas of color on white), or
"other" (noise, smears, shapes of no subject).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from bioicons_kit import tensors
from bioicons_kit.drawings.generate import NAMES, STYLE_NAMES
from bioicons_kit.drawings.subjects import SUBJECTS

ICON, OTHER = "icon", "other"
STYLES = (*STYLE_NAMES, ICON, OTHER)
WEIGHTS = Path(__file__).parent / "judge.safetensors"

SIDE, LOOK = 48, 96  # pixels of what subject and style are told by, either way
_DIRECTIONS, _CELLS = 8, (8, 4)
_EDGES = _DIRECTIONS * sum(cells**2 for cells in _CELLS)
_HIDDEN = 256
_TEXTURES = (16, 32, 48)
# What a picture is taken for an icon from: below, half of what is are blotches of crayon.
_SURE = 0.7


class Network(nn.Module):
    """RGB pictures in -1..1 -> logits of subjects and of styles.

    A subject is told by its edges: their directions, without a sign, in the cells of two grids
    (histograms of oriented gradients, Dalal & Triggs 2005), so that a white line on blue, a black
    line on white and the rim of an area of color are alike. A style is a matter of texture and
    color: it is told by what three convolutions find anywhere, on average and at most.
    """

    def __init__(self) -> None:
        super().__init__()
        self.subject = nn.Sequential(
            nn.LayerNorm(_EDGES),
            nn.Linear(_EDGES, _HIDDEN),
            nn.SiLU(),
            nn.Linear(_HIDDEN, len(NAMES)),
        )
        first, second, third = _TEXTURES
        self.textures = nn.Sequential(
            nn.Conv2d(3, first, 5, 2, 2),
            nn.SiLU(),
            nn.Conv2d(first, second, 3, 2, 1),
            nn.SiLU(),
            nn.Conv2d(second, third, 3, 2, 1),
            nn.SiLU(),
        )
        self.style = nn.Sequential(nn.LayerNorm(2 * third), nn.Linear(2 * third, len(STYLES)))

    def forward(self, pictures: Tensor) -> tuple[Tensor, Tensor]:
        """Return logits `[batch, subjects]` and `[batch, styles]`.

        Args:
            pictures: `[batch, 3, height, width]` in -1..1, any size.
        """
        small = nn.functional.interpolate(pictures, (SIDE, SIDE), mode="area")
        found = self.textures(nn.functional.interpolate(pictures, (LOOK, LOOK), mode="area"))
        seen = torch.cat([found.mean((2, 3)), found.amax((2, 3))], 1)
        return self.subject(edges(small)), self.style(seen)


def edges(pictures: Tensor) -> Tensor:
    """Return edges by cell and direction, `[batch, _EDGES]` of norm 1.

    The direction is that of the colors' structure tensor, which does not know dark from light.
    """
    across = pictures[..., 1:-1, 2:] - pictures[..., 1:-1, :-2]
    down = pictures[..., 2:, 1:-1] - pictures[..., :-2, 1:-1]
    along = (across.square() - down.square()).sum(1)
    oblique = (2 * across * down).sum(1)
    strength = (along.square() + oblique.square() + 1e-8).pow(0.25)  # as large as a difference
    turn = torch.atan2(oblique, along)
    steps = torch.arange(_DIRECTIONS, device=pictures.device) * (2 * torch.pi / _DIRECTIONS)
    near = (turn[:, None] - steps[:, None, None]).cos().clamp_min(0).square()
    maps = strength[:, None].sqrt() * near
    cells = [nn.functional.adaptive_avg_pool2d(maps, count).flatten(1) for count in _CELLS]
    return nn.functional.normalize(torch.cat(cells, 1).clamp_min(1e-8).sqrt())


@dataclass(frozen=True)
class Verdict:
    """What one picture shows, as the judge sees it."""

    subject: str
    style: str


@dataclass(frozen=True)
class Score:
    """Shares of a set of pictures, 0 to 1.

    Attributes:
        subject: that show the subject asked for; of those whose subject the judge knows.
        style: that are in the style asked for.
        known: how many pictures ask for a subject that the judge knows.
        count: how many pictures there are.
    """

    subject: float | None
    style: float
    known: int
    count: int


@cache
def load() -> Network:
    """Return the judge with its trained weights."""
    network = Network()
    weights, _ = tensors.read(WEIGHTS)
    network.load_state_dict(weights)  # stored in half precision, computed in single
    return network.eval().requires_grad_(False)


@torch.no_grad()
def verdicts(pictures: Sequence[Image.Image]) -> list[Verdict]:
    """Return what each picture shows."""
    if not pictures:
        return []
    network = load()
    found = []
    for picture in pictures:
        pixels = torch.from_numpy(np.array(picture.convert("RGB"), dtype=np.float32))
        subject, style = network(pixels.permute(2, 0, 1)[None] / 127.5 - 1)
        chances = style[0].softmax(0)
        icon = STYLES.index(ICON)
        if chances[icon] < _SURE:
            chances[icon] = 0
        found.append(Verdict(NAMES[int(subject.argmax())], STYLES[int(chances.argmax())]))
    return found


def score(seen: Sequence[Verdict], subjects: Sequence[str | None], style: str = ICON) -> Score:
    """Return how many pictures show their subject, and how many are in a style.

    Args:
        seen: in each picture.
        subjects: what each is to show; None, or a name the judge does not know, is left out.
        style: one of `STYLES`.
    """
    asked = [(verdict, name) for verdict, name in zip(seen, subjects, strict=True) if name in NAMES]
    right = sum(verdict.subject == name for verdict, name in asked)
    styled = sum(verdict.style == style for verdict in seen)
    return Score(
        right / len(asked) if asked else None, styled / max(len(seen), 1), len(asked), len(seen)
    )


def subject_of(prompt: str) -> str | None:
    """Return the subject that a prompt names, the longest name of those in it; None if none."""
    words = f" {' '.join(prompt.replace(',', ' ').split()).lower()} "
    found = [
        (len(called), subject.name)
        for subject in SUBJECTS.values()
        for called in (subject.name, *subject.also)
        if f" {called.lower()} " in words
    ]
    return max(found)[1] if found else None

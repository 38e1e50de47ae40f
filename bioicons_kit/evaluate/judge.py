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

SIDE = 48  # pixels of what the network sees, either way
_DIRECTIONS, _CELLS = 8, (8, 4)
_EDGES = _DIRECTIONS * sum(cells**2 for cells in _CELLS)
_LOOKS = 57  # numbers of `looks`
_HIDDEN = (256, 64)


class Network(nn.Module):
    """RGB pictures in -1..1 -> logits of subjects and of styles.

    A subject is told by its edges: their directions, without a sign, in the cells of two grids
    (histograms of oriented gradients, Dalal & Triggs 2005), so that a white line on blue, a black
    line on white and the rim of an area of color are alike. A style is told by edges and colors.
    """

    def __init__(self) -> None:
        super().__init__()
        wide, narrow = _HIDDEN
        self.subject = nn.Sequential(
            nn.LayerNorm(_EDGES), nn.Linear(_EDGES, wide), nn.SiLU(), nn.Linear(wide, len(NAMES))
        )
        self.style = nn.Sequential(
            nn.LayerNorm(_EDGES + _LOOKS),
            nn.Linear(_EDGES + _LOOKS, narrow),
            nn.SiLU(),
            nn.Linear(narrow, len(STYLES)),
        )

    def forward(self, pictures: Tensor) -> tuple[Tensor, Tensor]:
        """Return logits `[batch, subjects]` and `[batch, styles]`.

        Args:
            pictures: `[batch, 3, height, width]` in -1..1, any size.
        """
        found, seen = self.seen(pictures)
        return self.subject(found), self.style(seen)

    def seen(self, pictures: Tensor) -> tuple[Tensor, Tensor]:
        """Return what a subject and what a style is told by, `[batch, numbers]` each."""
        small = nn.functional.interpolate(pictures, (SIDE, SIDE), mode="area")
        found, strength = edges(small)
        scale = (_EDGES + _LOOKS) ** 0.5 / 4  # looks weigh about as much as edges do
        return found, torch.cat([found, looks(small, strength) / scale], 1)


def edges(pictures: Tensor) -> tuple[Tensor, Tensor]:
    """Return edges by cell and direction `[batch, _EDGES]` of norm 1, and by pixel their strength.

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
    return nn.functional.normalize(torch.cat(cells, 1).clamp_min(1e-8).sqrt()), strength


def looks(pictures: Tensor, strength: Tensor) -> Tensor:
    """Return numbers on color, light and fine structure, `[batch, _LOOKS]`."""
    light = pictures.mean(1)
    color = pictures.amax(1) - pictures.amin(1)
    rough = pictures - nn.functional.avg_pool2d(pictures, 3, 1, 1, count_include_pad=False)
    rim = torch.cat([pictures[..., :2, :].flatten(2), pictures[..., -2:, :].flatten(2)], 2)
    means = [
        pictures.mean((2, 3)),
        pictures.std((2, 3)),
        rim.mean(2),
        rim.std(2),
        rough.std((2, 3)),
    ]
    shares = [
        torch.sigmoid((values[..., None] - at) * sharp).mean((1, 2))
        for values, sharp in ((light, 8.0), (color, 8.0), (strength, 8.0))
        for at in (torch.linspace(-0.9, 1.9, 14, device=pictures.device),)
    ]
    return torch.cat([*means, *shares], 1)


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
        found.append(Verdict(NAMES[int(subject.argmax())], STYLES[int(style.argmax())]))
    return found


def score(
    pictures: Sequence[Image.Image], subjects: Sequence[str | None], style: str = ICON
) -> Score:
    """Return how many pictures show their subject, and how many are in a style.

    Args:
        pictures: to be judged.
        subjects: what each is to show; None, or a name the judge does not know, is left out.
        style: one of `STYLES`.
    """
    seen = verdicts(pictures)
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

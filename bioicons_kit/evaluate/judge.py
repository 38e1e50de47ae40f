"""The judge: a small network that names the subject and the style of a drawing.

It was trained on the kit's own drawings (`drawings`), in their generic styles and in flat
colors, and on the shipped icons; `benchmarks/starter` holds the script and the log. It knows the
subjects it was trained on and no others: a picture of something else is taken for the one that
looks most alike. A style is one of the generic ones, "icon" (flat areas of color on white), or
"other" (noise, smears, shapes of no subject).
"""

import itertools
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

_SIDE = 48  # pixels of what the network sees
_WIDTHS = (3, 32, 48, 64, 96, 128)


class Network(nn.Module):
    """RGB pictures in -1..1 -> logits of subjects and of styles."""

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for index, (before, after) in enumerate(itertools.pairwise(_WIDTHS)):
            stride = 1 if index in {0, 3} else 2
            layers += [
                nn.Conv2d(before, after, 3, stride, 1, bias=False),
                nn.BatchNorm2d(after),
                nn.SiLU(),
            ]
        self.body = nn.Sequential(*layers)
        self.subject = nn.Linear(2 * _WIDTHS[-1], len(NAMES))
        self.style = nn.Linear(2 * _WIDTHS[-1], len(STYLES))

    def forward(self, pictures: Tensor) -> tuple[Tensor, Tensor]:
        """Return logits `[batch, subjects]` and `[batch, styles]`.

        Args:
            pictures: `[batch, 3, height, width]` in -1..1, any size.
        """
        small = nn.functional.interpolate(pictures, (_SIDE, _SIDE), mode="area")
        maps: Tensor = self.body(small)
        pooled = torch.cat([maps.mean((2, 3)), maps.amax((2, 3))], 1)
        return self.subject(pooled), self.style(pooled)


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

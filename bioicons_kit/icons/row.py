"""One picture of a training set: what selecting gives, and everything after it takes."""

from dataclasses import dataclass
from typing import Literal

from bioicons_kit.icons.library import Icon

Role = Literal["train", "prior", "validation"]


@dataclass(frozen=True)
class Row:
    """One icon of the training set.

    Attributes:
        icon: the picture.
        bucket: number of the bucket that selected it.
        repeats: how often an epoch shows it; 1 for validation.
        role: what it is for: to learn from, to keep what the model knew, or to measure by.
        template: the caption template that applies, the bucket's or the dataset's.
    """

    icon: Icon
    bucket: int
    repeats: int
    role: Role = "train"
    template: str = ""

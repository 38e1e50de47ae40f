"""Pictures of known shapes, anti-aliased by drawing them large."""

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageDraw

SIDE = 256
_FACTOR = 8

Pixels = NDArray[np.uint8]
Draw = Callable[[Callable[[ImageDraw.ImageDraw, Callable[..., list[float]]], None]], Pixels]


@pytest.fixture
def drawn() -> Draw:
    """Draw with coordinates in pixels of the small picture, on white."""

    def draw(paint: Callable[[ImageDraw.ImageDraw, Callable[..., list[float]]], None]) -> Pixels:
        large = Image.new("RGB", (SIDE * _FACTOR, SIDE * _FACTOR), "#ffffff")
        # Pillow draws to the pixel's far side: one less, and edges lie where they are said to
        paint(ImageDraw.Draw(large), lambda *places: [p * _FACTOR for p in places])
        return np.array(large.resize((SIDE, SIDE), Image.Resampling.BOX))

    return draw

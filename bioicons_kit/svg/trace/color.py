"""Colors as people see them: OKLab, differences in it, and names.

OKLab (B. Ottosson 2020, "A perceptual color space for image processing") is nearly
uniform: a difference of 0.02 is about what one can just tell apart.
"""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]

JUST_NOTICEABLE = 0.02

_TO_LMS = np.array(
    [
        [0.4122214708, 0.5363325363, 0.0514459929],
        [0.2119034982, 0.6806995451, 0.1073969566],
        [0.0883024619, 0.2817188376, 0.6299787005],
    ],
    dtype=np.float32,
)
_TO_LAB = np.array(
    [
        [0.2104542553, 0.7936177850, -0.0040720468],
        [1.9779984951, -2.4285922050, 0.4505937099],
        [0.0259040371, 0.7827717662, -0.8086757660],
    ],
    dtype=np.float32,
)
_NAMES = {
    **{"black": "#000000", "dark-gray": "#404040", "gray": "#808080", "light-gray": "#c8c8c8"},
    **{"white": "#ffffff", "red": "#e02020", "dark-red": "#8b1010", "pink": "#f4a6b8"},
    **{"orange": "#f58a1f", "brown": "#7a4a22", "tan": "#d2b48c", "cream": "#f5ecd0"},
    **{"peach": "#f8d0b8", "yellow": "#f5dc2a", "olive": "#8a8a20", "lime": "#a8d830"},
    **{"green": "#2e9e3e", "dark-green": "#14581f", "light-green": "#b0dcb0"},
    **{"teal": "#148a8a", "light-teal": "#a0dcd8", "cyan": "#20c8e0", "blue": "#2060d0"},
    **{"dark-blue": "#14286e", "light-blue": "#a8d0f0", "purple": "#8030a0"},
    **{"pale-gray": "#ececec", "pale-blue": "#dcebf8", "pale-green": "#e2f2e0"},
    **{"pale-pink": "#fbe4e8", "pale-yellow": "#fbf6c8", "pale-purple": "#ece4f4"},
    **{"dark-purple": "#46185e", "lavender": "#c8b4e0", "magenta": "#d030a0"},
}


def oklab(rgb: NDArray[np.generic]) -> Floats:
    """Return sRGB colors `[..., 3]` in 0..255 as OKLab: lightness 0..1, a, b about -0.4..0.4."""
    encoded = np.asarray(rgb, dtype=np.float32) / 255
    linear = np.where(encoded <= 0.04045, encoded / 12.92, ((encoded + 0.055) / 1.055) ** 2.4)
    lab: Floats = np.cbrt(linear.astype(np.float32) @ _TO_LMS.T) @ _TO_LAB.T
    return lab


def hex_color(rgb: Iterable[float]) -> str:
    """Return an sRGB color in 0..255 as `#rrggbb`."""
    return "#" + "".join(f"{min(255, max(0, round(float(value)))):02x}" for value in rgb)


def names(colors: NDArray[np.generic]) -> list[str]:
    """Return a name for each of sRGB `colors` `[n, 3]`: the nearest known, numbered if shared."""
    known = list(_NAMES)
    table = np.array([[int(_NAMES[name][i : i + 2], 16) for i in (1, 3, 5)] for name in known])
    reference, given, found = oklab(table), oklab(colors.reshape(-1, 3)), list[str]()
    for lab in given:
        nearest = known[int(np.argmin(((reference - lab) ** 2).sum(axis=1)))]
        taken = sum(name == nearest or name.startswith(f"{nearest}-0") for name in found)
        found.append(nearest if not taken else f"{nearest}-{taken + 1:02d}")
    return found

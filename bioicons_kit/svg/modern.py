"""What CSS has added since SVG 1.1, in the words of SVG 1.1, which renderers know.

Colors (CSS Color 4 and 5): `light-dark()` is decided for light, since icons are drawn on a
light page, and `rgb(1 2 3 / 40%)` gets commas. A `var()` is taken for its fallback:
custom properties themselves are not followed. A `transform` property (CSS Transforms 1)
becomes the attribute; one in percent or ems, or in three dimensions, stays as it is.
"""

import math
import re

_LIGHT_DARK = re.compile(r"\blight-dark\(((?:[^(),]|\([^()]*\))+),(?:[^()]|\([^()]*\))*\)")
_VARIABLE = re.compile(r"\bvar\(\s*--[\w-]+\s*,\s*((?:[^()]|\([^()]*\))*)\)")
_SPACED = re.compile(
    r"\brgba?\(\s*([\d.]+%?)\s+([\d.]+%?)\s+([\d.]+%?)\s*(?:/\s*([\d.]+)(%?)\s*)?\)"
)
_FUNCTION = re.compile(r"\s*([a-zA-Z]+)\(([^()]*)\)")
_NUMBER = re.compile(r"([+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)(px|deg|rad|turn|grad)?")
_UNITS = {None: 1.0, "px": 1.0, "deg": 1.0, "grad": 0.9, "turn": 360.0, "rad": 180 / math.pi}
# Each function with the place of its argument among those of SVG's function.
_FUNCTIONS = {
    **{name: (name, "{}") for name in ("matrix", "translate", "scale", "rotate", "skewX", "skewY")},
    **{"translateX": ("translate", "{} 0"), "translateY": ("translate", "0 {}")},
    **{"scaleX": ("scale", "{} 1"), "scaleY": ("scale", "1 {}")},
}


def plain(value: str) -> str:
    """Return a property's value with what renderers may not know put plainly."""
    if "(" not in value:
        return value
    value = _VARIABLE.sub(r"\1", value)
    return _SPACED.sub(_with_commas, _LIGHT_DARK.sub(r"\1", value))


def transform(value: str) -> str | None:
    """Return a transform property as the attribute has it; None where it cannot be put so."""
    functions, position = [], 0
    value = value.strip()
    if value == "none":
        return ""
    while match := _FUNCTION.match(value, position):
        found = [_NUMBER.fullmatch(each) for each in re.split(r"[\s,]+", match[2].strip())]
        if match[1] not in _FUNCTIONS or None in found:
            return None
        name, places = _FUNCTIONS[match[1]]
        numbers = [float(each[1]) * _UNITS[each[2]] for each in found if each]
        functions.append(f"{name}({places.format(' '.join(f'{each:.9g}' for each in numbers))})")
        position = match.end()
    return " ".join(functions) if position == len(value) else None


def _with_commas(match: re.Match[str]) -> str:
    """Return a color with commas between its values."""
    red, green, blue, alpha, percent = match.groups()
    if alpha is None:
        return f"rgb({red},{green},{blue})"
    return f"rgba({red},{green},{blue},{float(alpha) / (100 if percent else 1):g})"

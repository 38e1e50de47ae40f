"""What is in a LoRA: a table of its modules, and a map of where its effect is."""

import html
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from bioicons_kit.errors import plain
from bioicons_kit.lora import blocks
from bioicons_kit.lora.formats import Lora
from bioicons_kit.lora.layer import Layer, effect
from bioicons_kit.tensor_stream import Source

_CELL, _LABEL, _GAP, _LINE = 18, 190, 34, 13  # pixels of the map
_DECADES = 2.0  # of the scale of colors: below a hundredth of the largest, all is pale
_PALE, _DEEP = (239, 243, 255), (8, 69, 148)


@dataclass(frozen=True)
class Row:
    """One module of a LoRA.

    Attributes:
        name: "component.module".
        shape: of the weight it changes.
        rank: of the update.
        alpha: numerator of its scale.
        effect: Frobenius norm of the update.
        dora: whether it has a DoRA vector.
    """

    name: str
    shape: tuple[int, ...]
    rank: int
    alpha: float
    effect: float
    dora: bool


def rows(layers: Mapping[str, Layer]) -> list[Row]:
    """Return what the modules are, in the order of the file."""
    return [
        Row(name, layer.shape, layer.rank, layer.alpha, effect(layer), layer.dora is not None)
        for name, layer in layers.items()
    ]


def table(header: Sequence[str], lines: Iterable[Sequence[object]]) -> str:
    """Return tab-separated values, numbers to six digits."""
    shown = [[f"{x:.6g}" if isinstance(x, float) else str(x) for x in line] for line in lines]
    return "".join("\t".join(line) + "\n" for line in (header, *shown))


def modules_table(found: Sequence[Row]) -> str:
    """Return the modules as tab-separated values."""
    return table(
        ("module", "shape", "rank", "alpha", "effect", "dora"),
        [(r.name, "x".join(map(str, r.shape)), r.rank, r.alpha, r.effect, r.dora) for r in found],
    )


def guess_base(lora: Lora) -> str:
    """Return what model a LoRA is for, by the names of its modules."""
    parts = {name.partition(".")[0] for name in lora.layers}
    if "transformer" in parts:
        return "FLUX.1"
    return "SD1" if "unet" in parts else "a text encoder alone"


def hashes(lora: Lora) -> list[tuple[str, bool]]:
    """Return the hashes a header claims of the data, and whether each is right.

    ModelSpec's and kohya's are both SHA-256 of all bytes after the header.
    """
    claimed = {
        key: lora.metadata[key].removeprefix("0x").lower()
        for key in ("modelspec.hash_sha256", "sshs_model_hash")
        if lora.metadata.get(key)
    }
    actual = Source(lora.path).data_sha256() if claimed else ""
    return [(key, value == actual) for key, value in claimed.items()]


def heat_map(found: Sequence[Row], title: str) -> str:
    """Return an SVG: blocks across, modules down, the deeper the color the larger the effect.

    The scale is logarithmic and ends at the largest effect; empty cells have no update.
    """
    largest = max((row.effect for row in found), default=0.0)
    panels: dict[str, list[tuple[blocks.Block, Row]]] = {}
    for row in found:
        block = blocks.block_of(row.name)
        panels.setdefault(block.kind, []).append((block, row))
    drawn, top, width = [], 28, 0
    for kind in (kind for kind in blocks.KINDS if kind in panels):
        lines, columns = _panel(kind, panels[kind], top, largest)
        drawn.append(lines)
        top += _GAP + _CELL * len({block.rest for block, _ in panels[kind]})
        width = max(width, _LABEL + _CELL * columns + 10)
    told = html.escape(plain(title))
    size = f'width="{max(width, 420)}" height="{top}" viewBox="0 0 {max(width, 420)} {top}"'
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} font-family="sans-serif" '
        f'font-size="11">\n<rect width="100%" height="100%" fill="#fff"/>\n'
        f'<text x="8" y="16" font-size="{_LINE}">{told}: norm of the update, '
        f"largest {largest:.3g}</text>\n" + "".join(drawn) + "</svg>\n"
    )


def _panel(
    kind: str, cells: Sequence[tuple[blocks.Block, Row]], top: int, largest: float
) -> tuple[str, int]:
    """Return the drawing of one kind of block, and its number of columns."""
    numbers = sorted({block.number or 0 for block, _ in cells})
    names = list(dict.fromkeys(block.rest for block, _ in cells))
    first = top + _GAP - 12
    parts = [f'<text x="8" y="{first - 4}" font-weight="bold">{kind}</text>\n']
    for column, number in enumerate(numbers):
        x = _LABEL + _CELL * column + _CELL // 2
        parts.append(f'<text x="{x}" y="{first - 4}" text-anchor="middle">{number}</text>\n')
    for line, name in enumerate(names):
        y = first + _CELL * line + _LINE
        parts.append(f'<text x="8" y="{y}">{html.escape(_short(name))}</text>\n')
    for block, row in cells:
        x = _LABEL + _CELL * numbers.index(block.number or 0)
        y = first + _CELL * names.index(block.rest)
        told = html.escape(f"{row.name}: {row.effect:.4g}, rank {row.rank}, alpha {row.alpha:g}")
        parts.append(
            f'<rect x="{x}" y="{y}" width="{_CELL - 2}" height="{_CELL - 2}" '
            f'fill="{_color(row.effect, largest)}"><title>{told}</title></rect>\n'
        )
    return "".join(parts), len(numbers)


def _color(value: float, largest: float) -> str:
    """Return the color of an effect on the logarithmic scale that ends at the largest."""
    share = 0.0
    if value > 0:
        share = max(0.0, 1 + math.log10(value / largest) / _DECADES)
    mixed = (round(a + (b - a) * share) for a, b in zip(_PALE, _DEEP, strict=True))
    return "#" + "".join(f"{channel:02x}" for channel in mixed)


def _short(name: str) -> str:
    """Return a name that fits the margin, its end being what tells most."""
    room = 30
    return name if len(name) <= room else "…" + name[1 - room :]

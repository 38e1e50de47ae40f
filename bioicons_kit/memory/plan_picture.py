"""A plan as a picture: one bar a phase against the card, in the terminal and as SVG."""

from collections.abc import Sequence
from xml.sax.saxutils import escape

from bioicons_kit.memory.plan import GIB, Phase, Plan, gib

# What a part is -> its letter in the terminal and its color, by Okabe & Ito (2008): told apart
# by color-blind readers too.
_PARTS = {
    "weights": ("W", "#0072b2"),
    "modulation": ("M", "#56b4e9"),
    "decoder": ("D", "#009e73"),
    "adapter": ("A", "#e69f00"),
    "optimizer": ("O", "#d55e00"),
    "activations": ("a", "#cc79a7"),
    "workspace": (".", "#999999"),
}

_COLUMNS = 48  # characters of a terminal's bar
_NAME = 20  # characters of a phase's name

_WIDTH, _LEFT, _RIGHT = 900, 150, 110  # pixels of the SVG, and its margins
_ROW, _BAR, _TOP = 34, 20, 64


def terminal(plan: Plan, card: int | None) -> list[str]:
    """Return the picture as lines of text.

    Args:
        plan: what to show.
        card: bytes of the device that a process may use; None if there is no card to compare.
    """
    scale = _scale(plan, card)
    lines = [plan.title]
    for phase in plan.phases:
        too_much = card is not None and phase.device > card
        lines.append(
            f"{phase.name:<{_NAME}}{_bar(phase, scale, card)} {gib(phase.device):>10}"
            + ("  does not fit" if too_much else "")
        )
    if card is not None:
        mark = round(card / scale * _COLUMNS)
        lines.append(f"{'':<{_NAME}}{'':>{mark}}^ {gib(card)} usable")
    used = [name for name in _PARTS if any(phase.parts.get(name) for phase in plan.phases)]
    lines.append(", ".join(f"{_PARTS[name][0]} {name}" for name in used))
    return [*lines, *plan.notes]


def table(plan: Plan) -> list[str]:
    """Return the numbers: device and host memory, disk, operations and parts of each phase."""
    lines = [f"{'phase':<{_NAME}}{'GPU':>10}{'RAM':>10}{'writes':>10}  {'TFLOP':>8}"]
    for phase in plan.phases:
        work = f"{phase.flops / 1e12:,.1f} per {phase.unit}" if phase.flops else ""
        parts = ", ".join(f"{name} {gib(size)}" for name, size in phase.parts.items() if size)
        disk = gib(phase.disk) if phase.disk else ""
        lines.append(
            f"{phase.name:<{_NAME}}{gib(phase.device):>10}{gib(phase.host):>10}{disk:>10}  {work}"
        )
        if parts:
            lines.append(f"{'':<{_NAME}}{parts}")
    return lines


def svg(plan: Plan, card: int | None) -> str:
    """Return the picture as an SVG document; arguments as of `terminal`."""
    scale = _scale(plan, card)
    span = _WIDTH - _LEFT - _RIGHT
    height = _TOP + _ROW * len(plan.phases) + 56
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" '
        'font-family="sans-serif" font-size="13">',
        f"<title>{escape(plan.title)}</title>",
        f'<rect width="{_WIDTH}" height="{height}" fill="#fff"/>',
        f'<text x="16" y="28" font-size="15">{escape(plan.title)}</text>',
    ]
    for row, phase in enumerate(plan.phases):
        y = _TOP + row * _ROW
        out.append(f'<text x="16" y="{y + 15}">{escape(phase.name)}</text>')
        x = float(_LEFT)
        for name, size in phase.parts.items():
            width = size / scale * span
            label = escape(f"{name} {gib(size)}")
            out.append(
                f'<rect x="{x:.1f}" y="{y}" width="{width:.1f}" height="{_BAR}" '
                f'fill="{_PARTS[name][1]}"><title>{label}</title></rect>'
            )
            x += width
        out.append(f'<text x="{x + 6:.1f}" y="{y + 15}">{gib(phase.device)}</text>')
    bottom = _TOP + _ROW * len(plan.phases)
    if card is not None:
        x = _LEFT + card / scale * span
        out.append(
            f'<path d="M{x:.1f} {_TOP - 12}V{bottom}" stroke="#000" stroke-dasharray="4 3"/>'
            f'<text x="{x:.1f}" y="{_TOP - 16}" text-anchor="middle">{gib(card)} usable</text>'
        )
    out += _legend(plan.phases, bottom + 20)
    return "\n".join([*out, "</svg>", ""])


def _legend(phases: Sequence[Phase], y: int) -> list[str]:
    """Return the legend of the parts that occur."""
    out, x = [], _LEFT
    for name, (_, color) in _PARTS.items():
        if any(phase.parts.get(name) for phase in phases):
            out.append(
                f'<rect x="{x}" y="{y}" width="12" height="12" fill="{color}"/>'
                f'<text x="{x + 17}" y="{y + 11}">{name}</text>'
            )
            x += 105
    return out


def _scale(plan: Plan, card: int | None) -> float:
    """Return the bytes that a bar of full width stands for."""
    return max(plan.largest.device, card or 0, GIB // 1024) * 1.02


def _bar(phase: Phase, scale: float, card: int | None) -> str:
    """Return one phase's bar; each part ends where the sum of the parts so far does."""
    text, total = "", 0
    for name, size in phase.parts.items():
        total += size
        text += _PARTS[name][0] * (round(total / scale * _COLUMNS) - len(text))
    text = text.ljust(_COLUMNS)
    if card is None:
        return text
    mark = min(_COLUMNS - 1, round(card / scale * _COLUMNS))
    return text if text[mark] != " " else f"{text[:mark]}|{text[mark + 1 :]}"

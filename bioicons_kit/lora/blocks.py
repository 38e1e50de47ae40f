"""Which block of a model a module is in, and weights by block.

    double.N  single.N      FLUX's two kinds of transformer blocks
    down.N  mid  up.N       SD1's UNet
    clip.N  t5.N            layers of the text encoders
    other                   what is in no block (embedders, the last projection)

Rules such as `double.0-9:0.5,single.*:1` multiply a LoRA's weight in the blocks they
name. The first rule that fits counts; blocks no rule names keep weight 1.
"""

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from bioicons_kit.errors import LoraError

_BLOCKS = (
    (r"transformer\.transformer_blocks\.(\d+)\.", "double"),
    (r"transformer\.single_transformer_blocks\.(\d+)\.", "single"),
    (r"unet\.down_blocks\.(\d+)\.", "down"),
    (r"unet\.(mid)_block\.", "mid"),
    (r"unet\.up_blocks\.(\d+)\.", "up"),
    (r"text_encoder\.text_model\.encoder\.layers\.(\d+)\.", "clip"),
    (r"text_encoder_2\.encoder\.block\.(\d+)\.", "t5"),
)
LARGEST_WEIGHT = 1e6  # beyond it sums of the largest LoRAs that are read leave float32
KINDS = (*(kind for _, kind in _BLOCKS), "other")

_RULE = re.compile(
    r"(?P<kind>[a-z0-9]+?)(?:\.(?P<from>\d{1,4})(?:-(?P<to>\d{1,4}))?|\.\*)?:(?P<weight>.+)"
)


@dataclass(frozen=True)
class Block:
    """Where a module is.

    Attributes:
        kind: one of `KINDS`.
        number: of the block; None where there is but one.
        rest: the module's name within the block.
    """

    kind: str
    number: int | None
    rest: str


@dataclass(frozen=True)
class Rule:
    """A weight for some blocks of one kind.

    Attributes:
        text: as it was given.
        kind: one of `KINDS`.
        numbers: of the blocks; None is all.
        weight: to multiply by.
    """

    text: str
    kind: str
    numbers: range | None
    weight: float

    def fits(self, block: Block) -> bool:
        """Tell whether the rule names this block."""
        if block.kind != self.kind:
            return False
        return self.numbers is None or block.number in self.numbers


def block_of(name: str) -> Block:
    """Return where the module called "component.module" is."""
    for pattern, kind in _BLOCKS:
        match = re.match(pattern, name)
        if match:
            number = int(match[1]) if match[1].isdigit() else None
            return Block(kind, number, name[match.end() :])
    return Block("other", None, name)


def parse(text: str) -> tuple[Rule, ...]:
    """Return the rules in a text such as `double.0-9:0.5,single.*:1`.

    Raises:
        LoraError: it is not of this form, or names no kind of block.
    """
    return tuple(_rule(part.strip()) for part in text.split(","))


def weight(rules: Sequence[Rule], name: str) -> float:
    """Return the weight of a module by the first rule that fits, 1 where none does."""
    block = block_of(name)
    return next((rule.weight for rule in rules if rule.fits(block)), 1.0)


def require_use(rules: Sequence[Rule], modules: Iterable[str]) -> None:
    """Refuse rules that fit no module.

    Raises:
        LoraError: names them, and the blocks that there are.
    """
    found = [block_of(name) for name in modules]
    idle = [rule.text for rule in rules if not any(rule.fits(block) for block in found)]
    if idle:
        kinds = ", ".join(sorted({block.kind for block in found}))
        raise LoraError(f"--blocks {idle[0]}: the LoRA has no such blocks; it has {kinds}")


def _rule(text: str) -> Rule:
    """Return one rule."""
    match = _RULE.fullmatch(text)
    if match is None or match["kind"] not in KINDS:
        raise LoraError(
            f"--blocks {text}: not a rule such as double.0-9:0.5, single.*:1 or mid:0; "
            f"kinds of blocks are {', '.join(KINDS)}"
        )
    try:
        value = float(match["weight"])
    except ValueError:
        value = math.nan
    if not abs(value) <= LARGEST_WEIGHT:  # NaN is not, either
        raise LoraError(
            f"--blocks {text}: '{match['weight']}' is no number up to {LARGEST_WEIGHT:,.0f}"
        )
    numbers = None
    if match["from"] is not None:
        first = int(match["from"])
        numbers = range(first, int(match["to"] or first) + 1)
    return Rule(text, match["kind"], numbers, value)

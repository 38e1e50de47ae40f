"""What the judge says of a run's samples; only of the starter's, whose subjects it knows."""

from collections.abc import Sequence
from typing import Any

from bioicons_kit import console
from bioicons_kit.evaluate import judge
from bioicons_kit.preset import STARTER, Preset
from bioicons_kit.sample import Pair


def scores(pairs: Sequence[Pair], preset: Preset) -> dict[str, Any] | None:
    """Return the shares of samples that show their subject, and that are in the icons' style.

    Args:
        pairs: the samples.
        preset: says what drew them; of another model than the starter nothing is said.

    Returns:
        for "base" and "lora" each `subject` (None if no prompt names a subject that the judge
        knows) and `style`, 0 to 1; and how many pictures they are `of`, `known` of them with such
        a subject.
    """
    if preset.model.path != STARTER or not pairs:
        return None
    asked = [judge.subject_of(pair.prompt) for pair in pairs]
    base = judge.score([pair.base for pair in pairs], asked)
    lora = judge.score([pair.adapted for pair in pairs], asked)
    console.say(
        "judge",
        f"subject recognized {_share(base.subject)} -> {_share(lora.subject)}, "
        f"in the icons' style {_share(base.style)} -> {_share(lora.style)}",
    )
    return {
        "base": {"subject": base.subject, "style": base.style},
        "lora": {"subject": lora.subject, "style": lora.style},
        "of": base.count,
        "known": base.known,
    }


def _share(value: float | None) -> str:
    """Return a share as a person reads it."""
    return "-" if value is None else f"{value:.0%}"

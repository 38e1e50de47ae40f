"""What the judge says of a run's samples; only of the starter's, whose subjects it knows."""

from collections.abc import Sequence
from typing import Any

from bioicons_kit import console
from bioicons_kit.evaluate import judge
from bioicons_kit.evaluate.judge import Verdict
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
    seen = {
        "base": judge.verdicts([pair.base for pair in pairs]),
        "lora": judge.verdicts([pair.adapted for pair in pairs]),
    }
    base, lora = (judge.score(verdicts, asked) for verdicts in seen.values())
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
        "pictures": [
            {"prompt": pair.prompt} | {model: _said(found[at]) for model, found in seen.items()}
            for at, pair in enumerate(pairs)
        ],
    }


def _said(verdict: Verdict) -> str:
    """Return what is seen in a picture."""
    return f"{verdict.subject}, {verdict.style}"


def _share(value: float | None) -> str:
    """Return a share as a person reads it."""
    return "-" if value is None else f"{value:.0%}"

"""The named sets of FLUX's modules that an adapter may be put on, by diffusers' names."""

import re
from collections.abc import Mapping, Sequence

from bioicons_kit.families.base import TargetSet

_BLOCKS = r"(?:single_)?transformer_blocks\.\d+\."
_ATTENTION = _BLOCKS + r"attn\.(?:to_[qkv]|add_[qkv]_proj|to_out\.0|to_add_out)"
_FEED_FORWARD = (
    r"transformer_blocks\.\d+\.ff(?:_context)?\.net\.(?:0\.proj|2)",
    r"single_transformer_blocks\.\d+\.proj_(?:mlp|out)",
)
_SINGLE = re.compile(r"single_transformer_blocks\.(\d+)\.")


def late_blocks(linears: Sequence[str]) -> tuple[str, ...]:
    """Return the patterns of the second half of the single blocks: attention and feed-forward.

    What the late single blocks change is rather how a picture looks than what is in it (the
    practice of style LoRAs; not a finding of ours). No block before them has anything to
    learn, so these run without gradient.
    """
    numbers = sorted({int(found[1]) for name in linears if (found := _SINGLE.match(name))})
    return tuple(
        rf"single_transformer_blocks\.{number}\.(?:attn\.to_[qkv]|proj_(?:mlp|out))"
        for number in numbers[len(numbers) // 2 :]
    )


TARGET_SETS: Mapping[str, TargetSet] = {
    "attention": (_ATTENTION,),
    "feed_forward": _FEED_FORWARD,
    "all": (_BLOCKS + r".*",),
    "style": late_blocks,
}

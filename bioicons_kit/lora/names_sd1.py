"""SD1's UNet: the names of its linears and convolutions, diffusers' and the original (LDM).

The original numbers the stages of the encoder in one row (`input_blocks.1` ... `.11`), of
the decoder in another; diffusers groups them by resolution. Four resolutions, the first
three with attention, two residual blocks each on the way down and three on the way up.
"""

from collections.abc import Iterator

_RESNET = {
    "in_layers.2": "conv1",
    "out_layers.3": "conv2",
    "emb_layers.1": "time_emb_proj",
}
_SHORTCUT = ("skip_connection", "conv_shortcut")

_ATTENTION = (
    "proj_in",
    "proj_out",
    *(
        f"transformer_blocks.0.{attention}.{part}"
        for attention in ("attn1", "attn2")
        for part in ("to_q", "to_k", "to_v", "to_out.0")
    ),
    "transformer_blocks.0.ff.net.0.proj",
    "transformer_blocks.0.ff.net.2",
)

_OUTSIDE = {
    "input_blocks.0.0": "conv_in",
    "out.2": "conv_out",
    "time_embed.0": "time_embedding.linear_1",
    "time_embed.2": "time_embedding.linear_2",
}

_LEVELS = 4


def _resnet(original: str, name: str, widens: bool) -> Iterator[tuple[str, str]]:
    """Yield the names in one residual block; one that changes width has a shortcut."""
    for theirs, ours in (*_RESNET.items(), *([_SHORTCUT] if widens else [])):
        yield f"{original}.{theirs}", f"{name}.{ours}"


def _attention(original: str, name: str) -> Iterator[tuple[str, str]]:
    """Yield the names in one attention stage."""
    for part in _ATTENTION:
        yield f"{original}.{part}", f"{name}.{part}"


def _down(level: int) -> Iterator[tuple[str, str]]:
    """Yield the names of one resolution of the encoder."""
    last = _LEVELS - 1
    for layer in range(2):
        stage = f"input_blocks.{1 + 3 * level + layer}"
        widens = layer == 0 and level in {1, 2}
        yield from _resnet(f"{stage}.0", f"down_blocks.{level}.resnets.{layer}", widens)
        if level < last:
            yield from _attention(f"{stage}.1", f"down_blocks.{level}.attentions.{layer}")
    if level < last:
        yield f"input_blocks.{3 + 3 * level}.0.op", f"down_blocks.{level}.downsamplers.0.conv"


def _up(level: int) -> Iterator[tuple[str, str]]:
    """Yield the names of one resolution of the decoder (0 is the coarsest)."""
    for layer in range(3):
        stage = f"output_blocks.{3 * level + layer}"
        yield from _resnet(f"{stage}.0", f"up_blocks.{level}.resnets.{layer}", widens=True)
        if level > 0:
            yield from _attention(f"{stage}.1", f"up_blocks.{level}.attentions.{layer}")
    if level < _LEVELS - 1:
        part = 1 if level == 0 else 2  # after the attention, where there is one
        yield f"{stage}.{part}.conv", f"up_blocks.{level}.upsamplers.0.conv"


def _middle() -> Iterator[tuple[str, str]]:
    """Yield the names between encoder and decoder."""
    yield from _resnet("middle_block.0", "mid_block.resnets.0", widens=False)
    yield from _attention("middle_block.1", "mid_block.attentions.0")
    yield from _resnet("middle_block.2", "mid_block.resnets.1", widens=False)


def _all() -> Iterator[tuple[str, str]]:
    """Yield each original name and diffusers'."""
    yield from _OUTSIDE.items()
    for level in range(_LEVELS):
        yield from _down(level)
    yield from _middle()
    for level in range(_LEVELS):
        yield from _up(level)


MODULES = dict(_all())

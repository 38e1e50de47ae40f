"""FLUX's linears: the original names (Black Forest Labs') and diffusers' for the same rows.

The original code fuses query, key, value (and in single blocks the first feed-forward
linear) into one matrix. In the last modulation it puts shift before scale, diffusers scale
before shift, so that the halves of its rows are exchanged.
"""

from collections.abc import Iterator

BLOCKS = 64  # of each kind; FLUX.1 has 19 double and 38 single ones

SWAPPED = "final_layer.adaLN_modulation.1"

MLP_RATIO = 4  # rows of `proj_mlp` to the hidden width, in every FLUX there is

_DOUBLE = {
    "img_attn.qkv": ("attn.to_q", "attn.to_k", "attn.to_v"),
    "txt_attn.qkv": ("attn.add_q_proj", "attn.add_k_proj", "attn.add_v_proj"),
    "img_attn.proj": ("attn.to_out.0",),
    "txt_attn.proj": ("attn.to_add_out",),
    "img_mlp.0": ("ff.net.0.proj",),
    "img_mlp.2": ("ff.net.2",),
    "txt_mlp.0": ("ff_context.net.0.proj",),
    "txt_mlp.2": ("ff_context.net.2",),
    "img_mod.lin": ("norm1.linear",),
    "txt_mod.lin": ("norm1_context.linear",),
}

_SINGLE = {
    "linear1": ("attn.to_q", "attn.to_k", "attn.to_v", "proj_mlp"),
    "linear2": ("proj_out",),
    "modulation.lin": ("norm.linear",),
}

_OUTSIDE = {
    "img_in": ("x_embedder",),
    "txt_in": ("context_embedder",),
    "time_in.in_layer": ("time_text_embed.timestep_embedder.linear_1",),
    "time_in.out_layer": ("time_text_embed.timestep_embedder.linear_2",),
    "vector_in.in_layer": ("time_text_embed.text_embedder.linear_1",),
    "vector_in.out_layer": ("time_text_embed.text_embedder.linear_2",),
    "guidance_in.in_layer": ("time_text_embed.guidance_embedder.linear_1",),
    "guidance_in.out_layer": ("time_text_embed.guidance_embedder.linear_2",),
    "final_layer.linear": ("proj_out",),
    SWAPPED: ("norm_out.linear",),
}


def _all() -> Iterator[tuple[str, tuple[str, ...]]]:
    """Yield each original name and diffusers' names of the rows it holds, in their order."""
    for number in range(BLOCKS):
        for original, modules in _DOUBLE.items():
            start = f"transformer_blocks.{number}."
            yield f"double_blocks.{number}.{original}", tuple(start + m for m in modules)
        for original, modules in _SINGLE.items():
            start = f"single_transformer_blocks.{number}."
            yield f"single_blocks.{number}.{original}", tuple(start + m for m in modules)
    yield from _OUTSIDE.items()


MODULES = dict(_all())

"""FLUX's attention on a CPU: what diffusers' processor computes, in fewer passes over memory.

Queries and keys are normed by their root mean square (Zhang & Sennrich 2019,
arXiv:1910.07467) and turned by their position (RoPE, Su et al. 2021, arXiv:2104.09864), here
both in one function that saves its input only. Rounding is where diffusers' is: after the
norm and after the turn. The attention itself is `memory.attention`'s.

On other devices diffusers' own stays: there compilers and kernels see to this.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from bioicons_kit.memory.attention import attention


class _NormTurn(torch.autograd.Function):
    """Norm and turn of queries or keys `[batch, tokens, heads, width]`.

    `weight` `[width]` is the norm's, `turns` complex `[tokens, 1, width / 2]`: pair i of a token's
    numbers, taken as a complex number, is multiplied by it.
    """

    @staticmethod
    def forward(ctx: Any, inputs: Tensor, weight: Tensor, turns: Tensor, eps: float) -> Tensor:
        wide = inputs.float()
        inverse = torch.rsqrt(wide.square().mean(-1, keepdim=True) + eps)
        normed = (wide * inverse * weight).to(inputs.dtype)
        ctx.save_for_backward(inputs, inverse, weight, turns)
        return _turned(normed, turns).to(inputs.dtype)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        (grad,) = grads
        inputs, inverse, weight, turns = ctx.saved_tensors  # once: see `memory.linear`
        back = _turned(grad, turns.conj()) * weight
        unit = inputs.float() * inverse
        along = (back * unit).mean(-1, keepdim=True)
        return ((back - unit * along) * inverse).to(grad.dtype), None, None, None


def _turned(vectors: Tensor, turns: Tensor) -> Tensor:
    """Return vectors turned, float32."""
    pairs = torch.view_as_complex(vectors.float().reshape(*vectors.shape[:-1], -1, 2))
    return torch.view_as_real(pairs * turns).flatten(-2)


class Processor:
    """An attention processor, as diffusers' FluxAttention calls it."""

    def __call__(
        self,
        attn: Any,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor | None = None,
        attention_mask: Tensor | None = None,
        image_rotary_emb: tuple[Tensor, Tensor] | None = None,
    ) -> Tensor | tuple[Tensor, Tensor]:
        """Return the attention's output: of pictures and texts apart where they came apart."""
        assert attention_mask is None
        assert image_rotary_emb is not None
        cosines, sines = image_rotary_emb  # [tokens, width], each number twice
        turns = torch.complex(cosines[:, ::2], sines[:, ::2])[:, None]
        own = (attn.to_q, attn.to_k, attn.to_v), (attn.norm_q, attn.norm_k)
        if encoder_hidden_states is None:
            joined = attention(*_projected(attn, hidden_states, *own, turns))
            return _flat(joined)
        count = encoder_hidden_states.shape[1]
        added = (attn.add_q_proj, attn.add_k_proj, attn.add_v_proj)
        norms = (attn.norm_added_q, attn.norm_added_k)
        text = _projected(attn, encoder_hidden_states, added, norms, turns[:count])
        picture = _projected(attn, hidden_states, *own, turns[count:])
        # texts come first, as their position ids do
        parts = [torch.cat(pair, dim=2) for pair in zip(text, picture, strict=True)]
        joined = _flat(attention(*parts))
        out, dropout = attn.to_out
        return dropout(out(joined[:, count:])), attn.to_add_out(joined[:, :count])


def _projected(
    attn: Any, states: Tensor, linears: Sequence[Any], norms: Sequence[Any], turns: Tensor
) -> tuple[Tensor, ...]:
    """Return queries, keys and values `[batch, heads, tokens, width]`; the first two turned."""
    query, key, value = (each(states).unflatten(-1, (-1, attn.head_dim)) for each in linears)
    turned: list[Tensor] = [
        _NormTurn.apply(each, norm.weight, turns, norm.eps)  # type: ignore[no-untyped-call]
        for each, norm in zip((query, key), norms, strict=True)
    ]
    return tuple(each.transpose(1, 2) for each in (*turned, value))


def _flat(heads: Tensor) -> Tensor:
    """`[batch, heads, tokens, width] -> [batch, tokens, heads width]`."""
    return heads.transpose(1, 2).flatten(2)


def apply(denoiser: nn.Module) -> None:
    """Have every attention of a FluxTransformer2DModel computed by `Processor`."""
    from diffusers.models.transformers.transformer_flux import FluxAttention

    processor = Processor()
    for module in denoiser.modules():
        if isinstance(module, FluxAttention):
            module.set_processor(processor)

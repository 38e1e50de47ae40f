"""FLUX's blocks and attention as the kit runs them, beside diffusers' own."""

from typing import Any

import pytest
import torch
from diffusers.models.embeddings import apply_rotary_emb
from torch import Tensor, nn

from bioicons_kit.families import flux, flux_attention, flux_blocks
from bioicons_kit.families.flux_memory import blocks
from bioicons_kit.memory import checkpointing
from bioicons_kit.preset import Memory, Train
from tests.memory import small


def plain(dtype: torch.dtype) -> Any:
    """Return diffusers' FLUX with a LoRA on its attention, frozen but for this."""
    from diffusers import FluxTransformer2DModel
    from peft import LoraConfig

    torch.manual_seed(0)
    model: Any = FluxTransformer2DModel(**small.CONFIG).to(dtype).requires_grad_(False)
    model.add_adapter(LoraConfig(r=4, target_modules=["to_q", "to_v", "add_k_proj", "to_out.0"]))
    for parameter in trained(model):
        parameter.data = 0.1 * torch.randn(parameter.shape)
    return model


def trained(model: nn.Module) -> list[nn.Parameter]:
    """Return what has a gradient."""
    return [p for p in model.parameters() if p.requires_grad]


def passed(model: Any, dtype: torch.dtype) -> tuple[Tensor, list[Tensor]]:
    """Return a model's output, and its gradients."""
    torch.manual_seed(1)
    model.zero_grad()
    out = model(
        hidden_states=torch.randn(2, 16, 64).to(dtype),
        timestep=torch.tensor([0.2, 0.7]),
        guidance=torch.ones(2),
        pooled_projections=torch.randn(2, 128).to(dtype),
        encoder_hidden_states=torch.randn(2, 12, 128).to(dtype),
        txt_ids=torch.zeros(12, 3),
        img_ids=flux.image_ids(4, 4, small.CPU),
        return_dict=False,
    )[0]
    out.float().square().mean().backward()
    return out.detach(), [p.grad.clone() for p in trained(model) if p.grad is not None]


def distance(found: list[Tensor], wanted: list[Tensor]) -> float:
    """Return the relative difference of all numbers."""
    a, b = (torch.cat([each.double().flatten() for each in some]) for some in (found, wanted))
    return float((a - b).norm() / b.norm())


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("checkpointed", [False, True])
def test_the_order_of_a_block_changes_no_bit(dtype: torch.dtype, checkpointed: bool):
    model = plain(dtype)
    out, grads = passed(model, dtype)
    assert len(grads) == len(trained(model))
    flux_blocks.apply(model)
    if checkpointed:
        checkpointing.apply(model, blocks(model), "full")
        model.train()
    ours, own = passed(model, dtype)
    assert torch.equal(ours, out)
    assert all(map(torch.equal, own, grads))


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 2e-6), (torch.bfloat16, 2e-2)])
def test_attention_is_that_of_diffusers(dtype: torch.dtype, tolerance: float):
    model = plain(dtype)
    out, grads = passed(model, dtype)
    flux_attention.apply(model)
    ours, own = passed(model, dtype)
    assert distance([ours], [out]) < tolerance
    assert distance(own, grads) < tolerance


@pytest.mark.parametrize("level", ["none", "qfloat8"])
def test_the_last_linears_are_not_computed_again(level: str):
    model = small.denoiser(Memory.model_validate({"dtype": "fp32", "quantization": level}))
    small.adapted(model)
    model.train()
    double, single = "transformer_blocks.0.", "single_transformer_blocks.0."
    text = f"{double}ff_context.net.2"
    last = (f"{double}ff.net.2", f"{single}proj_out", text)
    calls: dict[str, int] = {}
    for name in (*last, f"{double}ff.net.0", f"{single}norm"):
        model.get_submodule(name).register_forward_hook(
            lambda *_, name=name: calls.update({name: calls.get(name, 0) + 1})
        )
    flux.loss(model, small.batch(0), Train(batch_size=2), small.SCALING).mean().backward()
    # of torch's own linears autograd saves the weight, the pictures' after the texts' product
    again = {f"{double}ff.net.0", f"{single}norm", *([text] if level == "none" else [])}
    assert calls == {name: 2 if name in again else 1 for name in calls}
    assert len(calls) == 5


def test_gradients_of_norm_and_turn_are_those_of_the_formula():
    torch.manual_seed(0)
    turns = torch.polar(torch.ones(5, 1, 4), torch.randn(5, 1, 4))
    weight, inputs = torch.randn(8), torch.randn(1, 5, 2, 8, requires_grad=True)
    grad = torch.randn(1, 5, 2, 8)
    flux_attention._NormTurn.apply(inputs, weight, turns, 1e-6).backward(grad)
    exact = inputs.detach().double().requires_grad_()
    normed = nn.functional.rms_norm(exact, (8,), weight.double(), 1e-6)
    cosines, sines = (
        part.double().repeat_interleave(2, -1)[:, 0] for part in (turns.real, turns.imag)
    )
    apply_rotary_emb(normed, (cosines, sines), sequence_dim=1).backward(grad.double())
    torch.testing.assert_close(inputs.grad, exact.grad.float())

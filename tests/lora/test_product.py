"""The short way through a LoRA layer, beside peft's own."""

import pytest
import torch
from peft import LoraConfig
from peft.tuners.lora import layer as peft_layer
from torch import Tensor, nn

from bioicons_kit.lora import product
from bioicons_kit.preset import Memory
from tests.memory import small


def adapted(dtype: torch.dtype, dropout: float = 0.0, *, dora: bool = False) -> peft_layer.Linear:
    """Return a linear with peft's LoRA of random values, scale 2."""
    torch.manual_seed(0)
    base = nn.Linear(24, 40).to(dtype).requires_grad_(False)
    config = LoraConfig(r=4, lora_alpha=8, lora_dropout=dropout, use_dora=dora)
    made = peft_layer.Linear(
        base, "default", r=4, lora_alpha=8, lora_dropout=dropout, config=config
    )
    for parameter in (made.lora_A.default.weight, made.lora_B.default.weight):
        parameter.data = torch.randn(parameter.shape)
    return made


def passed(layer: nn.Module, inputs: Tensor) -> tuple[Tensor, ...]:
    """Return a layer's output, and the gradients of input, down and up."""
    inputs = inputs.clone().requires_grad_()
    torch.manual_seed(1)  # of dropout
    out = layer(inputs)
    out.backward(torch.linspace(-1, 1, out.numel(), dtype=out.dtype).view(out.shape))
    down, up = (getattr(layer, part).default.weight for part in ("lora_A", "lora_B"))
    grads = inputs.grad, down.grad, up.grad
    assert all(each is not None for each in grads)
    found = tuple(each.clone() for each in (out.detach(), *grads))
    layer.zero_grad()
    return found


@pytest.mark.parametrize("dropout", [0.0, 0.3])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 2e-6), (torch.bfloat16, 2e-2)])
def test_output_and_gradients_are_pefts(dtype: torch.dtype, tolerance: float, dropout: float):
    layer = adapted(dtype, dropout)
    inputs = torch.randn(2, 7, 24, dtype=dtype)
    wanted = passed(layer, inputs)
    product.shorten(layer)
    assert type(layer) is product.Linear
    for found, old in zip(passed(layer, inputs), wanted, strict=True):
        assert found.dtype == old.dtype
        assert torch.linalg.vector_norm(
            (found - old).float()
        ) <= tolerance * torch.linalg.vector_norm(old.float())


def test_gradients_are_those_of_the_formula():
    layer = adapted(torch.float64)
    product.shorten(layer)
    base, inputs = torch.randn(3, 40).double(), torch.randn(3, 24).double()
    down, up = torch.randn(4, 24).double(), torch.randn(40, 4).double()
    tensors = tuple(each.requires_grad_() for each in (base, inputs, down, up))
    assert torch.autograd.gradcheck(lambda *each: product._Sum.apply(*each, 0.5), tensors)


def test_without_gradients_it_is_the_same():
    layer = adapted(torch.bfloat16)
    product.shorten(layer)
    inputs = torch.randn(5, 24, dtype=torch.bfloat16)
    with torch.no_grad():
        found = layer(inputs)
    torch.testing.assert_close(found, layer(inputs).detach(), rtol=0.02, atol=0.02)


def test_an_adapter_that_is_off_adds_nothing():
    layer = adapted(torch.float32)
    product.shorten(layer)
    inputs = torch.randn(5, 24)
    layer.enable_adapters(False)
    assert torch.equal(layer(inputs), layer.base_layer(inputs))


def test_bfloat16_saves_nothing_in_float32():
    layer = adapted(torch.bfloat16)
    product.shorten(layer)
    kinds: set[torch.dtype] = set()
    with torch.autograd.graph.saved_tensors_hooks(
        lambda tensor: kinds.add(tensor.dtype) or tensor, lambda tensor: tensor
    ):
        layer(torch.randn(5, 24, dtype=torch.bfloat16).requires_grad_())
    assert kinds == {torch.bfloat16}


def test_an_attached_adapter_takes_it():
    model = small.denoiser(Memory(dtype="fp32"))
    small.adapted(model)
    kinds = {type(m) for m in model.modules() if isinstance(m, peft_layer.LoraLayer)}
    assert kinds == {product.Linear}

"""On a GPU: copies that run beside the computation must not change a bit of it."""

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel

from bioicons_kit.families import flux
from bioicons_kit.memory import checkpointing
from bioicons_kit.preset import Memory
from tests.memory import small

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")

# Wide enough that a copy takes longer than the next launch: a missing wait would show.
CONFIG: dict[str, Any] = {**small.CONFIG, "num_attention_heads": 16}
GPU = torch.device("cuda")


@pytest.fixture
def _reproducible(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Keep kernels that add in any order out: they differ by themselves."""
    monkeypatch.setattr(checkpointing, "_WORTH_MOVING", 0)
    with sdpa_kernel(SDPBackend.MATH):
        yield


def trained(level: str, **settings: Any) -> small.Trained:
    """Train a few steps on the GPU."""
    memory = Memory(dtype="fp32", quantization=level, **settings)  # type: ignore[arg-type]
    return small.train(memory, 4, config=CONFIG, device=GPU)


@pytest.mark.usefixtures("_reproducible")
@pytest.mark.parametrize("level", ["none", "qfloat8", "qint8", "qint4", small.NF4])
def test_losses_and_gradients_are_bit_equal(level: str):
    plain = trained(level, checkpointing="none")
    assert trained(level, checkpointing="none").equals(plain), "the GPU itself is not reproducible"
    arrangements: list[dict[str, Any]] = [
        {"checkpointing": "full"},
        {"checkpointing": "full", "checkpoint_inputs": "host"},
        {"checkpointing": "none", "modulation": "ahead"},
        {"offload_blocks": 3},
        {"offload_blocks": 8},
        {
            "checkpointing": 3,
            "checkpoint_inputs": "host",
            "modulation": "ahead",
            "offload_blocks": 4,
        },
    ]
    for settings in arrangements:
        assert trained(level, **settings).equals(plain), settings


@pytest.mark.usefixtures("_reproducible")
@pytest.mark.parametrize("level", ["none", "qfloat8", "qint4"])
def test_a_gpu_learns_as_a_cpu_does(level: str):
    on_gpu = trained(level).losses
    memory = Memory(dtype="fp32", quantization=level)  # type: ignore[arg-type]
    on_cpu = small.train(memory, 4, config=CONFIG).losses
    # dropout draws other numbers on a GPU, so only the first loss, before the adapter counts
    assert on_gpu[0] == pytest.approx(on_cpu[0], rel=1e-3)


@pytest.mark.parametrize("side", [32, 64, 128])
def test_attention_is_right_at_the_width_and_sizes_of_flux(side: int):
    """At these sizes training ended in illegal memory accesses, with cuDNN's kernels in use."""
    wide: dict[str, Any] = {
        **small.CONFIG,
        "num_layers": 1,
        "num_single_layers": 1,
        "num_attention_heads": 24,
        "attention_head_dim": 128,
        "axes_dims_rope": (16, 56, 56),
    }
    memory = Memory(dtype="bf16", quantization="none")
    model = small.denoiser(memory, wide, device=GPU).to(torch.bfloat16)
    parameters = small.adapted(model)
    for up in parameters[1::2]:
        torch.nn.init.normal_(up, std=0.02)
    batch, settings = small.batch(0, 1, side).to(GPU), small.Train(batch_size=1)

    def step() -> tuple[float, torch.Tensor]:
        loss = flux.loss(model, batch, settings, small.SCALING).mean()
        gradients = torch.autograd.grad(loss, parameters)
        return loss.item(), torch.cat([each.flatten() for each in gradients])

    with sdpa_kernel(SDPBackend.MATH):
        right, gradient = step()
    assert not torch.backends.cuda.cudnn_sdp_enabled()
    loss, own = step()
    assert loss == pytest.approx(right, rel=1e-2)
    assert torch.nn.functional.cosine_similarity(own, gradient, dim=0) > 0.99

"""The probe counts what torch holds and does, and nothing else."""

import pytest
import torch
from torch.nn import functional

from bioicons_kit.memory.probe import cut_off, probing


def test_storages_are_counted_once_and_until_they_are_dropped():
    with probing() as probe:
        whole = torch.zeros(1000)
        assert probe.live == 4000
        part = whole[:10].view(5, 2)
        assert probe.live == 4000
        del whole
        assert probe.live == 4000  # the view holds it
        more = part + 1
        assert probe.live == 4040
        del part, more
        assert probe.live == 0
        assert probe.peak == 4040


def test_what_was_there_before_is_not_counted():
    before = torch.zeros(1000)
    with probing() as probe:
        before.add_(1)
        view = before[:10]
        assert probe.live == 0
        made = view + 1
        assert probe.live == made.nbytes


def test_a_mark_forgets_the_peak():
    with probing() as probe:
        large = torch.zeros(1000)
        del large
        kept = torch.zeros(10)
        probe.mark()
        assert probe.peak == kept.nbytes


def test_products_are_counted_forward_and_backward():
    inputs = torch.zeros(4, 8, requires_grad=True)
    weight = torch.zeros(16, 8)
    with probing() as probe:
        made = functional.linear(inputs, weight)
        assert probe.flops == 2 * 4 * 8 * 16
        torch.autograd.backward([made.sum()])
        assert probe.flops == 2 * 2 * 4 * 8 * 16  # the weight is frozen: one product back


@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_attention_keeps_what_fused_kernels_keep(device: str):
    """Not the tokens x tokens scores: on the CPU torch's own kernel is measured."""
    shape, tokens = (1, 2, 256, 32), 256
    query, key, value = (torch.zeros(shape, device=device, requires_grad=True) for _ in range(3))
    with probing() as probe:
        made = functional.scaled_dot_product_attention(query, key, value)
        rows = 2 * tokens * 4
        assert made.shape == shape
        assert probe.live == made.nbytes + rows
        torch.autograd.backward([made.sum()])
        assert probe.peak < 2 * 4 * tokens * tokens + 8 * made.nbytes
    assert query.grad is not None
    assert query.grad.shape == shape


def test_torchs_attention_is_back_afterwards():
    own = functional.scaled_dot_product_attention
    with probing():
        assert functional.scaled_dot_product_attention is not own
    assert functional.scaled_dot_product_attention is own


def test_cut_off_keeps_the_storage_and_the_wish_for_a_gradient():
    given = torch.zeros(3, 2, requires_grad=True) * 2
    made = cut_off(given)
    assert made.requires_grad
    assert made.grad_fn is None
    assert made.data_ptr() == given.data_ptr()
    assert not cut_off(torch.zeros(1)).requires_grad
    assert cut_off("text") == "text"

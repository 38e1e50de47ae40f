"""Wherever weights and activations are kept, every loss and every gradient is the same bit."""

from typing import Any

import pytest
import torch

from bioicons_kit.errors import PresetError
from bioicons_kit.families import flux, flux_memory
from bioicons_kit.memory import checkpointing, offload
from bioicons_kit.preset import Memory, Train
from tests.memory import small


@pytest.fixture(scope="module", params=["none", "qfloat8", "qint4", small.NF4])
def level(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture(scope="module")
def plain(level: str) -> small.Trained:
    """Training with everything resident and nothing computed twice."""
    return small.train(Memory(dtype="fp32", quantization=level, checkpointing="none"))


@pytest.mark.parametrize(
    "settings",
    [
        {"checkpointing": "full"},
        {"checkpointing": 3},
        {"checkpointing": "full", "checkpoint_inputs": "host"},
        {"checkpointing": "none", "modulation": "ahead"},
        {"offload_blocks": 3},
        {"offload_blocks": 8},
        {
            "checkpointing": 2,
            "checkpoint_inputs": "host",
            "modulation": "ahead",
            "offload_blocks": 4,
        },
    ],
    ids=str,
)
def test_losses_and_gradients_are_bit_equal(
    settings: dict[str, Any], level: str, plain: small.Trained, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(checkpointing, "_WORTH_MOVING", 0)  # the model is small
    made = small.train(Memory(dtype="fp32", quantization=level, **settings))
    assert made.equals(plain)


def test_the_comparison_would_notice_a_difference(level: str, plain: small.Trained):
    other = small.train(Memory(dtype="fp32", quantization="qint8"), steps=1)
    assert other.losses[0] != plain.losses[0]


class TestCheckpointing:
    @pytest.mark.parametrize(
        ("policy", "kept"), [("none", 8), ("full", 0), ("auto", 0), (0, 0), (3, 3), (99, 8)]
    )
    def test_the_policy_is_a_number_of_blocks(self, policy: str | int, kept: int):
        assert checkpointing.kept_blocks(range(8), policy) == kept

    @pytest.mark.parametrize(("policy", "runs"), [("none", 8), (3, 13), ("full", 16)])
    def test_only_blocks_that_keep_nothing_run_again(self, policy: str | int, runs: int):
        model = small.denoiser(Memory(dtype="fp32", quantization="none", checkpointing=policy))
        small.adapted(model)
        count: list[str] = []
        for name in flux_memory.blocks(model):
            model.get_submodule(name).register_forward_pre_hook(lambda *_, n=name: count.append(n))
        settings = Train(batch_size=2)
        flux.loss(model, small.batch(0), settings, small.SCALING).mean().backward()  # type: ignore[no-untyped-call]
        assert len(count) == runs
        again = count[8:]
        assert again == sorted(again, key=count.index, reverse=True)

    def test_inputs_leave_for_the_host_and_come_back(self, monkeypatch: pytest.MonkeyPatch):
        monkeypatch.setattr(checkpointing, "_WORTH_MOVING", 0)
        waiting = checkpointing.WaitingOnHost()
        values = [torch.randn(4, 4, requires_grad=True) for _ in range(3)]
        with waiting.hooks():
            squares = [value.square() for value in values]
        assert [ticket() is not None for ticket in waiting._tickets] == [True] * 3
        torch.stack(squares).sum().backward()  # type: ignore[no-untyped-call]
        assert all(torch.equal(value.grad, 2 * value) for value in values if value.grad is not None)
        del squares
        assert [ticket() for ticket in waiting._tickets if ticket() is not None] == []


class TestOffload:
    def test_a_block_has_its_own_weights_whenever_it_runs(self):
        plain = small.denoiser(Memory(dtype="fp32", quantization="none"))
        moved = small.denoiser(Memory(dtype="fp32", quantization="none", offload_blocks=8))
        wrong = []

        def check(name: str) -> Any:
            def compare(block: torch.nn.Module, _args: Any) -> None:
                own = dict(plain.get_submodule(name).named_parameters())
                wrong.extend(n for n, p in block.named_parameters() if not torch.equal(p, own[n]))

            return compare

        for name in flux_memory.blocks(moved):
            moved.get_submodule(name).register_forward_pre_hook(check(name))
        small.adapted(plain), small.adapted(moved)
        for number in range(2):
            with torch.no_grad():
                flux.loss(moved, small.batch(number), Train(), small.SCALING)
        assert wrong == []

    def test_the_device_has_room_for_two_blocks_only(self):
        model = torch.nn.Sequential(*(torch.nn.Linear(64, 64) for _ in range(6)))
        model.requires_grad_(False)
        whole = sum(layer.weight.nbytes for layer in model)  # type: ignore[union-attr]
        offload.apply(model, [str(n) for n in range(6)], small.CPU)
        storages = {
            layer.weight.untyped_storage().data_ptr(): layer.weight.untyped_storage().nbytes()  # type: ignore[union-attr]
            for layer in model
        }
        model(torch.zeros(1, 64))
        assert sum(storages.values()) <= whole // 3

    def test_a_pass_brings_each_block_once_and_the_way_back_two_less(self):
        model = small.denoiser(Memory(dtype="fp32", quantization="none"))
        small.adapted(model)
        away = offload.apply(model, flux_memory.blocks(model), small.CPU)
        assert away is not None
        loss = flux.loss(model, small.batch(0), Train(), small.SCALING).mean()
        assert away.copies == 8
        loss.backward()  # type: ignore[no-untyped-call]
        assert away.copies == 8 + 6  # the last two were still there
        flux.loss(model, small.batch(1), Train(), small.SCALING).mean()
        assert away.copies == 8 + 6 + 6  # and so are the first two

    def test_without_checkpointing_it_is_an_error_not_a_wrong_gradient(self):
        blocks = [torch.nn.Linear(8, 8).requires_grad_(False) for _ in range(4)]
        model = torch.nn.Sequential(*blocks)
        offload.apply(model, [str(n) for n in range(4)], small.CPU)
        inputs = torch.randn(2, 8, requires_grad=True)
        with pytest.raises(RuntimeError, match="modified by an inplace operation"):
            model(inputs).sum().backward()

    def test_the_adapter_stays_where_it_is(self):
        model = small.denoiser(Memory(dtype="fp32", quantization="qfloat8", offload_blocks=8))
        parameters = small.adapted(model)
        moved = {
            id(t)
            for name in flux_memory.blocks(model)
            for _, _, t in offload.moved(model.get_submodule(name))
        }
        assert parameters
        assert not moved & {id(p) for p in parameters}

    @pytest.mark.parametrize("kept", [0, 4])
    @pytest.mark.parametrize("count", [1, 3, 4])
    def test_the_choice_is_spread_and_leaves_kept_blocks_alone(self, count: int, kept: int):
        names = [f"block.{n}" for n in range(8)]
        chosen = offload.chosen(names, count, kept)
        assert len(set(chosen)) == count
        assert list(chosen) == sorted(chosen, key=names.index)
        assert not set(chosen) & set(names[8 - kept :])

    def test_more_blocks_than_there_are_is_refused(self):
        with pytest.raises(PresetError, match=r"offload_blocks = 7: of the model's 8 blocks 6 are"):
            small.denoiser(Memory(dtype="fp32", offload_blocks=7, checkpointing=2))


class TestAttention:
    def test_torchs_own_by_its_name_is_the_same(self):
        plain = small.denoiser(Memory(dtype="fp32", quantization="none"))
        named = small.denoiser(Memory(dtype="fp32", quantization="none", attention="_native_math"))
        given = small.batch(0)
        with torch.no_grad():
            first, second = (
                flux.loss(model, given, Train(), small.SCALING) for model in (plain, named)
            )
        assert torch.allclose(first, second, rtol=1e-4)

    @pytest.mark.parametrize(
        ("name", "why"),
        [("nonsense", "cannot be used here"), ("sage", "has no backward"), ("flash", "cannot be")],
    )
    def test_what_is_not_to_be_had_is_refused(self, name: str, why: str):
        with pytest.raises(PresetError, match=rf"memory.attention = '{name}': {why}"):
            small.denoiser(Memory(dtype="fp32", attention=name))

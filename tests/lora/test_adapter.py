"""The adapter on the quantized starter: where it attaches, what trains, its way out and in."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from bioicons_kit import families
from bioicons_kit.errors import LoraError, PresetError
from bioicons_kit.families import starter
from bioicons_kit.families.base import Batch, Family
from bioicons_kit.lora import adapter
from bioicons_kit.lora.formats import Layer, read_diffusers, write_diffusers
from bioicons_kit.lora.layer import decomposed
from bioicons_kit.memory.linear import QuantizedLinear
from bioicons_kit.preset import Lora, Memory, Model, Train

CPU = torch.device("cpu")
SOURCE = Path("x.safetensors")
DOUBLE = starter.TRANSFORMER["num_layers"]
SINGLE = starter.TRANSFORMER["num_single_layers"]
ATTENTION = DOUBLE * 8 + SINGLE * 3  # double blocks x 8 projections, single blocks x 3


@pytest.fixture(scope="module")
def family(models: Path) -> Family:
    """The starter FLUX."""
    return families.load(Model(path="starter", max_sequence_length=16), models)


def fresh(family: Family, quantization: str = "qfloat8") -> Any:
    """A newly loaded denoiser."""
    memory = Memory.model_validate({"quantization": quantization, "dtype": "fp32"})
    return family.load_denoiser(memory, CPU, lambda _: None)[0]


@pytest.fixture
def denoiser(family: Family) -> Any:
    """The quantized denoiser of the starter."""
    return fresh(family)


def losses(family: Family, denoiser: nn.Module) -> Tensor:
    """The losses of two fixed samples, as a measure of the denoiser's output."""
    generator = torch.Generator().manual_seed(1)
    text = {"clip.pooled": (128,), "t5.states": (16, 128), "latents.mean": (16, 8, 8)}
    tensors = {name: torch.randn(2, *size, generator=generator) for name, size in text.items()}
    tensors["latents.logvar"] = torch.full((2, 16, 8, 8), -4.0)
    return family.loss(denoiser, Batch(tensors, (1, 2), torch.ones(2)), Train())


def chosen(family: Family, denoiser: nn.Module, *targets: str) -> tuple[str, ...]:
    return adapter.target_modules(denoiser, targets, family.target_sets)


def attached(family: Family, denoiser: nn.Module, *targets: str, **options: Any) -> list[Any]:
    settings = {"rank": 4, "alpha": None, "dropout": 0.0, **options}
    torch.manual_seed(0)
    return adapter.attach(denoiser, chosen(family, denoiser, *targets), **settings)


def fill(denoiser: nn.Module) -> None:
    """Give the up matrices values, as training would."""
    generator = torch.Generator().manual_seed(2)
    for name, parameter in denoiser.named_parameters():
        if "lora_B" in name:
            parameter.data = torch.randn(parameter.shape, generator=generator)


def test_sets_choose_their_modules(family: Family, denoiser: Any) -> None:
    attention = chosen(family, denoiser, "attention")
    assert len(attention) == ATTENTION
    assert all(".attn." in name for name in attention)
    feed_forward = chosen(family, denoiser, "feed_forward")
    assert len(feed_forward) == DOUBLE * 4 + SINGLE * 2
    assert not set(attention) & set(feed_forward)
    both = chosen(family, denoiser, "attention", "feed_forward")
    assert set(both) == {*attention, *feed_forward}
    everything = chosen(family, denoiser, "all")
    assert set(both) < set(everything)
    assert {name.split(".")[0] for name in everything} == {
        "transformer_blocks",
        "single_transformer_blocks",
    }


def test_choices_stand_in_the_models_order_and_once(family: Family, denoiser: Any) -> None:
    names = chosen(family, denoiser, "feed_forward", "attention", "attention")
    order = [name for name, _ in denoiser.named_modules() if name in set(names)]
    assert list(names) == order


def test_the_skeleton_gives_the_same_choice_as_the_loaded_model(
    family: Family, denoiser: Any
) -> None:
    assert chosen(family, family.skeleton(), "all") == chosen(family, denoiser, "all")


def test_a_pattern_matches_whole_names(family: Family, denoiser: Any) -> None:
    block = r"transformer_blocks\.1\.attn\.to_[qk]"
    assert chosen(family, denoiser, block) == (
        "transformer_blocks.1.attn.to_q",
        "transformer_blocks.1.attn.to_k",
    )
    with pytest.raises(PresetError, match=r"'to_q' matches no linear layer"):
        chosen(family, denoiser, "to_q")
    with pytest.raises(PresetError):
        chosen(family, denoiser, r"transformer_blocks\.1\.attn")  # no linear, only holds some


def test_an_unknown_target_lists_the_sets(family: Family, denoiser: Any) -> None:
    with pytest.raises(PresetError) as caught:
        chosen(family, denoiser, "attention", "atention")
    message = str(caught.value)
    assert "'atention' matches no linear layer" in message
    assert "did you mean 'attention'" in message
    assert "attention, feed_forward, all" in message
    assert "transformer_blocks." in message  # what a name looks like


def test_only_the_adapter_trains_in_float32_and_starts_at_zero(
    family: Family, denoiser: Any
) -> None:
    before = losses(family, denoiser)
    parameters = attached(family, denoiser, "attention")
    training = {n: p for n, p in denoiser.named_parameters() if p.requires_grad}
    assert {id(p) for p in parameters} == {id(p) for p in training.values()}
    assert len(training) == 2 * ATTENTION
    for name, parameter in training.items():
        assert ("lora_A" in name) != ("lora_B" in name)
        assert parameter.dtype == torch.float32
        assert bool(parameter.any()) == ("lora_A" in name)
    assert torch.equal(losses(family, denoiser), before)


def test_the_adapter_is_float32_on_a_bfloat16_model(family: Family) -> None:
    memory = Memory(dtype="bf16")
    denoiser: Any = family.load_denoiser(memory, CPU, lambda _: None)[0]
    parameters = attached(family, denoiser, "attention")
    assert {p.dtype for p in parameters} == {torch.float32}
    assert {p.dtype for p in denoiser.parameters() if not p.requires_grad} == {torch.bfloat16}


def test_gradients_reach_the_adapter_and_nothing_else_changes(
    family: Family, denoiser: Any
) -> None:
    frozen = {
        name: tensor.detach().clone()
        for name, tensor in [*denoiser.named_parameters(), *denoiser.named_buffers()]
    }
    parameters = attached(family, denoiser, "attention")
    fill(denoiser)
    denoiser.train()
    optimizer = torch.optim.AdamW(parameters, lr=1e-2)
    before = [p.detach().clone() for p in parameters]
    losses(family, denoiser).mean().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in parameters)
    optimizer.step()
    assert not any(torch.equal(a, b) for a, b in zip(before, parameters, strict=True))
    now = {
        name.replace(".base_layer", ""): tensor
        for name, tensor in [*denoiser.named_parameters(), *denoiser.named_buffers()]
        if "lora_" not in name
    }
    assert now.keys() == frozen.keys()
    for name, tensor in frozen.items():
        same = torch.equal(now[name].view(torch.uint8), tensor.view(torch.uint8))
        assert same, name


def test_the_same_seed_gives_the_same_adapter(family: Family) -> None:
    one, other = fresh(family), fresh(family)
    first, second = attached(family, one, "all"), attached(family, other, "all")
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


@pytest.mark.parametrize("alpha", [None, 1.0, 8.0])
def test_the_change_is_alpha_over_rank_times_up_times_down(
    family: Family, alpha: float | None
) -> None:
    """Checked against a bare, unquantized model whose weights were changed by hand."""
    denoiser, bare = fresh(family, "none"), fresh(family, "none")
    attached(family, denoiser, "attention", alpha=alpha)
    fill(denoiser)
    plain = losses(family, bare)
    for name, update in adapter.extract(denoiser).items():
        assert update.alpha == (4 if alpha is None else alpha)
        scale = update.alpha / 4
        bare.get_submodule(name).weight.data += scale * update.up @ update.down
    effect = losses(family, bare) - plain
    rounding = 3e-6  # of losses near 1, summed in another order
    assert effect.abs().min() > 100 * rounding
    assert torch.allclose(losses(family, denoiser) - plain, effect, rtol=0, atol=rounding)


def test_dropout_works_in_training_only(family: Family, denoiser: Any) -> None:
    attached(family, denoiser, "attention", dropout=0.5)
    fill(denoiser)
    denoiser.eval()
    assert torch.equal(losses(family, denoiser), losses(family, denoiser))
    denoiser.train()
    assert not torch.equal(losses(family, denoiser), losses(family, denoiser))


@pytest.mark.parametrize("quantization", ["qfloat8", "qint8", "none"])
def test_what_is_taken_out_and_put_in_again_gives_the_same_output(
    family: Family, quantization: str
) -> None:
    denoiser = fresh(family, quantization)
    attached(family, denoiser, "all", alpha=6.0)
    fill(denoiser)
    layers = adapter.extract(denoiser)
    assert {(p.device.type, p.dtype) for x in layers.values() for p in (x.up, x.down)} == {
        ("cpu", torch.float32)
    }
    again = fresh(family, quantization)
    adapter.restore(again, layers, SOURCE)
    assert torch.equal(losses(family, again), losses(family, denoiser))
    assert {p.dtype for p in again.parameters() if p.requires_grad} == {torch.float32}


def test_the_way_through_a_file_gives_the_same_output(
    family: Family, denoiser: Any, tmp_path: Path
) -> None:
    attached(family, denoiser, "attention", alpha=8.0)  # 8 / 4: a power of two folds exactly
    fill(denoiser)
    path = write_diffusers(tmp_path / "x", adapter.extract(denoiser), family.lora_prefix, {})
    again = fresh(family)
    adapter.restore(again, read_diffusers(path, family.lora_prefix)[0], path)
    assert torch.allclose(losses(family, again), losses(family, denoiser), rtol=1e-5)


def test_names_that_end_alike_are_not_confused(family: Family, denoiser: Any) -> None:
    """Each layer keeps its own rank, alpha and values, and no other module gets one."""
    generator = torch.Generator().manual_seed(3)
    shapes = {
        "transformer_blocks.0.attn.to_q": (192, 192, 2, 1.0),
        "single_transformer_blocks.0.attn.to_q": (192, 192, 3, 5.0),
        "transformer_blocks.1.attn.to_q": (192, 192, 1, 0.25),
        "single_transformer_blocks.0.proj_out": (960, 192, 4, 2.0),
        "proj_out": (192, 64, 5, 7.0),  # of the model itself: eight blocks have one, too
    }
    layers = {
        name: Layer(
            torch.randn(rank, inside, generator=generator),
            torch.randn(outside, rank, generator=generator),
            alpha,
        )
        for name, (inside, outside, rank, alpha) in shapes.items()
    }
    adapter.restore(denoiser, layers, SOURCE)
    found = adapter.extract(denoiser)
    assert found.keys() == layers.keys()
    for name, update in layers.items():
        assert (found[name].rank, found[name].alpha) == (update.rank, update.alpha)
        assert torch.equal(found[name].down, update.down)
        assert torch.equal(found[name].up, update.up)


def test_a_target_that_ends_like_others_is_attached_alone(family: Family, denoiser: Any) -> None:
    attached(family, denoiser, "proj_out")
    assert adapter.extract(denoiser).keys() == {"proj_out"}


@pytest.mark.parametrize(("inside", "outside"), [(191, 192), (192, 193)])
def test_a_layer_of_other_widths_is_refused_by_name(
    family: Family, denoiser: Any, inside: int, outside: int
) -> None:
    name = "transformer_blocks.0.attn.to_q"
    layers = {name: Layer(torch.ones(2, inside), torch.ones(outside, 2), 2.0)}
    with pytest.raises(LoraError) as caught:
        adapter.restore(denoiser, layers, SOURCE)
    message = str(caught.value)
    assert f"x.safetensors: module '{name}' is {inside} -> {outside} wide" in message
    assert "192 -> 192" in message


def test_a_layer_for_a_module_that_is_not_there_is_refused_by_name(
    family: Family, denoiser: Any
) -> None:
    layers = {"transformer_blocks.40.attn.to_q": Layer(torch.ones(2, 192), torch.ones(192, 2), 2.0)}
    with pytest.raises(LoraError, match=r"'transformer_blocks\.40\.attn\.to_q' is not in this"):
        adapter.restore(denoiser, layers, SOURCE)
    before = losses(family, denoiser)
    assert not adapter.extract(denoiser)  # and nothing was attached
    assert torch.equal(losses(family, denoiser), before)


def create(family: Family, denoiser: nn.Module, **settings: Any) -> tuple[str, ...]:
    """Attach what a preset's [lora] says; return the modules."""
    lora = Lora.model_validate({"rank": 4, **settings})
    names = chosen(family, denoiser, *lora.targets)
    torch.manual_seed(0)
    adapter.create(denoiser, names, lora)
    return names


def test_style_is_the_second_half_of_the_single_blocks(family: Family, denoiser: Any) -> None:
    names = chosen(family, denoiser, "style")
    assert {name.split(".")[1] for name in names} == {str(at) for at in range(SINGLE // 2, SINGLE)}
    assert all(name.startswith("single_transformer_blocks.") for name in names)
    assert len(names) == SINGLE // 2 * 5  # q, k, v, proj_mlp, proj_out
    assert not any("norm" in name for name in names)


def test_a_plain_lora_is_what_a_presets_is(family: Family) -> None:
    one, other = fresh(family), fresh(family)
    attached(family, one, "attention", alpha=8.0)
    create(family, other, alpha=8.0)
    first, second = adapter.named(one), adapter.named(other)
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_names_are_the_bare_models_and_hold_every_parameter(family: Family, denoiser: Any) -> None:
    parameters = attached(family, denoiser, "attention")
    named = adapter.named(denoiser)
    assert {id(p) for p in named.values()} == {id(p) for p in parameters}
    names = chosen(family, family.skeleton(), "attention")
    assert set(named) == {f"{name}.{kind}" for name in names for kind in ("down", "up")}


def test_parts_have_ranks_and_alphas_of_their_own(family: Family, denoiser: Any) -> None:
    parts = [
        {"modules": r"transformer_blocks\.0\..*", "rank": 8},
        {"modules": r"transformer_blocks\..*", "rank": 2, "alpha": 1.0},
        {"modules": r".*to_q", "learning_rate": 0.1},
    ]
    create(family, denoiser, alpha=3.0, parts=parts)
    found = {n: (x.rank, x.alpha) for n, x in adapter.extract(denoiser).items()}
    assert found["transformer_blocks.0.attn.to_q"] == (8, 3.0)  # the first that matches
    assert found["transformer_blocks.1.attn.to_q"] == (2, 1.0)
    assert found["single_transformer_blocks.0.attn.to_q"] == (4, 3.0)
    assert set(found.values()) == {(8, 3.0), (2, 1.0), (4, 3.0)}


def test_alpha_is_the_parts_own_rank_where_nobody_gives_one(family: Family, denoiser: Any) -> None:
    create(family, denoiser, parts=[{"modules": r"transformer_blocks\..*", "rank": 8}])
    assert {(x.rank, x.alpha) for x in adapter.extract(denoiser).values()} == {(4, 4.0), (8, 8.0)}


def test_a_part_that_matches_nothing_is_refused(family: Family, denoiser: Any) -> None:
    with pytest.raises(
        PresetError, match=rf"lora\.parts: 'to_q' matches none of the {ATTENTION} modules"
    ):
        create(family, denoiser, parts=[{"modules": "to_q", "rank": 8}])


def test_rslora_scales_by_the_root_and_every_reader_sees_it(
    family: Family, denoiser: Any, tmp_path: Path
) -> None:
    create(family, denoiser, alpha=3.0, rslora=True, parts=[{"modules": ".*to_k", "rank": 9}])
    fill(denoiser)
    layers = adapter.extract(denoiser)
    for name, layer in layers.items():
        assert layer.scale == pytest.approx(3 / 3 if name.endswith("to_k") else 3 / 2)
    path = write_diffusers(tmp_path / "x", layers, family.lora_prefix, {})
    content = load_file(path)
    for name, layer in layers.items():  # as one reads it who knows of no alpha
        up, down = (content[f"transformer.{name}.lora_{k}.weight"] for k in "BA")
        torch.testing.assert_close(up @ down, layer.delta())


def test_what_is_put_keeps_its_update_in_a_wider_adapter(family: Family) -> None:
    one, other = fresh(family), fresh(family)
    attached(family, one, "attention", alpha=6.0)
    fill(one)
    layers = adapter.extract(one)
    create(family, other, rank=7, alpha=2.0)
    adapter.put(other, layers)
    for name, layer in adapter.extract(other).items():
        assert layer.rank == 7
        torch.testing.assert_close(layer.delta(), layers[name].delta())
        assert layer.down[4:].any()  # free to learn
    torch.testing.assert_close(losses(family, other), losses(family, one))


class TestDora:
    def test_begins_as_the_base_model(self, family: Family) -> None:
        denoiser = fresh(family, "none")
        before = losses(family, denoiser)
        create(family, denoiser, dora=True)
        torch.testing.assert_close(losses(family, denoiser), before, rtol=1e-5, atol=0)
        kinds = {name.rpartition(".")[2] for name in adapter.named(denoiser)}
        assert kinds == {"down", "up", "magnitude"}

    def test_trains_all_three_and_computes_what_the_paper_says(self, family: Family) -> None:
        """Against a bare model whose weights were decomposed by hand: m * V / |V|."""
        denoiser, bare = fresh(family, "none"), fresh(family, "none")
        create(family, denoiser, dora=True, alpha=2.0)
        denoiser.train()
        fill(denoiser)
        losses(family, denoiser).mean().backward()
        named = adapter.named(denoiser)
        assert all(p.grad is not None and bool(p.grad.abs().sum() > 0) for p in named.values())
        with torch.no_grad():
            for name, parameter in named.items():
                if name.endswith(".magnitude"):
                    parameter.mul_(1.1)
        for name, layer in adapter.extract(denoiser).items():
            weight = bare.get_submodule(name).weight
            weight.data = decomposed(weight.data, layer)
        expected = losses(family, bare)
        torch.testing.assert_close(losses(family, denoiser), expected, rtol=1e-4, atol=1e-5)

    def test_the_way_through_a_file_gives_the_same_output(
        self, family: Family, tmp_path: Path
    ) -> None:
        denoiser = fresh(family, "none")
        create(family, denoiser, dora=True, alpha=8.0)
        fill(denoiser)
        path = write_diffusers(tmp_path / "x", adapter.extract(denoiser), family.lora_prefix, {})
        again = fresh(family, "none")
        adapter.restore(again, read_diffusers(path, family.lora_prefix)[0], path)
        torch.testing.assert_close(
            losses(family, again), losses(family, denoiser), rtol=1e-5, atol=1e-6
        )

    def test_layers_without_a_magnitude_keep_their_update(self, family: Family) -> None:
        denoiser = fresh(family, "none")
        create(family, denoiser)
        fill(denoiser)
        layers = adapter.extract(denoiser)
        name = next(iter(layers))
        size = (denoiser.get_submodule(name).base_layer.weight + layers[name].delta()).norm(dim=1)
        layers[name] = replace(layers[name], dora=size[:, None].detach())
        again = fresh(family, "none")
        adapter.restore(again, layers, SOURCE)
        torch.testing.assert_close(
            losses(family, again), losses(family, denoiser), rtol=1e-4, atol=1e-5
        )

    def test_magnitudes_of_columns_are_refused(self, family: Family) -> None:
        name = "transformer_blocks.0.attn.to_q"
        update = Layer(torch.ones(2, 192), torch.ones(192, 2), 2.0, torch.ones(1, 192))
        denoiser = fresh(family, "none")
        with pytest.raises(LoraError, match="magnitudes of columns"):
            adapter.restore(denoiser, {name: update}, SOURCE)


def test_a_dora_layer_is_refused_and_not_attached_without_it(family: Family, denoiser: Any) -> None:
    name = "transformer_blocks.0.attn.to_q"
    update = Layer(torch.ones(2, 192), torch.ones(192, 2), 2.0, torch.ones(192, 1))
    with pytest.raises(LoraError, match=r"'transformer_blocks\.0\.attn\.to_q' has a DoRA scale"):
        adapter.restore(denoiser, {name: update}, SOURCE)
    assert not adapter.extract(denoiser)


def test_the_base_stays_quantized_below_the_adapter(family: Family, denoiser: Any) -> None:
    attached(family, denoiser, "attention")
    for name in adapter.extract(denoiser):
        assert isinstance(denoiser.get_submodule(name).base_layer, QuantizedLinear), name

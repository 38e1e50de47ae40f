"""Modulation computed ahead: the same bits, without the weights on the device."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from accelerate import init_empty_weights

from bioicons_kit import families
from bioicons_kit.errors import PresetError
from bioicons_kit.families import flux, flux_blueprint, flux_memory
from bioicons_kit.memory import modulation
from bioicons_kit.preset import Memory, Model, Sample, Train
from tests.memory import small

AHEAD = Memory(dtype="fp32", quantization="none", modulation="ahead")


def test_at_the_real_config_27_percent_of_the_parameters_leave_the_device():
    from diffusers import FluxTransformer2DModel

    with init_empty_weights(include_buffers=False):
        model: Any = FluxTransformer2DModel.from_config(dict(flux_blueprint.TRANSFORMER))
    before = sum(p.numel() for p in model.parameters())
    names = flux_memory.modulation_linears(model)
    values = sum(model.get_submodule(name).out_features for name in names)
    modulation.put_ahead(model, names)
    after = sum(p.numel() for p in model.parameters())
    assert before == 11_901_408_320
    assert before - after == 3_228_567_552 + 18_880_512  # the blocks', and the end's
    assert (before - after) / before == pytest.approx(0.2729, abs=1e-4)
    assert values == 1_056_768


def test_a_model_that_is_moved_or_saved_leaves_them_alone():
    model = small.denoiser(AHEAD)
    linears = [m.linear for m in model.modules() if isinstance(m, modulation.AheadLinear)]
    assert len(linears) == 3 * 2 + 5 + 1
    model.to(torch.float64)
    assert {linear.weight.dtype for linear in linears} == {torch.float32}
    assert not any("norm1.linear" in name for name in model.state_dict())


def test_the_vector_is_the_one_that_the_model_computes():
    model = small.denoiser(Memory(dtype="fp32", quantization="none"))
    seen: list[torch.Tensor] = []
    for name in flux_memory.modulation_linears(model):
        model.get_submodule(name).register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    given, settings = small.batch(5), Train()
    with torch.no_grad():
        flux.loss(model, given, settings, small.SCALING)
        level = flux_memory.levels(given, settings)
        ours = flux_memory.vector(
            model, level, torch.full((2,), settings.guidance), given.tensors["clip.pooled"]
        )
    assert len(seen) == 12
    assert all(torch.equal(each, ours) for each in seen)


@pytest.mark.parametrize("chunk", [1, 2, 64])
def test_the_pieces_it_is_computed_in_make_no_difference(
    chunk: int, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(modulation, "SAMPLES_AHEAD", 2 * chunk)
    model = small.denoiser(AHEAD)
    made = list(flux_memory.prepared(model, small.stream(), Train(batch_size=2), 5))
    assert len(made) == 5
    assert [each.seeds for each in made] == [small.batch(n).seeds for n in range(5)]
    for each in made:
        (alone,) = flux_memory.prepared(model, iter([small.batch(each.seeds[0] // 2)]), Train(), 1)
        assert torch.equal(each.tensors[modulation.KEY], alone.tensors[modulation.KEY])


def test_no_more_is_taken_from_the_stream_than_is_to_come():
    taken: list[int] = []

    def counted() -> Iterator[Any]:
        for number, each in enumerate(small.stream()):
            taken.append(number)
            yield each

    list(flux_memory.prepared(small.denoiser(AHEAD), counted(), Train(batch_size=2), 3))
    assert taken == [0, 1, 2]


def test_a_batch_that_was_not_prepared_is_computed_when_it_comes():
    plain, ahead = small.denoiser(Memory(dtype="fp32", quantization="none")), small.denoiser(AHEAD)
    with torch.no_grad():
        losses = [flux.loss(m, small.batch(3), Train(), small.SCALING) for m in (plain, ahead)]
    assert torch.equal(*losses)


def test_pictures_are_the_same_and_cost_one_visit_of_the_weights(
    models: Path, monkeypatch: pytest.MonkeyPatch
):
    visits: list[int] = []
    own = modulation.answers

    def counted(model: Any, vectors: Any) -> Any:
        visits.append(len(vectors))
        return own(model, vectors)

    monkeypatch.setattr(modulation, "answers", counted)
    family = families.load(Model(path="starter", max_sequence_length=16), models)
    text = {"t5.states": torch.randn(16, 128), "clip.pooled": torch.randn(128)}
    drawn, steps = [], []
    for where in ("resident", "ahead"):
        memory = Memory(quantization="none", modulation=where)  # type: ignore[arg-type]
        model, _ = family.load_denoiser(memory, small.CPU, lambda _: None)
        draw = family.sampler(model, small.CPU)
        picture = draw(text, 7, Sample(steps=3), (64, 64), lambda: steps.append(1))
        drawn.append(picture.tobytes())
    assert drawn[0] == drawn[1]
    assert visits == [3]
    assert len(steps) == 6  # the rehearsal counts for none


def test_an_adapter_on_it_is_refused():
    model = small.denoiser(Memory(dtype="fp32", quantization="none"))
    names = [n for n, m in model.named_modules() if isinstance(m, torch.nn.Linear)]
    modulation.refuse_trained(["single_transformer_blocks.0.attn.to_q"], names[:0])
    for trained in (
        "single_transformer_blocks.1.norm.linear",
        "time_text_embed.text_embedder.linear_1",
    ):
        both = filter(flux_memory.makes_modulation, names)
        with pytest.raises(PresetError, match=rf"train 1 of the .* first {trained}"):
            modulation.refuse_trained([trained], both)

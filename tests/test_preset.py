"""What a preset may say: types, ranges, and combinations that cannot apply."""

import math
import subprocess
import sys
from typing import Any

import pytest
from pydantic import ValidationError

from bioicons_kit import preset_errors
from bioicons_kit.preset import Lora, Model, Preset, Sample, Tables, Train


def tables(**changes: dict[str, Any]) -> dict[str, Any]:
    """Return the smallest valid preset, with keys of some tables changed."""
    least: dict[str, dict[str, Any]] = {
        "model": {"path": "starter"},
        "dataset": {"root": "shipped", "trigger": "bioicon style", "buckets": [{}]},
    }
    for name, keys in changes.items():
        least[name] = least.get(name, {}) | keys
    return least


def complaint(**changes: dict[str, Any]) -> str:
    with pytest.raises(ValidationError) as caught:
        Tables.model_validate(tables(**changes))
    (problem,) = preset_errors.problems(caught.value)
    return problem.text


def test_defaults_are_those_of_the_contract():
    preset = Preset(name="x", **tables())
    assert preset.model.family == "flux"
    assert preset.dataset.caption == "{trigger}, {article} {name}"
    assert preset.dataset.buckets[0].category == ()
    assert (preset.lora.rank, preset.lora.alpha, preset.lora.targets) == (16, None, ("attention",))
    assert (preset.memory.quantization, preset.memory.checkpointing) == ("qfloat8", "full")
    assert (preset.train.steps, preset.train.learning_rate) == (1000, 1e-4)
    assert (preset.train.timestep_sampling, preset.train.guidance) == ("flux_shift", 1.0)
    assert (preset.sample.steps, preset.sample.guidance) == (28, 3.5)


def test_a_preset_is_frozen_and_hashable():
    preset = Preset(name="x", **tables())
    with pytest.raises(ValidationError):
        preset.train.steps = 3  # type: ignore[misc]
    assert len({preset, Preset(name="x", **tables())}) == 1


def test_one_string_stands_for_a_list_of_one():
    preset = Preset(name="x", **tables(dataset={"buckets": [{"category": "Animals"}]}))
    assert preset.dataset.buckets[0].category == ("Animals",)
    assert Lora(targets="to_q$").targets == ("to_q$",)  # type: ignore[arg-type]
    assert Sample(prompts=["a", "b"]).prompts == ("a", "b")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("given", "kept"),
    [("White", "#ffffff"), ("black", "#000000"), ("#A0b1C2", "#a0b1c2")],
)
def test_background_is_normalized(given: str, kept: str):
    assert Preset(name="x", **tables(dataset={"background": given})).dataset.background == kept


@pytest.mark.parametrize(
    ("table", "key", "value", "must"),
    [
        ("train", "steps", "20", "must be an integer"),
        ("train", "steps", True, "must be an integer"),
        ("train", "steps", 2.0, "must be an integer"),
        ("train", "steps", 0, "must be at least 1"),
        ("train", "steps", 1_000_001, "must be at most 1000000"),
        ("train", "seed", 2**32, "must be at most 4294967295"),
        ("train", "learning_rate", "1e-4", "must be a number"),
        ("train", "learning_rate", True, "must be a number"),
        ("train", "learning_rate", 0.0, "must be above 0"),
        ("train", "learning_rate", 5.0, "must be at most 1"),
        ("train", "learning_rate", math.nan, "must be a finite number"),
        ("train", "max_grad_norm", math.inf, "must be a finite number"),
        ("train", "optimizer", "sgd", "must be 'adamw'"),
        ("memory", "checkpointing", -1, "must be true or false, 'full', 'none', 'auto', or"),
        ("memory", "checkpointing", "some", "must be true or false, 'full', 'none', 'auto', or"),
        ("memory", "fit", "16", "must be 'auto' or a card's memory"),
        ("memory", "fit", 16, "must be 'auto' or a card's memory"),
        ("memory", "offload_blocks", 2, "cannot apply: two blocks are on the GPU"),
        ("memory", "attention", "Flash 3", "must be diffusers' name of an attention backend"),
        ("memory", "quantization", "int4", "must be 'none', 'qfloat8', 'qint8', 'qint4' or 'nf4'"),
        ("dataset", "resolution", 100, "must be a multiple of 16"),
        ("dataset", "resolution", 48, "must be at least 64"),
        ("dataset", "margin", 0.5, "must be at most 0.4"),
        ("dataset", "background", "#fff", "must be a color"),
        ("dataset", "caption", "{kind} of {name}", "has an unknown placeholder {kind}"),
        ("dataset", "caption", "{name!r}", "has an unknown placeholder {name!r}"),
        ("dataset", "caption", "{name", "has a brace without its partner"),
        ("dataset", "caption", "{{name}}", "has a brace without its partner"),
        ("dataset", "root", 3, "must be a string"),
        ("dataset", "root", "", "must not be empty"),
        ("cache", "root", "a\x00b", "must not hold control characters"),
        ("output", "name", "../up", "must be a plain folder name"),
        ("output", "name", ".hidden", "must be a plain folder name"),
        ("output", "name", "n" * 101, "must have at most 100 characters"),
        ("sample", "width", 65, "must be a multiple of 16"),
        ("lora", "alpha", 0, "must be above 0"),
    ],
)
def test_a_bad_value_is_named_with_what_it_must_be(table: str, key: str, value: Any, must: str):
    text = complaint(**{table: {key: value}})
    assert text.startswith(f"[{table}]: {key} = {preset_errors.show(value)} {must}")


def test_an_unusable_pattern_is_named_with_its_index():
    text = complaint(lora={"targets": ["attention", "to_q("]})
    assert text.startswith("[lora]: targets[1] = 'to_q(' is no regular expression: missing )")
    assert "must have at least one entry" in complaint(lora={"targets": []})
    assert complaint(lora={"targets": 3}) == "[lora]: targets = 3 must be a list"


def test_every_placeholder_of_a_caption_is_accepted():
    caption = "{trigger} {article} {name} {category}"
    assert Preset(name="x", **tables(dataset={"caption": caption})).dataset.caption == caption


def test_a_caption_with_a_trigger_needs_one():
    text = complaint(dataset={"trigger": " "})
    assert text.startswith("[dataset]: trigger is empty, but the caption template uses {trigger}")
    plain = tables(dataset={"trigger": "", "caption": "{article} {name}"})
    assert Preset(name="x", **plain).dataset.trigger == ""


def test_warmup_must_end_before_the_training():
    text = complaint(train={"steps": 10, "warmup_steps": 10})
    assert text == "[train]: warmup_steps = 10 must be below steps = 10"
    assert Train(steps=10, warmup_steps=9).warmup_steps == 9


@pytest.mark.parametrize("path", ["starter", "/models/flux", "flux"])
def test_a_revision_applies_to_hub_models_only(path: str):
    text = complaint(model={"path": path, "revision": "main"})
    assert text.startswith("[model]: revision cannot apply: path is not a hub id")
    assert Model(path="owner/name", revision="main").is_hub


def test_a_variant_does_not_apply_to_the_starter_model():
    assert "variant cannot apply" in complaint(model={"variant": "bf16"})
    assert Model(path="/models/flux", variant="bf16").variant == "bf16"


def test_every_key_has_a_description():
    for table, field in Tables.model_fields.items():
        cls = preset_errors.table_class(Tables, table)
        assert field.description
        assert cls is not None
        assert all(key.description for key in cls.model_fields.values())


def test_presets_need_no_torch():
    script = "import sys, bioicons_kit.preset_file; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0

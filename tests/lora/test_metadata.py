"""What a LoRA file says of itself."""

import json
from pathlib import Path
from typing import Any

import pytest

from bioicons_kit import __version__, preset_file
from bioicons_kit.lora.metadata import header
from bioicons_kit.preset import Preset

RECORDS = [
    {"author": "Zoë", "license": "CC0-1.0", "repeats": 2},
    {"author": "Ann", "license": "MIT", "repeats": 3},
    {"author": "Ann", "license": "CC0-1.0", "repeats": 1},
]


def made(preset: Preset, records: list[dict[str, Any]] = RECORDS) -> dict[str, str]:
    return header(preset, "flux-1-dev/lora", records, "abc123")


@pytest.fixture
def preset(small_preset: Path) -> Preset:
    """The small preset with every number of its header set to another value."""
    overrides = ["lora.rank=4", "lora.alpha=2", "train.steps=7", "train.seed=3"]
    return preset_file.load(small_preset, overrides)


def test_every_value_is_text_as_safetensors_wants_it(preset: Preset) -> None:
    for key, value in made(preset).items():
        assert isinstance(key, str)
        assert isinstance(value, str)


def test_it_says_model_settings_data_and_licenses(preset: Preset) -> None:
    expected = {
        "modelspec.sai_model_spec": "1.0.1",
        "modelspec.architecture": "flux-1-dev/lora",
        "modelspec.title": "small",
        "modelspec.resolution": "64x64",
        "modelspec.trigger_phrase": "bioicon style",
        "ss_network_dim": "4",
        "ss_learning_rate": "0.001",
        "ss_steps": "7",
        "ss_seed": "3",
        "ss_num_train_images": "6",
        "bioicons_kit.version": __version__,
        "bioicons_kit.manifest_sha256": "abc123",
        "bioicons_kit.trained_alpha": "2.0",
    }
    assert expected.items() <= made(preset).items()
    assert json.loads(made(preset)["bioicons_kit.training_licenses"]) == {"CC0-1.0": 2, "MIT": 1}
    assert json.loads(made(preset)["bioicons_kit.training_authors"]) == ["Ann", "Zoë"]
    assert "Zoë" in made(preset)["bioicons_kit.training_authors"]


def test_the_alpha_it_names_is_that_of_the_file_whose_weights_hold_it(preset: Preset) -> None:
    """alpha / rank is folded into the weights: a tool that applied it again would be wrong."""
    said = made(preset)
    assert float(said["ss_network_alpha"]) == float(said["ss_network_dim"]) == 4


def test_no_date_and_no_path_is_in_it(preset: Preset, tmp_path: Path) -> None:
    text = " ".join(made(preset).values())
    assert str(tmp_path) not in text
    assert not any("date" in key for key in made(preset))
    assert made(preset) == made(preset)

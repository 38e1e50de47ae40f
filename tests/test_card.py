"""The model card: metadata a parser reads, terms, credits; what strangers wrote stays text."""

import json
import tomllib
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import ModelCard

from bioicons_kit import card
from bioicons_kit.preset import Preset

HOSTILE = 'x"\n---\nlicense: mit <script>alert(1)</script> [a](javascript:b)'
PRESET = """
[model]
path = {path}
[dataset]
root = "shipped"
trigger = "bioicon style"
[[dataset.buckets]]
"""


def preset(path: str, **changes: Any) -> Preset:
    """Return a preset with a model."""
    tables = tomllib.loads(PRESET.format(path=f'"{path}"'))
    return Preset.model_validate({"name": "icons", **tables, **changes})


def record(license_: str = "CC0-1.0", author: str = "Ann", title: str = "mouse") -> dict[str, Any]:
    """Return a manifest's record."""
    return {"license": license_, "author": author, "title": title, "text": f"a {title}"}


def parsed(text: str) -> ModelCard:
    """Return a card as the hub reads it."""
    return ModelCard(text)


def test_flux_dev_has_its_license_its_notice_and_says_it_is_modified():
    text = card.markdown(preset(card.FLUX_DEV), [record()], [("a mouse", "samples/0.png")])
    data = parsed(text).data
    assert data.base_model == card.FLUX_DEV
    assert (data.license, data.license_name) == ("other", "flux-1-dev-non-commercial-license")
    assert data.license_link.startswith("https://huggingface.co/black-forest-labs/FLUX.1-dev/")
    assert data.library_name == "diffusers"
    assert data.pipeline_tag == "text-to-image"
    assert data.tags == ["flux", "lora", "diffusers", "template:sd-lora", "bioicons_kit"]
    assert data.instance_prompt == "bioicon style"
    assert data.to_dict()["widget"] == [{"text": "a mouse", "output": {"url": "samples/0.png"}}]
    assert "This LoRA modifies FLUX.1 [dev]" in text
    assert "non-commercial" in text
    assert "Copyright Black Forest Labs" in text


def test_the_starter_is_apache_and_names_no_hub_model():
    text = card.markdown(preset("starter"), [record()], [])
    data = parsed(text).data
    assert data.license == "apache-2.0"
    assert data.base_model is None
    assert "Apache-2.0" in text
    assert "Black Forest" not in text


def test_a_folder_says_its_name_and_no_path():
    text = card.markdown(preset("/home/ann/secret/tiny-model"), [record()], [])
    assert "tiny-model" in text
    assert "/home/ann" not in text
    assert "derivative" in text
    assert parsed(text).data.license == "other"


@pytest.mark.parametrize(("license_", "told"), [("CC-BY-SA-4.0", True), ("CC-BY-4.0", False)])
def test_share_alike_is_told_where_there_is_any(license_: str, told: bool):
    text = card.markdown(preset("starter"), [record(), record(license_)], [])
    assert ("share-alike licenses" in text) == told
    assert license_ in text
    assert "2 pictures by 1 author." in text


def test_what_strangers_wrote_neither_ends_the_metadata_nor_becomes_markup():
    changes = {
        "dataset": {
            "root": "shipped",
            "trigger": "s",
            "buckets": [{}],
        },
        "sample": {"prompts": [HOSTILE]},
    }
    text = card.markdown(preset("starter", **changes), [record()], [(HOSTILE, "samples/0.png")])
    read = parsed(text)
    assert read.data.license == "apache-2.0"
    assert read.data.to_dict()["widget"][0]["text"] == HOSTILE
    before, code, after = read.text.split("```")  # in which markup means nothing
    assert json.dumps(HOSTILE) in code
    assert "<script>" not in before + after
    assert "[a](javascript" not in before + after


def test_pictures_are_found_by_prompt(tmp_path: Path):
    samples = tmp_path / "samples"
    samples.mkdir()
    for name in ("00-a.base.png", "00-a.lora.png", "01-b.lora.png"):
        (samples / name).touch()
    found = card.pictures(samples, ("a", "b", "c"), tmp_path)
    assert found == [("a", "samples/00-a.lora.png"), ("b", "samples/01-b.lora.png")]

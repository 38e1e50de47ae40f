"""The presets that come with the kit: each loads, and asks for what its comments say."""

import os
from collections import Counter
from pathlib import Path

import pytest

from bioicons_kit.icons import library, select
from bioicons_kit.preset_file import load

PRESETS = sorted((Path(__file__).parent.parent / "presets").glob("*.toml"))
ROOT = os.environ.get("BIOICONS_ROOT", "")
PERMISSIVE = {"CC0-1.0", "MIT", "BSD-3-Clause", "CC-BY-3.0", "CC-BY-4.0"}

with_icons = pytest.mark.skipif(not ROOT, reason="BIOICONS_ROOT is not set")


def shipped(name: str) -> Path:
    (path,) = (each for each in PRESETS if each.stem == name)
    return path


@pytest.mark.parametrize("path", PRESETS, ids=lambda path: path.stem)
def test_every_preset_loads_and_calls_its_style_in_every_prompt(path: Path):
    preset = load(path)
    assert preset.name == path.stem
    assert path.read_text("utf-8").startswith("#:schema ./preset.schema.json\n")
    assert all(preset.dataset.trigger in prompt for prompt in preset.sample.prompts)


def test_wikiart_is_a_thousand_paintings_of_one_style():
    dataset = load(shipped("wikiart_impressionism")).dataset
    quotas = {bucket.category: bucket.quota for bucket in dataset.buckets}
    assert quotas == {
        ("landscape",): 300,
        ("portrait",): 300,
        ("cityscape",): 200,
        ("still_life",): 200,
    }
    assert dataset.hub is not None
    assert (dataset.root, dataset.hub.where) == ("huggan/wikiart", ("style=Impressionism",))
    assert (dataset.quality.min_side, dataset.quality.max_aspect) == (512, 2)


@with_icons
def test_every_permissive_icon_is_in_the_cc_by_preset_once():
    dataset = load(shipped("bioicons_cc_by"), [f"dataset.root={ROOT}"]).dataset
    found = library.scan(ROOT)
    rows = select.rows(found, dataset)
    assert {row.icon.license for row in rows} <= PERMISSIVE
    wanted = {icon.relative for icon in found.icons if icon.license in PERMISSIVE}
    assert {row.icon.relative for row in rows} == wanted
    assert len(rows) == len(wanted)


@with_icons
def test_its_repeats_bring_the_categories_nearer():
    dataset = load(shipped("bioicons_cc_by"), [f"dataset.root={ROOT}"]).dataset
    rows = select.rows(library.scan(ROOT), dataset)
    icons = Counter(row.icon.category for row in rows)
    shown = Counter[str]()
    for row in rows:
        shown[row.icon.category] += row.repeats
    of_few = [category for category, count in icons.items() if count < sum(icons.values()) / 100]
    before = sum(icons[category] for category in of_few) / icons.total()
    after = sum(shown[category] for category in of_few) / shown.total()
    assert after > 2 * before
    largest = max(icons, key=icons.__getitem__)
    assert shown[largest] / shown.total() < 0.6 * icons[largest] / icons.total()


@with_icons
def test_the_cc0_preset_selects_animals():
    dataset = load(shipped("cc0_animals"), [f"dataset.root={ROOT}"]).dataset
    rows = select.rows(library.scan(ROOT), dataset)
    assert {row.icon.license for row in rows} == {"CC0-1.0"}
    assert {row.icon.category for row in rows if row.bucket == 0} == {"Animals"}

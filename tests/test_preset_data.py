"""Sizes, masks, captions and prior pictures in a preset: what cannot apply is refused."""

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from bioicons_kit import preset_errors, preset_file
from bioicons_kit.errors import PresetError
from bioicons_kit.preset import Tables

IMAGES = {"root": "/photos", "source": "images", "trigger": "style"}
PRIOR = {"role": "prior", "source": "images", "root": "/class", "caption": "a drawing"}


def tables(dataset: dict[str, Any], train: dict[str, Any] | None = None) -> dict[str, Any]:
    least = {"root": "shipped", "trigger": "style", "buckets": [{}]}
    return {"model": {"path": "starter"}, "dataset": least | dataset, "train": train or {}}


def complaint(dataset: dict[str, Any], train: dict[str, Any] | None = None) -> str:
    with pytest.raises(ValidationError) as caught:
        Tables.model_validate(tables(dataset, train))
    (problem,) = preset_errors.problems(caught.value)
    return problem.text


SOUND: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({"sizes": {"extra": 512}}, {}),
    ({"sizes": {"extra": [512, 768]}}, {}),
    (IMAGES | {"sizes": {"aspects": "buckets", "crop": "none", "upscale": True}}, {}),
    ({"mask": {"source": "alpha", "background": 0.0}}, {}),
    (IMAGES | {"mask": {"source": "files", "folder": "/masks"}}, {}),
    ({"buckets": [{}, PRIOR | {"generate": 20}]}, {"prior_share": 0.5, "prior_weight": 2.0}),
    ({}, {"caption_dropout": 0.4, "trigger_only": 0.6, "latents": "mode"}),
]


@pytest.mark.parametrize(("dataset", "train"), SOUND)
def test_what_can_apply_is_accepted(dataset: dict[str, Any], train: dict[str, Any]) -> None:
    Tables.model_validate(tables(dataset, train))


REFUSED: list[tuple[dict[str, Any], dict[str, Any], str]] = [
    ({"sizes": {"aspects": "buckets"}}, {}, "are for images; icons are always drawn whole"),
    ({"sizes": {"crop": "random"}}, {}, "are for images"),
    ({"sizes": {"upscale": True}}, {}, "are for images"),
    ({"sizes": {"extra": [1024]}}, {}, "other resolutions than dataset.resolution, each once"),
    ({"sizes": {"extra": [512, 512]}}, {}, "each once"),
    ({"sizes": {"extra": [100]}}, {}, "must be a multiple of 16"),
    (
        IMAGES | {"resolution": 528, "sizes": {"aspects": "buckets"}},
        {},
        "resolutions must be multiples of 64",
    ),
    (IMAGES | {"mask": {"source": "alpha"}}, {}, 'mask.source = "alpha" is for icons'),
    ({"mask": {"source": "files", "folder": "/m"}}, {}, 'mask.source = "files" is for images'),
    (IMAGES | {"mask": {"source": "files"}}, {}, "folder is missing: it goes with"),
    ({"mask": {"source": "alpha", "folder": "/m"}}, {}, "folder cannot apply: it goes with"),
    (
        IMAGES | {"mask": {"source": "files", "folder": "/photos/masks"}},
        {},
        "mask.folder lies among the images",
    ),
    ({"mask": {"source": "alpha", "background": 1.0}}, {}, "must be below 1"),
    ({"buckets": [{"generate": 5}]}, {}, 'generate needs role = "prior", a root'),
    ({"buckets": [{}, PRIOR | {"generate": 5, "caption": "a {name}"}]}, {}, "it is the prompt"),
    (
        {"buckets": [{}, PRIOR | {"generate": 5, "source": "icons"}]},
        {},
        'its bucket needs source = "images"',
    ),
    ({}, {"prior_share": 0.5}, "prior_share and prior_weight are for prior pictures"),
    ({}, {"prior_weight": 0.5}, 'no bucket has role = "prior"'),
    ({"trigger": "", "caption": "{name}"}, {"trigger_only": 0.5}, "trigger_only needs a trigger"),
    ({}, {"caption_dropout": 0.6, "trigger_only": 0.6}, "come to more than all of them"),
]


@pytest.mark.parametrize(("dataset", "train", "why"), REFUSED)
def test_what_cannot_apply_is_refused_with_the_reason(
    dataset: dict[str, Any], train: dict[str, Any], why: str
) -> None:
    assert why in complaint(dataset, train)


def test_a_refusal_that_concerns_two_tables_names_the_override(small_preset: Path) -> None:
    with pytest.raises(PresetError) as caught:
        preset_file.load(small_preset, ["train.prior_share=0.5"])
    assert str(caught.value).startswith("--set train.prior_share=0.5: [train]: prior_share and")
    with pytest.raises(PresetError) as caught:
        preset_file.load(
            small_preset,
            ["train.trigger_only=0.5", "dataset.trigger=''", "dataset.caption='{name}'"],
        )
    assert "--set" in str(caught.value)
    assert "set dataset.trigger" in str(caught.value)


def test_a_mask_folder_starts_at_the_preset(small_preset: Path, tmp_path: Path) -> None:
    text = small_preset.read_text().replace(
        'root = "shipped"', 'root = "photos"\nsource = "images"'
    )
    text = text.replace("[lora]", '[dataset.mask]\nsource = "files"\nfolder = "masks"\n\n[lora]')
    small_preset.write_text(text)
    mask = preset_file.load(small_preset).dataset.mask
    assert mask is not None
    assert mask.folder == str(tmp_path / "masks")

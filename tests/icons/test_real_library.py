"""The real bioicons library, where BIOICONS_ROOT names a checkout's static/icons."""

import os
from pathlib import Path

import numpy as np
import pytest

from bioicons_kit.errors import DocumentError
from bioicons_kit.icons import captions, document, library, manifest, picture, select
from bioicons_kit.icons.credits import attribution
from bioicons_kit.icons.picture import Recipe
from bioicons_kit.preset import Bucket, Dataset

ROOT = os.environ.get("BIOICONS_ROOT", "")
pytestmark = pytest.mark.skipif(not ROOT, reason="BIOICONS_ROOT is not set")
# Every how many-th icon is drawn; all of them take more than a minute.
STEP = 25


@pytest.fixture(scope="module")
def real() -> library.Library:
    return library.scan(ROOT)


def test_every_svg_finds_its_place(real):
    assert len(real.icons) + len(real.skipped) == sum(1 for _ in Path(ROOT).rglob("*.svg"))
    damaged = [entry for entry in real.skipped if entry.same_as is None]
    assert len(damaged) <= 4, damaged
    assert {"CC0-1.0", "MIT", "BSD-3-Clause", "CC-BY-3.0"} <= {i.license for i in real.icons}
    linked = sum(icon.author_url is not None for icon in real.icons)
    assert linked > 0.9 * len(real.icons)


@pytest.mark.parametrize("engine", ["auto", "cairosvg", "resvg"])
def test_icons_are_drawn_in_the_square_and_not_blank(real, engine):
    recipe = Recipe(128, 128, 0.05, engine)
    refused = {}
    for icon in real.icons[::STEP]:
        try:
            drawn = picture.make(icon.path.read_bytes(), "svg", recipe)
        except DocumentError as error:
            refused[icon.relative] = str(error)
            continue
        assert np.asarray(drawn.image).min() < 250, f"{icon.relative} is blank"
        cover = np.asarray(drawn.alpha)
        border = np.concatenate([cover[:6], cover[-6:], cover[:, :6].T, cover[:, -6:].T])
        assert border.max() == 0, f"{icon.relative} reaches into the margin"
    assert len(refused) <= 1, refused


def test_real_files_are_copied_almost_whole(real):
    harmless = ("CSS @font-face", "<script>")
    for icon in real.icons[:: STEP // 4]:
        try:
            found = document.sanitize(icon.path.read_bytes(), 0.05)
        except DocumentError:
            continue
        assert all(entry.startswith(harmless) for entry in found.removed), (icon, found.removed)


def test_a_bucket_of_real_animals_has_captions_and_credits(real):
    dataset = Dataset(
        root=ROOT, caption="{name}", buckets=[Bucket(category="Animals", license="cc-0")]
    )
    rows = select.rows(real, dataset)
    texts = [captions.caption(row.icon, "{trigger}, {article} {name}", "style") for row in rows]
    assert "style, an alpaca" in texts
    records = manifest.records(rows, [(text,) for text in texts], dataset)
    text = attribution.markdown(records)
    assert all(record["source_url"] in text for record in records)
    assert all(record["license"] == "CC0-1.0" for record in records)

"""The whole bioicons library selected, credited and split, where BIOICONS_ROOT names it."""

import os
from pathlib import Path

import pytest

from bioicons_kit.errors import LibraryError
from bioicons_kit.icons import library, manifest, select
from bioicons_kit.icons.choose import holdout
from bioicons_kit.icons.credits import attribution
from bioicons_kit.preset import Bucket, Dataset, Policy

ROOT = os.environ.get("BIOICONS_ROOT", "")
pytestmark = pytest.mark.skipif(not ROOT, reason="BIOICONS_ROOT is not set")
SHARE_ALIKE = Policy(allow=("CC-BY-SA-3.0", "CC-BY-SA-4.0"))


@pytest.fixture(scope="module")
def real() -> library.Library:
    return library.scan(ROOT)


def dataset(**settings: object) -> Dataset:
    return Dataset(**{"root": ROOT, "caption": "{name}", "buckets": (Bucket(),), **settings})


def test_every_file_is_an_icon_or_told(real):
    files = {path.relative_to(ROOT).as_posix() for path in Path(ROOT).rglob("*.svg")}
    told = {icon.path.relative_to(ROOT).as_posix() for icon in real.icons}
    assert told | {entry.path for entry in real.skipped} == files
    assert len(real.icons) + len(real.skipped) == len(files)
    assert all(icon.source_url for icon in real.icons)


def test_the_whole_library_is_refused_for_its_share_alike_icons(real):
    with pytest.raises(LibraryError, match=r"icons under CC-BY-SA-\d.0 .*share-alike"):
        select.rows(real, dataset())
    others = Bucket(license=("CC0-1.0", "MIT", "bsd", "cc-by-3.0", "cc-by-4.0"))
    rows = select.rows(real, dataset(buckets=(others,)))
    assert 0.9 * len(real.icons) < len(rows) < len(real.icons)


def test_credits_name_every_author_license_and_file(real):
    chosen = dataset(licenses=SHARE_ALIKE)
    rows = select.rows(real, chosen)
    assert len(rows) == len(real.icons)
    records = manifest.records(rows, [("text",)] * len(rows), chosen)
    lines = set(attribution.markdown(records).splitlines())
    lines_of_icons = [line for line in lines if line.startswith('- "')]
    assert len(lines_of_icons) == len(rows)
    for row in rows:
        (line,) = [each for each in lines_of_icons if f"(<{row.icon.source_url}>)" in each]
        assert f"[{row.icon.license}](<" in line
        if row.icon.author_url:
            assert f"](<{row.icon.author_url}>)" in line


@pytest.mark.parametrize("by", ["concept", "author"])
def test_a_tenth_is_held_out_and_nothing_leaks(real, by):
    chosen = dataset(licenses=SHARE_ALIKE, held_out={"share": 0.1, "by": by}, seed=3)
    rows = select.rows(real, chosen)
    key = holdout.concept if by == "concept" else (lambda icon: icon.author)
    held = {key(row.icon) for row in rows if row.role == "validation"}
    kept = {key(row.icon) for row in rows if row.role == "train"}
    assert not held & kept
    assert len(held) == pytest.approx(0.1 * len(held | kept), abs=1)

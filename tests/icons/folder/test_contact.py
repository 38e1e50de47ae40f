"""Contact sheets: every picture on one of them, in order, each where its caption is."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bioicons_kit.icons.folder import contact
from bioicons_kit.icons.folder.contact import Shown


def shown(count: int) -> list[Shown]:
    return [Shown(f"train/{number}.png", f"key {number}", f"a {number}") for number in range(count)]


@pytest.mark.parametrize(("count", "sizes"), [(1, [1]), (200, [200]), (401, [200, 200, 1])])
def test_pictures_are_spread_over_pages(count: int, sizes: list[int]):
    pages = contact.pages("contact/bucket-0", "Animals", shown(count))
    assert [len(each.pictures) for each in pages] == sizes
    assert [picture for each in pages for picture in each.pictures] == shown(count)
    assert len({each.name for each in pages}) == len({each.title for each in pages}) == len(sizes)
    assert all(each.name.endswith(".jpg") for each in pages)


def test_each_picture_stands_in_its_place(tmp_path: Path):
    colors = [(220, 30, 30), (30, 200, 40), (40, 60, 220)]
    (tmp_path / "train").mkdir()
    for number in range(12):
        Image.new("RGB", (256, 128), colors[number % 3]).save(tmp_path / f"train/{number}.png")
    (page,) = contact.pages("contact/b", "a title", shown(12))
    sheet = np.asarray(contact.draw(page, tmp_path))
    for color, count in zip(colors, (4, 4, 4), strict=True):
        area = (sheet == color).all(axis=2)
        assert area.sum() == count * 144 * 72, "whole, in proportion"
    row = 34 + 144 + 2 * 13
    firsts = [np.nonzero((sheet[:row] == color).all(axis=2))[1].min() for color in colors]
    assert np.diff(firsts).tolist() == [154, 154], "one right of the other"
    assert (sheet[row:] == colors[1]).all(axis=2).any(), "and the eleventh in the second row"


def test_a_page_changes_with_all_that_it_shows(tmp_path: Path):
    (page,) = contact.pages("contact/b", "a title", shown(2))
    changed = [
        page._replace(title="other"),
        page._replace(pictures=page.pictures[:1]),
        page._replace(pictures=(page.pictures[0]._replace(key="new"), page.pictures[1])),
        page._replace(pictures=(page.pictures[0]._replace(caption="new"), page.pictures[1])),
    ]
    recipes = [str(contact.recipe(each)) for each in (page, *changed)]
    assert len(set(recipes)) == 5


def test_a_page_is_the_same_bytes_each_time(tmp_path: Path):
    (tmp_path / "train").mkdir()
    Image.new("RGB", (64, 64), "teal").save(tmp_path / "train/0.png")
    (page,) = contact.pages("contact/b", "a title", shown(1))
    assert contact.jpeg(page, tmp_path) == contact.jpeg(page, tmp_path)

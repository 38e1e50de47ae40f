"""The labelled grid: every picture where its labels say, whole and in proportion."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bioicons_kit import sheet
from bioicons_kit.errors import StorageError

SIDE = 64
RED, GREEN, BLUE = (255, 0, 0), (0, 255, 0), (0, 0, 255)


def plain(color: tuple[int, ...], size: tuple[int, int] = (SIDE, SIDE)) -> Image.Image:
    return Image.new("RGB", size, color)


def box(picture: Image.Image, color: tuple[int, int, int]) -> tuple[int, int, int, int] | None:
    """Left, top, right, bottom of the pixels of exactly this color."""
    rows, columns = np.nonzero((np.asarray(picture) == color).all(axis=2))
    if not rows.size:
        return None
    return columns.min(), rows.min(), columns.max() + 1, rows.max() + 1


def size(found: tuple[int, int, int, int] | None) -> tuple[int, int]:
    assert found is not None
    left, top, right, bottom = found
    return right - left, bottom - top


def grid(*rows: tuple[str, list[Image.Image]], **options: object) -> Image.Image:
    columns = ["base", "LoRA"][: len(rows[0][1])]
    return sheet.grid("a title", columns, rows, SIDE, **options)


def test_pictures_stand_in_their_row_and_column_unscaled():
    drawn = grid(("first", [plain(RED), plain(GREEN)]), ("second", [plain(BLUE), plain(GREEN)]))
    red, blue, green = (box(drawn, color) for color in (RED, BLUE, GREEN))
    assert size(red) == size(blue) == (SIDE, SIDE)
    assert red[0] == blue[0]
    assert red[3] < blue[1], "the second row is below the first"
    assert red[2] < green[0], "the second column is right of the first"
    assert green[1] == red[1]
    assert green[3] == blue[3], "and both rows have it"


def test_nothing_hangs_over_the_edge():
    for count in (1, 2, 5):
        drawn = grid(*((f"row {i}", [plain(RED), plain(BLUE)]) for i in range(count)))
        assert size(box(drawn, BLUE))[0] == SIDE
        assert box(drawn, BLUE)[2] < drawn.width
        assert box(drawn, BLUE)[3] < drawn.height


@pytest.mark.parametrize(
    ("given", "expected"),
    [((200, 100), (64, 32)), ((100, 200), (32, 64)), ((16, 8), (64, 32)), ((3000, 2), (64, 1))],
)
def test_proportions_stay(given: tuple[int, int], expected: tuple[int, int]):
    assert size(box(grid(("row", [plain(RED, given)])), RED)) == expected


@pytest.mark.parametrize("mode", ["L", "RGBA", "P"])
def test_other_modes_are_drawn_too(mode: str):
    drawn = grid(("row", [plain((0, 0, 0)).convert(mode), plain(RED)]))
    assert size(box(drawn, (0, 0, 0))) == (SIDE, SIDE)


def test_labels_titles_and_headings_are_written():
    bare = sheet.grid("", [""], [("", [plain(RED)])], SIDE)
    for title, heading, label in (("title", "", ""), ("", "base", ""), ("", "", "a mouse")):
        named = sheet.grid(title, [heading], [(label, [plain(RED)])], SIDE)
        assert named.size == bare.size
        assert named.tobytes() != bare.tobytes()


def test_a_long_label_covers_neither_picture_nor_next_row():
    words = "a very long prompt about a jellyfish " * 20
    drawn = grid((words, [plain(RED)]), ("", [plain(BLUE)]))
    short = grid(("", [plain(RED)]), ("", [plain(BLUE)]))
    for color in (RED, BLUE):
        assert box(drawn, color) == box(short, color)
    left, top, _, bottom = box(drawn, BLUE)
    assert drawn.crop((0, top, left, bottom)) == short.crop((0, top, left, bottom))
    assert (np.asarray(drawn) == RED).all(axis=2).sum() == SIDE**2


def test_the_strip_holds_as_many_as_fit_above_the_table():
    rows = [("row", [plain(RED), plain(BLUE)])]
    one = grid(*rows, strip=("training icons", [plain(GREEN)]))
    many = grid(*rows, strip=("training icons", [plain(GREEN)] * 100))
    bare = grid(*rows)
    assert size(box(one, GREEN)) == (SIDE // 2, SIDE // 2)
    assert box(one, GREEN)[3] < box(one, RED)[1]
    assert many.size == one.size
    assert one.width == bare.width
    assert one.height > bare.height
    shown = (np.asarray(many) == GREEN).all(axis=2).sum() / (SIDE // 2) ** 2
    assert shown == int(shown) > 4, "none is cut"
    assert box(many, GREEN)[2] < many.width


def test_a_png_is_written_whole(tmp_path: Path):
    drawn = grid(("row", [plain(RED), plain(BLUE)]))
    path = sheet.write_png(tmp_path / "new" / "sheet.png", drawn)
    with Image.open(path) as back:
        assert back.format == "PNG"
        assert back.tobytes() == drawn.tobytes()
    assert list(path.parent.iterdir()) == [path]
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError):
        sheet.write_png(tmp_path / "file" / "sheet.png", drawn)

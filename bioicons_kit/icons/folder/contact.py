"""Contact sheets: all pictures of a bucket, small, with their captions, on a few pages."""

import io
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import PIL
from PIL import Image, ImageDraw, ImageFont

MOST = 200  # pictures a page
VERSION = "1"

_COLUMNS = 10
_SIDE, _GAP = 144, 10  # pixels
_FONT_PX, _LINE_PX, _LINES, _CHARACTERS = 11, 13, 2, 25
_INK, _PAPER, _FRAME = "#1f2a44", "#ffffff", "#d5d9e2"
_HEAD, _TITLE_PX = 34, 15
_LEAST_WIDTH = 480  # the heading wants some room
_QUALITY = 85


class Shown(NamedTuple):
    """A picture on a page: its path below the dataset folder, its key, its caption."""

    path: str
    key: str
    caption: str


class Page(NamedTuple):
    """One page: its path below the dataset folder, its heading, and what is on it."""

    name: str
    title: str
    pictures: tuple[Shown, ...]


def pages(name: str, title: str, pictures: Sequence[Shown]) -> list[Page]:
    """Spread pictures over pages; `name` and `title` get the page's number if there are more."""
    starts = range(0, len(pictures), MOST)
    if len(starts) == 1:
        return [Page(f"{name}.jpg", title, tuple(pictures))]
    return [
        Page(
            f"{name}-{number}.jpg",
            f"{title}, page {number} of {len(starts)}",
            tuple(pictures[start : start + MOST]),
        )
        for number, start in enumerate(starts, 1)
    ]


def recipe(page: Page) -> list[object]:
    """Return all that shapes a page, for telling whether it has to be made anew."""
    return [VERSION, PIL.__version__, page.title, [[*each[1:]] for each in page.pictures]]


def jpeg(page: Page, folder: Path) -> bytes:
    """Return a page of pictures below `folder` as JPEG."""
    data = io.BytesIO()
    draw(page, folder).save(data, "JPEG", quality=_QUALITY)
    return data.getvalue()


def draw(page: Page, folder: Path) -> Image.Image:
    """Return a page of pictures below `folder`, RGB."""
    font = ImageFont.load_default(_FONT_PX)
    columns = min(_COLUMNS, len(page.pictures))
    height = _SIDE + _LINES * _LINE_PX + _GAP
    rows = -(-len(page.pictures) // columns)
    width = max(columns * (_SIDE + _GAP) + _GAP, _LEAST_WIDTH)
    sheet = Image.new("RGB", (width, _HEAD + rows * height + _GAP), _PAPER)
    pen = ImageDraw.Draw(sheet)
    pen.text((_GAP, _GAP), page.title, _INK, ImageFont.load_default(_TITLE_PX))
    for number, each in enumerate(page.pictures):
        x = _GAP + number % columns * (_SIDE + _GAP)
        y = _HEAD + number // columns * height
        small = thumbnail(folder / each.path, _SIDE)
        sheet.paste(small, (x + (_SIDE - small.width) // 2, y + (_SIDE - small.height) // 2))
        pen.rectangle((x - 1, y - 1, x + _SIDE, y + _SIDE), outline=_FRAME)
        for line, text in enumerate(textwrap.wrap(each.caption, _CHARACTERS)[:_LINES]):
            pen.text((x, y + _SIDE + 2 + line * _LINE_PX), text, _INK, font)
    return sheet


def thumbnail(path: Path, side: int) -> Image.Image:
    """Return a picture's file scaled to fit a square of `side` pixels, RGB."""
    with Image.open(path, formats=("PNG",)) as image:
        small = image.convert("RGB")
    small.thumbnail((side, side), Image.Resampling.LANCZOS, reducing_gap=3.0)
    return small

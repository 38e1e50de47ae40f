"""Pictures for people: a labelled grid, and a strip above it."""

import io
import textwrap
from collections.abc import Sequence
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont
from PIL.PngImagePlugin import PngInfo

from bioicons_kit.files import write_bytes

PROMPT = "prompt"  # the PNG text in which pictures keep what was asked for
_GAP = 12
_INK, _PAPER, _FRAME = "#1f2a44", "#ffffff", "#d5d9e2"
_FONT_PX = 15
_LINE_PX = 20
_LABEL_WIDTH = 190  # of the column of row labels
_CHARACTERS = 24  # that fit in it


def grid(
    title: str,
    columns: Sequence[str],
    rows: Sequence[tuple[str, Sequence[Image.Image]]],
    side: int,
    strip: tuple[str, Sequence[Image.Image]] | None = None,
) -> Image.Image:
    """Return one picture: a title, an optional strip of small pictures, and a table.

    Args:
        title: first line.
        columns: a heading for each picture of a row.
        rows: a label and its pictures, each scaled to fit a square.
        side: of the squares, in pixels.
        strip: a label and pictures shown smaller between title and table.
    """
    font = ImageFont.load_default(_FONT_PX)
    cell = side + _GAP
    width = _LABEL_WIDTH + len(columns) * cell + 2 * _GAP
    thumb = side // 2
    strip_height = thumb + _LINE_PX + _GAP if strip else 0
    top = 2 * _GAP + _LINE_PX + strip_height
    sheet = Image.new("RGB", (width, top + _LINE_PX + len(rows) * cell + _GAP), _PAPER)
    draw = ImageDraw.Draw(sheet)
    draw.text((_GAP, _GAP), title, _INK, font)
    if strip is not None:
        label, pictures = strip
        y = _GAP + _LINE_PX + _GAP // 2
        draw.text((_GAP, y), label, _INK, font)
        _draw_strip(sheet, pictures, thumb, y + _LINE_PX)
    for column, heading in enumerate(columns):
        draw.text((_LABEL_WIDTH + _GAP + column * cell, top), heading, _INK, font)
    for number, (label, pictures) in enumerate(rows):
        y = top + _LINE_PX + number * cell + _GAP // 2
        for line, text in enumerate(textwrap.wrap(label, _CHARACTERS)[: side // _LINE_PX]):
            draw.text((_GAP, y + line * _LINE_PX), text, _INK, font)
        for column, picture in enumerate(pictures):
            _place(sheet, picture, (_LABEL_WIDTH + _GAP + column * cell, y), side)
    return sheet


def write_png(path: Path, picture: Image.Image, prompt: str = "") -> Path:
    """Write a picture as PNG, atomically, with the prompt it was drawn for; return `path`.

    Raises:
        StorageError: no room or no permission.
    """
    data, info = io.BytesIO(), PngInfo()
    if prompt:
        info.add_itxt(PROMPT, prompt)
    picture.save(data, "PNG", pnginfo=info)
    return write_bytes(path, data.getvalue())


def _draw_strip(sheet: Image.Image, pictures: Sequence[Image.Image], thumb: int, y: int) -> None:
    """Draw as many of the strip's pictures as the sheet is wide."""
    room = (sheet.width - _GAP) // (thumb + _GAP)
    for number, picture in enumerate(pictures[:room]):
        _place(sheet, picture, (_GAP + number * (thumb + _GAP), y), thumb)


def _place(sheet: Image.Image, picture: Image.Image, corner: tuple[int, int], side: int) -> None:
    """Draw a picture, scaled to fit, in the middle of a framed square."""
    x, y = corner
    scale = min(side / picture.width, side / picture.height)
    size = (max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))
    fitted = picture.convert("RGB").resize(size, Image.Resampling.LANCZOS)
    sheet.paste(fitted, (x + (side - size[0]) // 2, y + (side - size[1]) // 2))
    ImageDraw.Draw(sheet).rectangle((x - 1, y - 1, x + side, y + side), outline=_FRAME)

"""Pictures with labels in rows and columns, as one picture."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw

from impasto.engine.images.lettering import Text, set_text
from impasto.engine.images.samples import FloatArray
from impasto.engine.images.writing import quantise

LETTERS_ACROSS = 50  # text stays legible where the sheet is shown 800 px wide: 16 px high letters
SMALLEST_FONT_PX = 10
CAPTION_LINES = 3  # longer captions lose their middle
INSET_SHARE = 3  # an inset has a third of its picture's width at most
Colour = tuple[int, int, int]
PAPER, INK, FAINT = (255, 255, 255), (20, 20, 20), (90, 90, 90)


@dataclass(frozen=True, eq=False)
class Labelled:
    """A picture on a sheet.

    Attributes:
        pixels: float32 H x W x 3, RGB, 0..1.
        caption: below it; "" for none.
        inset: another picture, drawn small into its lower left corner, or None.
    """

    pixels: FloatArray
    caption: str = ""
    inset: FloatArray | None = None


@dataclass(frozen=True, eq=False)
class SheetRow:
    """Pictures beside each other; None leaves a place free. The title, of one line or more, stands to the left."""

    title: str
    pictures: Sequence[Labelled | None]


def draw_sheet(title: str, columns: Sequence[str], rows: Sequence[SheetRow], note: str = "") -> FloatArray:
    """Draw a sheet.

    Args:
        title: above everything.
        columns: titles of the columns; empty for none.
        rows: from the top.
        note: small, below everything.

    Returns:
        float32 H x W x 3, RGB, 0..1.
    """
    return _Layout(title, columns, rows, note).drawn()


class _Layout:
    """Where everything goes, px."""

    def __init__(self, title: str, columns: Sequence[str], rows: Sequence[SheetRow], note: str) -> None:
        self._title, self._columns, self._rows, self._note = title, columns, rows, note
        pictures = [picture for row in rows for picture in row.pictures if picture is not None]
        self._count = max(len(row.pictures) for row in rows)
        self._cell = int(max(picture.pixels.shape[1] for picture in pictures))
        self._gap = max(4, self._cell // 24)
        across = self._count * (self._cell + self._gap)
        self._size = max(SMALLEST_FONT_PX, round(across / LETTERS_ACROSS))
        self._line = round(self._size * 1.35)
        titles = [set_text(line, self._size, across) for row in rows for line in row.title.split("\n")]
        left = max(round(title.font.getlength(line)) for title in titles for line in title.lines or [""])
        self._left = self._gap + (left + self._gap if left else 0)
        self._width = self._left + across

    def drawn(self) -> FloatArray:
        heading = set_text(self._title, self._size, self._width - 2 * self._gap)
        shown = [[picture for picture in row.pictures if picture is not None] for row in self._rows]
        captions = [max((len(self._caption(picture).lines) for picture in row), default=0) for row in shown]
        heights = [max(picture.pixels.shape[0] for picture in row) for row in shown]
        note = set_text(self._note, max(SMALLEST_FONT_PX - 1, round(self._size * 0.8)), self._width - 2 * self._gap)
        top = self._gap + len(heading.lines) * self._line + self._gap
        columns = [set_text(column, self._size, self._cell, CAPTION_LINES) for column in self._columns]
        column_height = max((len(column.lines) for column in columns), default=0) * self._line
        height = top + column_height + len(note.lines) * self._line + self._gap
        height += sum(h + lines * self._line + 2 * self._gap for h, lines in zip(heights, captions, strict=True))
        sheet = Image.new("RGB", (self._width, height), PAPER)
        draw = ImageDraw.Draw(sheet)
        self._write(draw, heading, self._gap, self._gap)
        for index, column in enumerate(columns):
            self._write(draw, column, self._x(index) + self._cell / 2, top, anchor="ma")
        top += column_height
        for row, row_height, count in zip(self._rows, heights, captions, strict=True):
            self._draw_row(sheet, draw, row, top, row_height)
            top += row_height + count * self._line + 2 * self._gap
        self._write(draw, note, self._gap, top, FAINT)
        return np.asarray(sheet, np.float32) / np.float32(255)

    def _draw_row(self, sheet: Image.Image, draw: ImageDraw.ImageDraw, row: SheetRow, top: int, height: int) -> None:
        lines = row.title.split("\n")
        for number, line in enumerate(lines):
            y = top + (height - len(lines) * self._line) // 2 + number * self._line
            self._write(draw, set_text(line, self._size, self._width), self._gap, y)
        for index, picture in enumerate(row.pictures):
            if picture is None:
                continue
            left, own = self._x(index), picture.pixels.shape[:2]
            sheet.paste(_image(picture.pixels), (left + (self._cell - own[1]) // 2, top + (height - own[0]) // 2))
            if picture.inset is not None:
                self._paste_inset(sheet, picture.inset, left + (self._cell - own[1]) // 2, top + (height + own[0]) // 2)
            below = top + height + self._gap // 2
            self._write(draw, self._caption(picture), left + self._cell / 2, below, anchor="ma")

    def _paste_inset(self, sheet: Image.Image, pixels: FloatArray, left: int, bottom: int) -> None:
        inset = _image(pixels)
        inset.thumbnail((self._cell // INSET_SHARE, self._cell // INSET_SHARE), Image.Resampling.LANCZOS)
        border = max(1, self._gap // 4)
        framed = Image.new("RGB", (inset.width + 2 * border, inset.height + 2 * border), PAPER)
        framed.paste(inset, (border, border))
        sheet.paste(framed, (left, bottom - framed.height))

    def _x(self, column: int) -> int:
        return self._left + column * (self._cell + self._gap)

    def _caption(self, picture: Labelled) -> Text:
        return set_text(picture.caption, self._size, self._cell, CAPTION_LINES)

    def _write(
        self, draw: ImageDraw.ImageDraw, text: Text, x: float, y: int, colour: Colour = INK, anchor: str | None = None
    ) -> None:
        for number, line in enumerate(text.lines):
            draw.text((x, y + number * self._line), line, colour, text.font, anchor)


def _image(pixels: FloatArray) -> Image.Image:
    return Image.fromarray(quantise(pixels, 8))

"""Pictures with labels in rows and columns, as one picture."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from impasto.engine.images.writing import quantise

FloatArray = npt.NDArray[np.float32]
Font = ImageFont.FreeTypeFont | ImageFont.ImageFont

LETTERS_ACROSS = 50  # text stays legible where the sheet is shown 800 px wide: 16 px high letters
SMALLEST_FONT_PX = 10
INSET_SHARE = 3  # an inset has a third of its picture's width at most
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
        size = max(SMALLEST_FONT_PX, round(across / LETTERS_ACROSS))
        self._font, self._small = ImageFont.load_default(size), ImageFont.load_default(max(9, round(size * 0.8)))
        self._line = round(size * 1.35)
        titles = [line for row in rows for line in row.title.split("\n")]
        left = max(round(self._font.getlength(line)) for line in titles)
        self._left = self._gap + (left + self._gap if left else 0)
        self._width = self._left + across

    def drawn(self) -> FloatArray:
        heading = self._wrapped(self._title, self._width - 2 * self._gap, self._font)
        captions = [max([len(self._caption(p)) for p in row.pictures if p is not None] or [0]) for row in self._rows]
        heights = [max(p.pixels.shape[0] for p in row.pictures if p is not None) for row in self._rows]
        note = self._wrapped(self._note, self._width - 2 * self._gap, self._small)
        top = self._gap + len(heading) * self._line + self._gap
        columns = [self._wrapped(column, self._cell, self._font) for column in self._columns]
        column_height = max(map(len, columns), default=0) * self._line
        height = top + column_height + len(note) * self._line + self._gap
        height += sum(h + lines * self._line + 2 * self._gap for h, lines in zip(heights, captions, strict=True))
        sheet = Image.new("RGB", (self._width, height), PAPER)
        draw = ImageDraw.Draw(sheet)
        self._write(draw, heading, self._gap, self._gap, self._font, INK)
        for index, lines in enumerate(columns):
            self._write_centred(draw, lines, index, top)
        top += column_height
        for row, row_height, count in zip(self._rows, heights, captions, strict=True):
            self._draw_row(sheet, draw, row, top, row_height)
            top += row_height + count * self._line + 2 * self._gap
        self._write(draw, note, self._gap, top, self._small, FAINT)
        return np.asarray(sheet, np.float32) / np.float32(255)

    def _draw_row(self, sheet: Image.Image, draw: ImageDraw.ImageDraw, row: SheetRow, top: int, height: int) -> None:
        lines = row.title.split("\n")
        self._write(draw, lines, self._gap, top + (height - len(lines) * self._line) // 2, self._font, INK)
        for index, picture in enumerate(row.pictures):
            if picture is None:
                continue
            left, own = self._x(index), picture.pixels.shape[:2]
            sheet.paste(_image(picture.pixels), (left + (self._cell - own[1]) // 2, top + (height - own[0]) // 2))
            if picture.inset is not None:
                self._paste_inset(sheet, picture.inset, left + (self._cell - own[1]) // 2, top + (height + own[0]) // 2)
            self._write_centred(draw, self._caption(picture), index, top + height + self._gap // 2)

    def _paste_inset(self, sheet: Image.Image, pixels: FloatArray, left: int, bottom: int) -> None:
        inset = _image(pixels)
        inset.thumbnail((self._cell // INSET_SHARE, self._cell // INSET_SHARE), Image.Resampling.LANCZOS)
        border = max(1, self._gap // 4)
        framed = Image.new("RGB", (inset.width + 2 * border, inset.height + 2 * border), PAPER)
        framed.paste(inset, (border, border))
        sheet.paste(framed, (left, bottom - framed.height))

    def _x(self, column: int) -> int:
        return self._left + column * (self._cell + self._gap)

    def _caption(self, picture: Labelled) -> list[str]:
        return self._wrapped(picture.caption, self._cell, self._font)

    def _wrapped(self, text: str, width: int, font: Font) -> list[str]:
        """Return a text as lines that fit, broken between words."""
        lines: list[str] = []
        for word in text.split():
            longer = f"{lines[-1]} {word}" if lines else word
            if lines and font.getlength(longer) <= width:
                lines[-1] = longer
            else:
                lines.append(word)
        return lines

    def _write_centred(self, draw: ImageDraw.ImageDraw, lines: Sequence[str], column: int, y: int) -> None:
        for number, line in enumerate(lines):
            draw.text((self._x(column) + self._cell / 2, y + number * self._line), line, INK, self._font, "ma")

    def _write(
        self, draw: ImageDraw.ImageDraw, lines: Sequence[str], x: int, y: int, font: Font, colour: tuple[int, int, int]
    ) -> None:
        for number, line in enumerate(lines):
            draw.text((x, y + number * self._line), line, colour, font)


def _image(pixels: FloatArray) -> Image.Image:
    return Image.fromarray(quantise(pixels, 8))

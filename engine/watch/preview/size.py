"""How large a terminal is, and a picture in it."""

import os
import struct
from contextlib import suppress
from dataclasses import dataclass

MOST_ROWS, MOST_COLUMNS = 40, 100
LEAST_ROWS, LEAST_COLUMNS = 4, 8
ROWS_LEFT_FREE = 4  # for the bar and for what is said
MOST_PX = 640
USUAL_CELL_PX = (10, 20)  # width, height


@dataclass(frozen=True)
class TerminalSize:
    """A terminal's size in cells, and a cell's in pixels."""

    columns: int
    rows: int
    cell_px: tuple[int, int] = USUAL_CELL_PX


@dataclass(frozen=True)
class PictureSize:
    """How large a picture is in a terminal.

    Attributes:
        columns: of cells.
        rows: likewise.
        width_px: of the picture that a graphics protocol sends, no more than the cells have.
        height_px: likewise.
    """

    columns: int
    rows: int
    width_px: int
    height_px: int


def terminal_size(descriptor: int) -> TerminalSize | None:
    """Return the size of the terminal behind a file descriptor; None if it does not tell."""
    try:
        cells = os.get_terminal_size(descriptor)
    except OSError:
        return None
    with suppress(ImportError, OSError):
        import fcntl
        import termios

        answer = fcntl.ioctl(descriptor, termios.TIOCGWINSZ, bytes(8))
        rows, columns, width_px, height_px = struct.unpack("HHHH", answer)
        if rows and columns and width_px >= columns and height_px >= rows:
            return TerminalSize(cells.columns, cells.lines, (width_px // columns, height_px // rows))
    return TerminalSize(cells.columns, cells.lines)


def fit_picture(height: int, width: int, terminal: TerminalSize) -> PictureSize | None:
    """Return the largest size with the picture's proportions; None if the terminal is too small.

    Args:
        height: of the picture, px.
        width: of the picture, px.
        terminal: its size.
    """
    columns = min(terminal.columns - 1, MOST_COLUMNS)
    rows = min(terminal.rows - ROWS_LEFT_FREE, MOST_ROWS)
    if columns < LEAST_COLUMNS or rows < LEAST_ROWS:
        return None
    cell_width, cell_height = terminal.cell_px
    scale = min(columns * cell_width / width, rows * cell_height / height)
    columns = min(columns, max(1, round(scale * width / cell_width)))
    rows = min(rows, max(1, round(scale * height / cell_height)))
    width_px, height_px = columns * cell_width, rows * cell_height
    reduction = max(1.0, max(width_px, height_px) / MOST_PX)
    return PictureSize(columns, rows, max(1, int(width_px / reduction)), max(1, int(height_px / reduction)))

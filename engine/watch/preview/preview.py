"""Follows a run and draws its image, again and again in the same place."""

import os
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import BinaryIO

import numpy as np

from impasto.engine import images
from impasto.engine.events import Event, Iteration
from impasto.engine.result import Result
from impasto.engine.watch.preview import encoders, terminals
from impasto.engine.watch.preview.pace import Pace
from impasto.engine.watch.preview.size import PictureSize, TerminalSize, fit_picture, terminal_size

_SAVE_CURSOR, _RESTORE_CURSOR = b"\x1b7", b"\x1b8"

Aside = Callable[[], AbstractContextManager[None]]


class Preview:
    """Draws the image of a run whenever its pace allows, and the result in any case.

    The picture stands above the cursor. Whoever else writes to the terminal must be out of the way meanwhile, with the
    cursor at the start of a line, and may afterwards write below; what is said at an event other than an iteration
    makes the next picture begin below it.
    """

    needs_each_image = False

    def __init__(
        self,
        kind: str,
        stream: BinaryIO,
        size: Callable[[], TerminalSize | None],
        *,
        aside: Aside = nullcontext,
        pace: Pace | None = None,
    ) -> None:
        """Take over a terminal; nothing is drawn yet.

        Args:
            kind: one of `impasto.engine.watch.preview.terminals.KINDS`.
            stream: the terminal.
            size: asked for the terminal's size before each picture.
            aside: entered while drawing, to keep others out of the way.
            pace: when to draw; None is the usual one.
        """
        self._kind, self._stream, self._size, self._aside = kind, stream, size, aside
        self._pace = pace or Pace()
        self._identity = 1 + os.getpid() % 0xFFFFFF  # another one than an earlier run's picture further up
        self._last: tuple[PictureSize, TerminalSize] | None = None
        self._lost = False

    def take(self, event: Event) -> None:
        """Draw the image of an iteration if it is time for it."""
        if not isinstance(event, Iteration):
            self._last = None
        elif not self._lost and self._pace.due():
            with self._pace.turn():
                self._draw(event.snapshot())

    def finish(self, result: Result) -> str:
        """Draw the result; there is nothing to say of it."""
        if not self._lost:
            self._draw(result.picture.pixels)
        return ""

    def _draw(self, pixels: np.ndarray) -> None:
        terminal = self._size()
        size = None if terminal is None else fit_picture(pixels.shape[0], pixels.shape[1], terminal)
        if terminal is None or size is None:
            return
        # Over the last picture, or in rows made free for it; the cursor ends below it.
        room = b"" if self._last == (size, terminal) else b"\n" * size.rows
        picture = _SAVE_CURSOR + self._encoded(pixels, size) + _RESTORE_CURSOR
        try:
            with self._aside():
                self._stream.write(room + b"\r\x1b[%dA" % size.rows + picture + b"\x1b[%dB\r" % size.rows)
                self._stream.flush()
        except OSError:  # the terminal was closed; the run goes on
            self._lost = True
        self._last = (size, terminal)

    def _encoded(self, pixels: np.ndarray, size: PictureSize) -> bytes:
        if self._kind in (terminals.BLOCKS, terminals.BLOCKS_256):
            samples = images.thumbnail(pixels, 2 * size.rows, size.columns)
            return encoders.as_blocks(samples, true_colour=self._kind == terminals.BLOCKS)
        samples = images.thumbnail(pixels, size.height_px, size.width_px)
        if self._kind == terminals.KITTY:
            return encoders.as_kitty(samples, size.columns, size.rows, self._identity)
        if self._kind == terminals.ITERM:
            return encoders.as_iterm(samples, size.columns, size.rows)
        return encoders.as_sixels(samples)


def open_preview(name: str, *, aside: Aside = nullcontext) -> Preview | str:
    """Return a preview on stderr, or in one clause why there can be none.

    Args:
        name: "auto" or one of `impasto.engine.watch.preview.terminals.KINDS`.
        aside: as for `Preview`.

    Raises:
        ImpastoError: no such kind.
    """
    kind = terminals.chosen(name, os.environ)
    if not sys.stderr.isatty():
        return "stderr is not a terminal"
    if kind is None:
        term = os.environ.get("TERM", "")
        return f"the terminal (TERM={term}) is not known to have 256 colours; --preview-as chooses one of its ways"
    stream = sys.stderr.buffer
    return Preview(kind, stream, partial(terminal_size, stream.fileno()), aside=aside)

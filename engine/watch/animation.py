"""A run as a short film: follows its events, and writes the file when it has ended."""

from pathlib import Path

import numpy as np
import numpy.typing as npt

from impasto.engine import images
from impasto.engine.events import Event, Iteration, Started
from impasto.engine.result import Result
from impasto.engine.watch.thinning import EvenlySpaced

MOST_FRAMES = 60
MOST_PX = 1024  # longer sides are reduced
MEMORY_BYTES = 512 << 20
FRAME_MS, LAST_MS = 80, 2000

_BYTES_PER_PIXEL = 7  # three as kept, four while Pillow writes


class Animation:
    """Makes the film of one run: give `animation.take` every event, then `animation.finish` the result.

    Frames are evenly spaced over iterations: every N of them where that is asked for, otherwise as many as leave at
    most `MOST_FRAMES` however long the run gets. What is kept takes no more than `MEMORY_BYTES`: past that, every
    second frame goes. The result is the last frame, and is shown longer.
    """

    needs_each_image = True

    def __init__(self, path: str | Path, *, every: int = 0) -> None:
        """Refuse a path that cannot be written.

        Args:
            path: .webp, .gif or .png.
            every: iterations from frame to frame; 0 leaves that to the length of the run.

        Raises:
            ImpastoError: as `impasto.engine.images.check_animation`.
        """
        self._path = Path(path)
        images.check_animation(self._path)
        self._every = every
        self._size = (0, 0)
        self._frames = EvenlySpaced[npt.NDArray[np.uint8]](1)  # until the size is known

    def take(self, event: Event) -> None:
        """Take over one event."""
        if isinstance(event, Started) and self._size == (0, 0):
            self._size = _shown(event.height, event.width)
            affordable = MEMORY_BYTES // (_BYTES_PER_PIXEL * self._size[0] * self._size[1])
            limit = affordable if self._every else min(MOST_FRAMES - 1, affordable)
            self._frames = EvenlySpaced(limit, max(self._every, 1))
        elif isinstance(event, Iteration) and self._frames.wants(event.iteration):
            self._frames.add(event.iteration, images.thumbnail(event.snapshot(), *self._size))

    def finish(self, result: Result) -> str:
        """Write the film, and say where.

        Raises:
            ImpastoError: it cannot be written.
        """
        picture = result.picture
        last = images.thumbnail(picture.pixels, *_shown(picture.height, picture.width))
        frames = self._frames.items()
        if frames and np.array_equal(frames[-1], last):
            frames.pop()
        frames.append(last)
        durations_ms = [FRAME_MS] * (len(frames) - 1) + [LAST_MS]
        images.write_animation(self._path, frames, durations_ms)
        text = f"{self._path}: {len(frames)} frame{'s' * (len(frames) > 1)}"
        if self._frames.step == 1:
            return text
        short = self._every and self._frames.step > self._every
        return f"{text}, one in {self._frames.step} iterations{' to save memory' if short else ''}"


def _shown(height: int, width: int) -> tuple[int, int]:
    return images.fit_long_side(height, width, min(max(height, width), MOST_PX))

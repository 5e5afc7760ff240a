"""A run's state in a file, now and then, so that the run can continue after whatever ends it."""

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from impasto.engine.events import Event, Iteration
from impasto.engine.inputs.checkpoint import check_checkpoint_path, save_checkpoint
from impasto.engine.result import Result
from impasto.models.errors import ImpastoError

EVERY_S = 60.0


class Checkpoints:
    """Writes the state of the latest iteration over that of an earlier one.

    Attributes:
        needs_each_image: an iteration's state may be that of a newer one.
    """

    needs_each_image = False

    def __init__(
        self,
        path: Path,
        *,
        every_s: float = EVERY_S,
        extra: Mapping[str, Any] | None = None,
        ending: Callable[[], bool] = lambda: False,
    ) -> None:
        """Refuse what cannot be written; nothing is written yet.

        Args:
            path: .safetensors.
            every_s: seconds between two states, 0 or more; 0 is every iteration.
            extra: plain values to keep with each state.
            ending: called at each iteration; True writes the state, because the run is about to be ended.

        Raises:
            ImpastoError: no file can be written there, or the seconds are out of range.
        """
        check_checkpoint_path(path)
        if not 0 <= every_s < float("inf"):
            raise ImpastoError(f"bad checkpoint_every {every_s:g}: allowed are seconds of 0 or more")
        self._path, self._every_s, self._extra, self._ending = path, every_s, extra, ending
        self._written_s = time.monotonic()

    def take(self, event: Event) -> None:
        """Write the state of an iteration if it is time to.

        Raises:
            ImpastoError: the file cannot be written.
        """
        if isinstance(event, Iteration) and (self._is_due() or self._ending()):
            save_checkpoint(event.state(), self._path, self._extra)
            self._written_s = time.monotonic()

    def finish(self, result: Result) -> str:
        """Leave the latest state where it is."""
        return f"{self._path}: `impasto resume {self._path}` continues" if result.outcome == "cancelled" else ""

    def _is_due(self) -> bool:
        return time.monotonic() - self._written_s >= self._every_s

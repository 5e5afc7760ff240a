"""A run's state in a file, now and then and at the end, so that the run can continue after whatever ends it."""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from impasto.engine.events import Event, Iteration
from impasto.engine.inputs.checkpoint import check_checkpoint_path, save_checkpoint
from impasto.engine.result import Result
from impasto.engine.watch.shell import quoted
from impasto.models.errors import ImpastoError

EVERY_S = 60.0
_MORE = {
    "cancelled": "",
    "deadline": " --timeout-s SECONDS",
    "iterations_done": " --iterations N",
    "evaluations_done": " --evaluations N",
}
"""What `impasto resume` needs to continue a run, by the outcome that ended it."""


class Checkpoints:
    """Writes the state of the latest iteration over that of an earlier one."""

    needs_each_image = False  # an iteration's state may be that of a newer one

    def __init__(self, path: Path, *, every_s: float | None = None, extra: Mapping[str, Any] | None = None) -> None:
        """Refuse what cannot be written; nothing is written yet.

        Args:
            path: .safetensors.
            every_s: seconds between two states, 0 or more; 0 is every iteration, None is `EVERY_S`.
            extra: plain values to keep with each state.

        Raises:
            ImpastoError: no file can be written there, another file is there, or the seconds are out of range.
        """
        check_checkpoint_path(path)
        every_s = EVERY_S if every_s is None else every_s
        if not 0 <= every_s < float("inf"):
            raise ImpastoError(f"bad checkpoint_every {every_s:g}: allowed are seconds of 0 or more")
        self._path, self._every_s, self._extra = path, every_s, extra
        self._written_s: float | None = None

    def take(self, event: Event) -> None:
        """Write the state of the first iteration, and of later ones when the seconds have passed.

        Raises:
            ImpastoError: the file cannot be written.
        """
        if isinstance(event, Iteration) and self._is_due():
            save_checkpoint(event.state(), self._path, self._extra)
            self._written_s = time.monotonic()

    def finish(self, result: Result) -> str:
        """Write the state at the end, where the result holds it; return how to continue.

        Raises:
            ImpastoError: the file cannot be written.
        """
        if result.state is not None:
            save_checkpoint(result.state, self._path, self._extra)
        more = _MORE.get(result.outcome)
        name = quoted(str(self._path))
        return "" if more is None else f"to continue this run: impasto resume {name}{more}"

    def _is_due(self) -> bool:
        return self._written_s is None or time.monotonic() - self._written_s >= self._every_s

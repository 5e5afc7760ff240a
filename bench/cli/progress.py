"""What a person sees while a benchmark goes on: the stage and how far it is."""

from collections.abc import Sequence
from types import TracebackType
from typing import Self

from rich import progress
from rich.console import Console


class Progress:
    """A `impasto.bench.sampling.Watch` with a bar on stderr, or a line per stage where stderr is no terminal."""

    def __init__(self, interrupted: Sequence[bool], *, quiet: bool) -> None:
        """Take over where Ctrl-C is noted.

        Args:
            interrupted: no longer empty once there was one.
            quiet: nothing is shown.
        """
        self._interrupted, self._quiet = interrupted, quiet
        self._console = Console(stderr=True, highlight=False, soft_wrap=True)
        self._bar = progress.Progress(
            progress.TextColumn("{task.description}"),
            progress.BarColumn(bar_width=24),
            progress.TaskProgressColumn(),
            progress.TimeElapsedColumn(),
            console=self._console,
            disable=quiet or not self._console.is_terminal,
            transient=True,
        )
        self._task = self._bar.add_task("")

    def stage(self, text: str, total: float) -> None:
        """Begin a stage."""
        self._bar.reset(self._task, total=total, description=text)
        if self._bar.disable and not self._quiet:
            self._console.print(text, markup=False)

    def done(self, amount: float) -> None:
        """Move the bar."""
        self._bar.update(self._task, completed=amount)

    def stopped(self) -> bool:
        """Return whether there was a Ctrl-C."""
        return bool(self._interrupted)

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

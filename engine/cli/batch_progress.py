"""What a person sees while many transfers go on: one bar for all of them."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Self

from rich import progress
from rich.console import Console

from impasto.engine.events import Event, Iteration, PrecisionChanged
from impasto.engine.inputs.manifest import Row


class BatchProgress:
    """A progress bar on stderr that counts iterations; nothing where stderr is not a terminal, or to be quiet."""

    def __init__(self, iterations: int, rows: int, *, hidden: bool, say: Callable[[str], None]) -> None:
        """Make a bar of so many iterations of so many rows.

        Args:
            iterations: of all rows.
            rows: how many there are.
            hidden: whether there is to be no bar.
            say: what a person should know takes this way.
        """
        console = Console(stderr=True)
        self._bar = progress.Progress(
            progress.TextColumn("{task.fields[ended]}/{task.fields[rows]}"),
            progress.BarColumn(bar_width=24),
            progress.TextColumn("{task.fields[remark]}"),
            progress.TimeRemainingColumn(compact=True),
            console=console,
            disable=hidden or not console.is_terminal,
            transient=True,
        )
        self._task = self._bar.add_task("", total=iterations, ended=0, rows=rows, remark="preparing")
        self._say = say
        self._iterations: dict[int, int] = {}
        self._ended = 0

    def show(self, row: Row, event: Event) -> None:
        """Take over one event of a row."""
        if isinstance(event, Iteration):
            self._iterations[row.number] = event.iteration
            self._update(f"{row.output.name}: loss {event.loss:.4g}")
        if isinstance(event, PrecisionChanged):
            with self.aside():
                self._say(f"row {row.number}: {event.in_words}")

    def end(self, row: Row) -> None:
        """Count a row as done, whatever it has left undone."""
        self._iterations[row.number] = row.settings.iterations
        self._ended += 1
        self._update(row.output.name)

    @contextmanager
    def aside(self) -> Iterator[None]:
        """Take the bar off the terminal while something else is written there, and put it back below that."""
        if self._bar.disable:
            yield
            return
        self._bar.stop()
        try:
            yield
        finally:
            self._bar.start()

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    def _update(self, remark: str) -> None:
        done = sum(self._iterations.values())
        self._bar.update(self._task, completed=done, ended=self._ended, remark=remark)

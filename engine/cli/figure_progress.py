"""What a person sees while a figure is made: a bar for the whole and one for the cell."""

from types import TracebackType
from typing import Self

from rich import progress
from rich.console import Console

from impasto.engine.cli.progress import grouped
from impasto.engine.events import Event, Iteration, Started
from impasto.engine.figures import Cell, Plan


class FigureProgress:
    """Two progress bars on stderr; nothing where stderr is not a terminal, or when it is told to be quiet."""

    def __init__(self, plan: Plan, evaluations: int, *, hidden: bool) -> None:
        """Make bars for so many cells of so many evaluations each."""
        console = Console(stderr=True)
        self._bars = progress.Progress(
            progress.TextColumn("{task.description}"),
            progress.BarColumn(bar_width=24),
            progress.TextColumn("{task.completed:.0f}/{task.total:.0f}"),
            progress.TextColumn("{task.fields[remark]}"),
            progress.TimeRemainingColumn(compact=True),
            console=console,
            disable=hidden or not console.is_terminal,
            transient=True,
        )
        self._evaluations, self._finished = evaluations, 0
        # The whole counts evaluations too, so that it moves and can tell the time that is left.
        self._whole = self._bars.add_task("figure", total=len(plan.cells) * evaluations, remark="")
        self._cell = self._bars.add_task("cell", total=evaluations, remark="")
        self._count = len(plan.cells)

    def begin(self, cell: Cell, number: int, finished: bool) -> None:
        """Go on to a cell.

        Args:
            cell: the next one.
            number: of cells before it.
            finished: whether it was found again.
        """
        self._finished = number
        self._bars.update(self._whole, completed=number * self._evaluations, remark=f"cell {number + 1}/{self._count}")
        remark = "is there already" if finished else "preparing"
        self._bars.reset(self._cell, total=self._evaluations, description=cell.name, remark=remark)

    def show(self, event: Event) -> None:
        """Take over one event of the cell that is being made."""
        if isinstance(event, Started):
            self._bars.update(self._cell, remark="first evaluation")
        elif isinstance(event, Iteration):
            done = min(event.evaluations, self._evaluations)
            self._bars.update(self._cell, completed=done, remark=grouped(event.terms))
            self._bars.update(self._whole, completed=self._finished * self._evaluations + done)

    def __enter__(self) -> Self:
        self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bars.stop()

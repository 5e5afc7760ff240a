"""What a person or a program sees while a figure is made: bars for the whole and for the cells, or a line per cell."""

import json
from collections.abc import Callable
from types import TracebackType
from typing import Self

from rich import progress
from rich.console import Console

from impasto.engine.cli.progress import grouped
from impasto.engine.events import Event, Iteration, Started
from impasto.engine.figures import Cell, Figure


class FigureProgress:
    """Bars on stderr, one for the whole and one for each cell under way; nothing where stderr is not a terminal."""

    def __init__(self, figure: Figure, evaluations: int, *, hidden: bool, say: Callable[[str], None]) -> None:
        """Make a bar for so many cells of so many evaluations each; the cells' bars come and go.

        Args:
            figure: with the cells.
            evaluations: of each.
            hidden: whether there are to be no bars.
            say: what a person should know takes this way.
        """
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
        self._say = say
        self._evaluations, self._count = evaluations, len(figure.cells)
        # The whole counts evaluations too, so that it moves and can tell the time that is left.
        self._whole = self._bars.add_task("figure", total=len(figure.cells) * evaluations, remark="preparing")
        self._cells: dict[str, progress.TaskID] = {}
        self._under_way: dict[str, int] = {}
        self._ended = 0

    @property
    def completed(self) -> int:
        """Evaluations that are behind us; a cell that has ended counts with all that it might have had."""
        return self._ended * self._evaluations + sum(self._under_way.values())

    @property
    def seconds_left(self) -> float | None:
        """What the bar of the whole says; None where nothing is known."""
        return next(task.time_remaining for task in self._bars.tasks if task.id == self._whole)

    def found(self, cell: Cell) -> None:
        """Count a cell as done; it says nothing about the speed, so that the clock begins anew."""
        self._ended += 1
        self._bars.reset(self._whole, completed=self.completed, remark=self._remark())

    def take(self, cell: Cell, event: Event) -> None:
        """Take over one event of a cell that is being made."""
        if isinstance(event, Started):
            self._under_way[cell.name] = 0
            if cell.name not in self._cells:
                self._cells[cell.name] = self._bars.add_task(cell.name, total=self._evaluations, remark="")
            self._bars.reset(self._cells[cell.name], remark="first evaluation")
        elif isinstance(event, Iteration):
            done = min(event.evaluations, self._evaluations)
            self._under_way[cell.name] = done
            self._bars.update(self._cells[cell.name], completed=done, remark=grouped(event.terms))
        else:
            self._say(f"cell {cell.name}: {event.in_words}")
        self._show_whole()

    def ended(self, cell: Cell) -> None:
        """Count a cell as done, whatever it has left undone."""
        self._ended += 1
        del self._under_way[cell.name]
        self._bars.remove_task(self._cells.pop(cell.name))
        self._show_whole()

    def _show_whole(self) -> None:
        self._bars.update(self._whole, completed=self.completed, remark=self._remark())

    def _remark(self) -> str:
        return f"{self._ended}/{self._count} cells"

    def __enter__(self) -> Self:
        self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bars.stop()


class CellLines:
    """A JSON line on stdout for every cell that is found or begins.

    Attributes:
        count: of the cells that were found.
    """

    def __init__(self, figure: Figure, *, silent: bool) -> None:
        """Follow the cells of a figure; silent, they are only counted."""
        self.count = 0
        self._figure, self._silent = figure, silent
        self._begun: set[str] = set()

    def found(self, cell: Cell) -> None:
        """Tell of a cell that is there."""
        self.count += 1
        self._print(cell, finished=True)

    def take(self, cell: Cell, event: Event) -> None:
        """Tell of a cell that begins."""
        if isinstance(event, Started) and cell.name not in self._begun:
            self._begun.add(cell.name)
            self._print(cell, finished=False)

    def ended(self, cell: Cell) -> None:
        """Do nothing; the next line says as much."""

    def _print(self, cell: Cell, *, finished: bool) -> None:
        if not self._silent:
            number, cells = self._figure.cells.index(cell) + 1, len(self._figure.cells)
            print(json.dumps({"cell": cell.name, "number": number, "of": cells, "finished": finished}), flush=True)

"""Progress bars on stderr for a run, a batch, a figure and a download."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    ProgressColumn,
    TaskID,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

from impasto.engine.events import Event, Iteration, PrecisionChanged, ScaleStarted, Started

if TYPE_CHECKING:
    from impasto.engine.figures import Cell, Figure
    from impasto.engine.inputs.manifest import Row

BAR_WIDTH = 24


class Bars(Progress):
    """Progress bars that are shown only if stderr is a terminal, and are erased at the end."""

    def __init__(self, title: str, *columns: str | ProgressColumn, hidden: bool = False) -> None:
        """Lay out the line of every task.

        Args:
            title: text before the bar, a format of the task.
            columns: columns after the bar.
            hidden: whether to show no bars at all.
        """
        console = Console(stderr=True)
        disable = hidden or not console.is_terminal
        super().__init__(title, BarColumn(BAR_WIDTH), *columns, console=console, disable=disable, transient=True)

    @contextmanager
    def aside(self) -> Iterator[None]:
        """Remove the bars while the block writes to the terminal, and draw them again below its output."""
        if not self.live.is_started:
            yield
            return
        self.stop()
        try:
            yield
        finally:
            self.start()


class RunProgress(Bars):
    """The bar of one run: iterations, loss, speed, time left."""

    def __init__(self, iterations: int, *, hidden: bool) -> None:
        after = ("{task.fields[loss]}", "{task.fields[rate]}", TimeRemainingColumn(compact=True))
        super().__init__("{task.fields[scale]}{task.completed}/{task.total}", *after, hidden=hidden)
        self._task = self.add_task("", total=iterations, scale="", loss="preparing", rate="")
        self._begun_s = 0.0
        self._evaluations = self._before = 0

    def expect_more(self, iterations: int) -> None:
        """Lengthen the bar, for a refinement."""
        self.update(self._task, total=(self.tasks[0].total or 0) + iterations)

    def show(self, event: Event) -> None:
        """Show one event."""
        if isinstance(event, Started):
            self._begun_s, self._before = event.setup_s, self._evaluations  # measure the speed of a refinement alone
            self.update(self._task, scale="", loss="first evaluation")
        elif isinstance(event, ScaleStarted):
            self._begun_s, self._before = event.seconds, event.evaluations  # each size has a speed of its own
            side = max(event.height, event.width)
            self.update(self._task, scale=f"scale {event.scale} of {event.scales}, {side} px: ")
        elif isinstance(event, Iteration):
            self._evaluations = event.evaluations
            rate = (event.evaluations - self._before) / max(event.seconds - self._begun_s, 1e-9)
            loss = f"loss {event.loss:.4g} ({by_kind(event.terms)})"
            self.update(self._task, completed=event.iteration, loss=loss, rate=f"{rate:.2f} evaluations/s")


class BatchProgress(Bars):
    """One bar for the rows of a batch; it counts their iterations."""

    def __init__(self, iterations: int, rows: int, *, hidden: bool, say: Callable[[str], None]) -> None:
        """Make a bar for the total iterations of all rows; `say` prints a line."""
        after = ("{task.fields[remark]}", TimeRemainingColumn(compact=True))
        super().__init__("{task.fields[ended]}/{task.fields[rows]}", *after, hidden=hidden)
        self._task = self.add_task("", total=iterations, ended=0, rows=rows, remark="preparing")
        self._say = say
        self._iterations: dict[int, int] = {}
        self._ended = 0

    def show(self, row: "Row", event: Event) -> None:
        """Take over one event of a row."""
        if isinstance(event, Iteration):
            self._show(row, event.iteration, f"{row.output.name}: loss {event.loss:.4g}")
        if isinstance(event, PrecisionChanged):
            with self.aside():
                self._say(f"row {row.number}: {event.message}")

    def end(self, row: "Row") -> None:
        """Count all iterations of a row as done, including those that it did not need."""
        self._ended += 1
        self._show(row, row.settings.iterations, row.output.name)

    def _show(self, row: "Row", iterations: int, remark: str) -> None:
        self._iterations[row.number] = iterations
        self.update(self._task, completed=sum(self._iterations.values()), ended=self._ended, remark=remark)


class FigureProgress(Bars):
    """One bar for the whole figure and one for each running cell. All bars count evaluations.

    Attributes:
        found_count: number of cells that an earlier start has finished.
    """

    def __init__(
        self,
        paper_figure: "Figure",
        evaluations: int,
        *,
        hidden: bool,
        say: Callable[[str], None],
        on_cell: "Callable[[Cell, bool], None] | None" = None,
        on_cut_short: "Callable[[Cell, int], None] | None" = None,
    ) -> None:
        """Make the bar of the whole figure, with that many evaluations per cell; `say` prints a line.

        `on_cell` is called once for every cell that is found or begins; its second argument tells if it is finished.
        `on_cut_short` is called for every cell that is cancelled, with its evaluations.
        """
        after = ("{task.completed:.0f}/{task.total:.0f}", "{task.fields[remark]}", TimeRemainingColumn(compact=True))
        super().__init__("{task.description}", *after, hidden=hidden)
        self._say, self._on_cell = say, on_cell or (lambda cell, finished: None)
        self._on_cut_short = on_cut_short or (lambda cell, evaluations: None)
        self._evaluations, self._count = evaluations, len(paper_figure.cells)
        self._whole = self.add_task("figure", total=len(paper_figure.cells) * evaluations, remark="preparing")
        self._cells: dict[str, TaskID] = {}
        self._ended = self.found_count = 0

    @property
    def completed(self) -> int:
        """Evaluations so far. An ended cell counts as all evaluations that it was allowed."""
        under_way = sum(task.completed for task in self.tasks if task.id != self._whole)
        return self._ended * self._evaluations + int(under_way)

    def found(self, cell: "Cell") -> None:
        """Count a cell that an earlier start has finished, and restart the measurement of the speed."""
        self._on_cell(cell, True)
        self.found_count += 1
        self._ended += 1
        self._show_whole()
        self.reset(self._whole, completed=self.completed)

    def take(self, cell: "Cell", event: Event) -> None:
        """Show one event of a cell."""
        if isinstance(event, Started):
            if cell.name not in self._cells:
                self._on_cell(cell, False)
                self._cells[cell.name] = self.add_task(cell.name, total=self._evaluations, remark="")
            self.reset(self._cells[cell.name], remark="first evaluation")
        elif isinstance(event, Iteration):
            done = min(event.evaluations, self._evaluations)
            self.update(self._cells[cell.name], completed=done, remark=by_kind(event.terms))
        elif isinstance(event, PrecisionChanged):
            self._say(f"cell {cell.name}: {event.message}")
        self._show_whole()

    def ended(self, cell: "Cell") -> None:
        """Count all evaluations of a cell as done, including those that it did not need."""
        self._ended += 1
        self.remove_task(self._cells.pop(cell.name))
        self._show_whole()

    def cut_short(self, cell: "Cell", evaluations: int) -> None:
        """Pass on that a cell was cancelled."""
        with self.aside():
            self._on_cut_short(cell, evaluations)

    def _show_whole(self) -> None:
        self.update(self._whole, completed=self.completed, remark=f"{self._ended}/{self._count} cells")


@contextmanager
def download_progress(name: str) -> Iterator[Callable[[int, int | None], None]]:
    """Show a bar, and yield the function that updates it with the bytes received and the total bytes or None."""
    with Bars("{task.description}", DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn()) as bars:
        task = bars.add_task(name, total=None)
        yield lambda received, total: bars.update(task, completed=received, total=total)


def by_kind(terms: Mapping[str, float]) -> str:
    """Return the terms summed by kind: ``content 1.2e+05, style 3.4e+06``."""
    kinds: dict[str, float] = {}
    for name, value in terms.items():
        kind = name.partition("_")[0]
        kinds[kind] = kinds.get(kind, 0.0) + value
    return ", ".join(f"{kind} {value:.3g}" for kind, value in kinds.items())

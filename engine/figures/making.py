"""A figure in a folder: every cell that is not finished yet, then the sheet and the page."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

from impasto.engine.events import Event
from impasto.engine.figures.courses import Courses
from impasto.engine.figures.figure import Cell, Figure
from impasto.engine.figures.page import page_of
from impasto.engine.figures.record import Record, asked_for
from impasto.engine.figures.sheet import write_sheet
from impasto.engine.images import read_image
from impasto.engine.jobs.engine import Engine
from impasto.engine.jobs.job import Job
from impasto.engine.optimisers.solution import Outcome
from impasto.models.atomic import write_atomically
from impasto.models.errors import ImpastoError
from impasto.models.overwriting import check_not_read
from impasto.models.version import VERSION

SHEET, PAGE, LOCK = "sheet.png", "figure.html", ".figure.lock"


class Follower(Protocol):
    """What is told of a figure that is made. Cells of one form may be under way at the same time."""

    def found(self, cell: Cell) -> None:
        """A cell is there from an earlier start."""

    def take(self, cell: Cell, event: Event) -> None:
        """Something happened to a cell that is being made; `Started` is the first of its events."""

    def ended(self, cell: Cell) -> None:
        """A cell is ready and will now be written."""

    def cut_short(self, cell: Cell, evaluations: int) -> None:
        """A cell was cancelled after so many evaluations; its picture so far will now be written."""


def make_figure(
    engine: Engine,
    figure: Figure,
    folder: Path,
    *,
    batch: int | None = None,
    report: Path | None = None,
    command: str = "",
    followers: Sequence[Follower] = (),
    cancel: Callable[[], bool] = lambda: False,
) -> bool:
    """Make a figure, or what is missing of it.

    In the folder are then NAME.png of every cell, `sheet.png`, `figure.html` and `figure.json`, the courses of the
    losses for the page, and the lock that keeps a second process out. Stopped at any moment, even by force, it goes on
    with the cells that were not finished. A figure that is cancelled has no sheet. Its folder and its page have the
    finished cells, and the pictures so far of the cells that were under way, which the next call makes again.

    Args:
        engine: paints the cells.
        figure: from `plan_figure`.
        folder: it is made where it does not exist.
        batch: cells of one form per evaluation at most, as for `Engine.transfer_many`; None is its default.
        report: another path for the page, or None.
        command: that makes the figure, for the page, quoted for a shell; "" leaves it out.
        followers: told of every cell.
        cancel: asked before every evaluation; True ends the cells under way with their pictures so far.

    Returns:
        Whether the figure is whole; False if it was cancelled.

    Raises:
        ImpastoError: as `Engine.transfer` and `Engine.transfer_many`; the folder holds another figure, another process
            is at work there, or it cannot be written to.
    """
    from filelock import FileLock, Timeout

    outputs = [folder / name for name in (SHEET, PAGE, *(f"{cell.name}.png" for cell in figure.cells))]
    inputs = {f"the {kind} image {path}": path for kind, path in figure.inputs}
    check_not_read([*outputs, report], inputs, "give another folder")
    for _, path in figure.inputs:
        read_image(path)  # a mistake is told before the first cell, not hours later
    if folder.exists() and not folder.is_dir():
        raise ImpastoError(f"cannot write to {folder}: it is a file; give a folder")
    made_with = {
        "impasto": VERSION,
        "model": engine.network.name,
        "model_sha256": engine.network.sha256,
        "provider": engine.provider.name,
        "precision": engine.provider.precision,
    }
    asked = asked_for(figure, made_with)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / LOCK).acquire(blocking=False)
    except Timeout as error:
        raise ImpastoError(
            f"another process makes a figure in {folder}: wait for it, or give another folder"
        ) from error
    except OSError as error:
        raise ImpastoError(f"cannot write to {folder}: {error.strerror}; give another folder") from error
    with lock:
        record, courses = Record(folder, asked), Courses(folder)
        missing = [cell for cell in figure.cells if not record.is_finished(cell)]
        for cell in filter(record.is_finished, figure.cells):
            for follower in followers:
                follower.found(cell)
        is_whole = _make(engine, missing, record, batch, [*followers, courses], cancel)
        if is_whole:
            write_sheet(figure, record, folder / SHEET)
        page = page_of(figure, record, courses, command).encode("utf-8", "backslashreplace")
        for path in filter(None, (folder / PAGE, report)):
            write_atomically(path, page, durable=True)
    return is_whole


def _make(
    engine: Engine,
    cells: Sequence[Cell],
    record: Record,
    batch: int | None,
    followers: Sequence[Follower],
    cancel: Callable[[], bool],
) -> bool:
    """Make cells and record each as soon as it has ended; return whether all of them have. One failure ends all."""
    failures: list[ImpastoError] = []

    def tell(index: int, _: Job, event: Event) -> None:
        for follower in followers:
            follower.take(cells[index], event)

    jobs = (Job(cell.content, cell.style, cell.settings) for cell in cells)
    for found in engine.transfer_many(jobs, batch=batch, on_event=tell, cancel=lambda: bool(failures) or cancel()):
        if found.error is not None:
            failures.append(found.error)
        elif found.result is not None:
            cell, result = cells[found.index], found.result
            for follower in followers:
                if result.outcome == Outcome.CANCELLED.value:
                    follower.cut_short(cell, result.evaluations)
                else:
                    follower.ended(cell)
            record.add(cell, result)
    if failures and not cancel():  # where it is cancelled, a cell without its first evaluation is no failure
        raise failures[0]
    return all(map(record.is_finished, cells))

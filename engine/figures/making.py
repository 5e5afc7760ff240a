"""A figure from its plan: every cell that is not finished yet, then the sheet and the page."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol

from impasto.engine.events import Event
from impasto.engine.figures.page import write_page
from impasto.engine.figures.plan import Cell, Plan
from impasto.engine.figures.record import Record, asked_for
from impasto.engine.figures.sheet import write_sheet
from impasto.engine.images import read_image
from impasto.engine.jobs.engine import Engine
from impasto.engine.jobs.many import Job
from impasto.engine.optimisers.outcome import Outcome
from impasto.models.errors import ImpastoError
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


def make_figure(
    engine: Engine,
    plan: Plan,
    folder: Path,
    *,
    batch: int | None = None,
    followers: Sequence[Follower] = (),
    cancel: Callable[[], bool] = lambda: False,
) -> bool:
    """Make a figure, or what is missing of it.

    In the folder are then NAME.png of every cell, `sheet.png`, `figure.html` and `figure.json`, and the lock that keeps
    a second process out. Stopped at any moment, even by force, it goes on with the cells that were not finished.

    Args:
        engine: paints the cells.
        plan: from `plan_figure`.
        folder: it is made where it does not exist.
        batch: cells of one form per evaluation at most, as for `Engine.transfer_many`; None is its default.
        followers: told of every cell.
        cancel: asked before every evaluation; cells that it stops are not kept.

    Returns:
        Whether the figure is whole; False where it was cancelled.

    Raises:
        ImpastoError: as `Engine.transfer` and `Engine.transfer_many`; the folder holds another figure, another process
            is at work there, or it cannot be written to.
    """
    for _, path in plan.inputs:
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
    asked = asked_for(plan, made_with)
    with _alone_in(folder):
        record = Record(folder, asked)
        missing = [cell for cell in plan.cells if not record.is_finished(cell)]
        for cell in plan.cells:
            if cell not in missing:
                for follower in followers:
                    follower.found(cell)
        if not _make(engine, missing, record, batch, followers, cancel):
            return False
        write_sheet(plan, record, folder / SHEET, made_with)
        write_page(plan, record, folder / PAGE, made_with)
    return True


def _make(
    engine: Engine,
    cells: Sequence[Cell],
    record: Record,
    batch: int | None,
    followers: Sequence[Follower],
    cancel: Callable[[], bool],
) -> bool:
    """Make cells and record each as soon as it has ended; return whether all of them have.

    Raises:
        ImpastoError: of the first cell that failed; those beside it are given up.
    """
    failures: list[ImpastoError] = []
    left = len(cells)

    def tell(index: int, _: Job, event: Event) -> None:
        for follower in followers:
            follower.take(cells[index], event)

    jobs = (Job(cell.content, cell.style, cell.settings) for cell in cells)
    for found in engine.transfer_many(jobs, batch=batch, on_event=tell, cancel=lambda: bool(failures) or cancel()):
        if found.error is not None:
            failures.append(found.error)
        elif found.result is not None and found.result.outcome != Outcome.CANCELLED.value:
            for follower in followers:
                follower.ended(cells[found.index])
            record.add(cells[found.index], found.result)
            left -= 1
    if failures and not cancel():  # where it is cancelled, a cell without its first evaluation is no failure
        raise failures[0]
    return left == 0


def _alone_in(folder: Path) -> AbstractContextManager[object]:
    """Make a folder and keep other processes out of it.

    Raises:
        ImpastoError: one is at work there, or the folder cannot be written to.
    """
    from filelock import FileLock, Timeout

    try:
        folder.mkdir(parents=True, exist_ok=True)
        return FileLock(folder / LOCK).acquire(blocking=False)
    except Timeout as error:
        raise ImpastoError(
            f"another process makes a figure in {folder}: wait for it, or give another folder"
        ) from error
    except OSError as error:
        raise ImpastoError(f"cannot write to {folder}: {error.strerror}; give another folder") from error

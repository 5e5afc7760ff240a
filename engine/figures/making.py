"""A figure from its plan: every cell that is not finished yet, then the sheet and the page."""

from collections.abc import Callable
from pathlib import Path

from impasto.engine.events import OnEvent
from impasto.engine.figures.page import write_page
from impasto.engine.figures.plan import Cell, Plan
from impasto.engine.figures.record import Record, asked_for
from impasto.engine.figures.sheet import write_sheet
from impasto.engine.images import read_image
from impasto.engine.render import Engine
from impasto.models.errors import ImpastoError
from impasto.models.version import VERSION

SHEET, PAGE = "sheet.png", "figure.html"

OnCell = Callable[[Cell, int, bool], None]
"""Called before each cell with the cell, how many there were before it, and whether it is finished already."""


def make_figure(
    engine: Engine,
    plan: Plan,
    folder: Path,
    *,
    on_cell: OnCell | None = None,
    on_event: OnEvent | None = None,
    cancel: Callable[[], bool] | None = None,
) -> bool:
    """Make a figure, or what is missing of it.

    In the folder are then NAME.png of every cell, `sheet.png`, `figure.html` and `figure.json`. Stopped at any moment,
    even by force, it goes on with the first cell that was not finished.

    Args:
        engine: paints the cells.
        plan: from `plan_figure`.
        folder: it is made where it does not exist.
        on_cell: told of every cell.
        on_event: as for `Engine.transfer`, for the cell that is being made.
        cancel: likewise; the cell that it stops is not kept.

    Returns:
        Whether the figure is whole; False where it was cancelled.

    Raises:
        ImpastoError: as `Engine.transfer`; the folder holds another figure, or cannot be written to.
    """
    for path in _images(plan):
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
    record = Record(folder, asked_for(plan, made_with))
    for index, cell in enumerate(plan.cells):
        finished = record.is_finished(cell)
        if on_cell is not None:
            on_cell(cell, index, finished)
        if finished:
            continue
        try:
            result = engine.transfer(cell.content, cell.style, cell.settings, on_event=on_event, cancel=cancel)
        except ImpastoError:
            if cancel is not None and cancel():  # before the first evaluation, so that there is no result
                return False
            raise
        if cancel is not None and cancel():
            return False
        record.add(cell, result)
    write_sheet(plan, record, folder / SHEET, made_with)
    write_page(plan, record, folder / PAGE, made_with)
    return True


def _images(plan: Plan) -> list[Path]:
    return sorted({path for cell in plan.cells for path in (cell.content, cell.style) if path is not None})

"""The figure as a page that needs no other file: its cells, and each of them against its original with its losses."""

from collections.abc import Mapping
from pathlib import Path

from impasto.engine.figures.courses import Courses
from impasto.engine.figures.figure import Cell, Figure
from impasto.engine.figures.record import Record
from impasto.engine.figures.sheet import note
from impasto.engine.images import data_url, read_image
from impasto.engine.watch.report import losses, surroundings
from impasto.engine.watch.report.page import Input, render
from impasto.engine.watch.text import as_table
from impasto.models.errors import printable

AFTER = "After Gatys, Ecker and Bethge, A Neural Algorithm of Artistic Style, arXiv:1508.06576."
MOST_PX = 1024  # longer sides of cells are reduced in the table
COMPARED_PX = 512  # and where they are compared with an original
TITLE_PX = 128  # the width of the titles of rows
LEAST_COLUMN_PX, COLUMN_PX = 128, 224
"""A column is at least the one and at most the other, or as wide as its cells where they are between or above."""


def page_of(figure: Figure, record: Record, courses: Courses, command: str) -> str:
    """Return the page of a figure; cells without a picture leave their places free.

    Args:
        figure: that is made.
        record: of its cells.
        courses: of these.
        command: that makes the figure, quoted for a shell; "" leaves it out.
    """
    inputs = {
        path: Input(kind, read_image(path), COMPARED_PX, f"input-{number}")
        for number, (kind, path) in enumerate(figure.inputs, 1)
    }
    cells = {
        cell.name: _Shown(figure, cell, record, courses, inputs) for cell in figure.cells if cell.name in record.cells
    }
    count, cut_short = len(record.finished), len(record.cells) - len(record.finished)
    state = f"{count} of {len(figure.cells)} cells are finished{f', and {cut_short} unfinished' if cut_short else ''}."
    facts = as_table({name: value for name, value in record.asked.items() if name != "settings"})
    return render(
        __package__,
        "figure.html",
        title=f"Figure {figure.number}. {figure.title}",
        summary=[printable(note(figure, record)), AFTER, state],
        figure=figure,
        inputs=list(inputs.values()),
        originals=[path and inputs[path] for path in figure.originals] if any(figure.originals) else [],
        cells=cells,
        widths_px=_widths_px(figure, [cell.entry["width"] for cell in cells.values()]),
        command=command,
        tables={"Figure": facts, **surroundings()},
    )


class _Shown:
    """A cell as the page shows it."""

    def __init__(
        self, figure: Figure, cell: Cell, record: Record, courses: Courses, inputs: Mapping[Path, Input]
    ) -> None:
        self.entry, self.is_finished = record.cells[cell.name], record.is_finished(cell)
        self.id = f"cell-{figure.cells.index(cell) + 1}"  # names come from files and may hold anything
        picture = read_image(record.image(cell))
        self.url, self.compared_url = data_url(picture, MOST_PX), data_url(picture, COMPARED_PX)
        self.description, self.caption = printable(cell.description), printable(cell.caption)
        self.original = next(inputs[path] for path in (cell.content, cell.style) if path is not None)
        self.inset = inputs[cell.style] if figure.insets and cell.style else None
        self.legend = losses.legend(self.entry["initial_terms"], self.entry["terms"], self.entry["loss"])
        self.settings = as_table(self.entry["settings"])
        self.share = self.entry["loss"] / max(sum(self.entry["initial_terms"].values()), 1e-30)
        points, marks = courses.read(cell, self.entry)
        self.charts = losses.charts(f"{self.id}-", points, marks, list(self.entry["terms"])) if points else []


def _widths_px(figure: Figure, cells_px: list[int]) -> dict[str, int]:
    """Return the widths of titles, 0 if the rows have none, and of the table of equal columns, least and most."""
    count = max(cell.column for cell in figure.cells) + 1 + any(figure.originals)
    widest_px = min(MOST_PX, max(cells_px, default=0))
    titles_px = TITLE_PX if any(figure.rows) else 0
    least_px = count * min(max(widest_px, LEAST_COLUMN_PX), COLUMN_PX)
    most_px = count * min(max(widest_px, COLUMN_PX), MOST_PX)
    return {"titles": titles_px, "least": titles_px + least_px, "most": titles_px + most_px}

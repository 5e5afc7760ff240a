"""The courses of a figure's cells, kept in its folder, so that an interrupted figure has them all in the end."""

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from impasto.engine.events import Event, Started
from impasto.engine.figures.figure import Cell
from impasto.engine.watch.report.curve import Curve, Mark, Point, with_start
from impasto.models.atomic import write_atomically

FOLDER = "courses"

Course = tuple[list[Point], list[Mark]]


class Courses:
    """Follows the cells of a figure, as `impasto.engine.figures.making.Follower`, and keeps a file for each."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder / FOLDER
        self._curves: dict[str, Curve] = {}

    def found(self, cell: Cell) -> None:
        """Do nothing: an earlier start has kept the course."""

    def take(self, cell: Cell, event: Event) -> None:
        """Take over one event of a cell that is being made."""
        if isinstance(event, Started):  # once more where a cell is begun again
            self._curves[cell.name] = Curve()
        self._curves[cell.name].take(event)

    def ended(self, cell: Cell) -> None:
        """Write the course of a cell.

        Raises:
            ImpastoError: it cannot be written.
        """
        curve = self._curves.pop(cell.name)
        course = {
            "setup_s": curve.setup_s,
            "points": [asdict(point) for point in curve.points()],
            "marks": [asdict(mark) for mark in curve.marks],
        }
        write_atomically(self._path(cell), json.dumps(course).encode())

    def cut_short(self, cell: Cell, evaluations: int) -> None:
        """Write the course of a cell up to its end.

        Raises:
            ImpastoError: it cannot be written.
        """
        self.ended(cell)

    def read(self, cell: Cell, entry: Mapping[str, Any]) -> Course:
        """Return a cell's course; empty if there is none, or where it is that of another run.

        Args:
            cell: of the figure.
            entry: of the cell in the figure's record.
        """
        try:
            course = json.loads(self._path(cell).read_bytes())
            points = [Point(**point) for point in course["points"]]
            marks = [Mark(**mark) for mark in course["marks"]]
            if (points[-1].loss, points[-1].iteration) == (entry["loss"], entry["iterations"]):
                return with_start(points, course["setup_s"], entry["initial_terms"]), marks
        except (OSError, ValueError, LookupError, TypeError):
            pass
        return [], []

    def _path(self, cell: Cell) -> Path:
        return self._folder / f"{cell.name}.json"

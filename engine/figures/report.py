"""The report of a figure: every cell against its original, with its losses over evaluations and seconds.

The course of a cell is kept in the folder, so that a figure that was interrupted has the courses of all its cells in
the end; as long as each start asks for a report.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict
from html import escape
from pathlib import Path
from typing import Any

from impasto.engine import images
from impasto.engine.events import Event, Started
from impasto.engine.figures.making import PAGE
from impasto.engine.figures.plan import Cell, Plan
from impasto.engine.figures.record import ASKED, CELLS, FILE_NAME
from impasto.engine.watch.report import Curve, check_report_path, losses, page, surroundings
from impasto.engine.watch.report.curve import Mark, Point, starting_point
from impasto.engine.watch.words import in_words
from impasto.models.errors import ImpastoError

COURSES = "courses"
MOST_PX = 512

Course = tuple[list[Point], list[Mark]]


class FigureReport:
    """Follows a figure, as `impasto.engine.figures.making.Follower`, and makes its page: `finish`."""

    def __init__(self, path: str | Path, plan: Plan, folder: Path) -> None:
        """Refuse a path that cannot be written.

        Args:
            path: .html or .htm; it may be in the figure's folder before that is there.
            plan: of the figure.
            folder: where it is made.

        Raises:
            ImpastoError: as `impasto.engine.watch.report.check_report_path`, or the path is that of the figure's own page.
        """
        self._path = Path(path)
        if self._path.resolve() == (folder / PAGE).resolve():
            raise ImpastoError(f"{path} is the figure's own page, without the courses: give --report another name")
        if self._path.parent == folder and not folder.exists():
            _make_folder(folder)
        check_report_path(self._path)
        self._plan, self._folder = plan, folder
        self._curves: dict[str, Curve] = {}

    def found(self, cell: Cell) -> None:
        """Do nothing: the course of an earlier start is in the folder, if it was kept."""

    def take(self, cell: Cell, event: Event) -> None:
        """Take over one event of a cell that is being made."""
        if isinstance(event, Started):  # once more where a cell is begun again
            self._curves[cell.name] = Curve()
        self._curves[cell.name].take(event)

    def ended(self, cell: Cell) -> None:
        """Keep the course of a cell.

        Raises:
            ImpastoError: it cannot be written.
        """
        curve = self._curves.pop(cell.name)
        points = curve.points()
        if points:
            _make_folder(self._folder / COURSES)
            course = {
                "setup_s": curve.begun.setup_s if curve.begun else 0.0,
                "points": [asdict(point) for point in points],
                "marks": [asdict(mark) for mark in curve.marks],
            }
            images.write_atomically(self._course_path(cell), json.dumps(course).encode())

    def finish(self, *, command: str = "") -> None:
        """Write the page of what is there; cells that are not finished are left out.

        Args:
            command: that makes the figure, quoted for a shell.

        Raises:
            ImpastoError: it cannot be written.
        """
        images.write_atomically(self._path, self._html(command).encode())

    def _course_path(self, cell: Cell) -> Path:
        return self._folder / COURSES / f"{cell.name}.json"

    def _html(self, command: str) -> str:
        record = json.loads((self._folder / FILE_NAME).read_bytes())
        asked, entries = record[ASKED], record[CELLS]
        finished = [cell for cell in self._plan.cells if self._is_there(entries.get(cell.name))]
        title = f"Figure {self._plan.number}. {self._plan.title}"
        facts = {name: in_words(value) for name, value in asked.items() if name != "settings"}
        parts = [
            f"<header><h1>{escape(title)}</h1>",
            f'<p class="faint">{len(finished)} of {len(self._plan.cells)} cells are finished.</p></header>',
            f"<main{page.shared(self._inputs())}>",
            self._originals(),
            *(self._section(cell, entries[cell.name]) for cell in finished),
            *page.command_section(command),
            '<section aria-labelledby="facts"><h2 id="facts">Figure and machine</h2>',
            page.tables({"Figure": facts, **surroundings()}),
            "</section></main>",
        ]
        return page.page(f"{title} · impasto", parts)

    def _inputs(self) -> dict[str, tuple[str, bytes]]:
        """Return every image that the figure is made from, by a name for the page."""
        return {
            self._input(path): images.encode_for_page(images.read_image(path), MOST_PX) for _, path in self._plan.inputs
        }

    def _input(self, path: Path) -> str:
        return f"input-{[other for _, other in self._plan.inputs].index(path) + 1}"

    def _originals(self) -> str:
        """Return the inputs beside each other."""
        figures = []
        for kind, path in self._plan.inputs:
            picture = images.read_image(path)
            proportions = f"aspect-ratio: {picture.width} / {picture.height}"
            shown = page.shared_image(self._input(path), f"The {kind} image {path.name}", style=proportions)
            caption = f"{kind} image: {path.name}, {picture.width} × {picture.height} px"
            figures.append(f"<figure>{shown}<figcaption>{escape(caption)}</figcaption></figure>")
        return (
            '<section aria-labelledby="inputs"><h2 id="inputs">Inputs</h2>'
            f'<div class="originals">{"".join(figures)}</div></section>'
        )

    def _is_there(self, entry: Mapping[str, Any] | None) -> bool:
        return entry is not None and (self._folder / entry["file"]).is_file()

    def _section(self, cell: Cell, entry: Mapping[str, Any]) -> str:
        """Return a cell's pictures, losses and settings."""
        name = self._identity(cell)
        points, marks = self._course(cell, entry)
        drawn = (
            losses.charts(f"{name}-", points, marks, list(entry["terms"]))
            if points
            else "<p>It was made by a start that did not ask for a report, so its course is not known.</p>"
        )
        ended = f"{entry['evaluations']} evaluations in {entry['seconds']:.1f} s"
        settings = {name: in_words(value) for name, value in entry["settings"].items()}
        return "\n".join(
            [
                f'<section aria-labelledby="{name}">',
                f'<h2 id="{name}">{escape(cell.description)}</h2>',
                f'<p class="faint">{ended}, loss {entry["loss"]:.5g}</p>',
                self._comparison(cell, entry),
                drawn,
                losses.legend(entry["initial_terms"], entry["terms"], entry["loss"]),
                f"<details><summary>Settings</summary>{page.table('Settings of this cell', settings)}</details>",
                "</section>",
            ]
        )

    def _comparison(self, cell: Cell, entry: Mapping[str, Any]) -> str:
        most_px = min(MOST_PX, max(entry["height"], entry["width"]))
        after = images.encode_for_page(images.read_image(self._folder / entry["file"]), most_px)
        kind, original = ("content", cell.content) if cell.content is not None else ("style", cell.style)
        if original is None:
            return page.figure(after, cell.description, cell.description)
        return page.comparison(
            f"{self._identity(cell)}-slider",
            self._input(original),
            after,
            labels=(f"{kind} image", "result"),
            alts=(f"The {kind} image {original.name}", cell.description),
            size=(entry["height"], entry["width"]),
            of=cell.description,
        )

    def _identity(self, cell: Cell) -> str:
        """Return an id for the page; names come from files and may hold anything."""
        return f"cell-{self._plan.cells.index(cell) + 1}"

    def _course(self, cell: Cell, entry: Mapping[str, Any]) -> Course:
        """Return a cell's course; empty where there is none, or where it is that of another run."""
        try:
            course = json.loads(self._course_path(cell).read_bytes())
            points = [Point(**point) for point in course["points"]]
            marks = [Mark(**mark) for mark in course["marks"]]
            initial = starting_point(course["setup_s"], entry["initial_terms"])
        except (OSError, ValueError, KeyError, TypeError):
            return [], []
        belongs = points and (points[-1].loss, points[-1].iteration) == (entry["loss"], entry["iterations"])
        return ([initial, *points], marks) if belongs else ([], [])


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ImpastoError(f"cannot make the folder {folder}: {error.strerror}") from error

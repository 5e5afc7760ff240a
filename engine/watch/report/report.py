"""One run as a page: follows its events, and writes the file when it has ended."""

from collections.abc import Callable
from html import escape
from pathlib import Path

from impasto.engine import images
from impasto.engine.events import Event, Started
from impasto.engine.images import Picture, Source
from impasto.engine.result import Result
from impasto.engine.runtime.machine import machine, versions
from impasto.engine.watch.report import losses, page
from impasto.engine.watch.report.curve import Curve, Point
from impasto.engine.watch.words import in_words
from impasto.models.errors import ImpastoError

EXTENSIONS = (".html", ".htm")
MOST_PX = 1600  # longer sides are reduced, for the page's sake

File = tuple[str, bytes]
Command = Callable[[Started, Result], str]


def check_report_path(path: Path) -> None:
    """Refuse a path at which no page can be written.

    Raises:
        ImpastoError: another extension, its folder is missing, or no file can be made there.
    """
    if path.suffix.lower() not in EXTENSIONS:
        raise ImpastoError(f"cannot write {path}: a report is a page; allowed are {', '.join(EXTENSIONS)}")
    images.check_place(path)


class Report:
    """Makes the page of one run: give `report.take` every event, then `report.finish` the result.

    The input images are read when the run starts, so that a result may replace one of them.
    """

    needs_each_image = False

    def __init__(
        self,
        path: str | Path,
        *,
        content: Source | None = None,
        style: Source | None = None,
        command: str | Command = "",
    ) -> None:
        """Refuse a path that cannot be written; nothing is read yet.

        Args:
            path: .html or .htm.
            content: as the run was given it; None where it had none.
            style: likewise.
            command: that makes the same picture from the present folder, quoted for a shell, or what tells it from the
                run's beginning and its result; "" leaves it out.

        Raises:
            ImpastoError: as `check_report_path`.
        """
        self._path = Path(path)
        check_report_path(self._path)
        self._sources = {"content": content, "style": style}
        self._inputs: dict[str, tuple[Picture, File]] = {}
        self._command = command
        self._run_in = Path.cwd()
        self._curve = Curve()

    def take(self, event: Event) -> None:
        """Take over one event.

        Raises:
            ImpastoError: an input image cannot be read.
        """
        self._curve.take(event)
        if isinstance(event, Started) and not self._inputs:
            self._inputs = {
                kind: _as_shown(source, kind, event.height, event.width)
                for kind, source in self._sources.items()
                if source is not None
            }

    def finish(self, result: Result) -> str:
        """Write the page, and say where.

        Raises:
            ImpastoError: it cannot be written.
        """
        images.write_atomically(self._path, self.html(result).encode())
        return f"{self._path}: report"

    def html(self, result: Result) -> str:
        """Return the page."""
        title = self._title()
        parts = [
            "<header>",
            f"<h1>{escape(title)}</h1>",
            f'<p class="faint">{escape(_summary(result))}</p>',
            "</header>",
            "<main>",
            *self._pictures(result, f"The result: {title}"),
            *self._losses(result),
            *self._facts(result),
            "</main>",
        ]
        return page.page(f"{title} · impasto", parts)

    def _title(self) -> str:
        names = {kind: picture.name for kind, (picture, _) in self._inputs.items()}
        if len(names) == 2:
            return f"{names['content']} in the style of {names['style']}"
        return "".join(f"{name}, its {kind} reconstructed" for kind, name in names.items()) or "A run of impasto"

    def _pictures(self, result: Result, what: str) -> list[str]:
        picture = result.picture
        after = images.encode_for_page(picture, MOST_PX)
        if self._inputs:
            kind, (_, before) = next(iter(self._inputs.items()))
            shown = page.comparison(
                "slider",
                before,
                after,
                labels=(f"{kind} image", "result"),
                alts=(f"The {kind} image {self._inputs[kind][0].name}", what),
                size=(picture.height, picture.width),
            )
        else:
            shown = page.figure(after, what, "result")
        figures = [
            page.figure(
                file,
                f"The {kind} image {source.name}",
                f"{kind} image: {source.name}, {source.width} × {source.height} px here",
            )
            for kind, (source, file) in self._inputs.items()
        ]
        return [
            '<section aria-labelledby="result">',
            '<h2 id="result">Result and inputs</h2>',
            f'<div class="top">{shown}<div class="inputs">{"".join(figures)}</div></div>',
            "</section>",
        ]

    def _losses(self, result: Result) -> list[str]:
        return [
            '<section aria-labelledby="losses">',
            '<h2 id="losses">Losses</h2>',
            losses.charts("", self._points(result), self._curve.marks, list(result.terms)),
            losses.legend(result.initial_terms, result.terms, result.loss),
            "</section>",
        ]

    def _points(self, result: Result) -> list[Point]:
        """Return the start and the iterations, if there was one."""
        points = self._curve.points()
        return [*self._curve.start(result.initial_terms), *points] if points else []

    def _how(self, result: Result) -> list[str]:
        """Return the command and what its file names are relative to; nothing where there is no command."""
        command, begun = self._command, self._curve.begun
        if callable(command):
            command = command(begun, result) if begun is not None else ""
        section = page.command_section(command)
        if section:
            section.insert(-1, f'<p class="faint">{self._relative_names()}</p>')
        return section

    def _relative_names(self) -> str:
        """Say what the command's file names are relative to; no folder is named, for a page may be sent away."""
        own = self._path.resolve().parent
        if not own.is_relative_to(self._run_in):
            return "Relative file names begin in the folder where it was run, which is not above this page."
        steps = len(own.relative_to(self._run_in).parts)
        where = f"{steps} folder{'s' * (steps > 1)} above that" if steps else "in the folder"
        return f"Relative file names begin {where} of this page."

    def _facts(self, result: Result) -> list[str]:
        settings = {name: in_words(value) for name, value in result.settings.as_dict().items()}
        tables = {"Settings": settings, "Run": self._run(result), **surroundings()}
        return [
            *self._how(result),
            '<section aria-labelledby="facts">',
            '<h2 id="facts">Settings and machine</h2>',
            page.tables(tables),
            "</section>",
        ]

    def _run(self, result: Result) -> dict[str, str]:
        """Return what is neither a setting nor a property of the machine."""
        origin = {name: in_words(value) for name, value in result.provenance.items() if name != "versions"}
        begun = self._curve.started
        return {
            **{name: value for name, value in origin.items() if name != "impasto"},
            "weights": begun.conversion if begun else "-",
            "iterations": str(result.iterations),
            "evaluations": str(result.evaluations),
            "seconds": f"{result.seconds:.2f}",
            "seconds of setup": f"{result.setup_s:.2f}",
            "seconds of evaluations": f"{result.evaluations_s:.2f}",
            "ended because": result.message,
        }


def _summary(result: Result) -> str:
    where = f"{result.provenance['model']} on {result.provenance['provider']} in {result.provenance['precision']}"
    return (
        f"{result.picture.width} × {result.picture.height} px, {result.iterations} iterations "
        f"({result.evaluations} evaluations) in {result.seconds:.1f} s with {where}; {result.message}."
    )


def surroundings() -> dict[str, dict[str, str]]:
    """Return what a run depends on that is not its own: tables of the machine and of what is installed."""
    installed = {name: version for name, version in versions().items() if version != "not installed"}
    return {"Machine": machine(), "Versions": installed}


def _as_shown(source: Source, kind: str, height: int, width: int) -> tuple[Picture, File]:
    """Return an input at the size at which the page shows it: the content at the result's, the style at its own."""
    picture = images.read_image(source)
    if kind == "content":
        picture = picture.resized(height, width)
    else:
        most_px = min(max(picture.height, picture.width), max(height, width))
        picture = picture.resized(*images.fit_long_side(picture.height, picture.width, most_px))
    return picture, images.encode_for_page(picture, MOST_PX)

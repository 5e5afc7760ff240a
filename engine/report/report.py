"""One run as a page: follows its events, and writes the file when it has ended."""

from collections.abc import Mapping
from html import escape
from pathlib import Path

from impasto.engine import images
from impasto.engine.events import Event, Started
from impasto.engine.examination import machine, versions
from impasto.engine.images import Picture, Source
from impasto.engine.report import page
from impasto.engine.report.charts import Chart, swatch
from impasto.engine.report.curve import Curve
from impasto.engine.result import Result
from impasto.engine.words import in_words
from impasto.models.errors import ImpastoError

EXTENSIONS = (".html", ".htm")
MOST_PX = 1600  # longer sides are reduced, for the page's sake
TOTAL = "loss"

File = tuple[str, bytes]


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

    def __init__(
        self, path: str | Path, *, content: Source | None = None, style: Source | None = None, command: str = ""
    ) -> None:
        """Refuse a path that cannot be written; nothing is read yet.

        Args:
            path: .html or .htm.
            content: as the run was given it; None where it had none.
            style: likewise.
            command: that makes the same picture, quoted for a shell; "" leaves it out.

        Raises:
            ImpastoError: as `check_report_path`.
        """
        self._path = Path(path)
        check_report_path(self._path)
        self._sources = {"content": content, "style": style}
        self._inputs: dict[str, tuple[Picture, File]] = {}
        self._command = command
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
        names = [picture.name for picture, _ in self._inputs.values()]
        title = f"{' in the style of '.join(names) if len(names) == 2 else ''.join(names)} · impasto"
        parts = [
            "<header>",
            f"<h1>{escape(title.removesuffix(' · impasto') or 'A run of impasto')}</h1>",
            f'<p class="faint">{escape(_summary(result))}</p>',
            "</header>",
            "<main>",
            *self._pictures(result),
            *self._losses(result),
            *self._facts(result),
            "</main>",
        ]
        return page.page(title, parts)

    def _pictures(self, result: Result) -> list[str]:
        picture = result.picture
        after = images.encode_for_page(picture, MOST_PX)
        if self._inputs:
            kind, (_, before) = next(iter(self._inputs.items()))
            labels = (f"{kind} image", "result")
            shown = page.comparison("slider", before, after, labels, (picture.height, picture.width))
        else:
            shown = page.figure(after, "result", "result")
        figures = [
            page.figure(
                file,
                f"{kind} image {source.name}",
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
        points = self._curve.points()
        names = [TOTAL, *result.terms]
        lines = {
            name: [(point, point.loss if name == TOTAL else point.terms.get(name, 0.0)) for point in points]
            for name in names
        }
        by_evaluations = {name: [(float(at.evaluations), y) for at, y in line] for name, line in lines.items()}
        by_seconds = {name: [(at.seconds, y) for at, y in line] for name, line in lines.items()}
        marks = self._curve.marks
        charts = (
            Chart(
                "evaluations",
                "Loss and its terms over evaluations",
                "evaluations of loss and gradient",
                by_evaluations,
                [(float(mark.evaluations), mark.text) for mark in marks],
            ),
            Chart(
                "seconds",
                "Loss and its terms over time",
                "seconds since the run was asked for",
                by_seconds,
                [(mark.seconds, mark.text) for mark in marks],
            ),
        )
        figures = [f"<figure><h3>{escape(chart.title)}</h3>{chart.svg()}</figure>" for chart in charts]
        return [
            '<section aria-labelledby="losses">',
            '<h2 id="losses">Losses</h2>',
            f'<div class="columns">{"".join(figures)}</div>',
            _legend(names, result),
            "</section>",
        ]

    def _facts(self, result: Result) -> list[str]:
        installed = {name: version for name, version in versions().items() if version != "not installed"}
        tables = (
            ("Settings", {name: in_words(value) for name, value in result.settings.as_dict().items()}),
            ("Run", self._run(result)),
            ("Machine", machine()),
            ("Versions", installed),
        )
        columns = "".join(f"<div>{page.table(caption, rows)}</div>" for caption, rows in tables)
        command = [
            '<section aria-labelledby="command">',
            '<h2 id="command">The command</h2>',
            f"<pre><code>{escape(self._command)}</code></pre>",
            "</section>",
        ]
        return [
            *(command if self._command else []),
            '<section aria-labelledby="facts">',
            '<h2 id="facts">Settings and machine</h2>',
            f'<div class="columns">{columns}</div>',
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


def _legend(names: list[str], result: Result) -> str:
    """Return the legend of both charts: a table with each line's first and last value."""
    first = {TOTAL: sum(result.initial_terms.values()), **result.initial_terms}
    last: Mapping[str, float] = {TOTAL: result.loss, **result.terms}
    rows = [
        f'<tr><th scope="row">{swatch(index)}{escape(name)}</th>'
        f'<td class="number">{_number(first.get(name))}</td><td class="number">{_number(last[name])}</td>'
        f'<td class="number">{_share(last[name], result.loss)}</td></tr>'
        for index, name in enumerate(names)
    ]
    heads = "".join(f'<th scope="col" class="number">{text}</th>' for text in ("at the start", "at the end", "share"))
    return "\n".join(
        [
            '<div class="scroll" role="region" aria-label="Losses as numbers" tabindex="0"><table>',
            "<caption>The lines of both charts; the terms are weighted and add up to the loss</caption>",
            f'<thead><tr><th scope="col">line</th>{heads}</tr></thead>',
            "<tbody>",
            *rows,
            "</tbody></table></div>",
        ]
    )


def _as_shown(source: Source, kind: str, height: int, width: int) -> tuple[Picture, File]:
    """Return an input at the size at which the page shows it: the content at the result's, the style at its own."""
    picture = images.read_image(source)
    if kind == "content":
        picture = picture.resized(height, width)
    else:
        most_px = min(max(picture.height, picture.width), max(height, width))
        picture = picture.resized(*images.fit_long_side(picture.height, picture.width, most_px))
    return picture, images.encode_for_page(picture, MOST_PX)


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.5g}"


def _share(value: float, loss: float) -> str:
    return f"{100 * value / loss:.1f} %" if loss else "-"

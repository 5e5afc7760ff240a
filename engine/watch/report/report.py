"""One run as a page: follows its events, and writes the file when it has ended."""

from collections.abc import Callable
from pathlib import Path

from impasto.engine import images
from impasto.engine.events import Event, Started
from impasto.engine.images import Source
from impasto.engine.result import Result
from impasto.engine.runtime.machine import machine, versions
from impasto.engine.watch.report import losses
from impasto.engine.watch.report.curve import Curve, with_start
from impasto.engine.watch.report.page import Input, render
from impasto.engine.watch.text import as_table
from impasto.models.atomic import check_place, write_atomically
from impasto.models.errors import ImpastoError

EXTENSIONS = (".html", ".htm")
MOST_PX = 1600  # longer sides are reduced, for the page's sake

_ELSEWHERE = ("versions", "impasto")  # of the provenance, in the table of versions

Command = Callable[[Started, Result], str]


def check_report_path(path: Path, folder: Path | None = None) -> None:
    """Refuse a path at which no page can be written.

    Args:
        path: of the page.
        folder: one that will be made, if it does not exist, before the page is written.

    Raises:
        ImpastoError: another extension, its folder is missing, or no file can be made there.
    """
    if path.suffix.lower() not in EXTENSIONS:
        raise ImpastoError(f"cannot write {path}: a report is a page; allowed are {', '.join(EXTENSIONS)}")
    if path.parent != folder or folder.exists():
        check_place(path)


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
            content: as the run was given it; None if it had none.
            style: likewise.
            command: that makes the same picture from the present folder, quoted for a shell, or what tells it from the
                run's beginning and its result; "" leaves it out.

        Raises:
            ImpastoError: as `check_report_path`.
        """
        self._path = Path(path)
        check_report_path(self._path)
        self._sources = {"content": content, "style": style}
        self._inputs: list[Input] = []
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
            for kind, source in self._sources.items():
                if source is not None:  # the content is shown at the result's size, the style in its own proportions
                    size = event.height, event.width
                    if kind == "content":
                        picture = images.read_resized(source, *size)
                    else:
                        picture = images.read_within(source, max(size))
                    self._inputs.append(Input(kind, picture, MOST_PX))

    def finish(self, result: Result) -> str:
        """Write the page, and say where.

        Raises:
            ImpastoError: it cannot be written.
        """
        write_atomically(self._path, self.html(result).encode("utf-8", "backslashreplace"))
        return f"{self._path}: report"

    def html(self, result: Result) -> str:
        """Return the page."""
        title = "".join(f"{shown.name}, its {shown.kind} reconstructed" for shown in self._inputs)
        if len(self._inputs) == 2:
            title = " in the style of ".join(shown.name for shown in self._inputs)
        title = title or "A run of impasto"
        command = self._command
        if callable(command):
            command = command(self._curve.begun, result) if self._curve.begun is not None else ""
        used = result.provenance
        points = with_start(self._curve.points(), self._curve.setup_s, result.initial_terms)
        return render(
            __package__,
            "report.html",
            title=title,
            summary=[
                f"{result.picture.width} × {result.picture.height} px, {result.iterations} iterations "
                f"({result.evaluations} evaluations) in {result.seconds:.1f} s with {used['model']} on "
                f"{used['provider']} in {used['precision']}; {result.message}."
            ],
            result=result,
            url=images.data_url(result.picture, MOST_PX),
            alt=f"The result: {title}",
            inputs=self._inputs,
            charts=losses.charts("", points, self._curve.marks, list(result.terms)),
            legend=losses.legend(result.initial_terms, result.terms, result.loss),
            command=command,
            relative_names=self._relative_names(),
            tables={"Settings": as_table(result.settings.as_dict()), "Run": self._run(result), **surroundings()},
        )

    def _relative_names(self) -> str:
        """Say what the command's file names are relative to; no folder is named, for a page may be sent away."""
        own = self._path.resolve().parent
        if not own.is_relative_to(self._run_in):
            return "Relative file names begin in the folder where it was run, which is not above this page."
        steps = len(own.relative_to(self._run_in).parts)
        where = f"{steps} folder{'s' * (steps > 1)} above that" if steps else "in the folder"
        return f"Relative file names begin {where} of this page."

    def _run(self, result: Result) -> dict[str, str]:
        """Return what is neither a setting nor a property of the machine."""
        origin = {name: value for name, value in result.provenance.items() if name not in _ELSEWHERE}
        return {
            **as_table(origin),
            "weights": self._curve.conversion or "-",
            **_scales(result),
            "iterations": str(result.iterations),
            "evaluations": str(result.evaluations),
            "seconds": f"{result.seconds:.2f}",
            "seconds of setup": f"{result.setup_s:.2f}",
            "seconds of evaluations": f"{result.evaluations_s:.2f}",
            "ended because": result.message,
        }


def _scales(result: Result) -> dict[str, str]:
    """Return a row with the scales of a run, if there were several."""
    rows = [
        f"{scale.width} × {scale.height} px: {scale.iterations} iterations, {scale.evaluations} evaluations, "
        f"{scale.seconds:.2f} s"
        for scale in result.scales
    ]
    return {"scales": "; ".join(rows)} if rows else {}


def surroundings() -> dict[str, dict[str, str]]:
    """Return what a run depends on that is not its own: tables of the machine and of what is installed."""
    installed = {name: version for name, version in versions().items() if version != "not installed"}
    return {"Machine": machine(), "Versions": installed}

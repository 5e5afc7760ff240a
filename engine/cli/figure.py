"""`impasto figure`: the paper's figures, each with one command."""

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from impasto.engine.cli.declare import MACHINE, OUTPUT, option, takes
from impasto.engine.cli.options import ENGINE, PRECISIONS, Batch, Options, json_option
from impasto.engine.cli.pinned_command import with_options
from impasto.engine.cli.terminal import INTERRUPTED, interruptible, print_json
from impasto.engine.jobs.reconstruction import CONTENT_PRECISION

if TYPE_CHECKING:
    from impasto.engine.events import Event
    from impasto.engine.figures import Cell, Plan

EVALUATIONS = 300
SIZE_PX = 256


@takes(
    "model", "style_size", "pool", "seed", "bounded", "quiet", *ENGINE, "loop",
    size=option(SIZE_PX, "Long side of every cell, px."),
    evaluations=option(EVALUATIONS, "Runs of loss and gradient for every cell."),
    init="noise",
    precision=option(
        "", f"{PRECISIONS} (default: auto, for figure 1 {CONTENT_PRECISION})", MACHINE, show_default=False
    ),
    report=option(None, "Also write a page: every cell with its loss curves. .html", OUTPUT),
    as_json=json_option("Print one JSON line per cell on stdout."),
)  # fmt: skip
def figure(
    options: Options,
    number: Annotated[
        int,
        typer.Argument(
            help="1: reconstructions; 2: one photograph, several paintings; 3: style taps against alpha/beta."
        ),
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for cells, sheet, page and figure.json.")],
    content: Annotated[Path | None, typer.Option(help="The content image. (default: one of the package)")] = None,
    style: Annotated[
        list[Path] | None,
        typer.Option(help="The style image; for figure 2 repeatable. (default: the package's)", metavar="FILE"),
    ] = None,
    ratio: Annotated[
        float | None, typer.Option(help="alpha/beta, figure 2 only; the paper has 1e-3 and 1e-4. (default: 1e-4)")
    ] = None,
    batch: Batch = None,
) -> None:
    """Make a figure of the paper: every cell as an image, a labelled sheet, a page and figure.json.

    After any interruption, the same command continues with the first cell that was not finished.
    """
    from impasto.engine.cli.progress import FigureProgress
    from impasto.engine.figures import FigureReport, Follower, make_figure, names_of_defaults, plan_figure

    start_s = time.perf_counter()
    same = ("size", "style_size", "evaluations", "pool", "init", "seed", "bounded")
    settings = {name: getattr(options, name) for name in same}
    plan = plan_figure(number, content, style or [], ratio=ratio, iterations=options.evaluations, **settings)
    page = None if options.report is None else FigureReport(options.report, plan, output)
    hidden = options.quiet or options.as_json
    precision = options.precision or (CONTENT_PRECISION if number == 1 else "auto")
    with interruptible() as interrupted, options.engine(precision=precision) as engine:
        options.say(names_of_defaults([path for _, path in plan.inputs]))
        options.say(engine.network.choice)
        options.say("" if options.as_json else engine.provider.choice)
        with FigureProgress(plan, options.evaluations or EVALUATIONS, hidden=hidden, say=options.say) as progress:
            lines = CellLines(plan) if options.as_json else None
            followers: list[Follower] = [item for item in (progress, lines, page) if item is not None]
            whole = make_figure(
                engine, plan, output, batch=batch, followers=followers, cancel=lambda: bool(interrupted)
            )
        used = {"model": engine.network.name, "provider": engine.provider.name, "precision": engine.provider.precision}
    if page is not None:
        page.finish(command=with_options(["impasto", *sys.argv[1:]], {**used, "seed": str(options.seed)}))
    if not whole:
        options.say(f"{output}: interrupted; the same command continues it")
        raise typer.Exit(INTERRUPTED)
    if not hidden:
        seconds = time.perf_counter() - start_s
        print(
            f"{output / 'sheet.png'} and figure.html: {len(plan.cells)} cells, {progress.found_count} of them found, "
            f"{seconds:.0f} s" + (f"\n{options.report}: report" if page else "")
        )


class CellLines:
    """A JSON line on stdout for every cell that is found or begins."""

    def __init__(self, plan: "Plan") -> None:
        """Follow the cells of a plan."""
        self._plan = plan
        self._begun: set[str] = set()

    def found(self, cell: "Cell") -> None:
        """Report a cell that is finished already."""
        self._print(cell, finished=True)

    def take(self, cell: "Cell", event: "Event") -> None:
        """Report a cell that begins, once."""
        if cell.name not in self._begun:
            self._begun.add(cell.name)
            self._print(cell, finished=False)

    def ended(self, cell: "Cell") -> None:
        """Do nothing; the next line says as much."""

    def _print(self, cell: "Cell", *, finished: bool) -> None:
        number, cells = self._plan.cells.index(cell) + 1, len(self._plan.cells)
        print_json({"cell": cell.name, "number": number, "of": cells, "finished": finished})

"""`impasto figure`: make a figure of the paper."""

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from impasto.engine.cli.declare import MACHINE, OUTPUT, option, takes
from impasto.engine.cli.options import ENGINE, PRECISIONS, Batch, Options, json_option
from impasto.engine.cli.pinned_command import with_options
from impasto.engine.cli.terminal import interruptible, print_json, print_lines, status_of
from impasto.engine.jobs.reconstruction import CONTENT_PRECISION

if TYPE_CHECKING:
    from impasto.engine.figures import Cell

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

    Ctrl-C saves the pictures so far. After any interruption, the same command makes the cells that are not finished.
    """
    from impasto.engine.cli.progress import FigureProgress
    from impasto.engine.figures import make_figure, names_of_defaults, plan_figure
    from impasto.engine.watch.report import check_report_path

    start_s = time.perf_counter()
    same = ("size", "style_size", "evaluations", "pool", "init", "seed", "bounded")
    settings = {name: getattr(options, name) for name in same}
    paper_figure = plan_figure(number, content, style or [], ratio=ratio, iterations=options.evaluations, **settings)
    if options.report is not None:
        check_report_path(options.report, output)

    def print_cell(cell: "Cell", finished: bool, **more: object) -> None:
        number, cells = paper_figure.cells.index(cell) + 1, len(paper_figure.cells)
        print_json({"cell": cell.name, "number": number, "of": cells, "finished": finished, **more})

    def tell_cut_short(cell: "Cell", evaluations: int) -> None:
        if options.as_json:
            print_cell(cell, False, outcome="cancelled", evaluations=evaluations)
        else:
            options.say(f"{output / cell.name}.png: unfinished, {evaluations} evaluations")

    hidden = options.quiet or options.as_json
    precision = options.precision or (CONTENT_PRECISION if number == 1 else "auto")
    with interruptible() as interrupted, options.engine(precision=precision) as engine:
        used = {"model": engine.network.name, "provider": engine.provider.name, "precision": engine.provider.precision}
        options.say(names_of_defaults([path for _, path in paper_figure.inputs]))
        options.say(engine.network.choice)
        options.say("" if options.as_json else engine.provider.choice)
        evaluations = options.evaluations or EVALUATIONS
        on_cell = print_cell if options.as_json else None
        with FigureProgress(
            paper_figure,
            evaluations,
            hidden=hidden,
            say=options.say,
            on_cell=on_cell,
            on_cut_short=tell_cut_short,
        ) as progress:
            whole = make_figure(
                engine,
                paper_figure,
                output,
                batch=batch,
                report=options.report,
                command=with_options(["impasto", *sys.argv[1:]], {**used, "seed": str(options.seed)}),
                followers=[progress],
                cancel=lambda: bool(interrupted),
            )
    if not whole:
        options.say(f"{output}: interrupted; the same command continues it")
        raise typer.Exit(status_of(interrupted))
    if not hidden:
        seconds = time.perf_counter() - start_s
        print_lines(
            f"{output / 'sheet.png'} and figure.html: {len(paper_figure.cells)} cells, {progress.found_count} of them "
            f"found, {seconds:.0f} s",
            *([f"{options.report}: report"] if options.report else []),
        )

"""`impasto figure`: the paper's figures, each with one command."""

import sys
import time
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from impasto.engine.cli import options
from impasto.engine.cli.job import INTERRUPTED, interruptible, say, silent
from impasto.engine.cli.watching import with_options
from impasto.engine.reconstruction import CONTENT_PRECISION
from impasto.engine.settings import Settings

EVALUATIONS = 300
SIZE_PX = 256


def figure(
    number: Annotated[
        int,
        typer.Argument(
            help="1: reconstructions; 2: one photograph, several paintings; 3: style taps against alpha/beta.",
            show_default=False,
        ),
    ],
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Folder for cells, sheet, page and figure.json.", show_default=False)
    ],
    content: Annotated[Path | None, typer.Option(help="The content image. (default: one of the package)")] = None,
    style: Annotated[
        list[Path] | None,
        typer.Option(help="The style image; for figure 2 repeatable. (default: the package's)"),
    ] = None,
    size: Annotated[int, typer.Option(help="Long side of every cell, px.")] = SIZE_PX,
    style_size: options.StyleSize = None,
    evaluations: Annotated[int, typer.Option(help="Runs of loss and gradient for every cell.")] = EVALUATIONS,
    ratio: Annotated[
        float | None,
        typer.Option(help="alpha/beta, figure 2 only; the paper has 1e-3 and 1e-4. (default: 1e-4)"),
    ] = None,
    model: options.Model = "auto",
    pool: options.Pool = "avg",
    init: Annotated[str, typer.Option(help="Start from noise, content, style, or an image FILE.")] = "noise",
    seed: options.Seed = Settings.seed,
    bounded: options.Bounded = Settings.bounded,
    batch: Annotated[
        int | None,
        typer.Option(help="Cells per evaluation at most. (default: 1 on processors; on a GPU 4, or what fits)"),
    ] = None,
    provider: options.Provider = "auto",
    precision: Annotated[
        str | None,
        typer.Option(help=f"{options.PRECISION_HELP} (default: auto, for figure 1 {CONTENT_PRECISION})"),
    ] = None,
    build_engines: options.BuildEngines = False,
    threads: options.Threads = 0,
    loop: options.Loop = "auto",
    ignore_memory: options.IgnoreMemory = False,
    report: Annotated[
        Path | None,
        typer.Option(help="Also write a page: every cell with its loss curves. .html", show_default=False),
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress and no summary.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON line per cell on stdout.")] = False,
) -> None:
    """Make a figure of the paper: every cell as an image, a labelled sheet, a page and figure.json.

    Interrupted in any way, the same command goes on with the first cell that was not finished.
    """
    from impasto.engine.cli.figure_progress import CellLines, FigureProgress
    from impasto.engine.figures import FigureReport, Follower, make_figure, names_of_defaults, plan_figure
    from impasto.engine.jobs.engine import Engine

    plan = plan_figure(
        number,
        content,
        style or [],
        ratio=ratio,
        size=size,
        style_size=style_size,
        iterations=evaluations,
        evaluations=evaluations,
        pool=pool,
        init=init,
        seed=seed,
        bounded=bounded,
    )
    if precision is None:
        precision = CONTENT_PRECISION if number == 1 else "auto"
    page = None if report is None else FigureReport(report, plan, output)
    tell = silent if quiet else say
    start_s = time.perf_counter()
    open_engine = partial(
        Engine, threads=threads, build_engines=build_engines, loop=loop, checks_memory=not ignore_memory
    )
    with (
        interruptible() as interrupted,
        open_engine(model, provider=provider, precision=precision) as engine,
    ):
        used = {"model": engine.network.name, "provider": engine.provider.name, "precision": engine.provider.precision}
        tell(names_of_defaults([path for _, path in plan.inputs]))
        tell(engine.network.choice)
        tell("" if as_json else engine.provider.choice)
        lines = CellLines(plan, silent=not as_json)
        with FigureProgress(plan, evaluations, hidden=quiet or as_json, say=tell) as progress:
            followers: list[Follower] = [progress, lines]
            if page is not None:
                followers.append(page)
            whole = make_figure(
                engine, plan, output, batch=batch, followers=followers, cancel=lambda: bool(interrupted)
            )
    if page is not None:
        page.finish(command=with_options(["impasto", *sys.argv[1:]], {**used, "seed": str(seed)}))
    if not whole:
        tell(f"{output}: interrupted; the same command goes on")
        raise typer.Exit(INTERRUPTED)
    if not quiet and not as_json:
        seconds = time.perf_counter() - start_s
        print(
            f"{output / 'sheet.png'} and figure.html: {len(plan.cells)} cells, {lines.count} of them found, "
            f"{seconds:.0f} s" + (f"\n{report}: report" if report else "")
        )

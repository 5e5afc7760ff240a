"""`impasto bench`: how fast, under what conditions, and against whom."""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from itertools import product
from pathlib import Path
from typing import Annotated, Any

import typer

from impasto.bench.cli.options import BenchOptions, takes_shared
from impasto.bench.scenarios import SCENARIOS
from impasto.bench.series import Series

bench_app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    help="Measure speed: one evaluation, whole runs, throughput, a server, starts, and against PyTorch.",
)

Evaluations = Annotated[int, typer.Option(help="Runs of loss and gradient in one transfer.")]


@bench_app.command("evaluation")
@takes_shared("optimizer", "history", "loop", "model", "batch")
def evaluation(
    options: BenchOptions,
    model: Annotated[list[str] | None, typer.Option(help="A network or its file, repeatable. (default: auto)")] = None,
    batch: Annotated[
        list[int] | None,
        typer.Option(help="Pictures in one evaluation, repeatable: each network takes each. (default: 1)"),
    ] = None,
) -> None:
    """Time single evaluations of loss and gradient, the device's end included.

    Several networks and batches take turns in one run, and the seconds per picture of each are compared with those of
    the first.
    """
    from impasto.bench import evaluation as benchmark
    from impasto.bench.cli.running import run

    common = options.common()
    what = "seconds for one evaluation of loss and gradient at the start, copies to and from the device included"
    models, batches = model or ["auto"], batch or [1]
    subjects = [replace(common.subject, model=name, batch=count) for name, count in product(models, batches)]
    measure = partial(benchmark.measure, subjects, common.effort)
    run("evaluation", what, replace(common, subject=subjects[0]), measure, {"models": models, "batches": batches})


@bench_app.command("transfer")
@takes_shared()
def transfer(options: BenchOptions, evaluations: Evaluations = 100) -> None:
    """Time whole transfers, with the loss at the end and on the way there."""
    from impasto.bench import transfer as benchmark
    from impasto.bench.cli.running import run

    common = options.common(least=1)  # a transfer is long: one that is longer than the duration is enough
    what = "seconds for a whole transfer, as Engine.transfer does it; with a batch, for as many at once"
    measure = partial(benchmark.measure, common.subject, common.effort, evaluations=evaluations)
    run("transfer", what, common, measure, {"evaluations": evaluations})


@bench_app.command("throughput")
@takes_shared()
def throughput(
    options: BenchOptions,
    scenario: Annotated[
        list[str] | None, typer.Option(help=f"Of MLPerf, repeatable. (default: {' '.join(SCENARIOS)})")
    ] = None,
    evaluations: Annotated[int, typer.Option(help="Runs of loss and gradient in one query, which is a transfer.")] = 20,
    rate: Annotated[
        float | None,
        typer.Option(help="Queries a second that the server scenario gets. (default: 0.7 of what it can answer)"),
    ] = None,
    seed: Annotated[int, typer.Option(help="Of the server scenario's arrivals.")] = 0,
) -> None:
    """Time queries as MLPerf's scenarios put them: single-stream, offline, server.

    --batch is the offline scenario's; the other two have one query at work.
    """
    from impasto.bench import throughput as benchmark
    from impasto.bench.cli.running import run

    common = options.common()
    what = "latencies of queries from arrival to answer, a query being one transfer; queueing included"
    load = benchmark.Load(tuple(scenario or SCENARIOS), evaluations, rate, seed)
    measure = partial(benchmark.measure, common.subject, common.effort, load=load)
    asked = {"scenarios": list(load.names), "evaluations": evaluations, "rate_per_s": rate, "seed": seed}
    run("throughput", what, common, measure, asked)


@bench_app.command("serve")
@takes_shared("batch", "loop", "build_engines")
def serve(
    options: BenchOptions,
    load: Annotated[
        list[float] | None,
        typer.Option(help="Jobs offered, as a part of what the server can do; repeatable. (default: 0.5 0.8)"),
    ] = None,
    rate: Annotated[
        list[float] | None, typer.Option(help="Jobs a second that are offered, repeatable; in place of --load.")
    ] = None,
    evaluations: Annotated[int, typer.Option(help="Runs of loss and gradient in one job.")] = 20,
    seed: Annotated[int, typer.Option(help="Of the arrivals.")] = 0,
    workers: Annotated[int, typer.Option(help="Workers of the server that is started.")] = 1,
    server: Annotated[
        str | None, typer.Option(help="URL of a server that runs. (default: one is started on this machine)")
    ] = None,
) -> None:
    """Time jobs through HTTP as MLPerf's server scenario puts them: Poisson arrivals at an offered load.

    The time in the queue and the time of the work are measured apart, and the pictures an hour are shown beside those
    that were offered. --warm-up counts jobs.
    """
    from impasto.bench import serving, table
    from impasto.bench.cli.running import Way, run
    from impasto.server.cli.extra import require_extra

    require_extra(client_only=server is not None)
    common = options.common()
    what = "seconds of jobs from arrival to end, through HTTP; queueing included"
    loads = tuple(load or (() if rate else serving.LOADS))
    offer = serving.Offer(loads, tuple(rate or ()), evaluations, seed, workers, server)
    asked = {"loads": list(loads), "rates_per_s": list(offer.rates), "evaluations": evaluations, "seed": seed}
    asked |= {"workers": workers, "server": server or "started here"}

    def show(series: Sequence[Series]) -> dict[str, Any]:
        table.show_loads(series)
        return {}

    ways: list[Way] | None = [] if server else None
    run("serve", what, common, partial(serving.measure, common.subject, common.effort, offer=offer), asked, ways=ways,
        more=show)  # fmt: skip


@bench_app.command("cold-start")
@takes_shared("warm_up")
def cold_start(
    options: BenchOptions,
    warm_up: Annotated[int, typer.Option(help="Rounds of starts before anything counts; 0 is none.")] = 1,
    iterations: Annotated[
        int, typer.Option(help="Iterations of each start's transfer; its whole process is timed as well.")
    ] = 1,
) -> None:
    """Time processes from their start to the first iteration: with an empty cache, another style, and once more.

    A start is that of one transfer, so that --batch is 1.
    """
    from impasto.bench import cold_start as benchmark
    from impasto.bench.cli.running import run

    common = options.common(least=3)
    what = "seconds from the start of a process to its first iteration; the file cache of the system is warm"
    benchmark.check(common.subject, warm_up)
    measure = partial(benchmark.measure, common.subject, common.effort, warm_up=warm_up, iterations=iterations)
    run("cold-start", what, common, measure, {"warm_up": warm_up, "iterations": iterations})


@bench_app.command("compare")
@takes_shared("provider", "precision")
def compare(
    options: BenchOptions,
    provider: Annotated[
        list[str] | None,
        typer.Option(help="auto, tensorrt, cuda, openvino or cpu, repeatable: each takes part. (default: auto)"),
    ] = None,
    precision: Annotated[
        list[str] | None,
        typer.Option(
            help="auto, fp32, tf32, fp16, bf16 or bf16-typed, repeatable: each provider in each. (default: auto)"
        ),
    ] = None,
    against: Annotated[
        list[str] | None,
        typer.Option(help="A way of running PyTorch, such as eager or compile, repeatable. (default: all)"),
    ] = None,
    evaluations: Annotated[
        int, typer.Option(help="Of torch.optim.LBFGS, whose loss is then to be reached; 0 times evaluations only.")
    ] = 200,
) -> None:
    """Measure beside PyTorch, in turn: ratios per evaluation, and time to equal loss.

    A precision that a provider lacks is left out with a line. With --batch, evaluations of so many pictures are
    compared, and --evaluations is 0: descents are of one. Pixels are unbounded on both sides, because PyTorch's
    optimiser knows no bounds; --tv-weight, --seamless and another --weighting are refused, because its side cannot
    compute them. --optimizer, --history and --loop are this project's.
    """
    from impasto.bench import comparison, table
    from impasto.bench.cli.running import run

    common = options.common()
    ways = tuple(product(provider or ["auto"], precision or ["auto"]))
    field = comparison.Field(common.subject, ways, tuple(against or ()), evaluations)
    common = replace(common, subject=field.subject)  # with the settings that are run
    what = "this project beside PyTorch, in turn: single evaluations, and the steps of whole descents"
    verdicts = comparison.Verdicts()

    def show(series: Sequence[Series]) -> dict[str, Any]:
        table.show_ratios(verdicts.ratios, verdicts.absent)
        table.show_descents(series)
        return vars(verdicts)

    measure = partial(comparison.measure, field, common.effort, verdicts=verdicts)
    unnamed = [way for way in ways if way == ("auto", "auto")]
    run("compare", what, common, measure, field.as_dict(), ways=unnamed, more=show)


@bench_app.command("plot")
def plot(
    files: Annotated[list[Path], typer.Argument(help="Files of --json.", show_default=False)],
    output: Annotated[Path, typer.Option("--output", "-o", help="The picture: .png", show_default=False)],
) -> None:
    """Draw time against size, how latencies spread, and loss against seconds: what the files have of these."""
    from impasto.bench.plot import draw
    from impasto.bench.record import read

    names = [path.stem if len({item.stem for item in files}) == len(files) else str(path) for path in files]
    panels = draw(dict(zip(names, map(read, files), strict=True)), output)
    print(f"{output}: {', '.join(panels).lower()}")

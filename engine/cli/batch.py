"""`impasto batch`: run the transfers that a file lists."""

import json
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from impasto.engine.cli.cluster_options import check_needs_ray, ray_option, read_resources, resources_option
from impasto.engine.cli.declare import MACHINE, takes
from impasto.engine.cli.options import ENGINE, Batch, Options, json_option
from impasto.engine.cli.terminal import interruptible, print_json, print_lines, say, status_of
from impasto.engine.setting_checks import between

if TYPE_CHECKING:
    from impasto.engine.inputs.manifest import Row
    from impasto.engine.jobs.engine import Engine
    from impasto.engine.jobs.manifest_run import Ended

SOME_FAILED = 1

_PLANS_ONLY: dict[str, Any] = {
    "provider": "cpu", "precision": "auto", "threads": 0, "build_engines": False, "loop": "auto",
    "checks_memory": False,
}  # fmt: skip
"""Arguments of the engine of this machine where others compute: what they have is not known here."""


@takes(
    "model", "bits", "dry_run", "quiet", *ENGINE, "loop",
    as_json=json_option("Print one JSON line per row on stdout, then a summary."),
)  # fmt: skip
def batch(
    options: Options,
    manifest: Annotated[
        Path,
        typer.Argument(help="A .csv with a header, or a .jsonl: content, style, and optional output and settings."),
    ],
    folder: Annotated[Path, typer.Option("--output", "-o", help="The folder of the results.")],
    common: Annotated[
        list[str] | None,
        typer.Option("--set", help="A setting for rows that lack it, as size=256; repeatable.", metavar="NAME=VALUE"),
    ] = None,
    batch: Batch = None,
    force: Annotated[bool, typer.Option("--force", help="Render finished results again.", metavar="")] = False,
    ray: Annotated[str | None, ray_option("Run the rows on the machines of a Ray cluster", MACHINE)] = None,
    resources: Annotated[str, resources_option(MACHINE)] = "",
) -> None:
    """Run the transfers of MANIFEST. A row that fails does not stop the others; the status is 1 if any did.

    Settings are named as `impasto show` prints them.
    A result that exists already, of the same images, network and settings, is skipped.
    Ctrl-C saves the pictures so far and exits with 130; the same command then makes all rows that are not finished.
    """
    from impasto.engine.cli.progress import BatchProgress
    from impasto.engine.inputs.manifest import read_manifest
    from impasto.engine.jobs import manifest_run as runs

    start_s = time.perf_counter()
    check_needs_ray(ray, resources=resources)
    worker = read_resources(resources)
    hidden = options.quiet or options.as_json
    rows = read_manifest(manifest, folder, common or ())
    runs.prepare_outputs(manifest, rows, bits=options.bits, make=not options.dry_run)
    here: dict[str, Any] = {} if ray is None else _PLANS_ONLY
    with interruptible() as interrupted, options.engine(**here) as engine, ExitStack() as stack:
        finished, waiting = ([], list(rows)) if force else runs.split_finished(engine, rows, bits=options.bits)
        if not options.as_json and (waiting or options.dry_run):
            options.say(engine.network.choice)
            if ray is None:
                options.say(engine.provider.choice)
        if options.dry_run:
            _show_plans(engine, rows, finished, batch, as_json=options.as_json)
            return
        if options.as_json:
            for row in finished:
                _print_row(row, {"status": runs.SKIPPED})
        counts = Counter({runs.DONE: 0, runs.SKIPPED: len(finished), runs.FAILED: 0, runs.UNFINISHED: 0})
        iterations = sum(row.settings.iterations for row in waiting)
        many = None
        if ray is not None and waiting:
            cluster = stack.enter_context(_cluster(ray, worker, options, engine, batch))
            options.say(cluster.description)
            many = cluster.transfer_many
        with BatchProgress(iterations, len(waiting), hidden=hidden, say=options.say) as bar:
            running = runs.run_rows(
                engine,
                waiting,
                bits=options.bits,
                batch=batch,
                on_event=bar.show,
                cancel=lambda: bool(interrupted),
                many=many,
            )
            for ended in running:
                counts[ended.status] += 1
                if ended.status != runs.UNFINISHED:
                    bar.end(ended.row)
                with bar.aside():
                    _report(ended, options)
    seconds = time.perf_counter() - start_s
    if options.as_json:
        print_json({**counts, "seconds": seconds})
    elif not options.quiet:
        shown = {status: count for status, count in counts.items() if count or status != runs.UNFINISHED}
        print(f"{', '.join(f'{count} {status}' for status, count in shown.items())} in {seconds:.1f} s")
    if interrupted:
        left = len(rows) - counts[runs.DONE] - counts[runs.SKIPPED]
        options.say(f"{folder}: interrupted; rows that are not finished: {left}; the same command makes them")
        raise typer.Exit(status_of(interrupted))
    if counts[runs.FAILED]:
        raise typer.Exit(SOME_FAILED)


def _cluster(
    address: str, resources: Mapping[str, float], options: Options, engine: "Engine", batch: int | None
) -> Any:
    """Return what runs transfers on a Ray cluster. It is of a package above this one, so it is imported by name.

    Raises:
        ImpastoError: the cluster or the batch cannot be used.
    """
    network = engine.network.name, engine.network.sha256
    return import_module("impasto.server.batch").on_cluster(
        address,
        resources,
        network,
        model=options.model,
        slots=0 if batch is None else between("batch", batch, 1),
        **{name: getattr(options, name) for name in ("provider", "precision", "threads", "build_engines", "loop")},
        checks_memory=not options.ignore_memory,
    )


def _show_plans(
    engine: "Engine", rows: Sequence["Row"], finished: Sequence["Row"], batch: int | None, *, as_json: bool
) -> None:
    """Print the plan of every row, and the memory of the largest row."""
    from impasto.engine.jobs.batch_plan import conclusion, plan_rows

    plans = plan_rows(engine, rows, finished, batch=batch)
    for item in plans:
        if as_json:
            _print_row(item.row, item.as_dict())
        else:
            print_lines(item.describe())
    counts, text = conclusion(plans)
    print(json.dumps(counts) if as_json else text)


def _report(ended: "Ended", options: Options) -> None:
    from impasto.engine.jobs.manifest_run import UNFINISHED

    row, result = ended.row, ended.result
    failure = str(ended.error or "")
    if options.as_json:
        _print_row(row, {"status": ended.status, **({"error": failure} if result is None else result.summary())})
    elif result is None:
        say(f"row {row.number} failed: {failure}")
    elif not options.quiet:
        size = f"{result.picture.width}x{result.picture.height} px"
        state = "unfinished, " if ended.status == UNFINISHED else ""
        told = f"{state}{size}, {result.iterations} iterations, loss {result.loss:.5g}; {result.message}"
        print_lines(f"{row.output}: {told}")


def _print_row(row: "Row", values: Mapping[str, Any]) -> None:
    named = {name: str(getattr(row, name)) for name in ("content", "style", "output")}
    print_json({"row": row.number, **named, **values})

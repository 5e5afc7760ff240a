"""`impasto batch`: run the transfers that a file lists."""

import json
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from impasto.engine.cli.declare import takes
from impasto.engine.cli.options import ENGINE, Batch, Options, json_option
from impasto.engine.cli.terminal import INTERRUPTED, interruptible, print_json, say
from impasto.models.errors import one_line

if TYPE_CHECKING:
    from impasto.engine.inputs.manifest import Row
    from impasto.engine.jobs.engine import Engine
    from impasto.engine.jobs.manifest_run import Ended

SOME_FAILED = 1


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
) -> None:
    """Run the transfers of MANIFEST. A row that fails does not stop the others; the status is 1 if any did.

    Settings are named as `impasto show` prints them.
    A result that exists already, of the same images, network and settings, is skipped.
    Ctrl-C keeps all finished results and exits with 130; the same command then continues with the others.
    """
    from impasto.engine.cli.progress import BatchProgress
    from impasto.engine.inputs.manifest import read_manifest
    from impasto.engine.jobs.manifest_run import DONE, FAILED, SKIPPED, prepare_outputs, run_rows, split_finished

    start_s = time.perf_counter()
    hidden = options.quiet or options.as_json
    rows = read_manifest(manifest, folder, common or ())
    prepare_outputs(manifest, rows, bits=options.bits, make=not options.dry_run)
    with interruptible() as interrupted, options.engine() as engine:
        finished, waiting = ([], list(rows)) if force else split_finished(engine, rows, bits=options.bits)
        if not options.as_json and (waiting or options.dry_run):
            options.say_choices(engine)
        if options.dry_run:
            _show_plans(engine, rows, finished, batch, as_json=options.as_json)
            return
        if options.as_json:
            for row in finished:
                _print_row(row, {"status": SKIPPED})
        counts = Counter({DONE: 0, SKIPPED: len(finished), FAILED: 0})
        iterations = sum(row.settings.iterations for row in waiting)
        with BatchProgress(iterations, len(waiting), hidden=hidden, say=options.say) as bar:
            running = run_rows(
                engine, waiting, bits=options.bits, batch=batch, on_event=bar.show, cancel=lambda: bool(interrupted)
            )
            for ended in running:
                counts[ended.status] += 1
                bar.end(ended.row)
                with bar.aside():
                    _report(ended, options)
    _conclude(counts, time.perf_counter() - start_s, options)
    if interrupted:
        raise typer.Exit(INTERRUPTED)
    if counts[FAILED]:
        raise typer.Exit(SOME_FAILED)


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
            print(item.describe())
    counts, text = conclusion(plans)
    print(json.dumps(counts) if as_json else text)


def _report(ended: "Ended", options: Options) -> None:
    """Print the result or the error of a row."""
    row, result = ended.row, ended.result
    failure = "" if ended.error is None else one_line(ended.error)
    if options.as_json:
        _print_row(row, {"status": ended.status, **({"error": failure} if result is None else result.summary())})
    elif result is None:
        say(f"row {row.number} failed: {failure}")
    elif not options.quiet:
        size = f"{result.picture.width}x{result.picture.height} px"
        print(f"{row.output}: {size}, {result.iterations} iterations, loss {result.loss:.5g}; {result.message}")


def _conclude(counts: Mapping[str, int], seconds: float, options: Options) -> None:
    """Print how many rows were done, skipped and failed."""
    if options.as_json:
        print_json({**counts, "seconds": seconds})
    elif not options.quiet:
        print(f"{', '.join(f'{count} {status}' for status, count in counts.items())} in {seconds:.1f} s")


def _print_row(row: "Row", values: Mapping[str, Any]) -> None:
    named = {name: str(getattr(row, name)) for name in ("content", "style", "output")}
    print_json({"row": row.number, **named, **values})

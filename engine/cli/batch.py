"""`impasto batch`: the transfers of a list."""

import json
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from impasto.engine.cli import options
from impasto.engine.cli.batch_progress import BatchProgress
from impasto.engine.cli.job import INTERRUPTED, interruptible, say, silent
from impasto.engine.watch.words import one_line

if TYPE_CHECKING:
    from impasto.engine.inputs.manifest import Row
    from impasto.engine.jobs.engine import Engine
    from impasto.engine.jobs.manifest_run import Ended

SOME_FAILED = 1


def batch(
    manifest: Annotated[
        Path,
        typer.Argument(
            help="A .csv with a header, or a .jsonl: content, style, and whatever of output and settings differs.",
            show_default=False,
        ),
    ],
    folder: Annotated[Path, typer.Option("--output", "-o", help="The folder of the results.", show_default=False)],
    common: Annotated[
        list[str] | None,
        typer.Option("--set", help="NAME=VALUE for rows that do not say, as size=256; repeatable.", show_default=False),
    ] = None,
    model: options.Model = "auto",
    together: Annotated[
        int | None,
        typer.Option(
            "--batch",
            help="Transfers per evaluation at most. (default: 1 on processors; on a GPU 4, or what fits)",
        ),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Make again what is there already.")] = False,
    bits: options.Bits = 8,
    provider: options.Provider = "auto",
    precision: options.Precision = "auto",
    build_engines: options.BuildEngines = False,
    threads: options.Threads = 0,
    loop: options.Loop = "auto",
    dry_run: options.DryRun = False,
    ignore_memory: options.IgnoreMemory = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Nothing but errors.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON line per row on stdout, then a summary.")] = False,
) -> None:
    """Run the transfers of MANIFEST. A row that fails does not stop the others; the status is 1 if any did.

    Settings are named as `impasto show` prints them. Results that are there already, of the same images, network and
    settings, are left alone, so that what was interrupted goes on. Ctrl-C keeps what is finished and exits with 130.
    """
    from impasto.engine.inputs.manifest import read_manifest
    from impasto.engine.jobs.engine import Engine
    from impasto.engine.jobs.manifest_run import DONE, FAILED, SKIPPED, prepare_outputs, run_rows, split_finished

    start = time.perf_counter()
    rows = read_manifest(manifest, folder, common or ())
    prepare_outputs(manifest, rows, bits=bits, make=not dry_run)
    opened = Engine(
        model,
        provider=provider,
        precision=precision,
        threads=threads,
        build_engines=build_engines,
        loop=loop,
        checks_memory=not ignore_memory,
    )
    with interruptible() as interrupted, opened as engine:
        finished, waiting = ([], list(rows)) if force else split_finished(engine, rows, bits=bits)
        if dry_run:
            if not (quiet or as_json):
                say(engine.network.choice)
                say(engine.provider.choice)
            _show(engine, rows, finished, together, as_json=as_json)
            return
        counts = Counter({DONE: 0, SKIPPED: len(finished), FAILED: 0})
        if as_json:
            for row in finished:
                _print_json(row, {"status": SKIPPED})
        elif waiting and not quiet:
            say(engine.network.choice)
            say(engine.provider.choice)
        iterations = sum(row.settings.iterations for row in waiting)
        told = silent if quiet else say
        with BatchProgress(iterations, len(waiting), hidden=quiet or as_json, say=told) as bar:
            running = run_rows(
                engine, waiting, bits=bits, batch=together, on_event=bar.show, cancel=lambda: bool(interrupted)
            )
            for ended in running:
                counts[ended.status] += 1
                bar.end(ended.row)
                with bar.aside():
                    _tell(ended, quiet=quiet, as_json=as_json)
    _conclude(counts, time.perf_counter() - start, quiet=quiet, as_json=as_json)
    if interrupted:
        raise typer.Exit(INTERRUPTED)
    if counts[FAILED]:
        raise typer.Exit(SOME_FAILED)


def _show(
    engine: "Engine", rows: Sequence["Row"], finished: Sequence["Row"], batch: int | None, *, as_json: bool
) -> None:
    """Say what would become of every row, and what memory the largest takes."""
    from impasto.engine.jobs.batch_plan import conclusion, plan_rows

    plans = plan_rows(engine, rows, finished, batch=batch)
    for item in plans:
        if as_json:
            _print_json(item.row, item.as_dict())
        else:
            print(item.in_words())
    counts, told = conclusion(plans)
    print(json.dumps(counts) if as_json else told)


def _tell(ended: "Ended", *, quiet: bool, as_json: bool) -> None:
    """Say what became of a row."""
    row, result = ended.row, ended.result
    if as_json:
        more = {"error": one_line(ended.error)} if result is None else result.summary()
        _print_json(row, {"status": ended.status, **more})
    elif result is None:
        say(f"row {row.number} failed: {one_line(ended.error)}")
    elif not quiet:
        size = f"{result.picture.width}x{result.picture.height} px"
        print(f"{row.output}: {size}, {result.iterations} iterations, loss {result.loss:.5g}; {result.message}")


def _conclude(counts: Mapping[str, int], seconds: float, *, quiet: bool, as_json: bool) -> None:
    """Say what became of all."""
    if as_json:
        print(json.dumps({**counts, "seconds": seconds}), flush=True)
    elif not quiet:
        print(f"{', '.join(f'{count} {status}' for status, count in counts.items())} in {seconds:.1f} s")


def _print_json(row: "Row", values: Mapping[str, Any]) -> None:
    named = {name: str(getattr(row, name)) for name in ("content", "style", "output")}
    print(json.dumps({"row": row.number, **named, **values}), flush=True)

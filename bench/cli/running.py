"""From a benchmark to a table, a file and an exit status."""

from collections.abc import Callable, Iterable
from typing import Any, TypeVar

import typer

from impasto.bench import record, table
from impasto.bench.cli.options import Common
from impasto.bench.cli.progress import Progress
from impasto.bench.conditions import conditions
from impasto.bench.series import Series
from impasto.bench.watch import Watch
from impasto.engine.cli.job import INTERRUPTED, interruptible, say
from impasto.engine.compile.network import load_network
from impasto.engine.runtime import providers
from impasto.engine.runtime.providers import Provider
from impasto.models.errors import ImpastoError

Item = TypeVar("Item")


def run(
    benchmark: str,
    what: str,
    common: Common,
    measure: Callable[[Watch], Iterable[Series]],
    **asked: object,
) -> None:
    """Measure, show a table and write the file; Ctrl-C keeps what there is and exits with 130.

    Args:
        benchmark: its name.
        what: it measures.
        common: the shared options.
        measure: yields series.
        asked: the command's own options.

    Raises:
        ImpastoError: as the measurement, or the file cannot be written.
    """
    tell_choices(common, [(common.subject.provider, common.subject.precision)])
    before = conditions(common.subject.threads)
    found, interrupted = collect(common, measure)
    report(benchmark, what, common, before, found, interrupted, asked)


def tell_choices(common: Common, ways: Iterable[tuple[str | Provider, str]]) -> None:
    """Say what "auto" takes, of networks and of providers, unless the user wants quiet.

    Args:
        common: the shared options.
        ways: a provider and a precision each.

    Raises:
        ImpastoError: there is no such network, provider or precision.
    """
    if common.quiet:
        return
    say(load_network(common.subject.model).choice)
    for provider, precision in ways:
        if isinstance(provider, str):
            say(providers.choose(provider, precision, build_engines=common.subject.build_engines).choice)


def collect(common: Common, measure: Callable[[Watch], Iterable[Item]]) -> tuple[list[Item], bool]:
    """Return all that a benchmark yields, and whether it was interrupted."""
    with interruptible() as flag, Progress(flag, quiet=common.quiet) as progress:
        found = list(measure(progress))
    return found, bool(flag)


def report(
    benchmark: str,
    what: str,
    common: Common,
    before: dict[str, Any],
    series: list[Series],
    interrupted: bool,
    asked: dict[str, object],
    **more: object,
) -> None:
    """Show and write what was measured.

    Args:
        benchmark: its name.
        what: it measures.
        common: the shared options.
        before: the conditions.
        series: what was measured.
        interrupted: whether it was stopped early.
        asked: the command's own options.
        more: what only this benchmark has, for the file.

    Raises:
        ImpastoError: nothing was measured, or the file cannot be written.
        typer.Exit: it was interrupted.
    """
    if not series and interrupted:
        say("stopped before anything was measured: nothing was written")
        raise typer.Exit(INTERRUPTED)
    if not series:
        raise ImpastoError("nothing was measured; give a longer --duration")
    table.show_series(series)
    if common.json is not None:
        options = {**common.subject.as_dict(), "duration_s": common.effort.duration_s}
        options |= {"warm_up": common.effort.warm_up, "least": common.effort.least, **asked}
        made = record.make(
            benchmark, what, conditions=before, asked=options, series=series, interrupted=interrupted, **more
        )
        record.write(common.json, made)
        say(f"{common.json}: every sample")
    if interrupted:
        raise typer.Exit(INTERRUPTED)

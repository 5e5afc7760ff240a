"""From a benchmark to a table, a file and an exit status."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import typer

from impasto.bench import record, table
from impasto.bench.cli.options import Common
from impasto.bench.cli.progress import Progress
from impasto.bench.conditions import conditions
from impasto.bench.sampling import Watch
from impasto.bench.series import Series
from impasto.engine.cli.terminal import interruptible, say, status_of
from impasto.engine.compile.network import load_network
from impasto.engine.runtime import providers
from impasto.engine.runtime.providers import Provider
from impasto.models.errors import ImpastoError

Way = tuple[str | Provider, str]
"""A provider and a precision."""


def run(
    benchmark: str,
    what: str,
    common: Common,
    measure: Callable[[Watch], Iterable[Series]],
    asked: Mapping[str, object],
    *,
    ways: Iterable[Way] | None = None,
    more: Callable[[Sequence[Series]], Mapping[str, Any]] = lambda series: {},
) -> None:
    """Measure, show a table and write the file; Ctrl-C keeps the samples so far and exits with 130.

    ``asked`` are the command's own options. Of ``ways`` it is said what "auto" takes, where they are not those of the
    shared options. ``more`` shows what only this benchmark has, and returns it for the file.

    Raises:
        ImpastoError: as the measurement, nothing was measured, or the file cannot be written.
        typer.Exit: it was interrupted.
    """
    subject, effort = common.subject, common.effort
    tell_choices(common, [(subject.provider, subject.precision)] if ways is None else ways)
    before = conditions(subject.threads)
    with interruptible() as flag, Progress(flag, quiet=common.quiet) as progress:
        series = list(measure(progress))
    interrupted = bool(flag)
    if not series and interrupted:
        say("stopped before anything was measured: nothing was written")
        raise typer.Exit(status_of(flag))
    if not series:
        raise ImpastoError("nothing was measured; give a longer --duration")
    further = more(series)
    table.show_series(series)
    if common.json is not None:
        options = {**subject.as_dict(), "duration_s": effort.duration_s}
        options |= {"warm_up": effort.warm_up, "least": effort.least, **asked}
        made = record.make(
            benchmark, what, conditions=before, asked=options, series=series, interrupted=interrupted, **further
        )
        record.write(common.json, made)
        say(f"{common.json}: every sample")
    if interrupted:
        raise typer.Exit(status_of(flag))


def tell_choices(common: Common, ways: Iterable[Way]) -> None:
    """Say what "auto" takes, of networks and of providers, unless the user wants quiet.

    Raises:
        ImpastoError: there is no such network, provider or precision.
    """
    if common.quiet:
        return
    say(load_network(common.subject.model).choice)
    for provider, precision in ways:
        if isinstance(provider, str):
            say(providers.choose(provider, precision, build_engines=common.subject.build_engines).choice)

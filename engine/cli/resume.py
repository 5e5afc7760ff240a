"""`impasto resume`: the rest of a run that was stopped."""

import dataclasses
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from impasto.engine.cli.declare import option, takes
from impasto.engine.cli.options import KEPT, Options
from impasto.engine.cli.single_run import SingleRun
from impasto.engine.cli.terminal import interruptible

Checkpoint = Annotated[Path, typer.Argument(help="A file that `impasto transfer --checkpoint` wrote.")]
Output = Annotated[
    Path | None, typer.Option("--output", "-o", help="Result. (default: where the run would have written it)")
]


@takes(
    "checkpoint",
    "report_every",
    "quiet",
    "as_json",
    model=option(None, "The network of the run, where it is elsewhere now. (default: the run's)"),
    iterations=option(None, "Steps of the optimiser in all. (default: the run's)"),
    evaluations=option(None, "Runs of loss and gradient in all. (default: the run's)"),
    timeout_s=option(None, "Seconds in all. (default: the run's)"),
    provider=option(None, "As for `impasto transfer`. (default: the run's)"),
    threads=option(None, "CPU threads; 0 is one per core. (default: the run's)"),
)
def resume(options: Options, file: Checkpoint, output: Output = None) -> None:
    """Continue the run of a checkpoint FILE, and write its result.

    On the CPU provider the result is the same, pixel for pixel, as that of a run that was never stopped. The run keeps
    writing checkpoints to FILE, or to --checkpoint.
    """
    from impasto.engine.inputs.checkpoint import load_checkpoint

    state, kept = load_checkpoint(file)
    given = {name: kept[name] for name in KEPT if name in kept and getattr(options, name) in (None, _default(name))}
    options = dataclasses.replace(options, **given, checkpoint=options.checkpoint or file)
    limits = {name: getattr(options, name) for name in ("iterations", "evaluations", "timeout_s")}
    limits = {name: limit for name, limit in limits.items() if limit is not None}
    settings = dataclasses.replace(state.settings, **limits)
    run = SingleRun(options, settings, None, None, output or Path(kept["output"]))
    with interruptible() as interrupted, run.open_engine(options.model) as engine:
        run.run(engine, partial(engine.resume, state, settings), interrupted, [engine.network.choice])


def _default(name: str) -> object:
    """Return what an option is that was not given."""
    return next(field.default for field in dataclasses.fields(Options) if field.name == name)

"""`impasto resume`: continue a run that was stopped."""

import dataclasses
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from impasto.engine.cli.declare import MACHINE, OUTPUT, option, takes
from impasto.engine.cli.options import KEPT, PRECISIONS, Options
from impasto.engine.cli.single_run import SingleRun
from impasto.engine.cli.terminal import interruptible
from impasto.models.errors import ImpastoError

Checkpoint = Annotated[Path, typer.Argument(help="The file that --checkpoint of an earlier command wrote.")]
Output = Annotated[
    Path | None,
    typer.Option("--output", "-o", help="Result. (default: the file that the run would have written)"),
]
WITHOUT_DEFAULT = ("model", "provider", "precision", "threads", "checkpoint", "checkpoint_every")
OF_THE_RUN = "(default: the run's)"


@takes(
    "force", "report_every", "quiet", "as_json",
    model=option(None, f"The same network in another place: a name or a file. {OF_THE_RUN}"),
    iterations=option(None, f"Steps of the optimiser at most, those before included. {OF_THE_RUN}"),
    evaluations=option(None, f"Runs of loss and gradient at most, those before included. {OF_THE_RUN}"),
    timeout_s=option(None, f"Stop after so many seconds, those before included. {OF_THE_RUN}"),
    checkpoint=option(None, "Save the state to this file instead of FILE. .safetensors", OUTPUT),
    checkpoint_every=option(
        None, f"Save the state every so many seconds, and at the end; 0 is every iteration. {OF_THE_RUN}", OUTPUT
    ),
    provider=option(None, f"As for `impasto transfer`. {OF_THE_RUN}", MACHINE),
    precision=option(None, f"{PRECISIONS} {OF_THE_RUN}", MACHINE),
    threads=option(None, f"CPU threads; 0 is one per core. {OF_THE_RUN}", MACHINE),
)  # fmt: skip
def resume(options: Options, file: Checkpoint, output: Output = None) -> None:
    """Continue the run whose state is in FILE, and write its result.

    On the CPU provider of one machine the result has the same pixels as if the run had never stopped. The command keeps
    saving the state to FILE. Ctrl-C works as in `impasto transfer`.
    """
    from impasto.engine.inputs.checkpoint import load_checkpoint
    from impasto.engine.inputs.run_state import LIMITS

    state, kept = load_checkpoint(file)
    if output is None and "output" not in kept:  # no command wrote the checkpoint
        raise ImpastoError(f"{file} does not name the file of the result: give -o")
    output = output or Path(kept["output"])
    inputs = kept["inputs"] if isinstance(kept.get("inputs"), list) else []
    kept = {name: kept.get(name, getattr(Options(), name)) for name in KEPT} | {
        "model": kept.get("model") or state.model,
        "precision": state.precision,
        "checkpoint": file,
    }
    given = {name: value for name in (*WITHOUT_DEFAULT, *LIMITS) if (value := getattr(options, name)) is not None}
    options = dataclasses.replace(options, **{**kept, **given})
    settings = dataclasses.replace(state.settings, **{name: given[name] for name in LIMITS if name in given})
    run = SingleRun(options, settings, None, None, output, read_before=inputs)
    with interruptible() as interrupted, run.options.engine() as engine:
        rest = partial(engine.resume, state, settings, keep_state=True)
        run.run(engine, rest, interrupted, [engine.network.choice])

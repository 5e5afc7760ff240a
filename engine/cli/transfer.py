"""`impasto transfer`: two images to a picture."""

import json
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated, Any

import typer

from impasto.engine.cli import options
from impasto.engine.cli.progress import Progress, grouped
from impasto.engine.clock import seconds_since_process_start
from impasto.engine.events import Event, Iteration, PrecisionChanged, Started
from impasto.engine.settings import CONTENT_TAPS, STYLE_TAPS, Settings
from impasto.models.errors import ImpastoError
from impasto.models.store import EMBEDDED, FULL, list_networks

if TYPE_CHECKING:
    from impasto.engine.network import Network
    from impasto.engine.render import Engine
    from impasto.engine.result import Result

INTERRUPTED = 130


def transfer(
    content: options.Content,
    style: options.Style,
    output: Annotated[
        Path,
        typer.Option(
            "--output",
            "-o",
            help="Result: .png .jpg .webp .tif, or .npy (float32, 0..255).",
            show_default=False,
        ),
    ],
    model: options.Model = "auto",
    size: options.Size = 512,
    style_size: options.StyleSize = None,
    iterations: Annotated[int, typer.Option(help="Steps of the optimiser at most.")] = Settings.iterations,
    evaluations: Annotated[
        int | None, typer.Option(help="Runs of loss and gradient at most.  [default: no limit of its own]")
    ] = None,
    timeout_s: Annotated[float | None, typer.Option(help="Stop after so many seconds and keep the result.")] = None,
    history: Annotated[int, typer.Option(help="Curvature pairs that L-BFGS keeps.")] = Settings.history,
    content_weight: options.ContentWeight = None,
    style_weight: options.StyleWeight = None,
    tv_weight: options.TvWeight = None,
    content_tap: options.ContentTaps = None,
    style_tap: options.StyleTaps = None,
    weighting: options.Weighting = "paper",
    pool: options.Pool = "avg",
    init: Annotated[str, typer.Option(help="Start from content, noise, style, or an image FILE.")] = Settings.init,
    seed: Annotated[int, typer.Option(help="Of the noise.")] = Settings.seed,
    optimizer: Annotated[str, typer.Option(help="lbfgs or adam.")] = Settings.optimizer,
    learning_rate: Annotated[float, typer.Option(help="Of adam, grey levels a step.")] = Settings.learning_rate,
    bounded: Annotated[
        bool, typer.Option(help="Keep pixels within what a file can hold; otherwise they are cut off at the end.")
    ] = Settings.bounded,
    refine: Annotated[
        int, typer.Option(min=0, help="Draft on vgg19-slim, then finish with so many evaluations of vgg19; 0 is none.")
    ] = 0,
    bits: Annotated[int, typer.Option(help="Per channel in the file: 8 or 16.")] = 8,
    save_every: Annotated[
        int, typer.Option(help="Also write OUTPUT-000050.png and so on, every N iterations; 0 is never.")
    ] = 0,
    provider: options.Provider = "auto",
    precision: options.Precision = "auto",
    build_engines: options.BuildEngines = False,
    threads: options.Threads = 0,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress and no summary.")] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="One JSON line per iteration on stdout, then a summary.")
    ] = False,
) -> None:
    """Paint CONTENT in the style of STYLE.

    Ctrl-C stops after the evaluation that is running, writes what there is and exits with 130.
    """
    from impasto.engine.images import check_writable, write_image
    from impasto.engine.refinement import transfer_refined
    from impasto.engine.render import Engine

    settings = Settings(
        size=size,
        style_size=style_size,
        iterations=iterations,
        evaluations=evaluations,
        timeout_s=timeout_s,
        history=history,
        content_weight=content_weight,
        style_weight=style_weight,
        tv_weight=tv_weight,
        content_taps=options.taps(content_tap, CONTENT_TAPS),
        style_taps=options.taps(style_tap, STYLE_TAPS),
        weighting=weighting,
        pool=pool,
        init=init,
        seed=seed,
        optimizer=optimizer,
        learning_rate=learning_rate,
        bounded=bounded,
    )
    check_writable(output, bits=bits)
    process_start_s = seconds_since_process_start() - time.perf_counter()  # on the latter's scale
    open_engine = partial(Engine, provider=provider, precision=precision, threads=threads, build_engines=build_engines)
    say = _silent if quiet else _say
    with _interruptible() as interrupted, open_engine(EMBEDDED if refine and model == "auto" else model) as engine:
        say(engine.network.choice)
        # Said once, when the images are known to be sound; as JSON it is in the summary.
        remarks = iter(() if as_json else (engine.provider.choice,))
        finish = _finisher(open_engine, engine.network, refine, say)
        call_s = process_start_s + time.perf_counter()
        with Progress(iterations + (refine if finish else 0), hidden=quiet or as_json) as progress:

            def on_event(event: Event) -> None:
                progress.show(event)
                if isinstance(event, Started):
                    say(next(remarks, ""))
                    check_writable(output, bits=bits, size=(event.height, event.width))
                    if settings.weighting != "paper":
                        say(f"weighting {settings.weighting}: {event.conversion}")
                if isinstance(event, PrecisionChanged):
                    say(
                        f"values in {event.before} are not finite; going on from iteration {event.iteration} "
                        f"in {event.after}"
                    )
                if isinstance(event, Iteration):
                    if as_json:
                        _print_json(_as_line(event))
                    if save_every and event.iteration % save_every == 0:
                        write_image(_numbered(output, event.iteration), event.snapshot(), bits=bits)

            render = partial(transfer_refined, engine, finish, refine) if finish else engine.transfer
            result = render(content, style, settings, on_event=on_event, cancel=lambda: bool(interrupted))
    result.save(output, bits=bits)
    if as_json:
        first_iteration_s = call_s + result.setup_s
        _print_json({**result.summary(), "first_iteration_s": first_iteration_s, "output": str(output)})
    elif not quiet:
        print(_in_words(result, output))
    if interrupted:
        raise typer.Exit(INTERRUPTED)


def _finisher(
    open_engine: Callable[[str], "Engine"], draft: "Network", evaluations: int, say: Callable[[str], None]
) -> Callable[[], "Engine"] | None:
    """Return what makes the engine of a refinement; None where none is wanted or the full network is not there.

    Raises:
        ImpastoError: the draft is on the full network already.
    """
    if not evaluations:
        return None
    if draft.name == FULL:
        raise ImpastoError(f"nothing to refine: --model is {FULL} itself; leave --refine out, or the model to auto")
    if FULL not in list_networks():
        say(f"no refinement: {FULL} is not there; `impasto weights fetch {FULL}` gets it")
        return None
    return partial(open_engine, FULL)


def _say(line: str) -> None:
    if line:
        print(line, file=sys.stderr)


def _silent(line: str) -> None:
    """Keep a line from a user who wants quiet."""


def _as_line(event: Iteration) -> dict[str, Any]:
    return {
        "iteration": event.iteration,
        "evaluations": event.evaluations,
        "loss": event.loss,
        "terms": dict(event.terms),
        "seconds": event.seconds,
    }


def _in_words(result: "Result", output: Path) -> str:
    """Say in two lines what came out."""
    where = f"{result.provenance['model']} on {result.provenance['provider']}, {result.provenance['precision']}"
    return (
        f"{output}: {result.picture.width}x{result.picture.height} px, {result.iterations} iterations "
        f"({result.evaluations} evaluations) in {result.seconds:.1f} s with {where}\n"
        f"loss {result.loss:.5g} ({grouped(result.terms)}); {result.message}"
    )


def _numbered(output: Path, iteration: int) -> Path:
    return output.with_name(f"{output.stem}-{iteration:06d}{output.suffix}")


def _print_json(values: dict[str, Any]) -> None:
    print(json.dumps(values), flush=True)


@contextmanager
def _interruptible() -> Iterator[list[bool]]:
    """Turn the first Ctrl-C into a flag, and leave the second one to Python."""
    flag: list[bool] = []

    def stop(signum: int, frame: FrameType | None) -> None:
        flag.append(True)
        signal.signal(signal.SIGINT, previous)

    previous = signal.signal(signal.SIGINT, stop)
    try:
        yield flag
    finally:
        signal.signal(signal.SIGINT, previous)

"""`impasto transfer`: two images to a picture."""

import json
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Annotated

import typer

from impasto.engine.cli import options
from impasto.engine.cli.progress import Progress
from impasto.engine.clock import seconds_since_process_start
from impasto.engine.events import Event, Iteration, Started
from impasto.engine.settings import CONTENT_TAPS, STYLE_TAPS, Settings

INTERRUPTED = 130


def transfer(
    content: options.Content,
    style: options.Style,
    output: Annotated[
        Path,
        typer.Option("--output", "-o", help="Result: .png .jpg .webp .tif, or .npy (float32, 0..255).", show_default=False),
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
    bits: Annotated[int, typer.Option(help="Per channel in the file: 8 or 16.")] = 8,
    save_every: Annotated[int, typer.Option(help="Also write OUTPUT-000050.png and so on, every N iterations; 0 is never.")] = 0,
    provider: options.Provider = "auto",
    threads: options.Threads = 0,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress and no summary.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON line per iteration on stdout, then a summary.")] = False,
) -> None:
    """Paint CONTENT in the style of STYLE.

    Ctrl-C stops after the evaluation that is running, writes what there is and exits with 130.
    """
    from impasto.engine.images import check_writable
    from impasto.engine.render import Engine, check_bits

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
    )
    check_writable(output)
    ...


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

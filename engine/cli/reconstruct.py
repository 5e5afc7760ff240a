"""`impasto reconstruct`: an image from the features of another, without a second image."""

import re
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from impasto.engine.cli import options
from impasto.engine.cli.job import Job, interruptible
from impasto.engine.cli.watching import watch
from impasto.engine.reconstruction import (
    CONTENT_HISTORY,
    CONTENT_PRECISION,
    STYLE_HISTORY,
    content_reconstruction,
    style_reconstruction,
)
from impasto.engine.settings import CONTENT_TAPS, STYLE_TAPS, Settings
from impasto.models.errors import ImpastoError

Image = Annotated[Path, typer.Argument(help="The image whose features are to be met.", show_default=False)]
Start = Annotated[str, typer.Option(help="Start from noise or an image FILE.")]
Iterations = Annotated[
    int | None,
    typer.Option(help=f"Steps of the optimiser at most. (default: as --evaluations, else {Settings.iterations})"),
]

reconstruct_app = typer.Typer(help="Show what a network's taps hold of an image.", no_args_is_help=True)


@reconstruct_app.command()
def content(
    image: Image,
    output: options.Output,
    tap: Annotated[
        list[str] | None,
        typer.Option("--tap", help=f"NAME or NAME=WEIGHT, repeatable. (default: {' '.join(CONTENT_TAPS)})"),
    ] = None,
    model: options.Model = "auto",
    size: options.Size = 512,
    iterations: Iterations = None,
    evaluations: options.Evaluations = None,
    timeout_s: options.TimeoutS = None,
    history: options.History = CONTENT_HISTORY,
    tv_weight: options.TvWeight = None,
    pool: options.Pool = "avg",
    init: Start = "noise",
    seed: options.Seed = Settings.seed,
    optimizer: options.Optimizer = Settings.optimizer,
    learning_rate: options.LearningRate = Settings.learning_rate,
    bounded: options.Bounded = Settings.bounded,
    bits: options.Bits = 8,
    save_every: options.SaveEvery = 0,
    report: options.Report = None,
    animation: options.Animation = None,
    preview: options.Preview = False,
    preview_as: options.PreviewAs = None,
    provider: options.Provider = "auto",
    precision: options.Precision = CONTENT_PRECISION,
    build_engines: options.BuildEngines = False,
    threads: options.Threads = 0,
    loop: options.Loop = "auto",
    report_every: options.ReportEvery = None,
    dry_run: options.DryRun = False,
    ignore_memory: options.IgnoreMemory = False,
    quiet: options.Quiet = False,
    as_json: options.AsJson = False,
) -> None:
    """Find an image with the features of IMAGE at a tap, from white noise: what that tap keeps of it."""
    from impasto.engine.jobs.engine import Engine

    limit = most_iterations(iterations, evaluations)
    settings = content_reconstruction(
        options.taps(tap, CONTENT_TAPS),
        size=size,
        iterations=limit,
        evaluations=evaluations,
        timeout_s=timeout_s,
        history=history,
        tv_weight=tv_weight,
        pool=pool,
        init=init,
        seed=seed,
        optimizer=optimizer,
        learning_rate=learning_rate,
        bounded=bounded,
    )
    job = Job(output, bits=bits, save_every=save_every, quiet=quiet, as_json=as_json, report_every=report_every)
    watch(
        job,
        content=image,
        style=None,
        report=report,
        animation=animation,
        preview=preview,
        preview_as=preview_as,
    )
    with (
        interruptible() as interrupted,
        Engine(
            model,
            provider=provider,
            precision=precision,
            threads=threads,
            build_engines=build_engines,
            loop=loop,
            report_every=job.report_every,
            checks_memory=not ignore_memory,
        ) as engine,
    ):
        if dry_run:
            job.show(engine.plan(image, None, settings))
            return
        job.run(engine, settings, partial(engine.transfer, image, None, settings), interrupted, iterations=limit)


@reconstruct_app.command()
def style(
    image: Image,
    output: options.Output,
    style_tap: options.StyleTaps = None,
    model: options.Model = "auto",
    size: Annotated[
        str, typer.Option(metavar="PX|WxH", help="Long side of the result, px, or its width and height; 0 is IMAGE's.")
    ] = "512",
    style_size: options.StyleSize = None,
    seamless: options.Seamless = False,
    iterations: Iterations = None,
    evaluations: options.Evaluations = None,
    timeout_s: options.TimeoutS = None,
    history: options.History = STYLE_HISTORY,
    tv_weight: options.TvWeight = None,
    pool: options.Pool = "avg",
    init: Start = "noise",
    seed: options.Seed = Settings.seed,
    optimizer: options.Optimizer = Settings.optimizer,
    learning_rate: options.LearningRate = Settings.learning_rate,
    bounded: options.Bounded = Settings.bounded,
    bits: options.Bits = 8,
    save_every: options.SaveEvery = 0,
    report: options.Report = None,
    animation: options.Animation = None,
    preview: options.Preview = False,
    preview_as: options.PreviewAs = None,
    provider: options.Provider = "auto",
    precision: options.Precision = "auto",
    build_engines: options.BuildEngines = False,
    threads: options.Threads = 0,
    loop: options.Loop = "auto",
    report_every: options.ReportEvery = None,
    dry_run: options.DryRun = False,
    ignore_memory: options.IgnoreMemory = False,
    quiet: options.Quiet = False,
    as_json: options.AsJson = False,
) -> None:
    """Find an image with the Gram matrices of IMAGE, from white noise: a texture of any size in its style."""
    from impasto.engine.jobs.engine import Engine

    limit = most_iterations(iterations, evaluations)
    long_side_px, canvas = parsed_size(size)
    settings = style_reconstruction(
        options.taps(style_tap, STYLE_TAPS),
        size=long_side_px,
        canvas=canvas,
        style_size=style_size,
        seamless=seamless,
        iterations=limit,
        evaluations=evaluations,
        timeout_s=timeout_s,
        history=history,
        tv_weight=tv_weight,
        pool=pool,
        init=init,
        seed=seed,
        optimizer=optimizer,
        learning_rate=learning_rate,
        bounded=bounded,
    )
    job = Job(output, bits=bits, save_every=save_every, quiet=quiet, as_json=as_json, report_every=report_every)
    watch(
        job,
        content=None,
        style=image,
        report=report,
        animation=animation,
        preview=preview,
        preview_as=preview_as,
    )
    with (
        interruptible() as interrupted,
        Engine(
            model,
            provider=provider,
            precision=precision,
            threads=threads,
            build_engines=build_engines,
            loop=loop,
            report_every=job.report_every,
            checks_memory=not ignore_memory,
        ) as engine,
    ):
        if dry_run:
            job.show(engine.plan(None, image, settings))
            return
        job.run(engine, settings, partial(engine.transfer, None, image, settings), interrupted, iterations=limit)


def parsed_size(text: str) -> tuple[int, tuple[int, int] | None]:
    """Return the long side, px, and the width and height where both are given.

    Raises:
        ImpastoError: it is neither.
    """
    match = re.fullmatch(r"(\d{1,6})(?:x([1-9]\d{0,5}))?", text)
    if match is None:
        raise ImpastoError(f"bad size {text!r}: write PX, the long side, or WxH, as 512 or 640x480")
    width, height = int(match[1]), match[2] and int(match[2])
    return (width, None) if not height else (max(width, height), (width, height))


def most_iterations(iterations: int | None, evaluations: int | None) -> int:
    """Return how many steps there may be: where evaluations alone are limited, no step is more than those allow."""
    if iterations is not None:
        return iterations
    return Settings.iterations if evaluations is None else evaluations

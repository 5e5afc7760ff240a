"""`impasto evaluate`: score an image under the objective."""

import json
from pathlib import Path
from typing import Annotated

import typer

from impasto.engine.cli import options
from impasto.engine.cli.job import say
from impasto.engine.settings import CONTENT_TAPS, STYLE_TAPS, Settings


def evaluate(
    image: Annotated[Path, typer.Argument(help="The image to score; .npy is H x W x 3, 0..255.", show_default=False)],
    content: Annotated[Path, typer.Option("--content", help="The content image.", show_default=False)],
    style: Annotated[Path, typer.Option("--style", help="The style image.", show_default=False)],
    gradient: Annotated[
        Path | None,
        typer.Option(help="Write d loss / d pixel here: .npy, float32 H x W x 3, RGB, for pixels on 0..255."),
    ] = None,
    model: options.Model = "auto",
    size: options.Size = 512,
    style_size: options.StyleSize = None,
    content_weight: options.ContentWeight = None,
    style_weight: options.StyleWeight = None,
    tv_weight: options.TvWeight = None,
    content_tap: options.ContentTaps = None,
    style_tap: options.StyleTaps = None,
    weighting: options.Weighting = "paper",
    pool: options.Pool = "avg",
    seamless: options.Seamless = False,
    provider: options.Provider = "auto",
    precision: options.Precision = "auto",
    build_engines: options.BuildEngines = False,
    threads: options.Threads = 0,
    ignore_memory: options.IgnoreMemory = False,
    quiet: options.QuietChoice = False,
) -> None:
    """Print an image's loss and its terms as JSON: {"loss", "terms", "evaluation_s", "model", "provider", "precision"}.

    --size 0 takes all three files as they are; --seamless brings their sides to multiples of 16 px.
    """
    from impasto.engine.images import check_writable, write_array
    from impasto.engine.jobs.engine import Engine

    settings = Settings(
        size=size,
        style_size=style_size,
        content_weight=content_weight,
        style_weight=style_weight,
        tv_weight=tv_weight,
        content_taps=options.taps(content_tap, CONTENT_TAPS),
        style_taps=options.taps(style_tap, STYLE_TAPS),
        weighting=weighting,
        pool=pool,
        seamless=seamless,
    )
    if gradient is not None:
        check_writable(gradient, extensions=(".npy",))
    with Engine(
        model,
        provider=provider,
        precision=precision,
        threads=threads,
        build_engines=build_engines,
        checks_memory=not ignore_memory,
    ) as engine:
        if not quiet:
            say(engine.network.choice)
            say(engine.provider.choice)
        score = engine.evaluate(image, content, style, settings)
        used = {
            "model": engine.network.name,
            "provider": engine.provider.name,
            "precision": engine.provider.precision,
        }
    if gradient is not None:
        write_array(gradient, score.gradient)
    print(json.dumps({"loss": score.loss, "terms": score.terms, "evaluation_s": score.evaluation_s, **used}))

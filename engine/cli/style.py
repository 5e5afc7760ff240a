"""`impasto style save`: what runs need of a style image, kept for them."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from impasto.engine.cli import options
from impasto.engine.cli.job import say
from impasto.engine.settings import STYLE_TAPS, Settings

if TYPE_CHECKING:
    from impasto.engine.jobs.engine import Engine

style_app = typer.Typer(help="Keep what runs need of a style image.", no_args_is_help=True)


@style_app.callback()
def style() -> None:
    """Keep what runs need of a style image."""


@style_app.command()
def save(
    image: Annotated[Path, typer.Argument(metavar="STYLE", help="The style image.", show_default=False)],
    output: Annotated[
        Path, typer.Option("--output", "-o", help="The file to write: .safetensors.", show_default=False)
    ],
    model: options.Model = "auto",
    size: Annotated[int, typer.Option(help="Long side of the style image, px; 0 keeps its own.")] = Settings.size,
    style_tap: options.StyleTaps = None,
    pool: options.Pool = "avg",
    seamless: options.Seamless = False,
    provider: options.Provider = "auto",
    precision: options.Precision = "auto",
    build_engines: options.BuildEngines = False,
    threads: options.Threads = 0,
    dry_run: options.DryRun = False,
    ignore_memory: options.IgnoreMemory = False,
    quiet: options.Quiet = False,
) -> None:
    """Compute the Gram matrices of STYLE and keep them, to be given in place of the style image.

    They hold for one network, pooling, precision and size.
    """
    from impasto.engine.inputs.saved_style import check_style_output
    from impasto.engine.jobs.engine import Engine

    settings = Settings(
        size=size, style_taps=options.taps(style_tap, STYLE_TAPS), pool=pool, seamless=seamless, style_weight=1.0
    )
    check_style_output(output)
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
        if dry_run:
            _show(engine, image, output, settings)
            return
        saved = engine.save_style(image, output, settings)
    if not quiet:
        origin = saved.origin
        print(
            f"{output}: {origin.image} at {origin.width}x{origin.height} px, {len(origin.taps)} taps of "
            f"{origin.model} in {origin.precision}"
        )


def _show(engine: "Engine", image: Path, output: Path, settings: Settings) -> None:
    """Say what would be kept, and what memory it takes to compute it."""
    from impasto.engine.compile import memory

    picture, needed = engine.plan_style(image, settings)
    free = memory.available() if engine.provider.device == "cpu" else None
    print(
        f"{output}: {picture.name} at {picture.width}x{picture.height} px, {len(settings.style_taps)} taps of "
        f"{engine.network.name} in {engine.provider.precision}\nmemory: about {memory.in_words(needed.total)} at most"
        + ("" if free is None else f"; {memory.in_words(free)} are free")
    )

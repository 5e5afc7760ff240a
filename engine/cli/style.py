"""`impasto style save`: compute the targets of a style image once, for many runs."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from impasto.engine.cli.declare import option, takes
from impasto.engine.cli.options import ENGINE, Options
from impasto.engine.settings import Settings

if TYPE_CHECKING:
    from impasto.engine.jobs.engine import Engine

style_app = typer.Typer(help="Compute a style image's targets once, for many runs.", no_args_is_help=True)


@style_app.callback()
def style() -> None:
    """Compute a style image's targets once, for many runs."""


@style_app.command()
@takes(
    "model", "style_taps", "pool", "seamless", *ENGINE, "dry_run", "quiet",
    size=option(Settings.size, "Long side of the style image, px; 0 keeps its own."),
)  # fmt: skip
def save(
    options: Options,
    image: Annotated[Path, typer.Argument(metavar="STYLE", help="The style image.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="The file to write: .safetensors.")],
) -> None:
    """Compute the Gram matrices of STYLE and save them to a file. Commands take the file in place of the image.

    The file is valid for one network, pooling, precision and size.
    """
    from impasto.engine.inputs.saved_style import check_style_output

    settings = options.settings(style_weight=1.0)
    check_style_output(output)
    with options.engine() as engine:
        options.say_choices(engine)
        if options.dry_run:
            _show(engine, image, output, settings)
            return
        saved = engine.save_style(image, output, settings)
    if not options.quiet:
        origin = saved.origin
        print(
            f"{output}: {origin.image} at {origin.width}x{origin.height} px, {len(origin.taps)} taps of "
            f"{origin.model} in {origin.precision}"
        )


def _show(engine: "Engine", image: Path, output: Path, settings: Settings) -> None:
    """Print what `save` will write, and the memory that it needs."""
    from impasto.engine.compile import memory

    picture, needed = engine.plan_style(image, settings)
    free = memory.available() if engine.provider.on_host else None
    print(
        f"{output}: {picture.name} at {picture.width}x{picture.height} px, {len(settings.style_taps)} taps of "
        f"{engine.network.name} in {engine.provider.precision}\nmemory: {memory.format_need(needed.total, free)}"
    )

"""`impasto style save`: compute the targets of a style image once, for many runs."""

from pathlib import Path
from typing import Annotated

import typer

from impasto.engine.cli.declare import option, takes
from impasto.engine.cli.options import ENGINE, Options, of_preset
from impasto.engine.cli.terminal import print_lines
from impasto.engine.presets import preset
from impasto.engine.settings import Settings
from impasto.models.overwriting import check_not_read

style_app = typer.Typer(help="Compute a style image's targets once, for many runs.", no_args_is_help=True)


@style_app.callback()
def style() -> None:
    """Compute a style image's targets once, for many runs."""


@style_app.command()
@takes(
    "model", "style_taps", *ENGINE, "dry_run", "quiet",
    size=option(Settings.size, "Long side of the style image, px; 0 keeps its own."),
    scales=option(
        preset().scales, "Scales of the runs that will use the file; 0 is as many as results of this size can have."
    ),
    **of_preset("style_loss", "pool", "padding", "seamless"),
)  # fmt: skip
def save(
    options: Options,
    image: Annotated[Path, typer.Argument(metavar="STYLE", help="The style image.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="The file to write: .safetensors.")],
) -> None:
    """Compute the statistics of STYLE and save them to a file. Commands take the file in place of the image.

    The file is valid for one network, style loss, pooling, padding, precision and size, and for runs with up to
    --scales scales.
    """
    from impasto.engine.compile import memory
    from impasto.engine.inputs.saved_style import check_style_output
    from impasto.engine.inputs.scales import saved_sizes

    settings = options.settings(style_weight=1.0)
    check_style_output(output)
    check_not_read([output], {"the style image": image}, "give another name")
    with options.engine() as engine:
        options.say_choices(engine)
        if options.dry_run:
            picture, needed = engine.plan_style(image, settings)
            free = memory.available() if engine.provider.on_host else None
            print_lines(
                f"{output}: {picture.name} at {picture.width}x{picture.height} px, {len(settings.style_taps)} taps of "
                f"{engine.network.name} in {engine.provider.precision}{_loss(settings.style_loss)}"
                f"{_scales(len(saved_sizes(settings, picture.height, picture.width)))}"
            )
            print(f"memory: {memory.format_need(needed.total, free)}")
            return
        origin = engine.save_style(image, output, settings).origin
    if not options.quiet:
        print_lines(
            f"{output}: {origin.image} at {origin.width}x{origin.height} px, {len(origin.taps)} taps of "
            f"{origin.model} in {origin.precision}{_loss(origin.style_loss)}{_scales(1 + len(origin.coarser))}"
        )


def _loss(name: str) -> str:
    """Name the style loss, unless it is the paper's."""
    return "" if name == Settings.style_loss else f", for {name}"


def _scales(count: int) -> str:
    """Say for how many scales a style is saved, unless for one."""
    return f", for up to {count} scales" if count > 1 else ""

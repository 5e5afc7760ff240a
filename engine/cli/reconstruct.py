"""`impasto reconstruct`: find an image from the features of one other image."""

import re
from pathlib import Path
from typing import Annotated, Any

import typer

from impasto.engine.cli.declare import MACHINE, OPTIMISER, OUTPUT, option, takes
from impasto.engine.cli.options import Options, Output, tap_help
from impasto.engine.cli.single_run import SingleRun
from impasto.engine.jobs.reconstruction import (
    CONTENT_HISTORY,
    CONTENT_PRECISION,
    STYLE_HISTORY,
    content_reconstruction,
    style_reconstruction,
)
from impasto.engine.settings import CONTENT_TAPS, STYLE_TAPS, Settings
from impasto.models.errors import ImpastoError

Image = Annotated[Path, typer.Argument(help="The image to reconstruct.")]

reconstruct_app = typer.Typer(help="Show what a network's taps hold of an image.", no_args_is_help=True)

ITERATIONS = option(None, f"Steps of the optimiser at most. (default: as --evaluations, else {Settings.iterations})")
START = option("noise", "Start from noise or an image FILE.", OPTIMISER)


@reconstruct_app.command()
@takes(
    "model", "size", "tv_weight", "tv_norm", "pool", "padding", OPTIMISER, OUTPUT, MACHINE,
    iterations=ITERATIONS, init=START, history=CONTENT_HISTORY, precision=CONTENT_PRECISION,
)  # fmt: skip
def content(
    options: Options,
    image: Image,
    output: Output,
    tap: Annotated[list[str] | None, typer.Option(help=tap_help(CONTENT_TAPS), metavar="TAP")] = None,
) -> None:
    """Find an image with the features of IMAGE at a tap, from white noise. It shows what the tap keeps of IMAGE."""
    settings = content_reconstruction(tap or CONTENT_TAPS, **_values(options))
    SingleRun(options, settings, image, None, output).start()


@reconstruct_app.command()
@takes(
    "model", "style_size", "style_taps", "style_loss", "tv_weight", "tv_norm", "pool", "padding", "seamless",
    OPTIMISER, OUTPUT, MACHINE,
    iterations=ITERATIONS, init=START, history=STYLE_HISTORY,
)  # fmt: skip
def style(
    options: Options,
    image: Image,
    output: Output,
    sides: Annotated[
        str,
        typer.Option(
            "--size", metavar="PX|WxH", help="Long side of the result, px, or its width and height; 0 is IMAGE's."
        ),
    ] = str(Settings.size),
) -> None:
    """Find an image with the Gram matrices of IMAGE, from white noise. It is a texture of any size in that style."""
    long_side_px, canvas = parsed_size(sides)
    values = {**_values(options), "size": long_side_px, "canvas": canvas}
    settings = style_reconstruction(values.pop("style_taps", STYLE_TAPS), **values)
    SingleRun(options, settings, None, image, output).start()


def _values(options: Options) -> dict[str, Any]:
    """Return the values of `Settings`. If only evaluations are limited, iterations get the same limit."""
    return {"iterations": options.evaluations or Settings.iterations, **options.setting_values()}


def parsed_size(text: str) -> tuple[int, tuple[int, int] | None]:
    """Return the long side, px, and the width and height if both are given.

    Raises:
        ImpastoError: the text is neither PX nor WxH.
    """
    match = re.fullmatch(r"(\d{1,6})(?:x([1-9]\d{0,5}))?", text)
    if match is None:
        raise ImpastoError(f"bad size {text!r}: write PX, the long side, or WxH, as 512 or 640x480")
    width, height = int(match[1]), match[2] and int(match[2])
    return (width, None) if not height else (max(width, height), (width, height))

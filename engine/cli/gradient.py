"""`impasto gradient`: add the gradient of an output to a model."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from impasto.models.errors import ImpastoError


def gradient(
    model: Annotated[Path, typer.Argument(help="An .onnx file with a scalar output.")],
    loss: Annotated[str, typer.Option(help="The output to differentiate.", metavar="OUTPUT")],
    wrt: Annotated[str, typer.Option(help="The input to differentiate with respect to.", metavar="INPUT")],
    output: Annotated[Path, typer.Option("--output", "-o", help="The .onnx file to write.")],
    shape: Annotated[
        list[str] | None,
        typer.Option(help="Fix the free sizes of an input; may be repeated.", metavar="NAME=1x3x224x224"),
    ] = None,
) -> None:
    """Add the output d_INPUT: the gradient of OUTPUT with respect to INPUT, in standard ONNX operators."""
    from impasto.export.gradient_file import gradient_file

    shapes = dict(_parsed_shape(text) for text in shape or ())
    result = gradient_file(model, output, loss, wrt, shapes)
    written = result.graph.outputs[-1]
    print(f"{output}: {len(result.graph)} nodes, output {written.name} {written.shape}")


def _parsed_shape(text: str) -> tuple[str, Sequence[int]]:
    """Return the name and sizes of ``NAME=1x3x224x224``."""
    match = re.fullmatch(r"(.+)=(\d+(?:x\d+)*)", text)
    if match is None:
        raise ImpastoError(f"bad --shape {text!r}: write NAME=1x3x224x224, an input's name and its sizes")
    sizes = [int(size) for size in match[2].split("x")]
    if min(sizes) < 1:
        raise ImpastoError(f"bad --shape {text!r}: sizes are 1 or more")
    return match[1], sizes

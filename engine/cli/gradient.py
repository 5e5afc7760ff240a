"""`impasto gradient`: add the gradient of an output to a model."""

import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from impasto.engine.cli.terminal import print_lines
from impasto.models.errors import ImpastoError
from impasto.models.overwriting import check_not_read

if TYPE_CHECKING:
    import onnx_ir as ir

DISAGREES = 1

Given = TypeVar("Given")


def gradient(
    model: Annotated[Path, typer.Argument(help="An .onnx file with a scalar output.")],
    loss: Annotated[
        list[str],
        typer.Option(help="The output to differentiate; may be repeated, for the sum of several.", metavar="OUTPUT"),
    ],
    wrt: Annotated[
        list[str],
        typer.Option(help="The input to differentiate with respect to; may be repeated.", metavar="INPUT"),
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="The .onnx file to write.")],
    shape: Annotated[
        list[str] | None,
        typer.Option(help="Fix the free sizes of an input; may be repeated.", metavar="NAME=1x3x224x224"),
    ] = None,
    value: Annotated[
        list[str] | None,
        typer.Option(
            help="Make an input a constant, such as one that an If or Loop depends on; may be repeated.",
            metavar="NAME=NUMBER",
        ),
    ] = None,
    straight_through: Annotated[
        bool,
        typer.Option(
            "--straight-through",
            help="Pass the gradient through quantised operators as if nothing was rounded.",
            metavar="",
        ),
    ] = False,
    check: Annotated[
        bool,
        typer.Option(
            "--check",
            help="Compare with finite differences in float64 first, for small models; where they disagree the status "
            "is 1 and nothing is written.",
            metavar="",
        ),
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace the model itself.", metavar="")] = False,
) -> None:
    """Add the output d_INPUT: the gradient of OUTPUT with respect to INPUT, in standard ONNX operators."""
    from impasto.export.gradient.model_file import gradient_file

    if check and straight_through:
        raise ImpastoError(
            "--check and --straight-through exclude each other: the loss of a quantised model changes in steps, which "
            "finite differences measure and the gradient passes over; leave one out"
        )
    if not force:
        check_not_read([output], {"the model": model}, "give another file, or --force to write over it")
    shapes = _by_name("shape", [_parsed_shape(text) for text in shape or ()])
    values = _by_name("value", [_parsed_value(text) for text in value or ()])

    def compare(result: "ir.Model") -> None:
        _compare(result, loss, wrt)

    result = gradient_file(
        model,
        output,
        loss,
        wrt,
        shapes,
        values=values,
        straight_through=straight_through,
        inspect=compare if check else None,
    )
    added = ", ".join(f"{found.name} {found.shape}" for found in result.graph.outputs[-len(wrt) :])
    print_lines(f"{output}: {len(result.graph)} nodes, output{'s' * (len(wrt) > 1)} {added}")


def _compare(result: "ir.Model", losses: Sequence[str], wrt: Sequence[str]) -> None:
    """Print how well each gradient agrees with finite differences.

    Raises:
        typer.Exit: one does not.
    """
    from impasto.export.gradient.check import DIRECTIONS, LARGEST_ERROR, check_gradient

    agreements = check_gradient(result, losses, wrt)
    for each in agreements:
        verb = "agrees with" if each.is_good else "DISAGREES with"
        print_lines(
            f"d_{each.wrt} {verb} finite differences in float64: largest relative error {each.error:.1e} along "
            f"{DIRECTIONS} random directions, allowed {LARGEST_ERROR:g}"
        )
        if not each.norm and each.is_good:
            print_lines(
                f"d_{each.wrt} is 0 at the random input, and the loss does not change there: this proves little"
            )
    if not all(each.is_good for each in agreements):
        raise typer.Exit(DISAGREES)


def _by_name(option: str, given: Sequence[tuple[str, Given]]) -> dict[str, Given]:
    """Return what is given for each input.

    Raises:
        ImpastoError: an input is given twice.
    """
    found = dict(given)
    if len(found) < len(given):
        raise ImpastoError(f"bad --{option}: an input is given twice; give each of {', '.join(found)} once")
    return found


def _parsed_shape(text: str) -> tuple[str, Sequence[int]]:
    """Return the name and sizes of ``NAME=1x3x224x224``."""
    match = re.fullmatch(r"(.+)=(\d+(?:x\d+)*)", text)
    if match is None:
        raise ImpastoError(f"bad --shape {text!r}: write NAME=1x3x224x224, an input's name and its sizes")
    sizes = [int(size) for size in match[2].split("x")]
    if min(sizes) < 1:
        raise ImpastoError(f"bad --shape {text!r}: sizes are 1 or more")
    return match[1], sizes


def _parsed_value(text: str) -> tuple[str, float]:
    """Return the name and the number of ``NAME=NUMBER``."""
    name, _, number = text.rpartition("=")
    try:
        value: float = int(number) if re.fullmatch(r"[+-]?\d{1,18}", number) else float(number)
    except ValueError:
        value = math.nan
    if not name or not math.isfinite(value):
        raise ImpastoError(f"bad --value {text!r}: write NAME=16000, an input's name and a number")
    return name, value

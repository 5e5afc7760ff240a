"""The gradient transformation from file to file."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import onnx_ir as ir

from impasto.export.gradient import GradientError, gradient
from impasto.export.vjp_rules.errors import FIX_SIZES
from impasto.models.atomic import atomic_file, check_place
from impasto.models.errors import one_line

PROTOBUF_LIMIT_BYTES = 2**31 - 2**20  # a protobuf message ends at 2 GiB, and 1 MiB is for the nodes
LEAST_EXTERNAL_BYTES = 1024  # smaller weights stay in the model in any case


def gradient_file(
    source: Path, target: Path, loss: str, wrt: str, shapes: Mapping[str, Sequence[int]] | None = None
) -> ir.Model:
    """Write a model with the output ``d_<wrt>`` added; see `impasto.export.gradient.gradient`.

    The file is there in full or not at all. Weights that the model keeps in other files are put into it, or, where they
    exceed protobuf's 2 GiB, into one file next to it.

    Args:
        source: an .onnx file.
        target: where to write; may be the source.
        loss: the name of an output, a scalar: one element.
        wrt: the name of an input.
        shapes: sizes for inputs whose own are free.

    Returns:
        The model that was written.

    Raises:
        GradientError: the file cannot be read, the loss is no scalar, or there is no gradient.
        ImpastoError: the result cannot be written.
    """
    check_place(target, GradientError)
    result = gradient(_loaded(source), loss, wrt, shapes=shapes)
    _check_scalar(next(value for value in result.graph.outputs if value.name == loss))
    _take_in_weights(result, source)
    _save(result, target)
    return result


def _loaded(source: Path) -> ir.Model:
    if not source.is_file():
        raise GradientError(f"cannot read {source}: no such file")
    try:
        model: ir.Model = ir.load(source)
    except Exception as error:  # protobuf's DecodeError, and ValueError or TypeError for what decodes but is no model
        raise GradientError(f"cannot read {source}: not an ONNX model ({one_line(error)})") from error
    if not model.graph.outputs:
        raise GradientError(f"cannot read {source}: not an ONNX model (it has no outputs)")
    return model


def _check_scalar(loss: ir.Value) -> None:
    if loss.shape is None or not loss.shape.is_static() or math.prod(loss.shape.numpy()) != 1:
        raise GradientError(
            f"output {loss.name!r} has shape {loss.shape}; a loss is a scalar: add a ReduceSum, or {FIX_SIZES}"
        )


def _take_in_weights(model: ir.Model, source: Path) -> None:
    """Read the weights that are in other files."""
    try:
        ir.external_data.load_to_model(model)
    except (OSError, ValueError) as error:
        reason = (error.strerror if isinstance(error, OSError) else None) or one_line(error)
        raise GradientError(
            f"cannot read {source}: its weights are in another file ({reason}); put that file next to it"
        ) from error


def _save(model: ir.Model, target: Path) -> None:
    """Write the model in full; an error leaves the old file."""
    weights = [value.const_value for value in model.graph.initializers.values() if value.const_value is not None]
    is_large = sum(tensor.nbytes for tensor in weights) > PROTOBUF_LIMIT_BYTES
    external = f"{target.name}.data" if is_large else None
    with atomic_file(target, failure=GradientError) as part:
        ir.save(model, part, format="protobuf", external_data=external, size_threshold_bytes=LEAST_EXTERNAL_BYTES)

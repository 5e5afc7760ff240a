"""The gradient transformation from file to file."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import onnx
import onnx_ir as ir

from impasto.export.external_weights import take_in_weights
from impasto.export.gradient.walk import GradientError, gradient
from impasto.export.library_errors import explained, without_remarks
from impasto.export.vjp_rules.errors import FIX_SIZES
from impasto.models.atomic import atomic_file, check_place
from impasto.models.errors import ImpastoError, one_line, reason
from impasto.models.overwriting import check_not_read
from impasto.models.regular_file import A_FOLDER, why_unreadable

PROTOBUF_LIMIT_BYTES = 2**31 - 2**20  # a protobuf message ends at 2 GiB, and 1 MiB is for the nodes
LEAST_EXTERNAL_BYTES = 1024  # smaller weights stay in the model in any case


def gradient_file(
    source: Path,
    target: Path,
    loss: str | Sequence[str],
    wrt: str | Sequence[str],
    shapes: Mapping[str, Sequence[int]] | None = None,
    *,
    values: Mapping[str, float] | None = None,
    straight_through: bool = False,
    inspect: Callable[[ir.Model], None] | None = None,
) -> ir.Model:
    """Write a model with the outputs ``d_<wrt>`` added; see `impasto.export.gradient.gradient`.

    The file is there in full or not at all. Weights that the model keeps in other files are put into it, or, where they
    exceed protobuf's 2 GiB, into one file next to it.

    Args:
        source: an .onnx file.
        target: where to write; may be the source.
        loss: the name of an output, a scalar: one element; or several, of whose sum the gradient is.
        wrt: the name of an input, or several.
        shapes: sizes for inputs whose own are free.
        values: numbers for inputs that become constants.
        straight_through: pass the gradient through quantisation as if nothing was rounded.
        inspect: is given the result before it is written, and may refuse it by an error.

    Returns:
        The model that was written.

    Raises:
        GradientError: the file cannot be read, a loss is no scalar, or there is no gradient.
        ImpastoError: the result cannot be written.
    """
    check_place(target, GradientError)
    with without_remarks():
        model = _loaded(source)
        weights = {f"the file {path.name} of weights": path for path in _take_in_weights(model, source)}
        check_not_read([target], weights, "give another name")
        with _explained(model):
            result = gradient(model, loss, wrt, shapes=shapes, values=values, straight_through=straight_through)
    losses = {loss} if isinstance(loss, str) else set(loss)
    for value in result.graph.outputs:
        if value.name in losses:
            _check_scalar(value)
    if inspect is not None:
        inspect(result)
    _save(result, target)
    return result


def _loaded(source: Path) -> ir.Model:
    why = why_unreadable(source)
    if why:
        raise GradientError(f"cannot read {source}: {why}{'; give the .onnx file in it' if why == A_FOLDER else ''}")
    try:
        model: ir.Model = ir.load(source)
    except OSError as error:
        raise GradientError(f"cannot read {source}: {reason(error)}") from error
    except Exception as error:  # protobuf's DecodeError, and ValueError or TypeError for what decodes but is no model
        raise GradientError(f"cannot read {source}: not an ONNX model ({explained(error)})") from error
    if not model.graph.outputs:
        raise GradientError(f"cannot read {source}: not an ONNX model (it has no outputs)")
    return model


@contextmanager
def _explained(model: ir.Model) -> Iterator[None]:
    """Say what is wrong with a model on which a rule fails that relies on the standard.

    An error for which the model is not to blame is a mistake here, and stays what it is.
    """
    try:
        yield
    except MemoryError as error:
        raise GradientError("the sizes of the model need more memory than there is; fix smaller ones") from error
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        try:
            onnx.checker.check_model(ir.to_proto(model), full_check=True)
        except Exception as fault:  # ValidationError, InferenceError, or what to_proto raises for broken weights
            raise GradientError(f"the model is not valid: {explained(fault)}") from error
        raise


def _check_scalar(loss: ir.Value) -> None:
    if loss.shape is None or not loss.shape.is_static() or math.prod(loss.shape.numpy()) != 1:
        raise GradientError(
            f"output {loss.name!r} has shape {loss.shape}; a loss is a scalar: add a ReduceSum, or {FIX_SIZES}"
        )


def _take_in_weights(model: ir.Model, source: Path) -> tuple[Path, ...]:
    """Read the weights that are in other files; return the files."""
    try:
        return take_in_weights(model, source)
    except ImpastoError as error:
        raise GradientError(str(error)) from error
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

"""The rule of DFT, and the expansion of STFT into frames and a DFT.

Supported: DFT forwards (onesided too) and backwards, any length and axis, real and complex values; STFT of signals of a
static length, with and without window. Refused: the inverse of a onesided spectrum.
The DFT is linear, y = F x: its adjoint is the inverse DFT times the number of points, and that of its inverse is the
DFT over that number. Of real values it is the real part.
"""

from collections.abc import Sequence

import numpy as np
import onnx_ir as ir

from impasto.export.vjp_rules.emission import Emission
from impasto.export.vjp_rules.errors import GradientError
from impasto.export.vjp_rules.inspection import constant_ints, describe, given, rank, static_shape, static_size
from impasto.export.vjp_rules.table import expansion, first_input_rule

AXIS_INPUT_OPSET = 20  # the axis of DFT is an input from here on


@first_input_rule("DFT")
def dft(emit: Emission, node: ir.Node, x: ir.Value, d: ir.Value) -> ir.Value:
    """Transform d back."""
    is_onesided, is_inverse = (bool(node.attributes.get_int(name, 0)) for name in ("onesided", "inverse"))
    if is_onesided and is_inverse:
        raise GradientError(f"{describe(node)} is the inverse of a onesided spectrum, for which there is no rule")
    axis, size = _axis(emit, node, x), static_size(node, x, _axis(emit, node, x))
    length = (constant_ints(node, 1) or [size])[0]
    axes = rank(node, x)
    if is_onesided:
        d = _resized(emit, d, axis, axes, length // 2 + 1, length)
    if is_inverse:
        result = emit.op("Mul", _transformed(emit, d, axis), 1.0 / length)
    else:
        result = emit.op("Mul", _transformed(emit, d, axis, inverse=1), float(length))
    result = _resized(emit, result, axis, axes, length, size)
    return result if static_size(node, x, axes - 1) == 2 else emit.op("Slice", result, [0], [1], [axes - 1])


def _axis(emit: Emission, node: ir.Node, x: ir.Value) -> int:
    """Return the axis that is transformed, not negative."""
    axes = rank(node, x)
    if emit.opset < AXIS_INPUT_OPSET:
        return node.attributes.get_int("axis", 1) % axes
    chosen = constant_ints(node, 2) if len(node.inputs) > 2 else None
    return (chosen or [-2])[0] % axes


def _transformed(emit: Emission, x: ir.Value, axis: int, **attributes: int) -> ir.Value:
    """Emit a DFT."""
    if emit.opset < AXIS_INPUT_OPSET:
        return emit.op("DFT", x, axis=axis, **attributes)
    return emit.op("DFT", x, None, np.array(axis), **attributes)


def _resized(emit: Emission, x: ir.Value, axis: int, axes: int, size: int, wanted: int) -> ir.Value:
    """Cut an axis, or append zeros."""
    if wanted < size:
        return emit.op("Slice", x, [0], [wanted], [axis])
    pads = [0] * (2 * axes)
    pads[axes + axis] = wanted - size
    return emit.op("Pad", x, pads) if wanted > size else x


@expansion("STFT")
def stft(emit: Emission, node: ir.Node) -> Sequence[ir.Value | None]:
    """Cut the signal into frames, [N, frames, length, 1 or 2], multiply them by the window, and transform them."""
    signal, window = given(node.inputs[0]), node.inputs[2] if len(node.inputs) > 2 else None
    step = given(constant_ints(node, 1))[0]
    given_length = constant_ints(node, 3) if len(node.inputs) > 3 else None
    if window is None and given_length is None:
        raise GradientError(f"{describe(node)} has neither window nor frame_length; check the model with onnx.checker")
    length = given_length[0] if given_length is not None else static_shape(node, window)[0]
    count = (static_size(node, signal, 1) - length) // step + 1
    places = np.arange(count)[:, None] * step + np.arange(length)
    if rank(node, signal) == 2:
        signal = emit.op("Unsqueeze", signal, [2])
    frames = emit.op("Gather", signal, places, axis=1)
    if window is not None:
        frames = emit.op("Mul", frames, emit.op("Unsqueeze", window, [1]))
    return [_transformed(emit, frames, 2, onesided=node.attributes.get_int("onesided", 1))]

"""Rules of quantisation, by the straight-through estimator: as if nothing was rounded.

Supported: QuantizeLinear and DequantizeLinear (one scale, or one per element of an axis), DynamicQuantizeLinear,
MatMulInteger and ConvInteger. Scales and zero points count as constants. Where QuantizeLinear saturates the derivative
is 0, as in torch.fake_quantize_per_tensor_affine. The cotangent of an integer is a float, the derivative by one step.
The rules are for those who want them: `impasto.export.gradient.path.check_rounding` refuses them otherwise.
Refused: scales of blocks, and floats of 8 bits or fewer.

Bengio, Leonard and Courville, "Estimating or propagating gradients through stochastic neurons" (2013), section 3.
"""

from collections.abc import Sequence

import numpy as np
import onnx_ir as ir

from impasto.export.vjp_rules.convolution import conv_cotangents
from impasto.export.vjp_rules.emission import Emission
from impasto.export.vjp_rules.errors import GradientError
from impasto.export.vjp_rules.inspection import describe, given, rank
from impasto.export.vjp_rules.linear import product_cotangents
from impasto.export.vjp_rules.table import Cotangents, rule


@rule("QuantizeLinear", inputs=(0,), is_straight_through=True)
def quantize(emit: Emission, node: ir.Node, cotangents: Cotangents, wanted: Sequence[bool]) -> Cotangents:
    """Emit d / scale where x is within the range of the integers."""
    d, (x, scale) = given(cotangents[0]), map(given, node.inputs[:2])
    step = _along_axis(emit, node, emit.cast(scale, d), x)
    kind = given(node.outputs[0].dtype)
    if kind.is_floating_point():
        raise GradientError(f"{describe(node)} makes {kind.name}; there is a straight-through rule for integers")
    level = emit.op("Round", emit.op("Div", emit.cast(x, d), step))
    zero = _zero_point(emit, node, d, x)
    level = level if zero is None else emit.op("Add", level, zero)
    low, high = float(kind.min), float(kind.max)
    is_inside = emit.op("And", emit.op("GreaterOrEqual", level, low), emit.op("LessOrEqual", level, high))
    return [emit.cast(emit.op("Where", is_inside, emit.op("Div", d, step), 0.0), x)]


@rule("DequantizeLinear", inputs=(0,), is_straight_through=True)
def dequantize(emit: Emission, node: ir.Node, cotangents: Cotangents, wanted: Sequence[bool]) -> Cotangents:
    """Emit d scale."""
    d, (x, scale) = given(cotangents[0]), map(given, node.inputs[:2])
    return [emit.op("Mul", d, _along_axis(emit, node, emit.cast(scale, d), x))]


@rule("DynamicQuantizeLinear", inputs=(0,), is_straight_through=True)
def quantize_dynamically(emit: Emission, node: ir.Node, cotangents: Cotangents, wanted: Sequence[bool]) -> Cotangents:
    """Emit d / scale; the range is that of x, so that nothing saturates."""
    return [None if cotangents[0] is None else emit.op("Div", cotangents[0], node.outputs[1])]


@rule("MatMulInteger", inputs=(0, 1), is_straight_through=True)
def matmul_integer(emit: Emission, node: ir.Node, cotangents: Cotangents, wanted: Sequence[bool]) -> Cotangents:
    """Differentiate the product of the integers less their zero points."""
    d, (a, b) = given(cotangents[0]), map(given, node.inputs[:2])
    rows = [-1, 1]  # a zero point of A for every row, of B for every column
    centred = _centred(emit, node, d, a, 2, rows), _centred(emit, node, d, b, 3, None)
    return product_cotangents(emit, node, d, *centred, wanted)


@rule("ConvInteger", inputs=(0, 1), is_straight_through=True)
def conv_integer(emit: Emission, node: ir.Node, cotangents: Cotangents, wanted: Sequence[bool]) -> Cotangents:
    """Differentiate the convolution of the integers less their zero points."""
    d, (x, w) = given(cotangents[0]), map(given, node.inputs[:2])
    channels = [-1, *(1,) * (rank(node, w) - 1)]  # a zero point of W for every output channel
    centred = _centred(emit, node, d, x, 2, None), _centred(emit, node, d, w, 3, channels)
    return conv_cotangents(emit, node, d, *centred, wanted)


def _centred(
    emit: Emission, node: ir.Node, d: ir.Value, value: ir.Value, place: int, shape: Sequence[int] | None
) -> ir.Value:
    """Emit integers less their zero point, the input at a place, in the type of d; ``shape`` is that of many zeros."""
    result = emit.op("Cast", value, to=d.dtype)
    zero = node.inputs[place] if place < len(node.inputs) else None
    if zero is not None:
        many = shape is not None and rank(node, zero) == 1
        zero = emit.op("Cast", zero, to=d.dtype)
        result = emit.op("Sub", result, emit.op("Reshape", zero, shape) if many else zero)
    result.shape = value.shape
    return result


def _zero_point(emit: Emission, node: ir.Node, d: ir.Value, x: ir.Value) -> ir.Value | None:
    if len(node.inputs) < 3 or node.inputs[2] is None:
        return None
    return _along_axis(emit, node, emit.op("Cast", node.inputs[2], to=d.dtype), x, given(node.inputs[2]))


def _along_axis(
    emit: Emission, node: ir.Node, values: ir.Value, x: ir.Value, measured: ir.Value | None = None
) -> ir.Value:
    """Give one scale per element of an axis the shape that broadcasts against x; ``measured`` has the values' rank."""
    if node.attributes.get_int("block_size", 0):
        raise GradientError(f"{describe(node)} has scales of blocks, for which there is no straight-through rule")
    if rank(node, measured or node.inputs[1]) == 0:
        return values
    axes = rank(node, x)
    shape = np.ones(max(axes, 1), np.int64)
    shape[node.attributes.get_int("axis", 1) % axes if axes > 1 else 0] = -1
    return emit.op("Reshape", values, shape)

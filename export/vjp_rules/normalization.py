"""Rules of normalisations, with respect to the values, the scale and the bias.

Supported: BatchNormalization (inference; mean and variance too), InstanceNormalization, LayerNormalization,
GroupNormalization (scale per group before opset 21, per channel since), RMSNormalization, LpNormalization, LRN,
Softmax, LogSoftmax.
Statistics of half-precision values are computed in float32. Refused: training mode, cotangents of the outputs Mean and
InvStdDev of LayerNormalization.
"""

from collections.abc import Sequence

import onnx_ir as ir

from impasto.export.vjp_rules.emission import Emission
from impasto.export.vjp_rules.errors import GradientError
from impasto.export.vjp_rules.inspection import describe, given, rank
from impasto.export.vjp_rules.table import Cotangents, first_input_rule, rule

_HALVES = (ir.DataType.FLOAT16, ir.DataType.BFLOAT16)


@rule("BatchNormalization")
def batch_normalization(emit: Emission, node: ir.Node, cotangents: Cotangents, wanted: Sequence[bool]) -> Cotangents:
    """Differentiate y = scale (x - mean) / sqrt(var + epsilon) + bias."""
    # Before opset 14 a node in training mode is one with more outputs than the first.
    if node.attributes.get_int("training_mode", 0) or (emit.opset < 14 and any(y.name for y in node.outputs[1:])):
        raise GradientError(f"{describe(node)} is in training mode; export the model for inference")
    d, (x, scale, bias, mean, var) = given(cotangents[0]), map(given, node.inputs)
    axes = rank(node, x)
    others = [axis for axis in range(axes) if axis != 1]
    deviation = emit.op("Sqrt", emit.op("Add", var, node.attributes.get_float("epsilon", 1e-5)))
    slope = emit.op("Div", emit.cast(scale, deviation), deviation)
    d_x = emit.op("Mul", d, emit.cast(_per_channel(emit, slope, axes), d)) if wanted[0] else None
    d_scale = d_bias = d_mean = d_var = None
    if any(wanted[2:4]):
        d_bias = emit.cast(emit.op("ReduceSum", d, others, keepdims=0), bias)
        d_mean = emit.cast(emit.op("Neg", emit.op("Mul", emit.cast(d_bias, slope), slope)), mean)
    if wanted[1] or wanted[4]:
        centred = emit.op("Sub", x, emit.cast(_per_channel(emit, mean, axes), x))
        product = emit.op("ReduceSum", emit.op("Mul", d, centred), others, keepdims=0)
        scaled = emit.op("Div", emit.cast(product, deviation), deviation)
        d_scale = emit.cast(scaled, scale)
        square = emit.op("Mul", deviation, deviation)
        d_var = emit.op("Mul", emit.op("Div", emit.op("Mul", emit.cast(product, slope), slope), square), -0.5)
    return [d_x, d_scale, d_bias, d_mean, d_var]


@rule("InstanceNormalization")
def instance_normalization(emit: Emission, node: ir.Node, cotangents: Cotangents, wanted: Sequence[bool]) -> Cotangents:
    """Differentiate the normalisation of every channel of every sample over its positions."""
    d, (x, scale, _) = given(cotangents[0]), map(given, node.inputs)
    axes = rank(node, x)
    normalized, inverse = _normalized(emit, node, x, range(2, axes))
    weighted = emit.op("Mul", d, _per_channel(emit, scale, axes))
    d_x = emit.cast(_d_normalized(emit, weighted, normalized, inverse, range(2, axes)), x) if wanted[0] else None
    others = [axis for axis in range(axes) if axis != 1]
    return [d_x, *_d_affine(emit, d, normalized, wanted, others)]


@rule("LayerNormalization", "RMSNormalization")
def layer_normalization(emit: Emission, node: ir.Node, cotangents: Cotangents, wanted: Sequence[bool]) -> Cotangents:
    """Differentiate the normalisation over the last axes; the walk undoes the broadcasting of scale and bias."""
    if any(cotangent is not None for cotangent in cotangents[1:]):
        raise GradientError(
            f"{describe(node)} is differentiated through its outputs Mean or InvStdDev, which have no rule"
        )
    d, (x, scale) = given(cotangents[0]), map(given, node.inputs[:2])
    count = rank(node, x)
    axes, is_centred = range(node.attributes.get_int("axis", -1) % count, count), node.op_type == "LayerNormalization"
    normalized, inverse = _normalized(emit, node, x, axes, is_centred)
    d_x = None
    if wanted[0]:
        d_x = emit.cast(_d_normalized(emit, emit.op("Mul", d, scale), normalized, inverse, axes, is_centred), x)
    d_scale = emit.op("Mul", d, emit.cast(normalized, d)) if wanted[1] else None
    for value in (d_scale, d):
        if value is not None:
            value.shape = x.shape
    return [d_x, d_scale, d]


@rule("GroupNormalization")
def group_normalization(emit: Emission, node: ir.Node, cotangents: Cotangents, wanted: Sequence[bool]) -> Cotangents:
    """Differentiate the normalisation of every group of channels of every sample."""
    d, (x, scale, _) = given(cotangents[0]), map(given, node.inputs)
    groups = node.attributes.get_int("num_groups", 1)
    grouped = emit.op("Reshape", x, [0, groups, -1])
    normalized, inverse = _normalized(emit, node, grouped, [2])
    if emit.opset < 21:  # one scale per group
        d = emit.op("Reshape", d, [0, groups, -1])
        weighted = emit.op("Mul", d, _per_channel(emit, scale, 3))
        d_affine = _d_affine(emit, d, normalized, wanted, [0, 2])
    else:
        axes = rank(node, x)
        weighted = emit.op("Reshape", emit.op("Mul", d, _per_channel(emit, scale, axes)), [0, groups, -1])
        unfolded = emit.op("Reshape", normalized, emit.shape_of(x))
        d_affine = _d_affine(emit, d, unfolded, wanted, [axis for axis in range(axes) if axis != 1])
    d_x = None
    if wanted[0]:
        d_grouped = _d_normalized(emit, weighted, normalized, inverse, [2])
        d_x = emit.op("Reshape", emit.cast(d_grouped, x), emit.shape_of(x))
    return [d_x, *d_affine]


def _normalized(
    emit: Emission, node: ir.Node, x: ir.Value, axes: Sequence[int], is_centred: bool = True
) -> tuple[ir.Value, ir.Value]:
    """Emit n = (x - mean) / deviation and 1 / deviation over the axes, in float32 for half-precision values.

    Values far from zero have a mean whose rounding is large next to n: what is left of it is subtracted, too.
    Uncentred, the mean counts as 0.
    """
    if x.dtype in _HALVES:
        x = emit.op("Cast", x, to=ir.DataType.FLOAT)
    centred = x
    if is_centred:
        centred = emit.op("Sub", x, emit.reduce("ReduceMean", x, axes))
        centred = emit.op("Sub", centred, emit.reduce("ReduceMean", centred, axes))
    variance = emit.reduce("ReduceMean", emit.op("Mul", centred, centred), axes)
    epsilon = node.attributes.get_float("epsilon", 1e-5)
    inverse = emit.op("Reciprocal", emit.op("Sqrt", emit.op("Add", variance, epsilon)))
    return emit.op("Mul", centred, inverse), inverse


def _d_normalized(
    emit: Emission,
    d: ir.Value,
    normalized: ir.Value,
    inverse: ir.Value,
    axes: Sequence[int],
    is_centred: bool = True,
) -> ir.Value:
    """Emit (d - mean(d) - n mean(d n)) / deviation in the type of n; uncentred, without mean(d)."""
    wide = emit.cast(d, normalized)
    along = emit.reduce("ReduceMean", emit.op("Mul", wide, normalized), axes)
    centred = emit.op("Sub", wide, emit.reduce("ReduceMean", wide, axes)) if is_centred else wide
    return emit.op("Mul", emit.op("Sub", centred, emit.op("Mul", normalized, along)), inverse)


def _d_affine(
    emit: Emission, d: ir.Value, normalized: ir.Value, wanted: Sequence[bool], axes: Sequence[int]
) -> list[ir.Value | None]:
    """Emit the cotangents of scale and bias: sums over all axes but that of the channels."""
    product = emit.op("Mul", d, emit.cast(normalized, d)) if wanted[1] else None
    return [
        emit.reduce("ReduceSum", product, axes, keepdims=0) if product is not None else None,
        emit.reduce("ReduceSum", d, axes, keepdims=0) if wanted[2] else None,
    ]


def _per_channel(emit: Emission, value: ir.Value, axes: int) -> ir.Value:
    """Give a vector over channels the shape [C, 1, ...] that broadcasts against [N, C, ...]."""
    return value if axes == 2 else emit.op("Reshape", value, [-1, *(1,) * (axes - 2)])


@first_input_rule("Softmax")
def softmax(emit: Emission, node: ir.Node, x: ir.Value, d: ir.Value) -> ir.Value:
    """Emit y (d - sum(d y))."""
    y, axis = node.outputs[0], node.attributes.get_int("axis", -1)
    total = emit.reduce("ReduceSum", emit.op("Mul", d, y), [axis])
    return emit.op("Mul", emit.op("Sub", d, total), y)


@first_input_rule("LogSoftmax")
def log_softmax(emit: Emission, node: ir.Node, x: ir.Value, d: ir.Value) -> ir.Value:
    """Emit d - exp(y) sum(d)."""
    total = emit.reduce("ReduceSum", d, [node.attributes.get_int("axis", -1)])
    return emit.op("Sub", d, emit.op("Mul", emit.op("Exp", node.outputs[0]), total))


@first_input_rule("LpNormalization")
def lp_normalization(emit: Emission, node: ir.Node, x: ir.Value, d: ir.Value) -> ir.Value:
    """Emit (d - s sum(d y)) / norm, where s = y for the 2-norm and sign(x) for the 1-norm."""
    y = node.outputs[0]
    axis, p = node.attributes.get_int("axis", -1), node.attributes.get_int("p", 2)
    norm = emit.reduce("ReduceL1" if p == 1 else "ReduceL2", x, [axis])
    total = emit.reduce("ReduceSum", emit.op("Mul", d, y), [axis])
    direction = emit.op("Sign", x) if p == 1 else y
    return emit.op("Div", emit.op("Sub", d, emit.op("Mul", direction, total)), norm)


@first_input_rule("LRN")
def local_response_normalization(emit: Emission, node: ir.Node, x: ir.Value, d: ir.Value) -> ir.Value:
    """Differentiate y = x s^-beta, s = bias + alpha / size times the sum of squares over a window of channels."""
    size = node.attributes.get_int("size", 1)
    alpha, beta = node.attributes.get_float("alpha", 1e-4), node.attributes.get_float("beta", 0.75)
    before, after, axes = (size - 1) // 2, size // 2, rank(node, x)
    squares = _channel_sum(emit, emit.op("Mul", x, x), before, after, axes)
    base = emit.op("Add", emit.op("Mul", squares, alpha / size), node.attributes.get_float("bias", 1.0))
    direct = emit.op("Mul", d, emit.op("Pow", base, -beta))
    shared = emit.op("Div", emit.op("Mul", d, node.outputs[0]), base)
    gathered = _channel_sum(emit, shared, after, before, axes)
    return emit.op("Sub", direct, emit.op("Mul", emit.op("Mul", gathered, 2.0 * alpha * beta / size), x))


def _channel_sum(emit: Emission, value: ir.Value, before: int, after: int, axes: int) -> ir.Value:
    """Emit the sum over a window of channels around each."""
    total, size = value, before + after + 1
    if size > 1:
        rest = [0] * (axes - 2)
        padded = emit.op("Pad", value, [0, before, *rest, 0, after, *rest])
        parts = [emit.op("Slice", padded, [start], _end(start - size + 1), [1]) for start in range(size)]
        total = parts[0]
        for part in parts[1:]:
            total = emit.op("Add", total, part)
    return total


def _end(index: int) -> list[int]:
    """Return the end of a slice counted from the back; 0 stands for the very end."""
    return [index if index < 0 else 2**31 - 1]

"""Rules of reductions along axes.

Supported: ReduceSum, ReduceMean, ReduceSumSquare; axes as attribute or constant input, negative ones, keepdims 0 or 1, no axes (all).
"""

from collections.abc import Sequence

import onnx_ir as ir
from impasto.export.vjp_rules.emission import Emission, constant_ints, describe, given, known_size, rank
from impasto.export.vjp_rules.errors import GradientError
from impasto.export.vjp_rules.table import Cotangents, rule


def reduced_axes(node: ir.Node) -> list[int]:
    """Return the axes that a reduction removes, not negative; none where it is told to do nothing."""
    axes = constant_ints(node, 1) if len(node.inputs) > 1 else None
    if axes is None and "axes" in node.attributes:
        axes = list(node.attributes.get_ints("axes", ()))
    count = rank(node, node.inputs[0])
    if not axes:
        return [] if node.attributes.get_int("noop_with_empty_axes", 0) else list(range(count))
    return sorted(axis % count for axis in axes)


def with_axes(emit: Emission, node: ir.Node, value: ir.Value, axes: Sequence[int]) -> ir.Value:
    """Give a reduced value its axes back, of size 1, so that it broadcasts against the input."""
    if node.attributes.get_int("keepdims", 1) or not axes:
        return value
    return emit.op("Unsqueeze", value, list(axes))


def element_count(emit: Emission, value: ir.Value, axes: Sequence[int]) -> ir.Value | float:
    """Return the product of the sizes along axes as an operand, from a Shape node where they are not static."""
    sizes = [known_size(value, axis) for axis in axes]
    if None not in sizes:
        count = 1.0
        for size in sizes:
            count *= float(size or 0)
        return count
    chosen = emit.op("Gather", emit.op("Shape", value), list(axes))
    return emit.op("Cast", _product(emit, chosen), to=value.dtype)


def _product(emit: Emission, sizes: ir.Value) -> ir.Value:
    if emit.opset >= 18:
        return emit.op("ReduceProd", sizes, [0], keepdims=0)
    return emit.op("ReduceProd", sizes, axes=[0], keepdims=0)


@rule("ReduceSum", inputs=(0,))
def reduce_sum(emit: Emission, node: ir.Node, cotangents: Cotangents, wanted: Sequence[bool]) -> Cotangents:
    """Spread d over the summed axes."""
    d, x, axes = given(cotangents[0]), given(node.inputs[0]), reduced_axes(node)
    return [_spread(emit, with_axes(emit, node, d, axes), x, axes)]


@rule("ReduceMean", inputs=(0,))
def reduce_mean(emit: Emission, node: ir.Node, cotangents: Cotangents, wanted: Sequence[bool]) -> Cotangents:
    """Spread d / count over the averaged axes."""
    d, x, axes = given(cotangents[0]), given(node.inputs[0]), reduced_axes(node)
    if not axes:
        return [d]
    count = element_count(emit, x, axes)
    scaled = emit.op("Mul", d, 1.0 / count) if isinstance(count, float) else emit.op("Div", d, count)
    return [_spread(emit, with_axes(emit, node, scaled, axes), x, axes)]


@rule("ReduceSumSquare", inputs=(0,))
def reduce_sum_square(
    emit: Emission, node: ir.Node, cotangents: Cotangents, wanted: Sequence[bool]
) -> Cotangents:
    """Emit 2 d x."""
    d, x, axes = given(cotangents[0]), given(node.inputs[0]), effective_axes(node)
    return [emit.op("Mul", x, with_axes(emit, node, emit.op("Mul", d, 2.0), axes))]


def effective_axes(node: ir.Node) -> list[int]:
    """Return `reduced_axes` of an operator that does more than add up.

    Raises:
        GradientError: told to reduce nothing, which engines read in different ways (the input itself, or its square).
    """
    axes = reduced_axes(node)
    if not axes and rank(node, node.inputs[0]):
        raise GradientError(
            f"{describe(node)} reduces nothing (noop_with_empty_axes), which engines read differently; give it axes"
        )
    return axes


def _spread(emit: Emission, d: ir.Value, x: ir.Value, axes: Sequence[int]) -> ir.Value:
    if all(known_size(x, axis) == 1 for axis in axes):
        return d
    return emit.op("Expand", d, emit.shape_of(x))

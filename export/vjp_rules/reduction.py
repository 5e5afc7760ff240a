"""Rules of reductions along axes.

Supported: ReduceSum, ReduceMean, ReduceSumSquare, ReduceL1, ReduceL2, ReduceMax, ReduceMin, ReduceProd, ReduceLogSum,
ReduceLogSumExp; axes as attribute or constant input, negative ones, keepdims 0 or 1, no axes (all).
Equal extremes share the cotangent evenly, as in torch.amax; ReduceL1 and ReduceL2 have the derivative 0 at 0.
"""

import math
from collections.abc import Callable, Sequence

import onnx_ir as ir

from impasto.export.vjp_rules.elementwise import Expression, Formula
from impasto.export.vjp_rules.emission import Emission
from impasto.export.vjp_rules.errors import GradientError
from impasto.export.vjp_rules.inspection import constant_ints, describe, known_size, rank
from impasto.export.vjp_rules.table import first_input_rule

ReductionFunction = Callable[[Emission, ir.Node, ir.Value, ir.Value, Sequence[int]], ir.Value]


def reduction(*op_types: str) -> Callable[[ReductionFunction], ReductionFunction]:
    """Register ``function(emit, node, x, d, axes) -> d_x``; d has its reduced axes back, of size 1."""

    def register(function: ReductionFunction) -> ReductionFunction:
        def apply(emit: Emission, node: ir.Node, x: ir.Value, d: ir.Value) -> ir.Value:
            axes = reduced_axes(node)
            if not axes and rank(node, x):
                return _of_nothing(node, d)
            return function(emit, node, x, with_axes(emit, node, d, axes), axes)

        first_input_rule(*op_types)(apply)
        return function

    return register


def reduced_axes(node: ir.Node) -> list[int]:
    """Return the axes that a reduction removes, not negative; none where noop_with_empty_axes turns it off."""
    axes = constant_ints(node, 1)
    if axes is None and "axes" in node.attributes:
        axes = list(node.attributes.get_ints("axes", ()))
    count = rank(node, node.inputs[0])
    if not axes:
        return [] if node.attributes.get_int("noop_with_empty_axes", 0) else list(range(count))
    return sorted(axis % count for axis in axes)


def element_count(emit: Emission, value: ir.Value, axes: Sequence[int]) -> ir.Value | float:
    """Return the product of the sizes along axes as an operand, from a Shape node where they are not static."""
    sizes = [known_size(value, axis) for axis in axes]
    static = [size for size in sizes if size is not None]
    if len(static) == len(sizes):
        if not all(static):
            raise GradientError(f"a mean of {value.name!r}, of shape {value.shape}, is over no elements; give it some")
        return float(math.prod(static))
    chosen = emit.op("Gather", emit.op("Shape", value), list(axes))
    return emit.op("Cast", emit.reduce("ReduceProd", chosen, [0], keepdims=0), to=value.dtype)


def divided(emit: Emission, d: ir.Value, count: ir.Value | float) -> ir.Value:
    """Emit d / count."""
    return emit.op("Mul", d, 1.0 / count) if isinstance(count, float) else emit.op("Div", d, count)


def with_axes(emit: Emission, node: ir.Node, value: ir.Value, axes: Sequence[int]) -> ir.Value:
    """Give a reduced value its axes back, of size 1, so that it broadcasts against the input; a scalar does already."""
    if _keeps_axes(node) or len(axes) == rank(node, node.inputs[0]):
        return value
    return emit.op("Unsqueeze", value, list(axes))


def _of_nothing(node: ir.Node, d: ir.Value) -> ir.Value:
    """Pass d on where noop_with_empty_axes says so.

    Raises:
        GradientError: engines differ on whether the elements are still squared (or the like).
    """
    if node.op_type not in ("ReduceSum", "ReduceMean", "ReduceMax", "ReduceMin", "ReduceProd"):
        raise GradientError(
            f"{describe(node)} reduces nothing (noop_with_empty_axes), which engines read differently; give it axes"
        )
    return d


def _keeps_axes(node: ir.Node) -> bool:
    return bool(node.attributes.get_int("keepdims", 1))


def _spread(emit: Emission, node: ir.Node, d: ir.Value, x: ir.Value, axes: Sequence[int]) -> ir.Value:
    """Emit d in the shape of x."""
    if all(known_size(x, axis) == 1 for axis in axes) and (_keeps_axes(node) or len(axes) < rank(node, x)):
        return d
    return emit.op("Expand", d, emit.shape_of(x))


@reduction("ReduceSum")
def reduce_sum(emit: Emission, node: ir.Node, x: ir.Value, d: ir.Value, axes: Sequence[int]) -> ir.Value:
    """Spread d over the summed axes."""
    return _spread(emit, node, d, x, axes)


@reduction("ReduceMean")
def reduce_mean(emit: Emission, node: ir.Node, x: ir.Value, d: ir.Value, axes: Sequence[int]) -> ir.Value:
    """Spread d / count over the averaged axes."""
    return _spread(emit, node, divided(emit, d, element_count(emit, x, axes)), x, axes)


@reduction("ReduceMax", "ReduceMin")
def reduce_extreme(emit: Emission, node: ir.Node, x: ir.Value, d: ir.Value, axes: Sequence[int]) -> ir.Value:
    """Divide d evenly among the elements that are equal to the extreme."""
    share = emit.cast(emit.op("Equal", x, with_axes(emit, node, node.outputs[0], axes)), x)
    return emit.op("Mul", share, emit.op("Div", d, emit.reduce("ReduceSum", share, axes)))


@reduction("ReduceProd")
def reduce_product(emit: Emission, node: ir.Node, x: ir.Value, d: ir.Value, axes: Sequence[int]) -> ir.Value:
    """Emit d times the product of the other elements, also where elements are 0.

    With one zero only that element has a derivative, the product of the others; with more none has.
    """
    is_zero = emit.op("Equal", x, 0.0)
    zeros = emit.reduce("ReduceSum", emit.cast(is_zero, x), axes)
    nonzero = emit.op("Where", is_zero, 1.0, x)
    product = emit.reduce("ReduceProd", nonzero, axes)
    at_zero = emit.op("Where", emit.op("Equal", zeros, 1.0), product, 0.0)
    elsewhere = emit.op("Div", emit.op("Where", emit.op("Equal", zeros, 0.0), product, 0.0), nonzero)
    return emit.op("Mul", d, emit.op("Where", is_zero, at_zero, elsewhere))


@reduction("ReduceLogSum")
def reduce_log_sum(emit: Emission, node: ir.Node, x: ir.Value, d: ir.Value, axes: Sequence[int]) -> ir.Value:
    """Spread d / sum(x) over the summed axes."""
    total = emit.op("Exp", with_axes(emit, node, node.outputs[0], axes))
    return _spread(emit, node, emit.op("Div", d, total), x, axes)


def _by_formula(formula: Formula) -> ReductionFunction:
    """Return a rule that emits ``formula(x, y, d)``, in which y, like d, has its reduced axes back."""

    def apply(emit: Emission, node: ir.Node, x: ir.Value, d: ir.Value, axes: Sequence[int]) -> ir.Value:
        values = (x, with_axes(emit, node, node.outputs[0], axes), d)
        return formula(*(Expression(emit, value) for value in values)).value

    return apply


def _reduce_l2(x: Expression, y: Expression, d: Expression) -> Expression:
    divisor = y.equals(0.0).where(1.0, y)  # where y is 0 so is x, and any divisor will do
    return x * (d / divisor)


reduction("ReduceL1")(_by_formula(lambda x, y, d: x.unary("Sign") * d))
reduction("ReduceL2")(_by_formula(_reduce_l2))
reduction("ReduceLogSumExp")(_by_formula(lambda x, y, d: d * (x - y).unary("Exp")))
reduction("ReduceSumSquare")(_by_formula(lambda x, y, d: x * (d * 2.0)))

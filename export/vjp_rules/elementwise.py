"""Rules of operators that map each element by itself: powers, exponentials, trigonometry, type changes.

Supported: Abs, Acos, Acosh, Asin, Asinh, Atan, Atanh, Cast and CastLike (between floating-point types), Cos, Cosh,
Dropout (inference), Erf, Exp, Identity, Log, Neg, Reciprocal, Sin, Sinh, Sqrt, Tan. Activations are next door.
The derivative of Abs at exactly 0 is 0.
"""

import math
from collections.abc import Callable, Sequence

import onnx_ir as ir

from impasto.export.vjp_rules.emission import Emission
from impasto.export.vjp_rules.errors import GradientError
from impasto.export.vjp_rules.inspection import constant_array, describe, given
from impasto.export.vjp_rules.table import Cotangents, rule

UnaryFunction = Callable[[Emission, ir.Node, ir.Value, ir.Value, ir.Value], ir.Value]


def unary(*op_types: str) -> Callable[[UnaryFunction], UnaryFunction]:
    """Register ``function(emit, node, x, y, d) -> d_x`` for operators y = f(x) of one input."""

    def register(function: UnaryFunction) -> UnaryFunction:
        def apply(emit: Emission, node: ir.Node, cotangents: Cotangents, wanted: Sequence[bool]) -> Cotangents:
            d, x = given(cotangents[0]), given(node.inputs[0])
            return [function(emit, node, x, node.outputs[0], d)]

        rule(*op_types, inputs=(0,))(apply)
        return function

    return register


@unary("Identity")
def identity(emit: Emission, node: ir.Node, x: ir.Value, y: ir.Value, d: ir.Value) -> ir.Value:
    """Pass the cotangent on."""
    return d


@unary("Dropout")
def dropout(emit: Emission, node: ir.Node, x: ir.Value, y: ir.Value, d: ir.Value) -> ir.Value:
    """Pass the cotangent on: in inference nothing is dropped."""
    is_training = constant_array(node, 2)
    if is_training is not None and is_training.any():
        raise GradientError(f"{describe(node)} is in training mode; export the model for inference")
    return d


@unary("Cast", "CastLike")
def cast(emit: Emission, node: ir.Node, x: ir.Value, y: ir.Value, d: ir.Value) -> ir.Value:
    """Cast the cotangent back."""
    return emit.cast(d, x)


@unary("Abs")
def absolute(emit: Emission, node: ir.Node, x: ir.Value, y: ir.Value, d: ir.Value) -> ir.Value:
    """Emit d sign(x)."""
    return emit.op("Mul", d, emit.op("Sign", x))


@unary("Neg")
def negate(emit: Emission, node: ir.Node, x: ir.Value, y: ir.Value, d: ir.Value) -> ir.Value:
    """Emit -d."""
    return emit.op("Neg", d)


@unary("Sqrt")
def square_root(emit: Emission, node: ir.Node, x: ir.Value, y: ir.Value, d: ir.Value) -> ir.Value:
    """Emit d / (2 sqrt(x))."""
    return emit.op("Div", emit.op("Mul", d, 0.5), y)


@unary("Reciprocal")
def reciprocal(emit: Emission, node: ir.Node, x: ir.Value, y: ir.Value, d: ir.Value) -> ir.Value:
    """Emit -d / x^2."""
    return emit.op("Neg", emit.op("Mul", d, emit.op("Mul", y, y)))


@unary("Exp")
def exponential(emit: Emission, node: ir.Node, x: ir.Value, y: ir.Value, d: ir.Value) -> ir.Value:
    """Emit d exp(x)."""
    return emit.op("Mul", d, y)


@unary("Log")
def logarithm(emit: Emission, node: ir.Node, x: ir.Value, y: ir.Value, d: ir.Value) -> ir.Value:
    """Emit d / x."""
    return emit.op("Div", d, x)


@unary("Erf")
def error_function(emit: Emission, node: ir.Node, x: ir.Value, y: ir.Value, d: ir.Value) -> ir.Value:
    """Emit d 2 / sqrt(pi) exp(-x^2)."""
    bell = emit.op("Exp", emit.op("Neg", emit.op("Mul", x, x)))
    return emit.op("Mul", d, emit.op("Mul", bell, 2.0 / math.sqrt(math.pi)))


@unary("Sin")
def sine(emit: Emission, node: ir.Node, x: ir.Value, y: ir.Value, d: ir.Value) -> ir.Value:
    """Emit d cos(x)."""
    return emit.op("Mul", d, emit.op("Cos", x))


@unary("Cos")
def cosine(emit: Emission, node: ir.Node, x: ir.Value, y: ir.Value, d: ir.Value) -> ir.Value:
    """Emit -d sin(x)."""
    return emit.op("Neg", emit.op("Mul", d, emit.op("Sin", x)))


@unary("Tan")
def tangent(emit: Emission, node: ir.Node, x: ir.Value, y: ir.Value, d: ir.Value) -> ir.Value:
    """Emit d (1 + tan^2 x)."""
    return emit.op("Mul", d, emit.op("Add", emit.op("Mul", y, y), 1.0))


@unary("Sinh")
def hyperbolic_sine(emit: Emission, node: ir.Node, x: ir.Value, y: ir.Value, d: ir.Value) -> ir.Value:
    """Emit d cosh(x)."""
    return emit.op("Mul", d, emit.op("Cosh", x))


@unary("Cosh")
def hyperbolic_cosine(emit: Emission, node: ir.Node, x: ir.Value, y: ir.Value, d: ir.Value) -> ir.Value:
    """Emit d sinh(x)."""
    return emit.op("Mul", d, emit.op("Sinh", x))


@unary("Asin", "Acos")
def arc_sine(emit: Emission, node: ir.Node, x: ir.Value, y: ir.Value, d: ir.Value) -> ir.Value:
    """Emit d / sqrt(1 - x^2), negative for the arc cosine."""
    slope = emit.op("Div", d, emit.op("Sqrt", _one_minus_square(emit, x)))
    return slope if node.op_type == "Asin" else emit.op("Neg", slope)


@unary("Atan")
def arc_tangent(emit: Emission, node: ir.Node, x: ir.Value, y: ir.Value, d: ir.Value) -> ir.Value:
    """Emit d / (1 + x^2)."""
    return emit.op("Div", d, emit.op("Add", emit.op("Mul", x, x), 1.0))


@unary("Asinh", "Acosh")
def area_sine(emit: Emission, node: ir.Node, x: ir.Value, y: ir.Value, d: ir.Value) -> ir.Value:
    """Emit d / sqrt(x^2 + 1), or d / sqrt(x^2 - 1) for the area cosine."""
    square = emit.op("Add", emit.op("Mul", x, x), 1.0 if node.op_type == "Asinh" else -1.0)
    return emit.op("Div", d, emit.op("Sqrt", square))


@unary("Atanh")
def area_tangent(emit: Emission, node: ir.Node, x: ir.Value, y: ir.Value, d: ir.Value) -> ir.Value:
    """Emit d / (1 - x^2)."""
    return emit.op("Div", d, _one_minus_square(emit, x))


def _one_minus_square(emit: Emission, x: ir.Value) -> ir.Value:
    # The constant second: an emitted constant takes its type from a value beside it, wherever it stands.
    return emit.op("Sub", 1.0, emit.op("Mul", x, x))

"""Rules of operators that map each element by itself.

Supported: Abs, Cast (between floating-point types), Dropout (inference), Exp, Identity, Log, Neg, Reciprocal, Relu, Sqrt.
At the kinks: the derivative of Relu and Abs at exactly 0 is 0.
"""

from collections.abc import Callable, Sequence

import onnx_ir as ir

from impasto.export.vjp_rules.emission import Emission, given
from impasto.export.vjp_rules.table import Cotangents, rule

UnaryFunction = Callable[[Emission, ir.Node, ir.Value, ir.Value, ir.Value], ir.Value]


def unary(*op_types: str) -> Callable[[UnaryFunction], UnaryFunction]:
    """Register ``function(emit, node, x, y, d) -> d_x`` for operators y = f(x) of one input."""

    def register(function: UnaryFunction) -> UnaryFunction:
        def apply(
            emit: Emission, node: ir.Node, cotangents: Cotangents, wanted: Sequence[bool]
        ) -> Cotangents:
            d, x = given(cotangents[0]), given(node.inputs[0])
            return [function(emit, node, x, node.outputs[0], d)]

        rule(*op_types, inputs=(0,))(apply)
        return function

    return register


@unary("Identity")
def identity(emit: Emission, node: ir.Node, x: ir.Value, y: ir.Value, d: ir.Value) -> ir.Value:
    """Pass the cotangent on."""
    return d


@unary("Cast")
def cast(emit: Emission, node: ir.Node, x: ir.Value, y: ir.Value, d: ir.Value) -> ir.Value:
    """Cast the cotangent back."""
    return emit.op("Cast", d, to=x.dtype)


@unary("Relu")
def relu(emit: Emission, node: ir.Node, x: ir.Value, y: ir.Value, d: ir.Value) -> ir.Value:
    """Pass the cotangent where y > 0."""
    return emit.op("Where", emit.op("Greater", y, 0.0), d, 0.0)


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
    """Emit -d y^2."""
    return emit.op("Neg", emit.op("Mul", d, emit.op("Mul", y, y)))


@unary("Exp")
def exponential(emit: Emission, node: ir.Node, x: ir.Value, y: ir.Value, d: ir.Value) -> ir.Value:
    """Emit d exp(x)."""
    return emit.op("Mul", d, y)


@unary("Log")
def logarithm(emit: Emission, node: ir.Node, x: ir.Value, y: ir.Value, d: ir.Value) -> ir.Value:
    """Emit d / x."""
    return emit.op("Div", d, x)

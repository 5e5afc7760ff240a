"""Rules of operators that map each element by itself, written as formulas, and the table of most of them.

Supported here: Abs, Acos, Acosh, Asin, Asinh, Atan, Atanh, Cast and CastLike (between floating-point types), Cos, Cosh,
Dropout (inference), Erf, Exp, Identity, Log, Neg, Reciprocal, Sin, Sinh, Sqrt, Tan. Activations have a module of their
own. The derivative of Abs at exactly 0 is 0.
"""

import inspect
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import onnx_ir as ir

from impasto.export.arithmetic import Arithmetic
from impasto.export.vjp_rules.emission import Emission
from impasto.export.vjp_rules.errors import GradientError
from impasto.export.vjp_rules.inspection import constant_array, describe
from impasto.export.vjp_rules.table import first_input_rule


@dataclass(frozen=True, eq=False)
class Expression(Arithmetic):
    """A value in a formula; its operators emit nodes in the order in which Python evaluates them."""

    emit: Emission
    value: ir.Value

    def apply(self, op_type: str, *operands: "Expression | float") -> "Expression":
        """Emit a node."""
        values = [item.value if isinstance(item, Expression) else item for item in operands]
        return Expression(self.emit, self.emit.op(op_type, *values))

    def where(self, yes: "Expression | float", no: "Expression | float") -> "Expression":
        """Emit one or the other, by a condition."""
        return self.apply("Where", self, yes, no)


Formula = Callable[..., Expression]
"""Called as ``formula(x, y, d)`` for y = f(x); further parameters are attributes of the node, with their defaults."""


def formula_rules(formulas: Mapping[str, Formula]) -> None:
    """Register each formula as the rule of the operator that is its key."""
    for op_type, formula in formulas.items():
        first_input_rule(op_type)(_applied(formula))


def _applied(formula: Formula) -> Callable[[Emission, ir.Node, ir.Value, ir.Value], ir.Value]:
    """Return a rule that emits the nodes of a formula."""
    defaults = {name: item.default for name, item in list(inspect.signature(formula).parameters.items())[3:]}

    def apply(emit: Emission, node: ir.Node, x: ir.Value, d: ir.Value) -> ir.Value:
        attributes = {
            name: (node.attributes.get_string if isinstance(default, str) else node.attributes.get_float)(name, default)
            for name, default in defaults.items()
        }
        return formula(*(Expression(emit, value) for value in (x, node.outputs[0], d)), **attributes).value

    return apply


formula_rules(
    {
        "Abs": lambda x, y, d: d * x.unary("Sign"),
        "Acos": lambda x, y, d: -(d / (1.0 - x * x).unary("Sqrt")),
        "Acosh": lambda x, y, d: d / (x * x + -1.0).unary("Sqrt"),
        "Asin": lambda x, y, d: d / (1.0 - x * x).unary("Sqrt"),
        "Asinh": lambda x, y, d: d / (x * x + 1.0).unary("Sqrt"),
        "Atan": lambda x, y, d: d / (x * x + 1.0),
        "Atanh": lambda x, y, d: d / (1.0 - x * x),
        "Cos": lambda x, y, d: -(d * x.unary("Sin")),
        "Cosh": lambda x, y, d: d * x.unary("Sinh"),
        "Erf": lambda x, y, d: d * ((-(x * x)).unary("Exp") * (2.0 / math.sqrt(math.pi))),
        "Exp": lambda x, y, d: d * y,
        "Identity": lambda x, y, d: d,
        "Log": lambda x, y, d: d / x,
        "Neg": lambda x, y, d: -d,
        "Reciprocal": lambda x, y, d: -(d * (y * y)),
        "Sin": lambda x, y, d: d * x.unary("Cos"),
        "Sinh": lambda x, y, d: d * x.unary("Cosh"),
        "Sqrt": lambda x, y, d: d * 0.5 / y,
        "Tan": lambda x, y, d: d * (y * y + 1.0),
    }
)


@first_input_rule("Cast", "CastLike")
def cast(emit: Emission, node: ir.Node, x: ir.Value, d: ir.Value) -> ir.Value:
    """Cast the cotangent back; that of an integer is a float."""
    return d if x.dtype is not None and x.dtype.is_integer() else emit.cast(d, x)


@first_input_rule("Dropout")
def dropout(emit: Emission, node: ir.Node, x: ir.Value, d: ir.Value) -> ir.Value:
    """Pass the cotangent on: in inference nothing is dropped."""
    is_training = constant_array(node, 2)
    if is_training is not None and is_training.any():
        raise GradientError(f"{describe(node)} is in training mode; export the model for inference")
    return d

"""Rules of operators that map each element by itself, written as formulas, and the table of most of them.

Supported here: Abs, Acos, Acosh, Asin, Asinh, Atan, Atanh, Cast and CastLike (between floating-point types), Cos, Cosh,
Dropout (inference), Erf, Exp, Identity, Log, Neg, Reciprocal, Sin, Sinh, Sqrt, Tan. Activations have a module of their
own. The derivative of Abs at exactly 0 is 0.
"""

import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import onnx_ir as ir

from impasto.export.arithmetic import Arithmetic
from impasto.export.vjp_rules.emission import Emission
from impasto.export.vjp_rules.errors import GradientError
from impasto.export.vjp_rules.inspection import constant_array, describe, given
from impasto.export.vjp_rules.table import Cotangents, rule


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
    """Register formulas as the rules of the operators that they are the values of."""
    for op_type, formula in formulas.items():
        rule(op_type, inputs=(0,))(_applied(formula))


def _applied(formula: Formula) -> Callable[[Emission, ir.Node, Cotangents, Sequence[bool]], Cotangents]:
    defaults = {
        name: parameter.default
        for name, parameter in inspect.signature(formula).parameters.items()
        if parameter.default is not parameter.empty
    }

    def apply(emit: Emission, node: ir.Node, cotangents: Cotangents, wanted: Sequence[bool]) -> Cotangents:
        attributes = {name: _attribute(node, name, default) for name, default in defaults.items()}
        values = (given(node.inputs[0]), node.outputs[0], given(cotangents[0]))
        return [formula(*(Expression(emit, value) for value in values), **attributes).value]

    return apply


def _attribute(node: ir.Node, name: str, default: Any) -> str | float:
    return (
        node.attributes.get_string(name, default)
        if isinstance(default, str)
        else node.attributes.get_float(name, default)
    )


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


@rule("Cast", "CastLike", inputs=(0,))
def cast(emit: Emission, node: ir.Node, cotangents: Cotangents, wanted: Sequence[bool]) -> Cotangents:
    """Cast the cotangent back."""
    return [emit.cast(given(cotangents[0]), given(node.inputs[0]))]


@rule("Dropout", inputs=(0,))
def dropout(emit: Emission, node: ir.Node, cotangents: Cotangents, wanted: Sequence[bool]) -> Cotangents:
    """Pass the cotangent on: in inference nothing is dropped."""
    is_training = constant_array(node, 2)
    if is_training is not None and is_training.any():
        raise GradientError(f"{describe(node)} is in training mode; export the model for inference")
    return [given(cotangents[0])]

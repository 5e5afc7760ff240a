"""The table of vector-Jacobian products: operator type -> rule.

A rule emits, for one node, the cotangents of its inputs from the cotangents of its outputs. It knows nothing of the
walk that calls it (`impasto.export.gradient`), and the walk knows no operator by name.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import onnx_ir as ir

from impasto.export.vjp_rules.emission import Emission
from impasto.export.vjp_rules.inspection import given

Cotangents = Sequence[ir.Value | None]
RuleFunction = Callable[[Emission, ir.Node, Cotangents, Sequence[bool]], Cotangents]
FirstInputFunction = Callable[[Emission, ir.Node, ir.Value, ir.Value], ir.Value]


@dataclass(frozen=True)
class Rule:
    """What the walk needs to know of an operator.

    Attributes:
        function: called as ``function(emit, node, cotangents, wanted)``. ``cotangents`` holds one value per output of
            the node, None where nothing arrived (at least one is a value). ``wanted`` tells which inputs need a
            cotangent; the result is aligned with the inputs, None (or missing at the end) where there is none.
            A cotangent has the shape of its input, unless ``broadcasts`` is set or its ``shape`` says otherwise.
        inputs: positions that have a derivative; None for all. The others (axes, indices, conditions) are constants.
        broadcasts: cotangents come back in the shape of the first output and the walk sums them to the input's.
        is_straight_through: the operator rounds, and the rule is an estimate, for those who want it.
    """

    function: RuleFunction
    inputs: tuple[int, ...] | None = None
    broadcasts: bool = False
    is_straight_through: bool = False


# Piecewise constant: the derivative is 0 wherever there is one, so that no path leads through them.
FLAT = frozenset(("Ceil", "Floor", "Hardmax", "OneHot", "Round", "Sign"))

# Their rules read no element, so that they pass the cotangents of integers, too.
MOVES = frozenset(("Cast", "Concat", "Flatten", "Identity", "Reshape", "Slice", "Squeeze", "Transpose", "Unsqueeze"))

RULES: dict[str, Rule] = {}

ExpansionFunction = Callable[[Emission, ir.Node], Sequence[ir.Value | None]]

EXPANSIONS: dict[str, ExpansionFunction] = {}
"""Operators that are replaced, before the walk, by others that have rules: called as ``function(emit, node)``, the
function emits those and returns one value per output of the node, None where nothing reads it."""


def rule(
    *op_types: str,
    inputs: tuple[int, ...] | None = None,
    broadcasts: bool = False,
    is_straight_through: bool = False,
) -> Callable[[RuleFunction], RuleFunction]:
    """Register the decorated function as the rule of the given operators; see `Rule`."""

    def register(function: RuleFunction) -> RuleFunction:
        for op_type in op_types:
            RULES[op_type] = Rule(function, inputs, broadcasts, is_straight_through)
        return function

    return register


def first_input_rule(*op_types: str, broadcasts: bool = False) -> Callable[[FirstInputFunction], FirstInputFunction]:
    """Register ``function(emit, node, x, d) -> d_x`` where only the first input x has a derivative.

    The cotangent d is that of the first output.
    """

    def register(function: FirstInputFunction) -> FirstInputFunction:
        def apply(emit: Emission, node: ir.Node, cotangents: Cotangents, wanted: Sequence[bool]) -> Cotangents:
            return [function(emit, node, given(node.inputs[0]), given(cotangents[0]))]

        rule(*op_types, inputs=(0,), broadcasts=broadcasts)(apply)
        return function

    return register


def expansion(*op_types: str) -> Callable[[ExpansionFunction], ExpansionFunction]:
    """Register the decorated function as the expansion of the given operators."""

    def register(function: ExpansionFunction) -> ExpansionFunction:
        EXPANSIONS.update(dict.fromkeys(op_types, function))
        return function

    return register


def supported_operators() -> tuple[str, ...]:
    """Return the operators that have an expansion, or a rule that is no estimate, sorted."""
    exact = {op_type for op_type, each in RULES.items() if not each.is_straight_through}
    return tuple(sorted({*exact, *EXPANSIONS}))

"""Rules of operators that put elements at indices, and of TopK, which takes them by an order.

Supported: ScatterElements and ScatterND with every reduction (none, add, mul, max, min), with respect to the values and
the updates; the values of TopK. The indices may be computed at run time.
Values and updates that are equal extremes share the cotangent evenly, as in torch.scatter_reduce. Where several updates
of one place are not reduced, the standard leaves open which one counts.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import onnx_ir as ir

from impasto.export.vjp_rules.emission import Emission
from impasto.export.vjp_rules.errors import GradientError
from impasto.export.vjp_rules.inspection import describe, given, rank
from impasto.export.vjp_rules.table import Cotangents, first_input_rule, rule

Pair = tuple[ir.Value | None, ir.Value | None]


@dataclass(frozen=True)
class _Scatter:
    """A Scatter node, and the operators that put elements at its indices and take them from there."""

    emit: Emission
    node: ir.Node

    @property
    def indices(self) -> ir.Value:
        """Where the updates go."""
        return given(self.node.inputs[1])

    @property
    def axis(self) -> int | None:
        """That of ScatterElements, not negative."""
        if self.node.op_type != "ScatterElements":
            return None
        return self.node.attributes.get_int("axis", 0) % rank(self.node, self.node.inputs[0])

    def put(self, x: ir.Value, updates: ir.Value, reduction: str | None = None) -> ir.Value:
        """Emit x with updates at the indices."""
        return self.emit.op(self.node.op_type, x, self.indices, updates, axis=self.axis, reduction=reduction)

    def taken(self, x: ir.Value) -> ir.Value:
        """Emit the elements of x at the indices, one per update."""
        return self.emit.op(self.node.op_type.replace("Scatter", "Gather"), x, self.indices, axis=self.axis)

    def filled(self, number: float, like: ir.Value) -> ir.Value:
        """Emit one number in the shape of a value."""
        return self.emit.op("Expand", self.emit.array(number, like), self.emit.shape_of(like))

    def is_equal(self, left: ir.Value, right: ir.Value | float) -> ir.Value:
        """Emit 1 where two values are equal, else 0, in the type of the first."""
        return self.emit.cast(self.emit.op("Equal", left, right), left)


@rule("ScatterElements", "ScatterND", inputs=(0, 2))
def scatter(emit: Emission, node: ir.Node, cotangents: Cotangents, wanted: Sequence[bool]) -> Cotangents:
    """Emit the cotangents of values and updates."""
    reduction = node.attributes.get_string("reduction", "none")
    if reduction not in _REDUCTIONS:
        raise GradientError(f"{describe(node)} has reduction {reduction!r}; allowed are {', '.join(_REDUCTIONS)}")
    d_x, d_updates = _REDUCTIONS[reduction](_Scatter(emit, node), given(cotangents[0]), wanted)
    return [d_x, None, d_updates]


def _replaced(scatter: _Scatter, d: ir.Value, wanted: Sequence[bool]) -> Pair:
    """Pass d where nothing was put, and to the updates the elements of d where they were put."""
    updates = given(scatter.node.inputs[2])
    return (
        scatter.put(d, scatter.filled(0.0, updates)) if wanted[0] else None,
        scatter.taken(d) if wanted[2] else None,
    )


def _added(scatter: _Scatter, d: ir.Value, wanted: Sequence[bool]) -> Pair:
    """Pass d to both."""
    return d, scatter.taken(d) if wanted[2] else None


def _multiplied(scatter: _Scatter, d: ir.Value, wanted: Sequence[bool]) -> Pair:
    """Emit d times the product of the other factors, also where factors are 0.

    With one zero among the updates of a place only that update has a derivative; with more none has.
    """
    emit, (x, _, updates) = scatter.emit, map(given, scatter.node.inputs)
    d_x = d_updates = None
    if wanted[0]:
        d_x = emit.op("Mul", d, scatter.put(scatter.filled(1.0, x), updates, "mul"))
    if wanted[2]:
        is_zero = emit.op("Equal", updates, 0.0)
        nonzero = emit.op("Where", is_zero, 1.0, updates)
        zeros = scatter.taken(scatter.put(scatter.filled(0.0, x), emit.cast(is_zero, updates), "add"))
        product = scatter.taken(emit.op("Mul", d, scatter.put(x, nonzero, "mul")))
        others = emit.op("Sub", zeros, emit.cast(is_zero, updates))
        d_updates = emit.op("Where", emit.op("Equal", others, 0.0), emit.op("Div", product, nonzero), 0.0)
    return d_x, d_updates


def _extreme(scatter: _Scatter, d: ir.Value, wanted: Sequence[bool]) -> Pair:
    """Divide d evenly among the value and the updates that are equal to the result."""
    emit, (x, _, updates), y = scatter.emit, map(given, scatter.node.inputs), scatter.node.outputs[0]
    own, theirs = scatter.is_equal(x, y), scatter.is_equal(updates, scatter.taken(y))
    part = emit.op("Div", d, scatter.put(own, theirs, "add"))
    return (
        emit.op("Mul", part, own) if wanted[0] else None,
        emit.op("Mul", scatter.taken(part), theirs) if wanted[2] else None,
    )


_REDUCTIONS: dict[str, Callable[[_Scatter, ir.Value, Sequence[bool]], Pair]] = {
    "none": _replaced,
    "add": _added,
    "mul": _multiplied,
    "max": _extreme,
    "min": _extreme,
}


@first_input_rule("TopK")
def top_k(emit: Emission, node: ir.Node, x: ir.Value, d: ir.Value) -> ir.Value:
    """Put d where the values were taken from."""
    zeros, indices = emit.op("Expand", emit.array(0.0, x), emit.shape_of(x)), node.outputs[1]
    return emit.op("ScatterElements", zeros, indices, d, axis=node.attributes.get_int("axis", -1) % rank(node, x))

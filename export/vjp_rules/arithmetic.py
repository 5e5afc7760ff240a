"""Rules of elementwise operators with several operands, which broadcast against each other.

Every cotangent is returned in the shape of the result; the walk sums it to the operand's.

Supported: Add, Sub, Mul, Div, Mod (fmod), Pow (base and exponent), Sum, Mean, Max, Min, Where (both branches), Clip
(value and bounds). Operands of Max and Min that are equal share the cotangent evenly, as in torch.maximum. Clip passes
the cotangent where min <= x <= max, the bounds included, as torch.clamp does.
"""

from collections.abc import Sequence
from functools import reduce
from operator import and_

import onnx_ir as ir

from impasto.export.vjp_rules.elementwise import Expression
from impasto.export.vjp_rules.emission import Emission
from impasto.export.vjp_rules.folding import folded
from impasto.export.vjp_rules.inspection import given
from impasto.export.vjp_rules.table import Cotangents, rule


@rule("Add", "Sum", broadcasts=True)
def add(emit: Emission, node: ir.Node, cotangents: Cotangents, wanted: Sequence[bool]) -> Cotangents:
    """Pass d to every operand."""
    return [cotangents[0]] * len(wanted)


@rule("Mean", broadcasts=True)
def mean(emit: Emission, node: ir.Node, cotangents: Cotangents, wanted: Sequence[bool]) -> Cotangents:
    """Pass d / n to each of n operands."""
    return [emit.op("Mul", cotangents[0], 1.0 / len(wanted))] * len(wanted)


@rule("Sub", broadcasts=True)
def subtract(emit: Emission, node: ir.Node, cotangents: Cotangents, wanted: Sequence[bool]) -> Cotangents:
    """Pass d and -d."""
    return [cotangents[0], emit.op("Neg", cotangents[0]) if wanted[1] else None]


@rule("Mul", broadcasts=True)
def multiply(emit: Emission, node: ir.Node, cotangents: Cotangents, wanted: Sequence[bool]) -> Cotangents:
    """Emit d b and d a; for a square, 2 d a once."""
    d, (a, b) = cotangents[0], node.inputs
    if a is b:
        return [emit.op("Mul", emit.op("Mul", d, 2.0), a)]
    return [emit.op("Mul", d, b) if wanted[0] else None, emit.op("Mul", d, a) if wanted[1] else None]


@rule("Div", broadcasts=True)
def divide(emit: Emission, node: ir.Node, cotangents: Cotangents, wanted: Sequence[bool]) -> Cotangents:
    """Emit d / b and -(d / b) y."""
    quotient = emit.op("Div", cotangents[0], node.inputs[1])
    d_b = emit.op("Neg", emit.op("Mul", quotient, node.outputs[0])) if wanted[1] else None
    return [quotient, d_b]


@rule("Mod", broadcasts=True)
def modulo(emit: Emission, node: ir.Node, cotangents: Cotangents, wanted: Sequence[bool]) -> Cotangents:
    """Pass d, and -d times the whole number of divisors that were taken away."""
    d, (a, b) = given(cotangents[0]), map(given, node.inputs)
    taken = emit.op("Round", emit.op("Div", emit.op("Sub", a, node.outputs[0]), b))
    return [d, emit.op("Neg", emit.op("Mul", d, taken)) if wanted[1] else None]


@rule("Pow", broadcasts=True)
def power(emit: Emission, node: ir.Node, cotangents: Cotangents, wanted: Sequence[bool]) -> Cotangents:
    """Emit d p x^(p - 1) and d y log(x), the latter 0 where x = 0 and p >= 0, as PyTorch does."""
    d, (x, p) = given(cotangents[0]), map(given, node.inputs)
    return [
        _d_base(emit, d, x, p) if wanted[0] else None,
        _d_exponent(emit, d, x, p, node.outputs[0]) if wanted[1] else None,
    ]


def _d_base(emit: Emission, d: ir.Value, x: ir.Value, p: ir.Value) -> ir.Value | None:
    constant = folded(p)
    if constant is not None and constant.size == 1:
        return _d_base_of_constant_power(emit, d, x, float(constant.ravel()[0]))
    exponent = emit.cast(p, x)
    slope = emit.op("Mul", exponent, emit.op("Pow", x, emit.op("Sub", exponent, 1.0)))
    # p = 0 gives 0, also at x = 0, where the product would be 0 times infinity.
    return emit.op("Mul", d, emit.op("Where", emit.op("Equal", exponent, 0.0), 0.0, slope))


def _d_base_of_constant_power(emit: Emission, d: ir.Value, x: ir.Value, exponent: float) -> ir.Value | None:
    if exponent == 0.0:
        return None
    scaled = d if exponent == 1.0 else emit.op("Mul", d, exponent)
    if exponent in (1.0, 2.0):
        return scaled if exponent == 1.0 else emit.op("Mul", scaled, x)
    return emit.op("Mul", scaled, emit.op("Pow", x, exponent - 1.0))


def _d_exponent(emit: Emission, d: ir.Value, x: ir.Value, p: ir.Value, y: ir.Value) -> ir.Value:
    is_flat = emit.op("And", emit.op("Equal", x, 0.0), emit.op("GreaterOrEqual", p, 0.0))
    slope = emit.op("Where", is_flat, 0.0, emit.op("Mul", y, emit.op("Log", x)))
    return emit.cast(emit.op("Mul", d, slope), p)


@rule("Max", "Min", broadcasts=True)
def extreme(emit: Emission, node: ir.Node, cotangents: Cotangents, wanted: Sequence[bool]) -> Cotangents:
    """Divide d evenly among the operands that are equal to the result."""
    d, y = given(cotangents[0]), node.outputs[0]
    if len(node.inputs) == 1:
        return [d]
    shares = [emit.cast(emit.op("Equal", value, y), y) for value in node.inputs]
    count = shares[0]
    for share in shares[1:]:
        count = emit.op("Add", count, share)
    part = emit.op("Div", d, count)
    return [emit.op("Mul", part, share) if is_wanted else None for share, is_wanted in zip(shares, wanted, strict=True)]


@rule("Where", inputs=(1, 2), broadcasts=True)
def where(emit: Emission, node: ir.Node, cotangents: Cotangents, wanted: Sequence[bool]) -> Cotangents:
    """Pass d to the branch that was taken."""
    d, condition = cotangents[0], node.inputs[0]
    return [
        None,
        emit.op("Where", condition, d, 0.0) if wanted[1] else None,
        emit.op("Where", condition, 0.0, d) if wanted[2] else None,
    ]


@rule("Clip", broadcasts=True)
def clip(emit: Emission, node: ir.Node, cotangents: Cotangents, wanted: Sequence[bool]) -> Cotangents:
    """Pass d to x inside the bounds, to a bound outside of them; min > max makes everything max."""
    d, x = (Expression(emit, given(value)) for value in (cotangents[0], node.inputs[0]))
    bounds = (*node.inputs[1:], None, None)[:2]
    low, high = (None if value is None else Expression(emit, value) for value in bounds)
    wants_x, wants_low, wants_high = (*wanted, False, False)[:3]
    d_x = d_low = d_high = None
    if wants_x:
        conditions = ([] if low is None else [x >= low]) + ([] if high is None else [x <= high])
        d_x = reduce(and_, conditions).where(d, 0.0) if conditions else d
    if wants_low and low is not None:
        below = x < low
        d_low = (below if high is None else below & (low <= high)).where(d, 0.0)
    if wants_high and high is not None:
        raised = x if low is None else x.apply("Max", x, low)
        d_high = (raised > high).where(d, 0.0)
    return [None if result is None else result.value for result in (d_x, d_low, d_high)]

"""Rules of elementwise operators with several operands, which broadcast against each other.

Every cotangent is returned in the shape of the result; the walk sums it to the operand's.

Supported: Add, Sub, Mul, Div, Pow (base and exponent), Where (both branches), Clip (value and bounds).
Clip passes the cotangent where min <= x <= max, the bounds included, as PyTorch does.
"""

import math
from collections.abc import Sequence

import onnx_ir as ir
from impasto.export.vjp_rules.emission import Emission, given
from impasto.export.vjp_rules.table import Cotangents, rule


@rule("Add", broadcasts=True)
def add(emit: Emission, node: ir.Node, cotangents: Cotangents, wanted: Sequence[bool]) -> Cotangents:
    """Pass d to both."""
    return [cotangents[0], cotangents[0]]


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


@rule("Pow", broadcasts=True)
def power(emit: Emission, node: ir.Node, cotangents: Cotangents, wanted: Sequence[bool]) -> Cotangents:
    """Emit d p x^(p-1) and d y log(x), the latter 0 where x = 0 and p >= 0, as PyTorch does."""
    d, (x, p) = given(cotangents[0]), map(given, node.inputs)
    return [_d_base(emit, d, x, p) if wanted[0] else None, _d_exponent(emit, node, d) if wanted[1] else None]


def _d_base(emit: Emission, d: ir.Value, x: ir.Value, p: ir.Value) -> ir.Value:
    tensor = ir.convenience.get_const_tensor(p)
    if tensor is not None and math.prod(tensor.shape.numpy()) == 1:
        exponent = float(tensor.numpy().ravel()[0])
        # A power of 1, which Pow(x, 1) would cost as dearly as any.
        scaled = emit.op("Mul", d, exponent)
        if exponent == 2.0:
            return emit.op("Mul", scaled, x)
        if exponent == 1.0:
            return d
        return emit.op("Mul", scaled, emit.op("Pow", x, exponent - 1.0))
    typed = emit.op("Cast", p, to=x.dtype) if p.dtype != x.dtype else p
    slope = emit.op("Mul", typed, emit.op("Pow", x, emit.op("Sub", typed, 1.0)))
    # p = 0 gives 0, also at x = 0 where the product would be 0 * inf.
    return emit.op("Mul", d, emit.op("Where", emit.op("Equal", typed, 0.0), 0.0, slope))


def _d_exponent(emit: Emission, node: ir.Node, d: ir.Value) -> ir.Value:
    x, p = map(given, node.inputs)
    log = emit.op("Log", x)
    is_flat = emit.op("And", emit.op("Equal", x, 0.0), emit.op("GreaterOrEqual", p, 0.0))
    slope = emit.op("Where", is_flat, 0.0, emit.op("Mul", node.outputs[0], log))
    product = emit.op("Mul", d, slope)
    return emit.op("Cast", product, to=p.dtype) if p.dtype != x.dtype else product


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
    """Pass d to x inside the bounds, to a bound outside of it; min > max makes everything max."""
    d, (x, low, high) = cotangents[0], (*node.inputs, None, None)[:3]
    inside = emit.op("GreaterOrEqual", x, low) if low is not None else None
    if high is not None:
        under = emit.op("LessOrEqual", x, high)
        inside = under if inside is None else emit.op("And", inside, under)
    d_x = d if inside is None else emit.op("Where", inside, d, 0.0) if wanted[0] else None
    d_low = d_high = None
    if low is not None and wanted[1]:
        below = emit.op("Less", x, low)
        if high is not None:
            below = emit.op("And", below, emit.op("LessOrEqual", low, high))
        d_low = emit.op("Where", below, d, 0.0)
    if high is not None and wanted[2]:
        reached = x if low is None else emit.op("Max", x, low)
        d_high = emit.op("Where", emit.op("Greater", reached, high), d, 0.0)
    return [d_x, d_low, d_high]

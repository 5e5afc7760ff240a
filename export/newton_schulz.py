"""Square root and inverse square root of positive semi-definite matrices, by products alone.

The coupled iteration of Newton and Schulz (Higham, "Functions of Matrices", equation 6.35): Y_0 = S / s, Z_0 = I and

    T = Z Y,  Y <- Y (3 I - T) / 2,  Z <- (3 I - T) Z / 2

go to (S / s)^(1/2) and (S / s)^(-1/2), where s is the Frobenius norm of S. An eigenvalue x^2 far below 1 takes
log(1 / x) / log(3/2) steps, because x grows by 3/2 only. So the steps are scaled (Chen and Chow, "A stable scaling of
Newton-Schulz for improving the sign function computation of a Hermitian matrix", 2014): x <- r x (3 - r^2 x^2) / 2
with the r that brings both ends of the interval [l, 1], in which x is, to the same value. Then x grows by up to 2.6.
"""

import math
from collections.abc import Iterator

import numpy as np
import onnx_ir as ir

from impasto.export.losses import Emitter

STEPS, SMALLEST = 15, 3e-5
"""Number of steps, and the smallest x, as a share of the largest, that they bring to 1.

More steps let float32's rounding grow: 18 steps from 1e-6 diverge on some covariance matrices of VGG-19.
"""
EXACT = "exact"
"""Metadata of a product that must have float32's precision where other products may have less."""

_SETTLED = 0.99  # from here on a plain step is as good
_TINY = 1e-30  # a matrix of zeros stays one


def inverse_root(emit: Emitter, matrix: ir.Value, unit: ir.Value, name: str) -> tuple[ir.Value, ir.Value]:
    """Emit the traces [N, 1, 1] of the square roots of matrices [N, C, C], and the inverse square roots [N, C, C].

    The unit is from `identity`.
    """
    norm = emit.op("Sqrt", matrix_sum(emit, "ReduceSumSquare", matrix, f"{name}.squares"), name=f"{name}.norm")
    scale = emit.op("Max", norm, emit.scalar("tiny", _TINY), name=f"{name}.scale")
    factors, first, last = _factors()
    y = emit.op(
        "Div", emit.op("Div", matrix, scale, name=f"{name}.share"), emit.scalar("first", first), name=f"{name}.y0"
    )
    z = unit
    for number, factor in enumerate(factors, 1):
        step = f"{name}.step{number}"
        t = y if z is unit else exact_product(emit, z, y, f"{step}.t")
        difference = emit.op("Sub", unit, t, name=f"{step}.difference")
        change = emit.op("Mul", difference, emit.scalar(f"factor{number}", factor), name=f"{step}.change")
        y = exact_product(emit, y, change, f"{step}.y")
        z = change if z is unit else exact_product(emit, change, z, f"{step}.z")
    root_of_scale = emit.op("Sqrt", scale, name=f"{name}.root_of_scale")
    sums = emit.op("Mul", matrix_trace(emit, y, unit, f"{name}.sum"), root_of_scale, name=f"{name}.scaled_sum")
    trace = emit.op("Mul", sums, emit.scalar("last_y", first * last), name=f"{name}.trace")
    whole = emit.op("Div", z, root_of_scale, name=f"{name}.whole")
    return trace, emit.op("Mul", whole, emit.scalar("last_z", last), name=f"{name}.inverse")


def scaled_steps() -> Iterator[tuple[float, float]]:
    """Yield the factors a and b of every step, Y <- a Y - b Y T and Z <- a Z - b T Z."""
    low = SMALLEST
    for _ in range(STEPS):
        square = 3.0 / (1.0 + low + low**2) if low < _SETTLED else 1.0
        scale = square**0.5
        yield 1.5 * scale, 0.5 * scale * square
        low = 1.5 * scale * low - 0.5 * scale * square * low**3


def _factors() -> tuple[list[float], float, float]:
    """Return c of every step of the form Y <- c Y (I - T), Z <- c (I - T) Z, and the factors of its ends.

    Y and Z are kept so that b T is T: a step then has two operations besides its products instead of six. The first
    number divides Y_0; the root is the last Y times both numbers, and the inverse root the last Z times the second.
    """
    steps = list(scaled_steps())
    shares = [linear / cubic for linear, cubic in steps]  # of Y Z of one form in that of the other
    shares.append(shares[-1])
    factors = [
        linear * (now / later) ** 0.5 for (linear, _), now, later in zip(steps, shares, shares[1:], strict=False)
    ]
    last = math.prod(linear / factor for (linear, _), factor in zip(steps, factors, strict=True))
    return factors, shares[0], last


def identity(emit: Emitter, size: int) -> ir.Value:
    """Return the unit matrix [C, C]."""
    return emit.constant(f"identity_{size}", np.eye(size, dtype=np.float32))


def exact_product(emit: Emitter, left: ir.Value, right: ir.Value, name: str) -> ir.Value:
    """Emit a product of matrices that is marked as `EXACT`."""
    product = emit.op("MatMul", left, right, name=name)
    node = product.producer()
    if node is not None:
        node.metadata_props[EXACT] = "1"
    return product


def matrix_trace(emit: Emitter, matrix: ir.Value, unit: ir.Value, name: str) -> ir.Value:
    """Emit the traces [N, 1, 1] of matrices [N, C, C]; the unit is from `identity`."""
    diagonal = emit.op("Mul", matrix, unit, name=f"{name}.diagonal")
    return matrix_sum(emit, "ReduceSum", diagonal, name)


def matrix_sum(emit: Emitter, op_type: str, matrix: ir.Value, name: str) -> ir.Value:
    """Emit sums, or sums of squares, over the entries of [N, R, C] as [N, 1, 1], rows first."""
    rows = emit.op(op_type, matrix, emit.ints("axis_2", 2), name=f"{name}.rows")
    return emit.op("ReduceSum", rows, emit.ints("axis_1", 1), name=name)

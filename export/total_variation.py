"""Total variation: a term that is small where neighbouring pixels are alike.

d_y and d_x are the differences of a value to its neighbours below and to the right, in an image in 0..1. The norms are

    squared   sum d_y^2 + d_x^2                                             over all values
    l1        sum |d_y| + |d_x|                                             over all values
    l2        sum sqrt(d_y^2 + d_x^2), of the three colours in one root     over all pixels

`squared` is that of Mahendran and Vedaldi (arXiv:1412.0035, section 3.2) with beta = 2; it blurs edges most. `l1` and
`l2` cost a step as much as a slope of the same height, so they flatten surfaces and leave edges. `l2` does not depend
on the edge's direction (Rudin, Osher and Fatemi 1992); its colours share a root (Bresson and Chan 2008, for vectors),
so an edge of one colour costs less where the others have one, and a coloured fringe costs most.

The derivative of a root is infinite at 0, where an image is flat. So |d| is sqrt(d^2 + e) - sqrt(e) with
sqrt(e) = 1/256, about a grey level, and the same for `l2`: differences that a file of 8 bits does not show count
squared, the gradient is smooth, as L-BFGS needs it, and 0 where the image is flat, and so is the term.

Differs from Gatys et al.: the paper has no image prior; its weight is 0 by default.
"""

import onnx_ir as ir

from impasto.export.losses import Emitter, static_shape, summed
from impasto.export.terms import L2, SQUARED

VISIBLE = 2.0**-8
"""sqrt(e): the difference up to which `l1` and `l2` are nearly squares. Powers of two are exact in every precision."""

_AXES = ((2, "down"), (3, "across"))


def total_variation(
    emit: Emitter, image: ir.Value, name: str, *, norm: str = SQUARED, seamless: bool = False
) -> ir.Value:
    """Emit the total variation of [N, 3, H, W] in 0..1 as [N, 1].

    Args:
        emit: where to.
        image: static but for N.
        name: of the result, and the prefix of all names.
        norm: of `impasto.export.terms.TV_NORMS`.
        seamless: whether opposite edges are neighbours, as in a tiling.
    """
    if norm == L2:
        return _isotropic(emit, image, name, seamless=seamless)
    sums = []
    for axis, direction in _AXES:
        difference = _difference(emit, image, axis, f"{name}.{direction}", seamless=seamless)
        if norm == SQUARED:
            sums.append(summed(emit, difference, (1, 2, 3), f"{name}.{direction}"))
        else:
            squares = emit.op("Mul", difference, difference, name=f"{name}.{direction}.square")
            sums.append(_sum_of_roots(emit, squares, f"{name}.{direction}"))
    return emit.op("Add", *sums, name=name)


def _isotropic(emit: Emitter, image: ir.Value, name: str, *, seamless: bool) -> ir.Value:
    """Emit the sum over pixels; one without a neighbour has no difference in that direction."""
    squares = []
    for axis, direction in _AXES:
        difference = _difference(emit, image, axis, f"{name}.{direction}", seamless=seamless)
        square = emit.op(
            "ReduceSumSquare", difference, emit.ints("axis_1", 1), keepdims=1, name=f"{name}.{direction}.square"
        )
        if not seamless:
            pads = emit.ints(f"{name}.{direction}.pads", *(int(place == axis + 4) for place in range(8)))
            square = emit.op("Pad", square, pads, name=f"{name}.{direction}.padded")
        squares.append(square)
    total = _sum_of_roots(emit, emit.op("Add", *squares, name=f"{name}.square"), name)
    total.name = name
    return total


def _sum_of_roots(emit: Emitter, squares: ir.Value, name: str) -> ir.Value:
    """Emit the sum of sqrt(square + e) - sqrt(e)."""
    raised = emit.op("Add", squares, emit.scalar("tv.e", VISIBLE**2), name=f"{name}.raised")
    root = emit.op("Sqrt", raised, name=f"{name}.root")
    size = emit.op("Sub", root, emit.scalar("tv.root_of_e", VISIBLE), name=f"{name}.size")
    return summed(emit, size, (1, 2, 3), name, first="ReduceSum")


def _difference(emit: Emitter, image: ir.Value, axis: int, name: str, *, seamless: bool) -> ir.Value:
    """Emit the difference of every value to the next one along an axis."""
    size = static_shape(image)[axis]
    axes = emit.ints(f"axis_{axis}", axis)
    zero, one = emit.ints("index_0", 0), emit.ints("index_1", 1)
    end = emit.ints(f"{name}.end", size)
    ahead = emit.op("Slice", image, one, end, axes, name=f"{name}.ahead")
    if seamless:
        first = emit.op("Slice", image, zero, one, axes, name=f"{name}.first")
        ahead = emit.op("Concat", ahead, first, axis=axis, name=f"{name}.wrapped")
        behind = image
    else:
        last = emit.ints(f"{name}.last", size - 1)
        behind = emit.op("Slice", image, zero, last, axes, name=f"{name}.behind")
    return emit.op("Sub", ahead, behind, name=f"{name}.difference")

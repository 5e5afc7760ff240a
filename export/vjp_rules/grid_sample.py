"""The expansion of GridSample into elementary operators.

Supported: linear and nearest in two and three dimensions, cubic in two; the paddings zeros, border and reflection; both
align_corners; with respect to the image and the grid. Shapes are static.
The derivative in the grid is PyTorch's: 0 where a coordinate is clipped to the border, the border included, and 0
everywhere for nearest.
"""

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from impasto.export.vjp_rules.elementwise import Expression
from impasto.export.vjp_rules.emission import Emission
from impasto.export.vjp_rules.errors import GradientError
from impasto.export.vjp_rules.inspection import describe, given, static_shape
from impasto.export.vjp_rules.table import expansion

MODES = {"linear": "linear", "bilinear": "linear", "nearest": "nearest", "cubic": "cubic", "bicubic": "cubic"}
"""Names of the modes, old and new."""

PADDINGS = ("zeros", "border", "reflection")
CUBIC_A = -0.75  # of the cubic convolution: the standard's, and PyTorch's

Weight = Expression | None  # None for 1


@dataclass(frozen=True)
class _Tap:
    """One of the elements along an axis that a position reads.

    Attributes:
        index: of the element, a whole number as a float, within the axis.
        weight: of its value.
    """

    index: Expression
    weight: Weight


@expansion("GridSample")
def grid_sample(emit: Emission, node: ir.Node) -> Sequence[ir.Value | None]:
    """Gather the elements around every position, and add them up by their weights."""
    x, grid = (given(value) for value in node.inputs)
    (batch, channels, *sizes), (_, *counts, _) = static_shape(node, x), static_shape(node, grid)
    mode, padding = _mode(node, len(sizes)), _padding(node)
    count = math.prod(counts)
    positions = emit.op("Reshape", grid, [batch * count, len(sizes)])
    taps = []
    for axis, size in enumerate(sizes):
        last = len(sizes) - 1 - axis  # the grid has x first
        coordinate = Expression(emit, emit.op("Slice", positions, [last], [last + 1], [1]))
        taps.append(_TAPS[mode](_unnormalized(node, coordinate, size), _Axis(size, padding, _is_aligned(node))))
    spatial = range(2, len(sizes) + 2)
    rows = emit.op("Reshape", emit.op("Transpose", x, perm=[0, *spatial, 1]), [-1, channels])
    starts = np.repeat(np.arange(batch), count)[:, None] * math.prod(sizes)
    total: Expression | None = None
    for chosen in itertools.product(*taps):
        part = Expression(emit, emit.op("Gather", rows, _flat_index(emit, chosen, sizes, starts)))
        for tap in chosen:
            part = part if tap.weight is None else part * tap.weight
        total = part if total is None else total + part
    result = emit.op("Reshape", given(total).value, [batch, *counts, channels])
    return [emit.op("Transpose", result, perm=[0, len(sizes) + 1, *range(1, len(sizes) + 1)])]


def _mode(node: ir.Node, axes: int) -> str:
    name = node.attributes.get_string("mode", "linear")
    mode = MODES.get(name)
    if mode is None or (mode == "cubic" and axes != 2):
        raise GradientError(
            f"{describe(node)} has mode {name!r} of {axes} dimensions; there are rules for linear and nearest of 2 and "
            "3 dimensions, and for cubic of 2"
        )
    return mode


def _padding(node: ir.Node) -> str:
    padding = node.attributes.get_string("padding_mode", "zeros")
    if padding not in PADDINGS:
        raise GradientError(f"{describe(node)} has padding_mode {padding!r}; allowed are {', '.join(PADDINGS)}")
    return padding


def _is_aligned(node: ir.Node) -> bool:
    return bool(node.attributes.get_int("align_corners", 0))


def _unnormalized(node: ir.Node, coordinate: Expression, size: int) -> Expression:
    """Return a coordinate between -1 and 1 as a position among the elements."""
    if _is_aligned(node):
        return (coordinate + 1.0) * ((size - 1) / 2)
    return ((coordinate + 1.0) * float(size) - 1.0) * 0.5


def _flat_index(emit: Emission, taps: Sequence[_Tap], sizes: Sequence[int], starts: np.ndarray) -> ir.Value:
    """Emit the row of every element among those of all images, [positions]."""
    flat: ir.Value = emit.constant(starts)
    for axis, tap in enumerate(taps):
        index = emit.op("Cast", tap.index.value, to=ir.DataType.INT64)
        step = math.prod(sizes[axis + 1 :])
        flat = emit.op("Add", flat, index if step == 1 else emit.op("Mul", index, np.array(step)))
    return emit.op("Reshape", flat, [-1])


@dataclass(frozen=True)
class _Axis:
    """A spatial axis: how many elements it has, and what is outside of them."""

    size: int
    padding: str
    is_aligned: bool

    def brought_inside(self, position: Expression) -> Expression:
        """Emit the position that stands for one outside; with zeros, the position itself."""
        if self.padding == "zeros":
            return position
        return self.clipped(self.reflected(position) if self.padding == "reflection" else position)

    def clipped(self, position: Expression) -> Expression:
        """Emit the nearest position inside; it does not vary there, nor on the border."""
        last = float(self.size - 1)
        below = (position >= last).where(last, position)
        return (position <= 0.0).where(0.0, below)

    def reflected(self, position: Expression) -> Expression:
        """Emit the position after reflections, in the middle of the outer elements or at their outer ends."""
        low, span = (0.0, float(self.size - 1)) if self.is_aligned else (-0.5, float(self.size))
        if span == 0.0:
            return position * 0.0
        distance = position - low if low else position
        distance = (distance < 0.0).where(-distance, distance)
        turns = (distance * (1.0 / span)).unary("Floor")
        rest = distance - turns * span
        is_odd = (turns - (turns * 0.5).unary("Floor") * 2.0) > 0.5
        inside = is_odd.where(span - rest, rest)
        return inside + low if low else inside

    def tap(self, position: Expression, weight: Weight) -> _Tap:
        """Return the element at a whole position, which has no weight outside."""
        if self.padding == "zeros":
            is_inside = (position >= 0.0) & (position <= float(self.size - 1))
            inside = Expression(position.emit, position.emit.cast(is_inside.value, position.value))
            weight = inside if weight is None else weight * inside
        return _Tap(position.apply("Clip", position, 0.0, float(self.size - 1)), weight)


def _nearest(position: Expression, axis: _Axis) -> list[_Tap]:
    return [axis.tap(axis.brought_inside(position).unary("Round"), None)]


def _linear(position: Expression, axis: _Axis) -> list[_Tap]:
    inside = axis.brought_inside(position)
    first = inside.unary("Floor")
    rest = inside - first
    return [axis.tap(first, 1.0 - rest), axis.tap(first + 1.0, rest)]


def _cubic(position: Expression, axis: _Axis) -> list[_Tap]:
    """Return the four elements of cubic convolution; they, and not the position, are brought inside (Keys 1981)."""
    first = position.unary("Floor")
    rest = position - first
    ahead, behind = rest + 1.0, 1.0 - rest
    weights = (_far(ahead), _near(rest), _near(behind), _far(behind + 1.0))
    return [
        axis.tap(axis.brought_inside(first + float(offset)) if offset else axis.brought_inside(first), weight)
        for offset, weight in zip((-1, 0, 1, 2), weights, strict=True)
    ]


def _near(distance: Expression) -> Expression:
    """Emit the weight at a distance up to 1."""
    return (distance * (CUBIC_A + 2) - (CUBIC_A + 3)) * distance * distance + 1.0


def _far(distance: Expression) -> Expression:
    """Emit the weight at a distance between 1 and 2."""
    return ((distance - 5.0) * distance + 8.0) * distance * CUBIC_A - 4 * CUBIC_A


_TAPS: dict[str, Callable[[Expression, _Axis], list[_Tap]]] = {
    "cubic": _cubic,
    "linear": _linear,
    "nearest": _nearest,
}

"""Rules of pooling.

Supported: AveragePool (any windows, both count_include_pad, ceil_mode), MaxPool (any windows, no Indices output),
LpPool, GlobalAveragePool, GlobalMaxPool, GlobalLpPool.
Where several elements of a window are the maximum, the first one in row-major order gets the whole cotangent, as in
PyTorch.
"""

import math
from collections.abc import Sequence

import numpy as np
import onnx_ir as ir

from impasto.export.vjp_rules.emission import Emission
from impasto.export.vjp_rules.errors import GradientError
from impasto.export.vjp_rules.first_maximum import sent_to_first
from impasto.export.vjp_rules.inspection import describe, given, known_sizes, rank, static_shape
from impasto.export.vjp_rules.reduction import divided, element_count
from impasto.export.vjp_rules.table import first_input_rule
from impasto.export.vjp_rules.windows import Windows, windows


@first_input_rule("GlobalAveragePool")
def global_average_pool(emit: Emission, node: ir.Node, x: ir.Value, d: ir.Value) -> ir.Value:
    """Spread d / count over the positions."""
    count = element_count(emit, x, range(2, rank(node, x)))
    return emit.op("Expand", divided(emit, d, count), emit.shape_of(x))


@first_input_rule("GlobalMaxPool")
def global_max_pool(emit: Emission, node: ir.Node, x: ir.Value, d: ir.Value) -> ir.Value:
    """Send d to the first maximum of every channel."""
    count = math.prod(static_shape(node, x)[2:])
    first = emit.op("ArgMax", emit.op("Reshape", x, [0, 0, -1]), axis=2, keepdims=1)
    is_first = emit.op("Equal", first, np.arange(count))
    spread = emit.op("Where", is_first, emit.op("Reshape", d, [0, 0, -1]), 0.0)
    return emit.op("Reshape", spread, emit.shape_of(x))


@first_input_rule("GlobalLpPool")
def global_lp_pool(emit: Emission, node: ir.Node, x: ir.Value, d: ir.Value) -> ir.Value:
    """Emit d sign(x) (|x| / y)^(p - 1)."""
    return _of_norm(emit, node, x, _by_norm(emit, node, d))


@first_input_rule("LpPool")
def lp_pool(emit: Emission, node: ir.Node, x: ir.Value, d: ir.Value) -> ir.Value:
    """Emit sign(x) |x|^(p - 1) times the sum over windows of d y^(1 - p)."""
    geometry = windows(node, node.attributes.get_ints("kernel_shape"), sizes_of=x, counts_of=node.outputs[0])
    return _of_norm(emit, node, x, _over_windows(emit, node, _by_norm(emit, node, d), geometry))


def _by_norm(emit: Emission, node: ir.Node, d: ir.Value) -> ir.Value:
    """Emit d y^(1 - p); where a norm is 0 so are the elements, and any factor will do."""
    y = node.outputs[0]
    norm = emit.op("Where", emit.op("Equal", y, 0.0), 1.0, y)
    return emit.op("Mul", d, emit.op("Pow", norm, 1.0 - node.attributes.get_int("p", 2)))


def _of_norm(emit: Emission, node: ir.Node, x: ir.Value, d: ir.Value) -> ir.Value:
    """Emit d sign(x) |x|^(p - 1)."""
    p = node.attributes.get_int("p", 2)
    factor = x if p == 2 else emit.op("Sign", x)
    if p not in (1, 2):
        factor = emit.op("Mul", factor, emit.op("Pow", emit.op("Abs", x), float(p - 1)))
    return emit.op("Mul", factor, d)


def _over_windows(emit: Emission, node: ir.Node, d: ir.Value, geometry: Windows) -> ir.Value:
    """Emit the sum of d, one per window, over the windows that an element is in."""
    x = given(node.inputs[0])
    sizes, counts = static_shape(node, x)[2:], static_shape(node, node.outputs[0])[2:]
    images = emit.op("Reshape", d, [-1, 1, *counts])
    ones = emit.array(np.ones((1, 1, *geometry.kernel)), d)
    summed = emit.op("ConvTranspose", images, ones, **geometry.scatter_attributes(geometry.reach_after(sizes, counts)))
    return emit.op("Reshape", summed, emit.shape_of(x))


@first_input_rule("AveragePool")
def average_pool(emit: Emission, node: ir.Node, x: ir.Value, d: ir.Value) -> ir.Value:
    """Spread d / count over every window."""
    y = node.outputs[0]
    geometry = windows(node, node.attributes.get_ints("kernel_shape"), sizes_of=x, counts_of=y)
    if _tiles(node, geometry):
        mean = emit.op("Mul", d, 1.0 / math.prod(geometry.kernel))
        return _with_rest(emit, node, _repeat(emit, mean, geometry), geometry)
    sizes, counts = static_shape(node, x)[2:], static_shape(node, y)[2:]
    includes_pad = bool(node.attributes.get_int("count_include_pad", 0))
    for axis in range(len(sizes)):
        averaged = _window_counts(geometry, axis, sizes, counts, includes_pad)
        if not averaged.all():
            raise GradientError(f"a window of {describe(node)} has no elements to average; give it less padding")
        d = _divided(emit, d, axis, len(sizes), averaged)
    return _over_windows(emit, node, d, geometry)


def _tiles(node: ir.Node, geometry: Windows) -> bool:
    """Whether the windows tile the image but for a rest at the end of the axes: the case that any size allows."""
    if not geometry.is_partition:
        return False
    if not node.attributes.get_int("ceil_mode", 0):
        return True
    sizes, counts = static_shape(node, node.inputs[0])[2:], static_shape(node, node.outputs[0])[2:]
    return max(geometry.reach_after(sizes, counts)) <= 0


def _repeat(emit: Emission, value: ir.Value, geometry: Windows) -> ir.Value:
    """Repeat every element over its window of a partition."""
    return emit.op(
        "Resize",
        value,
        None,
        np.array([1, 1, *geometry.kernel], np.float32),
        mode="nearest",
        coordinate_transformation_mode="asymmetric",
        nearest_mode="floor",
    )


def _with_rest(emit: Emission, node: ir.Node, tiled: ir.Value, geometry: Windows) -> ir.Value:
    """Add zeros where the windows end before the axes do."""
    x, y = given(node.inputs[0]), node.outputs[0]
    sizes, counts = known_sizes(x), known_sizes(y)
    if sizes is not None and counts is not None:
        rest = [-end for end in geometry.reach_after(sizes[2:], counts[2:])]
        return emit.op("Pad", tiled, [0] * (len(rest) + 4) + rest) if any(rest) else tiled
    missing = emit.op("Sub", emit.op("Shape", x), emit.op("Shape", tiled))
    return emit.op("Pad", tiled, emit.op("Concat", np.zeros(rank(node, x), np.int64), missing, axis=0))


def _without_rest(emit: Emission, node: ir.Node, geometry: Windows) -> ir.Value:
    """Cut the input where the windows end before the axes do."""
    x, y = given(node.inputs[0]), node.outputs[0]
    axes = list(range(2, rank(node, x)))
    sizes, counts = known_sizes(x), known_sizes(y)
    if sizes is not None and counts is not None:
        ends = [count * stride for count, stride in zip(counts[2:], geometry.strides, strict=True)]
        return x if ends == list(sizes[2:]) else emit.op("Slice", x, [0] * len(axes), ends, axes)
    covered = emit.op("Mul", emit.op("Slice", emit.op("Shape", y), [2], [len(axes) + 2], [0]), list(geometry.strides))
    return emit.op("Slice", x, [0] * len(axes), covered, axes)


def _window_counts(
    geometry: Windows, axis: int, sizes: Sequence[int], counts: Sequence[int], includes_pad: bool
) -> np.ndarray:
    """Return the elements that each window along an axis averages over; a window's count is their product."""
    taps = np.arange(geometry.kernel[axis]) * geometry.dilations[axis]
    positions = np.arange(counts[axis])[:, None] * geometry.strides[axis] + taps - geometry.before[axis]
    low, high = (-geometry.before[axis], sizes[axis] + geometry.after[axis]) if includes_pad else (0, sizes[axis])
    counted: np.ndarray = ((positions >= low) & (positions < high)).sum(1)
    return counted


def _divided(emit: Emission, d: ir.Value, axis: int, axes: int, divisors: np.ndarray) -> ir.Value:
    """Divide along one spatial axis."""
    if (divisors == 1).all():
        return d
    if (divisors == divisors[0]).all():
        return emit.op("Mul", d, 1.0 / float(divisors[0]))
    return emit.op("Mul", d, emit.array(1.0 / divisors.reshape(-1, *(1,) * (axes - 1 - axis)), d))


@first_input_rule("MaxPool")
def max_pool(emit: Emission, node: ir.Node, x: ir.Value, d: ir.Value) -> ir.Value:
    """Send d to the first maximum of every window."""
    geometry = windows(node, node.attributes.get_ints("kernel_shape"), sizes_of=x, counts_of=node.outputs[0])
    if _tiles(node, geometry):
        return _repeat_to_first(emit, node, d, geometry)
    return sent_to_first(emit, node, d, geometry)


def _repeat_to_first(emit: Emission, node: ir.Node, d: ir.Value, geometry: Windows) -> ir.Value:
    """Emit d at the first maximum of every window of a partition, all at the full size.

    The elements equal to their window's maximum get a rank, the first in the window the highest; the one whose rank is
    the window's maximum is the first.
    """
    y, taps = node.outputs[0], math.prod(geometry.kernel)
    x = _without_rest(emit, node, geometry)
    first_highest = emit.array(np.arange(taps, 0, -1).reshape(geometry.kernel), x)
    counts = emit.shape_of(y)
    repeats = emit.op("Slice", counts, [2], [rank(node, y)], [0]) if isinstance(counts, ir.Value) else counts[2:]
    ranks = emit.op("Tile", first_highest, repeats)
    is_maximum = emit.op("Equal", x, _repeat(emit, y, geometry))
    ranked = emit.op("Where", is_maximum, ranks, 0.0)
    highest = emit.op("MaxPool", ranked, kernel_shape=geometry.kernel, strides=geometry.strides)
    is_first = emit.op("Equal", ranked, _repeat(emit, highest, geometry))
    return _with_rest(emit, node, emit.op("Where", is_first, _repeat(emit, d, geometry), 0.0), geometry)

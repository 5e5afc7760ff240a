"""Rules of operators that move elements about.

Supported: Reshape, Flatten, Squeeze, Unsqueeze, Transpose, Expand, Tile (constant repeats), Concat, Split (even and
uneven), Slice (constant bounds, any steps), DepthToSpace (DCR and CRD), SpaceToDepth, Trilu, CumSum.
"""

from collections.abc import Iterator, Sequence

import numpy as np
import onnx_ir as ir

from impasto.export.vjp_rules.emission import Emission
from impasto.export.vjp_rules.errors import GradientError
from impasto.export.vjp_rules.inspection import (
    constant_ints,
    describe,
    given,
    known_size,
    rank,
    static_shape,
    static_size,
)
from impasto.export.vjp_rules.table import Cotangents, first_input_rule, rule

_TO_THE_FIRST = -(2**31)  # the end of a reversed Slice that takes the whole axis


@first_input_rule("Reshape", "Flatten", "Squeeze", "Unsqueeze")
def reshape(emit: Emission, node: ir.Node, x: ir.Value, d: ir.Value) -> ir.Value:
    """Give d the input's shape."""
    return emit.op("Reshape", d, emit.shape_of(x))


@first_input_rule("Transpose")
def transpose(emit: Emission, node: ir.Node, x: ir.Value, d: ir.Value) -> ir.Value:
    """Undo the permutation."""
    if "perm" not in node.attributes:
        return emit.op("Transpose", d)
    inverse = [int(axis) for axis in np.argsort(node.attributes.get_ints("perm"))]
    return emit.op("Transpose", d, perm=inverse)


@first_input_rule("Expand", broadcasts=True)
def expand(emit: Emission, node: ir.Node, x: ir.Value, d: ir.Value) -> ir.Value:
    """Pass d on; the walk undoes the broadcasting."""
    return d


@first_input_rule("Tile")
def tile(emit: Emission, node: ir.Node, x: ir.Value, d: ir.Value) -> ir.Value:
    """Sum d over the repetitions."""
    repeats, sizes = constant_ints(node, 1) or [], static_shape(node, x)
    repeated = [axis for axis, count in enumerate(repeats) if count != 1]
    if not repeated:
        return d
    shape: list[int] = []
    axes: list[int] = []
    for axis, (count, size) in enumerate(zip(repeats, sizes, strict=True)):
        if axis in repeated:
            axes.append(len(shape))
            shape.append(count)
        shape.append(size)
    return emit.op("ReduceSum", emit.op("Reshape", d, shape), axes, keepdims=0)


@first_input_rule("Trilu")
def trilu(emit: Emission, node: ir.Node, x: ir.Value, d: ir.Value) -> ir.Value:
    """Keep the same triangle of d."""
    return emit.op("Trilu", d, *node.inputs[1:], upper=node.attributes.get_int("upper", 1))


@first_input_rule("CumSum")
def cumulative_sum(emit: Emission, node: ir.Node, x: ir.Value, d: ir.Value) -> ir.Value:
    """Sum d up in the other direction."""
    reverse, exclusive = node.attributes.get_int("reverse", 0), node.attributes.get_int("exclusive", 0)
    return emit.op("CumSum", d, node.inputs[1], reverse=1 - reverse, exclusive=exclusive)


@first_input_rule("ReverseSequence")
def reverse_sequence(emit: Emission, node: ir.Node, x: ir.Value, d: ir.Value) -> ir.Value:
    """Reverse d."""
    axes = {name: node.attributes.get_int(name, 1 - index) for index, name in enumerate(("batch_axis", "time_axis"))}
    return emit.op("ReverseSequence", d, node.inputs[1], **axes)


@first_input_rule("SpaceToDepth")
def space_to_depth(emit: Emission, node: ir.Node, x: ir.Value, d: ir.Value) -> ir.Value:
    """Move the blocks back."""
    return emit.op("DepthToSpace", d, blocksize=node.attributes.get_int("blocksize"))


@first_input_rule("DepthToSpace")
def depth_to_space(emit: Emission, node: ir.Node, x: ir.Value, d: ir.Value) -> ir.Value:
    """Move the blocks back; SpaceToDepth knows one of the two orders of channels."""
    block = node.attributes.get_int("blocksize")
    if node.attributes.get_string("mode", "DCR") == "DCR":
        return emit.op("SpaceToDepth", d, blocksize=block)
    batch, channels, height, width = static_shape(node, x)
    blocks = [batch, channels // block**2, height, block, width, block]
    turned = emit.op("Transpose", emit.op("Reshape", d, blocks), perm=[0, 1, 3, 5, 2, 4])
    return emit.op("Reshape", turned, [batch, channels, height, width])


@rule("Concat")
def concat(emit: Emission, node: ir.Node, cotangents: Cotangents, wanted: Sequence[bool]) -> Cotangents:
    """Cut d where the parts were joined."""
    axis = node.attributes.get_int("axis", 0) % rank(node, node.outputs[0])
    if any(known_size(given(value), axis) is None for value in node.inputs):
        return _cut_at_run_time(emit, node, given(cotangents[0]), axis)
    results: list[ir.Value | None] = []
    start = 0
    for value, is_wanted in zip(node.inputs, wanted, strict=True):
        size = static_size(node, value, axis)
        part = emit.op("Slice", cotangents[0], [start], [start + size], [axis]) if is_wanted else None
        results.append(part)
        start += size
    return results


def _cut_at_run_time(emit: Emission, node: ir.Node, d: ir.Value, axis: int) -> Cotangents:
    """Cut d into parts whose sizes are not known before."""
    sizes = [emit.op("Slice", emit.op("Shape", value), [axis], [axis + 1]) for value in node.inputs]
    joined = emit.op("Concat", *sizes, axis=0) if len(sizes) > 1 else sizes[0]
    return emit.split(d, len(sizes), axis, joined)


@rule("Split", inputs=(0,))
def split(emit: Emission, node: ir.Node, cotangents: Cotangents, wanted: Sequence[bool]) -> Cotangents:
    """Join the parts, zeros where nothing arrived."""
    x = given(node.inputs[0])
    axis = node.attributes.get_int("axis", 0) % rank(node, x)
    parts = [
        emit.op("Expand", emit.array(0.0, x), emit.shape_of(output)) if cotangent is None else cotangent
        for cotangent, output in zip(cotangents, node.outputs, strict=True)
    ]
    return [emit.op("Concat", *parts, axis=axis) if len(parts) > 1 else parts[0]]


@first_input_rule("Slice")
def slice_(emit: Emission, node: ir.Node, x: ir.Value, d: ir.Value) -> ir.Value:
    """Put d back between zeros: reversed where the step is negative, spread where it is not 1."""
    count = rank(node, x)
    before, after, sizes = [0] * count, [0] * count, None
    for axis, start, end, step in _slices(node, count):
        size = static_size(node, x, axis)
        taken = range(*slice(start, end, step).indices(size))
        if not taken:
            raise GradientError(f"{describe(node)} takes nothing along axis {axis}; there is no gradient to pass on")
        before[axis], after[axis] = min(taken), size - 1 - max(taken)
        if step < 0:
            d = reverse(emit, d, axis)
        if len(taken) > 1 and abs(step) > 1:
            sizes = sizes or list(static_shape(node, node.outputs[0]))
            d = _spread(emit, d, sizes, axis, abs(step))
    return emit.op("Pad", d, [*before, *after]) if any(before) or any(after) else d


def _slices(node: ir.Node, count: int) -> Iterator[tuple[int, int, int, int]]:
    """Yield axis, start, end and step of a Slice node."""
    starts, ends = constant_ints(node, 1) or [], constant_ints(node, 2) or []
    axes = constant_ints(node, 3) if len(node.inputs) > 3 else None
    steps = constant_ints(node, 4) if len(node.inputs) > 4 else None
    axes, steps = axes or list(range(len(starts))), steps or [1] * len(starts)
    for axis, start, end, step in zip(axes, starts, ends, steps, strict=True):
        # An end below every index stands for "through the first element": as None is for Python.
        yield axis % count, start, end, step


def reverse(emit: Emission, value: ir.Value, axis: int) -> ir.Value:
    """Emit the value in reverse order along an axis."""
    return emit.op("Slice", value, [-1], [_TO_THE_FIRST], [axis], [-1])


def _spread(emit: Emission, d: ir.Value, sizes: list[int], axis: int, step: int) -> ir.Value:
    """Put step - 1 zeros between neighbours along an axis, none at the ends, and update the sizes."""
    wide = len(sizes) + 1
    pads = [0] * (2 * wide)
    pads[wide + axis + 1] = step - 1
    d = emit.op("Pad", emit.op("Unsqueeze", d, [axis + 1]), pads)
    length, sizes[axis] = sizes[axis], sizes[axis] * step
    d = emit.op("Reshape", d, list(sizes))
    sizes[axis] = (length - 1) * step + 1
    return emit.op("Slice", d, [0], [sizes[axis]], [axis])

"""Where windows overlap: every window's cotangent sent to its first maximum.

It goes axis by axis, the first one first. Of a window's rows, the first whose maximum is that of the window gets the
cotangent, and in that row the first element that is equal to it: the first in row-major order, after k + k comparisons
instead of k k. A comparison is of whole images, shifted; nothing is gathered or scattered.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import onnx_ir as ir

from impasto.export.vjp_rules.emission import Emission
from impasto.export.vjp_rules.inspection import given, static_shape
from impasto.export.vjp_rules.padding import cropped
from impasto.export.vjp_rules.windows import Windows


def sent_to_first(emit: Emission, node: ir.Node, d: ir.Value, geometry: Windows) -> ir.Value:
    """Emit the sum over all windows of a MaxPool node of d at their first maximum."""
    x = given(node.inputs[0])
    shape, counts = list(static_shape(node, node.outputs[0])), static_shape(node, node.outputs[0])[2:]
    sizes = static_shape(node, x)[2:]
    before, after = geometry.before, [max(end, 0) for end in geometry.reach_after(sizes, counts)]
    sources = [_padded(emit, x, before, after)]  # pooled along no axis, along the last, along the last two ...
    for axis in reversed(range(1, len(sizes))):
        sources.append(_pooled_along(emit, sources[-1], geometry, axis))
    maximum = node.outputs[0]
    for axis, source in zip(range(len(sizes)), reversed(sources), strict=True):
        if not _is_trivial(geometry, axis):
            shape[axis + 2] = before[axis] + sizes[axis] + after[axis]
            parts = _parts_along(emit, d, source, maximum, geometry, axis, counts[axis])
            d = _joined(emit, parts, axis + 2, shape, geometry.strides[axis], counts[axis])
        maximum = source
    return cropped(emit, d, [(0, 0), (0, 0), *zip(before, after, strict=True)])


def _padded(emit: Emission, x: ir.Value, before: Sequence[int], after: Sequence[int]) -> ir.Value:
    """Emit x with minus infinity around it."""
    if not any((*before, *after)):
        return x
    return emit.op("Pad", x, [0, 0, *before, 0, 0, *after], emit.array(-np.inf, x))


def _is_trivial(geometry: Windows, axis: int) -> bool:
    """Whether every element along a spatial axis is a window."""
    return geometry.kernel[axis] == geometry.strides[axis] == 1


def _pooled_along(emit: Emission, x: ir.Value, geometry: Windows, axis: int) -> ir.Value:
    """Emit the maxima along one spatial axis."""
    if _is_trivial(geometry, axis):
        return x

    def only(values: Sequence[int]) -> list[int]:
        return [value if place == axis else 1 for place, value in enumerate(values)]

    return emit.op(
        "MaxPool",
        x,
        kernel_shape=only(geometry.kernel),
        strides=only(geometry.strides),
        dilations=only(geometry.dilations),
    )


def _parts_along(
    emit: Emission, d: ir.Value, x: ir.Value, maximum: ir.Value, geometry: Windows, axis: int, count: int
) -> Mapping[int, ir.Value]:
    """Emit, by offset of the tap, what of d goes to the tap: to the first along the axis that is the maximum."""
    stride, parts = geometry.strides[axis], {}
    last = geometry.kernel[axis] - 1
    for tap in range(last):
        start = tap * geometry.dilations[axis]
        taken = emit.op("Slice", x, [start], [start + stride * (count - 1) + 1], [axis + 2], [stride])
        part = emit.op("Mul", d, emit.cast(emit.op("Equal", taken, maximum), d))
        parts[start] = part
        d = emit.op("Sub", d, part)  # exactly: a part is all or nothing
    return parts | {last * geometry.dilations[axis]: d}


def _joined(
    emit: Emission, parts: Mapping[int, ir.Value], axis: int, shape: Sequence[int], stride: int, count: int
) -> ir.Value:
    """Emit the sum of parts whose elements are a stride apart and begin at an offset; ``shape`` is that of the sum.

    Offsets with one remainder by the stride meet in the same places: they are added up first, and then interleaved.
    """
    length = -(-shape[axis] // stride)
    by_rest: dict[int, ir.Value] = {}
    for offset, part in parts.items():
        start, rest = divmod(offset, stride)
        moved = _moved(emit, part, axis, len(shape), start, length - start - count)
        by_rest[rest] = emit.op("Add", by_rest[rest], moved) if rest in by_rest else moved
    if stride == 1:
        return by_rest[0]
    ahead, behind = shape[:axis], shape[axis + 1 :]
    zeros = emit.op("Expand", emit.array(0.0, by_rest[0]), [*ahead, length, *behind])
    columns = [emit.op("Unsqueeze", by_rest.get(rest, zeros), [axis + 1]) for rest in range(stride)]
    wide = emit.op("Reshape", emit.op("Concat", *columns, axis=axis + 1), [*ahead, length * stride, *behind])
    return emit.op("Slice", wide, [0], [shape[axis]], [axis]) if length * stride > shape[axis] else wide


def _moved(emit: Emission, part: ir.Value, axis: int, axes: int, before: int, after: int) -> ir.Value:
    """Emit a part with zeros in front and behind along an axis."""
    pads = [0] * (2 * axes)
    pads[axis], pads[axes + axis] = before, after
    return emit.op("Pad", part, pads) if any(pads) else part

"""Rules of operators that move elements about.

Supported: Reshape, Flatten, Squeeze, Unsqueeze, Transpose, Concat, Slice (constant bounds, any steps),
Pad (constant, reflect, edge, wrap; constant pads, negative ones with the constant mode).
"""

from collections.abc import Iterator, Sequence

import numpy as np
import onnx_ir as ir
from impasto.export.vjp_rules.emission import (
    Emission,
    constant_ints,
    describe,
    given,
    rank,
    static_shape,
    static_size,
)
from impasto.export.vjp_rules.errors import GradientError
from impasto.export.vjp_rules.table import Cotangents, rule

_TO_THE_FIRST = -(2**31)  # the end of a reversed Slice that takes the whole axis


@rule("Reshape", "Flatten", "Squeeze", "Unsqueeze", inputs=(0,))
def reshape(emit: Emission, node: ir.Node, cotangents: Cotangents, wanted: Sequence[bool]) -> Cotangents:
    """Give d the input's shape."""
    x = given(node.inputs[0])
    return [emit.op("Reshape", cotangents[0], emit.shape_of(x))]


@rule("Transpose")
def transpose(emit: Emission, node: ir.Node, cotangents: Cotangents, wanted: Sequence[bool]) -> Cotangents:
    """Undo the permutation."""
    permutation = node.attributes.get_ints("perm")
    if permutation is None:
        return [emit.op("Transpose", cotangents[0])]
    inverse = [int(axis) for axis in np.argsort(permutation)]
    return [emit.op("Transpose", cotangents[0], perm=inverse)]


@rule("Concat")
def concat(emit: Emission, node: ir.Node, cotangents: Cotangents, wanted: Sequence[bool]) -> Cotangents:
    """Cut d where the parts were joined."""
    axis = node.attributes.get_int("axis", 0) % rank(node, node.outputs[0])
    results: list[ir.Value | None] = []
    start = 0
    for value, is_wanted in zip(node.inputs, wanted, strict=True):
        size = static_size(node, value, axis)
        part = emit.op("Slice", cotangents[0], [start], [start + size], [axis]) if is_wanted else None
        results.append(part)
        start += size
    return results


@rule("Slice", inputs=(0,))
def slice_(emit: Emission, node: ir.Node, cotangents: Cotangents, wanted: Sequence[bool]) -> Cotangents:
    """Put d back between zeros: reversed where the step is negative, spread where it is not 1."""
    d, x, y = given(cotangents[0]), node.inputs[0], node.outputs[0]
    count = rank(node, x)
    before, after, sizes = [0] * count, [0] * count, None
    for axis, start, end, step in _slices(node, count):
        size = static_size(node, x, axis)
        taken = range(*slice(start, end, step).indices(size))
        if not taken:
            raise GradientError(
                f"{describe(node)} takes nothing along axis {axis}; there is no gradient to pass on"
            )
        before[axis], after[axis] = min(taken), size - 1 - max(taken)
        if step < 0:
            d = reverse(emit, d, axis)
        if len(taken) > 1 and abs(step) > 1:
            sizes = sizes or list(static_shape(node, y))
            d = _spread(emit, d, sizes, axis, abs(step))
    return [emit.op("Pad", d, [*before, *after]) if any(before) or any(after) else d]


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


@rule("Pad", inputs=(0, 2))
def pad(emit: Emission, node: ir.Node, cotangents: Cotangents, wanted: Sequence[bool]) -> Cotangents:
    """Cut what was added; elements that padding repeats get the sum over their copies."""
    d, x = given(cotangents[0]), node.inputs[0]
    mode = node.attributes.get_string("mode", "constant")
    pads = _pads(node, rank(node, x))
    if mode == "constant":
        inner = _cropped(emit, d, pads)
        d_value = None
        if len(wanted) > 2 and wanted[2]:
            kept = _cropped(emit, d, [(max(before, 0), max(after, 0)) for before, after in pads])
            d_value = emit.op("Sub", _total(emit, d), _total(emit, kept))
            d_value = emit.op("Reshape", d_value, emit.shape_of(given(node.inputs[2])))
        return [inner if wanted[0] else None, None, d_value]
    for axis, (before, after) in enumerate(pads):
        if before or after:
            size = static_size(node, x, axis)
            d = _fold(emit, d, axis, _padded_indices(node, size, before, after, mode), size)
    return [d]


def _pads(node: ir.Node, count: int) -> list[tuple[int, int]]:
    """Return what is added before and after along every axis."""
    pads = constant_ints(node, 1) or []
    axes = constant_ints(node, 3) if len(node.inputs) > 3 else None
    chosen = [axis % count for axis in axes] if axes is not None else list(range(count))
    result = [(0, 0)] * count
    for position, axis in enumerate(chosen):
        result[axis] = pads[position], pads[position + len(chosen)]
    return result


def _cropped(emit: Emission, d: ir.Value, pads: Sequence[tuple[int, int]]) -> ir.Value:
    """Undo a padding with a constant: cut what was added, zeros for what was cut."""
    axes = [axis for axis, (before, after) in enumerate(pads) if before > 0 or after > 0]
    if axes:
        starts = [max(pads[axis][0], 0) for axis in axes]
        ends = [-pads[axis][1] if pads[axis][1] > 0 else 2**31 - 1 for axis in axes]
        d = emit.op("Slice", d, starts, ends, axes)
    if any(before < 0 or after < 0 for before, after in pads):
        d = emit.op("Pad", d, [max(-before, 0) for before, _ in pads] + [max(-after, 0) for _, after in pads])
    return d


def _total(emit: Emission, value: ir.Value) -> ir.Value:
    return emit.op("ReduceSum", value, keepdims=0)


def _padded_indices(node: ir.Node, size: int, before: int, after: int, mode: str) -> np.ndarray:
    """Return which element of an axis every element of the padded axis is."""
    modes = {"reflect": "reflect", "edge": "edge", "wrap": "wrap"}
    if mode not in modes:
        raise GradientError(
            f"{describe(node)} has mode {mode!r}; there are rules for constant, {', '.join(modes)}"
        )
    if min(before, after) < 0:
        raise GradientError(f"{describe(node)} has negative pads with mode {mode!r}; use Slice and Pad")
    return np.pad(np.arange(size), (before, after), mode)  # type: ignore[call-overload]


def _fold(emit: Emission, d: ir.Value, axis: int, indices: np.ndarray, size: int) -> ir.Value:
    """Sum along an axis the elements of d that are copies of one: run by run, each shifted to its place."""
    total: ir.Value | None = None
    for start, stop, step in _runs(indices):
        part = emit.op("Slice", d, [start], [stop], [axis])
        if step < 0:
            part = reverse(emit, part, axis)
        elif step == 0:
            part = emit.op("ReduceSum", part, [axis], keepdims=1)
        first, last = int(indices[start:stop].min()), int(indices[start:stop].max())
        if first > 0 or last < size - 1:
            part = emit.op("Pad", part, [first, size - 1 - last], None, [axis])
        total = part if total is None else emit.op("Add", total, part)
    return given(total)


def _runs(indices: np.ndarray) -> Iterator[tuple[int, int, int]]:
    """Yield start, stop and step of the maximal runs of constant step 1, 0 or -1."""
    start = 0
    while start < len(indices):
        stop, step = start + 1, 1
        if stop < len(indices) and abs(int(indices[stop] - indices[start])) <= 1:
            step = int(indices[stop] - indices[start])
            while stop < len(indices) and indices[stop] - indices[stop - 1] == step:
                stop += 1
        yield start, stop, step
        start = stop

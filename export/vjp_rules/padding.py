"""The rule of Pad.

Supported: constant (negative pads too, and the constant itself), reflect, edge, wrap; the pads are constants.
"""

from collections.abc import Iterator, Sequence
from typing import Literal

import numpy as np
import onnx_ir as ir

from impasto.export.vjp_rules.emission import Emission
from impasto.export.vjp_rules.errors import GradientError
from impasto.export.vjp_rules.inspection import constant_ints, describe, given, rank, static_size
from impasto.export.vjp_rules.shape import reverse
from impasto.export.vjp_rules.table import Cotangents, rule


@rule("Pad", inputs=(0, 2))
def pad(emit: Emission, node: ir.Node, cotangents: Cotangents, wanted: Sequence[bool]) -> Cotangents:
    """Cut what was added; elements that padding repeats get the sum over their copies."""
    d, x = given(cotangents[0]), node.inputs[0]
    mode = node.attributes.get_string("mode", "constant")
    pads = _pads(node, rank(node, x))
    if mode == "constant":
        inner = cropped(emit, d, pads)
        d_value = None
        if len(wanted) > 2 and wanted[2]:
            kept = cropped(emit, d, [(max(before, 0), max(after, 0)) for before, after in pads])
            d_value = emit.op("Sub", _total(emit, d), _total(emit, kept))
            d_value = emit.op("Reshape", d_value, emit.shape_of(given(node.inputs[2])))
        return [inner if wanted[0] else None, None, d_value]
    for axis, (before, after) in enumerate(pads):
        if before or after:
            size = static_size(node, x, axis)
            d = fold(emit, d, axis, len(pads), _padded_indices(node, size, before, after, mode), size)
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


def cropped(emit: Emission, d: ir.Value, pads: Sequence[tuple[int, int]]) -> ir.Value:
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
    modes: dict[str, Literal["reflect", "edge", "wrap"]] = {"reflect": "reflect", "edge": "edge", "wrap": "wrap"}
    if mode not in modes:
        raise GradientError(f"{describe(node)} has mode {mode!r}; there are rules for constant, {', '.join(modes)}")
    if min(before, after) < 0:
        raise GradientError(f"{describe(node)} has negative pads with mode {mode!r}; use Slice and Pad")
    padded: np.ndarray = np.pad(np.arange(size), (before, after), modes[mode])
    return padded


def fold(emit: Emission, d: ir.Value, axis: int, axes: int, indices: np.ndarray, size: int) -> ir.Value:
    """Sum along an axis the elements of d that are copies of one: the transpose of taking ``indices``.

    It goes run by run: every run of neighbours, forwards, backwards or of one element, is cut out and put in its place.
    d has so many ``axes``, of which ``axis`` is counted from 0; ``size`` is that of the axis that was copied from.
    """
    total: ir.Value | None = None
    for start, stop, step in runs(indices):
        part = emit.op("Slice", d, [start], [stop], [axis])
        if step < 0:
            part = reverse(emit, part, axis)
        elif step == 0:
            part = emit.op("ReduceSum", part, [axis], keepdims=1)
        first, last = int(indices[start:stop].min()), int(indices[start:stop].max())
        if first > 0 or last < size - 1:
            pads = [0] * (2 * axes)
            pads[axis], pads[axes + axis] = first, size - 1 - last
            part = emit.op("Pad", part, pads)
        total = part if total is None else emit.op("Add", total, part)
    return given(total)


def runs(indices: np.ndarray) -> Iterator[tuple[int, int, int]]:
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

"""Rules of operators that take elements by index.

Supported: Gather, GatherElements, GatherND (with batch_dims, if the indices have a static shape).
The indices, which have no derivative, may be computed at run time from opset 16 on.
Gather with constant indices in a few runs (a slice, a reversal, one element) becomes slices.
"""

from collections.abc import Sequence

import numpy as np
import onnx_ir as ir

from impasto.export.vjp_rules.emission import Emission
from impasto.export.vjp_rules.errors import GradientError
from impasto.export.vjp_rules.folding import folded
from impasto.export.vjp_rules.inspection import constant_ints, describe, given, known_size, rank, static_shape
from impasto.export.vjp_rules.padding import fold, runs
from impasto.export.vjp_rules.table import first_input_rule

MOST_RUNS = 4  # more are cheaper as one scatter
SCATTER_OPSET = 16  # the first with reduction="add"


@first_input_rule("Gather")
def gather(emit: Emission, node: ir.Node, x: ir.Value, d: ir.Value) -> ir.Value:
    """Add every element of d up where it was taken from."""
    indices = given(node.inputs[1])
    axes, taken_axes = rank(node, x), rank(node, indices)
    axis = node.attributes.get_int("axis", 0) % axes
    size = known_size(x, axis)
    if size is not None and folded(indices) is not None:
        constant = np.array(constant_ints(node, 1)) % size
        if taken_axes <= 1 and 0 < len(list(runs(constant))) <= MOST_RUNS:
            kept = emit.op("Unsqueeze", d, [axis]) if taken_axes == 0 else d
            return fold(emit, kept, axis, axes, constant, size)
    return _gather_scattered(emit, node, d, x, indices, axis)


def _gather_scattered(
    emit: Emission, node: ir.Node, d: ir.Value, x: ir.Value, indices: ir.Value, axis: int
) -> ir.Value:
    """Emit a ScatterND along the first axis, the others moved out of the way."""
    axes, taken = rank(node, x), rank(node, indices)
    zeros = _zeros(emit, node, x)
    if axis:
        ahead = [axis, *(other for other in range(axes) if other != axis)]
        zeros = emit.op("Transpose", zeros, perm=ahead)
        total = axes - 1 + taken
        moved = range(axis, axis + taken)
        d = emit.op("Transpose", d, perm=[*moved, *(other for other in range(total) if other not in moved)])
    result = emit.op("ScatterND", zeros, emit.op("Unsqueeze", indices, [-1]), d, reduction="add")
    return emit.op("Transpose", result, perm=[int(other) for other in np.argsort(ahead)]) if axis else result


@first_input_rule("GatherElements")
def gather_elements(emit: Emission, node: ir.Node, x: ir.Value, d: ir.Value) -> ir.Value:
    """Add every element of d up where it was taken from."""
    axis = node.attributes.get_int("axis", 0)
    return emit.op("ScatterElements", _zeros(emit, node, x), node.inputs[1], d, axis=axis, reduction="add")


@first_input_rule("GatherND")
def gather_nd(emit: Emission, node: ir.Node, x: ir.Value, d: ir.Value) -> ir.Value:
    """Add every slice of d up where it was taken from."""
    indices = given(node.inputs[1])
    if batch_axes := node.attributes.get_int("batch_dims", 0):
        indices = _with_batch(emit, indices, static_shape(node, indices), batch_axes)
    return emit.op("ScatterND", _zeros(emit, node, x), indices, d, reduction="add")


def _with_batch(emit: Emission, indices: ir.Value, shape: Sequence[int], axes: int) -> ir.Value:
    """Emit the indices with those of the first axes in front, so that they count from the first axis."""
    places = np.indices(shape[:axes]).reshape(axes, *shape[:axes], *(1,) * (len(shape) - 1 - axes))
    spread = np.broadcast_to(np.moveaxis(places, 0, -1), (*shape[:-1], axes))
    return emit.op("Concat", np.ascontiguousarray(spread, np.int64), indices, axis=-1)


def _zeros(emit: Emission, node: ir.Node, x: ir.Value) -> ir.Value:
    """Emit zeros in the shape of x, to add to."""
    if emit.opset < SCATTER_OPSET:
        raise GradientError(
            f"{describe(node)} needs opset {SCATTER_OPSET} or later for its gradient, the model has {emit.opset}; "
            "export it again with a later opset"
        )
    return emit.op("Expand", emit.array(0.0, x), emit.shape_of(x))

"""A network whose convolutions see its image repeated without end, so that results tile.

Zeros around a convolution's input become what lies at the opposite edge. With sides that every stride divides, all maps
are then periodic, and the whole network commutes with rolling the image by the product of the strides.

The opposite edges are cut out and joined on, with Slice and Concat: not every provider has Pad's mode "wrap".
Total variation wraps in the same way, in `impasto.export.losses`.

Differs from Gatys et al.: the paper pads with zeros; this is for textures that tile.
"""

import math
from collections.abc import Sequence

import numpy as np
import onnx_ir as ir
from onnx_ir.tape import Tape

from impasto.export.losses import Emitter, static_shape
from impasto.export.vjp_rules.inspection import given
from impasto.models.errors import ImpastoError

WINDOWED = ("Conv", "AveragePool", "MaxPool")
FIRST_SPATIAL_AXIS = 2


def wrap_padding(model: ir.Model) -> None:
    """Turn the zero padding of every convolution and pooling into a wrap, in place; the new values have no shapes.

    Args:
        model: a chain of convolutions, poolings and elementwise operators, with static shapes.

    Raises:
        ImpastoError: a side is not a multiple of the product of the strides, or the network cannot be periodic.
    """
    windowed = [node for node in model.graph if node.op_type in WINDOWED]
    _check_sides(model, windowed)
    for node in windowed:
        _check_periodic(node)
    tape = Tape()
    emit = Emitter(tape)
    for node in windowed:
        done = len(tape.nodes)
        node.replace_input_with(0, _surrounded(emit, node))
        model.graph.insert_before(node, tape.nodes[done:])
    for constant in tape.initializers:
        model.graph.register_initializer(constant)


def _check_sides(model: ir.Model, windowed: Sequence[ir.Node]) -> None:
    _, _, height, width = static_shape(model.graph.inputs[0])
    step = math.prod(max(_strides(node)) for node in windowed)
    if height % step or width % step:
        raise ImpastoError(
            f"not seamless: {width}x{height} px, both sides must be multiples of {step} px for this network's poolings"
        )


def _check_periodic(node: ir.Node) -> None:
    """Refuse a node that leaves out or repeats positions when its input is periodic."""
    inner, outer = static_shape(given(node.inputs[0])), static_shape(node.outputs[0])
    sides = zip(outer[FIRST_SPATIAL_AXIS:], _strides(node), inner[FIRST_SPATIAL_AXIS:], strict=True)
    automatic = node.attributes.get_string("auto_pad", "NOTSET")
    if automatic != "NOTSET" or any(out * stride != size for out, stride, size in sides):
        raise ImpastoError(
            f"this network cannot be seamless: {node.op_type} {node.name or node.outputs[0].name} makes {outer} of "
            f"{inner}, and only explicit padding that keeps the size (or divides it by the stride) can be wrapped"
        )


def _surrounded(emit: Emitter, node: ir.Node) -> ir.Value:
    """Return a node's input with the opposite edges around it, and take the node's own padding away."""
    pads = node.attributes.get_ints("pads", (0, 0, 0, 0))
    value, shape = given(node.inputs[0]), static_shape(given(node.inputs[0]))
    for axis, (before, after) in enumerate(zip(*np.array_split(pads, 2), strict=True), FIRST_SPATIAL_AXIS):
        parts = [value]
        if before:
            parts.insert(0, _cut(emit, value, axis, shape[axis] - int(before), shape[axis]))
        if after:
            parts.append(_cut(emit, value, axis, 0, int(after)))
        if len(parts) > 1:
            value = emit.op("Concat", *parts, axis=axis, name=f"{node.outputs[0].name}.wrapped_{axis}")
    node.attributes["pads"] = ir.AttrInt64s("pads", [0] * len(pads))
    return value


def _cut(emit: Emitter, value: ir.Value, axis: int, start: int, end: int) -> ir.Value:
    bounds = (emit.ints(f"wrap_{number}", number) for number in (start, end, axis))
    return emit.op("Slice", value, *bounds)


def _strides(node: ir.Node) -> Sequence[int]:
    return node.attributes.get_ints("strides", (1, 1))

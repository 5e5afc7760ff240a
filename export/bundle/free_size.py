"""A targets graph that takes images of any size, from one that was built for a single size.

Three kinds of constants depend on the size: the shape that a tap's maps are flattened to, one over the number of their
positions, and the cuts that join on the opposite edges of a seamless image.
"""

import numpy as np
import onnx_ir as ir
from onnx_ir.passes import common
from onnx_ir.tape import Tape

from impasto.export.bundle.sides import HEIGHT, WIDTH
from impasto.export.library_errors import without_remarks
from impasto.export.losses import static_shape
from impasto.export.vjp_rules.inspection import given
from impasto.models.errors import ImpastoError

_END = np.iinfo(np.int64).max
_FIRST_SPATIAL_AXIS = 2


def free_size(model: ir.Model) -> None:
    """Let a targets graph take images of any height and width, in place.

    The arithmetic for the size that it was built for stays the same. ONNX Runtime merges a constant factor into the
    product before it, which rounds otherwise, so the Gram matrices of the two graphs differ by rounding.

    Args:
        model: from `impasto.export.objective.build_targets`.

    Raises:
        ImpastoError: the maps of a tap have no factor of 1 over their positions to be replaced.
    """
    image = model.graph.inputs[0]
    batch = static_shape(image)[0]
    channels = {
        output.name: static_shape(output)[1] for output in model.graph.outputs if len(static_shape(output)) == 4
    }
    for node in list(model.graph):
        if node.op_type == "Reshape":
            _free_flattening(model.graph, node)
        elif node.op_type == "Slice":
            _free_cut(model.graph, node)
    common.RemoveUnusedNodesPass()(model)
    for node in model.graph:
        for value in node.outputs:
            value.shape = None
    image.shape = ir.Shape((batch, 3, HEIGHT, WIDTH))
    for output in model.graph.outputs:
        if output.name in channels:
            sides = (f"{output.name}.{side}" for side in (HEIGHT, WIDTH))
            output.shape = ir.Shape((batch, channels[output.name], *sides))
    with without_remarks():
        common.ShapeInferencePass(check_type=True, strict_mode=True)(model)


def _free_flattening(graph: ir.Graph, node: ir.Node) -> None:
    """Have the flattening of a tap count the positions itself."""
    maps, flat = given(node.inputs[0]), node.outputs[0]
    if maps.shape is None or len(maps.shape) != 4 or flat.shape is None or len(flat.shape) != 3:
        return
    _, channels, height, width = static_shape(maps)
    if static_shape(flat)[2] != height * width or height * width == 1:
        return
    name = flat.name
    tape = Tape()
    emitted = {
        "shape": np.array([0, channels, -1], np.int64),
        "last": np.array([2], np.int64),
        "scalar": np.array([], np.int64),
    }
    constants = {key: tape.initializer(ir.tensor(value, name=f"{name}.free_{key}")) for key, value in emitted.items()}
    node.replace_input_with(1, constants["shape"])
    count = tape.op("Gather", [tape.op("Shape", [flat]), constants["last"]])
    scalar = tape.op("Reshape", [tape.op("Cast", [count], {"to": ir.DataType.FLOAT}), constants["scalar"]])
    share = tape.op("Reciprocal", [scalar])
    share.name = f"{name}.share"
    graph.insert_after(node, tape.nodes)
    for constant in tape.initializers:
        graph.register_initializer(constant)
    if not _replace_factor(flat, np.float32(1.0 / (height * width)), share):
        raise ImpastoError(
            f"cannot make a graph for images of any size: {name} has no factor of 1 over its {height * width} "
            "positions; report this with the settings"
        )


def _replace_factor(flat: ir.Value, factor: np.float32, share: ir.Value) -> int:
    """Replace a constant factor of the products of maps, and return how many products had it."""
    replaced = 0
    for product in [use.node for use in flat.uses()]:
        for scaled in [use.node for value in product.outputs for use in value.uses() if use.node.op_type == "Mul"]:
            for index, value in enumerate(scaled.inputs):
                tensor = None if value is None else value.const_value
                if tensor is not None and np.all(tensor.numpy() == factor):
                    scaled.replace_input_with(index, share)
                    replaced += 1
    return replaced


def _free_cut(graph: ir.Graph, node: ir.Node) -> None:
    """Have a cut at the far edge of an image count from there."""
    values = [value.const_value for value in node.inputs[1:4] if value is not None]
    if len(values) < 3 or any(value is None for value in values):
        return
    start, end, axis = (int(value.numpy()[0]) for value in values if value is not None)
    shape = static_shape(given(node.inputs[0]))
    if axis < _FIRST_SPATIAL_AXIS or end != shape[axis]:
        return
    for index, number in ((1, start - shape[axis]), (2, _END)):
        name = f"{node.outputs[0].name}.free_{index}"
        bound = ir.val(name, const_value=ir.tensor(np.array([number], np.int64), name=name))
        graph.register_initializer(bound)
        node.replace_input_with(index, bound)

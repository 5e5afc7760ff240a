"""What ONNX Runtime's own kernels for processors run faster.

They compute convolutions in a layout of blocked channels (NCHWc), which Greater, Where and multiplication by a scalar
leave, at the price of a reordering on either side. The rewrites keep the way of the cotangents inside that layout. The
gradient stays the same but for rounding; `bench/lowering.py` measures what each is worth.

For this provider only: OpenVINO runs the rewritten graph more slowly.
"""

from collections.abc import Callable, Iterable, Mapping

import numpy as np
import onnx_ir as ir

from impasto.export.preparation import infer_shapes

Rewrite = Callable[[ir.Graph], None]

# HardSigmoid(y) = max(0, min(1, alpha y + beta)) is 0 at 0 and 1 from 1e-30 on. Beta must not be 0, which OpenVINO
# reads as its default 1/2, should the graph ever get there.
MASK_ALPHA, MASK_BETA = 1e30, -1e-6
_POOL_FREE = {"kernel_shape": [1, 1], "strides": [1, 1]}


def lower_for_cpu(model: ir.Model, names: Iterable[str] | None = None) -> None:
    """Rewrite a model in place.

    Args:
        model: float32, with static shapes.
        names: of `REWRITES`, in their order; None is all of them.
    """
    infer_shapes(model)
    for name in REWRITES if names is None else names:
        REWRITES[name](model.graph)


def mask_by_product(graph: ir.Graph) -> None:
    """Turn the mask of a ReLU's cotangent, Where(Greater(y, 0), d, 0), into the product of d and a step of y."""
    for node in list(graph):
        compared = _mask_operand(node)
        if compared is not None:
            step = _after(graph, node, "HardSigmoid", [compared], f"{node.outputs[0].name}.mask")
            step.attributes.update({"alpha": ir.AttrFloat32("alpha", MASK_ALPHA)})
            step.attributes.update({"beta": ir.AttrFloat32("beta", MASK_BETA)})
            _replace(graph, node, "Mul", [node.inputs[1], step.outputs[0]])


def enter_layout_before_sums(graph: ir.Graph) -> None:
    """Send what is added to a convolution's result through a pooling of one pixel, which blocks its channels."""
    for node in list(graph):
        if node.op_type != "Add":
            continue
        producers = [value.producer() if value is not None else None for value in node.inputs]
        for index, (value, other) in enumerate(zip(node.inputs, reversed(producers), strict=True)):
            if other is not None and other.op_type in ("Conv", "Resize") and _is_plain(value, producers[index]):
                pool = _after(graph, node, "AveragePool", [value], f"{node.outputs[0].name}.blocked_{index}")
                pool.attributes.update({key: ir.AttrInt64s(key, sizes) for key, sizes in _POOL_FREE.items()})
                node.replace_input_with(index, pool.outputs[0])


REWRITES: Mapping[str, Rewrite] = {
    "mask_by_product": mask_by_product,
    "enter_layout_before_sums": enter_layout_before_sums,
}


def _mask_operand(node: ir.Node) -> ir.Value | None:
    """Return y of Where(Greater(y, 0), d, 0) where y is a ReLU's result; None for any other node."""
    if node.op_type != "Where" or not _is_zero(node.inputs[2]):
        return None
    greater = node.inputs[0].producer() if node.inputs[0] is not None else None
    if greater is None or greater.op_type != "Greater" or not _is_zero(greater.inputs[1]):
        return None
    compared = greater.inputs[0]
    producer = compared.producer() if compared is not None else None
    return compared if producer is not None and producer.op_type == "Relu" else None


def _is_zero(value: ir.Value | None) -> bool:
    """Return whether a value is a constant of one element, 0."""
    tensor = value.const_value if value is not None else None
    return tensor is not None and tensor.size == 1 and not np.any(tensor.numpy())


def _is_plain(value: ir.Value | None, producer: ir.Node | None) -> bool:
    """Return whether a value is an image's size of channels that some other kernel made."""
    if value is None or value.shape is None or len(value.shape) != 4:
        return False
    return producer is not None and producer.op_type in ("Mul", "Reshape")


def _after(graph: ir.Graph, node: ir.Node, op_type: str, inputs: list[ir.Value | None], name: str) -> ir.Node:
    """Insert a node before another, with a result like the first input."""
    made = ir.node(op_type, inputs, num_outputs=1)
    result, first = made.outputs[0], inputs[0]
    result.name, result.type = name, ir.TensorType(ir.DataType.FLOAT)
    result.shape = first.shape if first is not None else None
    graph.insert_before(node, made)
    return made


def _replace(graph: ir.Graph, node: ir.Node, op_type: str, inputs: list[ir.Value | None]) -> None:
    """Put a node in the place of another, under its result's name; what that alone read is removed."""
    name, conditions = node.outputs[0].name, node.inputs[0]
    made = _after(graph, node, op_type, inputs, name or "")
    made.outputs[0].shape = node.outputs[0].shape
    node.outputs[0].replace_all_uses_with(made.outputs[0])
    graph.remove(node, safe=True)
    producer = conditions.producer() if conditions is not None else None
    if producer is not None and not any(output.uses() for output in producer.outputs):
        graph.remove(producer, safe=True)

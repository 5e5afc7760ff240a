"""Rewrites that ONNX Runtime's own kernels for processors run faster.

They compute convolutions in a layout of blocked channels (NCHWc), which Greater, Where and multiplication by a scalar
leave, at the price of a reordering on either side. The rewrites keep the cotangents inside that layout. The
gradient stays the same except for rounding; `bench/lowering.py` measures the gain of each.

For this provider only: OpenVINO runs the rewritten graph more slowly.
"""

from collections.abc import Callable, Iterable, Mapping

import onnx_ir as ir

from impasto.export.lowering.rewriting import Inserter, is_zero, masked_relu, producer
from impasto.export.shape_inference import infer_shapes

Rewrite = Callable[[ir.Graph], None]

# HardSigmoid(y) = max(0, min(1, alpha y + beta)) is 0 at 0 and 1 from 1e-30 on. Beta must not be 0, which OpenVINO
# reads as its default 1/2, should the graph ever get there.
MASK_ALPHA, MASK_BETA = 1e30, -1e-6


def lower_for_cpu(model: ir.Model, names: Iterable[str] | None = None) -> None:
    """Rewrite a model, float32 with static shapes, in place, by the named of `REWRITES`; None is all of them."""
    infer_shapes(model)
    for name in REWRITES if names is None else names:
        REWRITES[name](model.graph)


def mask_by_product(graph: ir.Graph) -> None:
    """Turn the mask of a ReLU's cotangent, Where(Greater(y, 0), d, 0), into the product of d and a step of y."""
    for node in list(graph):
        if node.op_type != "Where" or not is_zero(node.inputs[2]):
            continue
        greater = producer(node.inputs[0])
        y = masked_relu(greater)
        if greater is not None and y is not None:
            insert, d = Inserter(graph, node), node.inputs[1]
            step = insert("HardSigmoid", y, like=y, alpha=MASK_ALPHA, beta=MASK_BETA)
            insert.take_over(insert("Mul", d, step, like=node.outputs[0]))
            if not greater.outputs[0].uses():
                graph.remove(greater, safe=True)


def enter_layout_before_sums(graph: ir.Graph) -> None:
    """Send what is added to a convolution's result through a pooling of one pixel, which blocks its channels."""
    for node in list(graph):
        if node.op_type != "Add":
            continue
        insert, producers = Inserter(graph, node), [producer(value) for value in node.inputs]
        for index, (value, other) in enumerate(zip(node.inputs, reversed(producers), strict=True)):
            if other is not None and other.op_type in ("Conv", "Resize") and _is_plain(value, producers[index]):
                pool = insert("AveragePool", value, like=value, kernel_shape=[1, 1], strides=[1, 1])
                node.replace_input_with(index, pool)


REWRITES: Mapping[str, Rewrite] = {
    "mask_by_product": mask_by_product,
    "enter_layout_before_sums": enter_layout_before_sums,
}


def _is_plain(value: ir.Value | None, made_by: ir.Node | None) -> bool:
    """Return whether a value is an image's size of channels that some other kernel made."""
    if value is None or value.shape is None or len(value.shape) != 4:
        return False
    return made_by is not None and made_by.op_type in ("Mul", "Reshape")

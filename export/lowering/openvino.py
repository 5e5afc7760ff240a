"""Rewrites that OpenVINO runs faster on processors with bfloat16.

It computes their convolutions with the channels last in memory. A Gram matrix of feature maps that are flattened
channels first needs them reordered, and its gradient needs it back; flattened channels last, both are free. The plain
mask of a ReLU, Where(Greater(y, 0), d, 0), is the right one here: the forms that are faster elsewhere are not.
"""

import onnx_ir as ir
from onnx_ir.passes import common

from impasto.export.losses import static_shape
from impasto.export.lowering.rewriting import MATRIX_AXES, Inserter, is_symmetric, producer, sizes_of
from impasto.export.shape_inference import infer_shapes
from impasto.export.vjp_rules.inspection import given
from impasto.export.vjp_rules.linear import is_transpose

CHANNELS_LAST, CHANNELS_FIRST, TRANSPOSED = (0, 2, 3, 1), (0, 3, 1, 2), (0, 2, 1)


def lower_for_openvino(model: ir.Model) -> None:
    """Rewrite a model, float32 with static shapes, in place."""
    infer_shapes(model)
    for node in list(model.graph):
        features = _gram_of(node)
        if features is not None:
            _flatten_channels_last(model.graph, node, features)
    common.RemoveUnusedNodesPass()(model)


def _gram_of(node: ir.Node) -> ir.Value | None:
    """Return F of MatMul(f, Transpose(f)) where f = Reshape(F) has the channels first; None for any other node."""
    if node.op_type != "MatMul" or node.inputs[0] is None or node.inputs[1] is None:
        return None
    flat, reshape = node.inputs[0], producer(node.inputs[0])
    if not is_transpose(node.inputs[1], flat, MATRIX_AXES) or reshape is None or reshape.op_type != "Reshape":
        return None
    before, after = sizes_of(reshape.inputs[0]), sizes_of(flat)
    if before is None or len(before) != 4 or after != (*before[:2], before[2] * before[3]):
        return None
    return reshape.inputs[0]


def _flatten_channels_last(graph: ir.Graph, gram: ir.Node, features: ir.Value) -> None:
    """Put MatMul(Transpose(f), f) with f = Reshape(Transpose(F)) in its place, and the like for its gradient."""
    sizes = static_shape(features)
    batch, channels, height, width = sizes
    backward = [user for user, index in given(gram.inputs[0]).uses() if user.op_type == "MatMul" and index == 1]
    insert = Inserter(graph, gram)
    rows = insert("Transpose", features, perm=CHANNELS_LAST)
    rows = insert("Reshape", rows, insert.integers((batch, height * width, channels)))
    insert.take_over(insert("MatMul", insert("Transpose", rows, perm=TRANSPOSED), rows))
    for node in backward:
        restored = _restored(node, sizes)
        if restored is not None:
            insert, left = Inserter(graph, restored), node.inputs[0]
            other = left if is_symmetric(left) else insert("Transpose", left, perm=TRANSPOSED)
            d_rows = insert("MatMul", rows, other)
            d_rows = insert("Reshape", d_rows, insert.integers((batch, height, width, channels)))
            insert.take_over(insert("Transpose", d_rows, perm=CHANNELS_FIRST))


def _restored(node: ir.Node, sizes: tuple[int, ...]) -> ir.Node | None:
    """Return the Reshape that alone reads a node's result and gives it the features' shape; None otherwise."""
    uses = list(node.outputs[0].uses())
    if len(uses) != 1 or uses[0][0].op_type != "Reshape" or node.outputs[0].is_graph_output():
        return None
    return uses[0][0] if sizes_of(uses[0][0].outputs[0]) == sizes else None

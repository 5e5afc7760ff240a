"""Rules of matrix products.

Supported: MatMul (any ranks, batch axes broadcast), Gemm (transA, transB, alpha, beta, C broadcast). A
product of a matrix with its own transpose, the Gram matrix F F^T, costs one product in reverse, (d + d^T) F, instead
of two.
"""

from collections.abc import Sequence

import onnx_ir as ir

from impasto.export.vjp_rules.emission import Emission
from impasto.export.vjp_rules.errors import GradientError
from impasto.export.vjp_rules.inspection import describe, given, rank
from impasto.export.vjp_rules.table import Cotangents, rule


@rule("MatMul")
def matmul(emit: Emission, node: ir.Node, cotangents: Cotangents, wanted: Sequence[bool]) -> Cotangents:
    """Differentiate A B."""
    d, (a, b) = given(cotangents[0]), map(given, node.inputs)
    return product_cotangents(emit, node, d, a, b, wanted)


def product_cotangents(
    emit: Emission, node: ir.Node, d: ir.Value, a: ir.Value, b: ir.Value, wanted: Sequence[bool]
) -> Cotangents:
    """Emit d B^T and A^T d; vectors are taken as matrices with one row or column."""
    rank_a, rank_b = rank(node, a), rank(node, b)
    if is_transpose(b, a, rank_a):
        return [emit.op("MatMul", _symmetric(emit, d, rank_a), a), None]
    if is_transpose(a, b, rank_b):
        return [None, emit.op("MatMul", b, _symmetric(emit, d, rank_b))]
    if rank_a == 1:
        d = emit.op("Unsqueeze", d, [-2] if rank_b > 1 else [0])
    if rank_b == 1:
        d = emit.op("Unsqueeze", d, [-1])
    return [
        _d_left(emit, node, d, a, b) if wanted[0] else None,
        _d_right(emit, node, d, a, b) if wanted[1] else None,
    ]


def is_transpose(value: ir.Value, of: ir.Value, axes: int) -> bool:
    """Whether a value is another one with its last two axes exchanged."""
    producer = value.producer()
    if producer is None or producer.op_type != "Transpose" or producer.domain or producer.inputs[0] is not of:
        return False
    permutation = producer.attributes.get_ints("perm", tuple(reversed(range(axes))))
    return axes >= 2 and list(permutation) == _exchanged(axes)


def transposed(emit: Emission, value: ir.Value, axes: int) -> ir.Value:
    """Emit the exchange of the last two axes, or return what the value is the exchange of."""
    producer = value.producer()
    if producer is not None and producer.op_type == "Transpose" and not producer.domain:
        source = producer.inputs[0]
        if source is not None and is_transpose(value, source, axes):
            return source
    return emit.op("Transpose", value, perm=_exchanged(axes))


def _exchanged(axes: int) -> list[int]:
    return [*range(axes - 2), axes - 1, axes - 2]


def _symmetric(emit: Emission, d: ir.Value, axes: int) -> ir.Value:
    """Emit d + d^T."""
    return emit.op("Add", d, emit.op("Transpose", d, perm=_exchanged(axes)))


def _d_left(emit: Emission, node: ir.Node, d: ir.Value, a: ir.Value, b: ir.Value) -> ir.Value:
    rank_b = rank(node, b)
    turned = emit.op("Unsqueeze", b, [0]) if rank_b == 1 else transposed(emit, b, rank_b)
    return _as_operand(emit, node, emit.op("MatMul", d, turned), a, b, -2)


def _d_right(emit: Emission, node: ir.Node, d: ir.Value, a: ir.Value, b: ir.Value) -> ir.Value:
    rank_a = rank(node, a)
    turned = emit.op("Unsqueeze", a, [1]) if rank_a == 1 else transposed(emit, a, rank_a)
    return _as_operand(emit, node, emit.op("MatMul", turned, d), b, a, -1)


def _as_operand(
    emit: Emission, node: ir.Node, result: ir.Value, operand: ir.Value, other: ir.Value, vector_axis: int
) -> ir.Value:
    """Take away the axis that made a vector a matrix, and tell the walk the shape of the cotangent.

    It has the batch axes of the product and the matrix of the operand.
    """
    product, rank_operand, rank_other = node.outputs[0].shape, rank(node, operand), rank(node, other)
    if rank_operand == 1:
        result = emit.op("Squeeze", result, [vector_axis])
    if max(rank_operand, rank_other) <= 2:
        return result
    if product is None or operand.shape is None:
        raise GradientError(f"{describe(node)} has a result of unknown shape; give the model's inputs a shape")
    matrix_axes = 2 - (rank_operand == 1) - (rank_other == 1)
    batch = list(product)[: len(product) - matrix_axes]
    result.shape = ir.Shape([*batch, *list(operand.shape)[-2:]])
    return result


@rule("Gemm")
def gemm(emit: Emission, node: ir.Node, cotangents: Cotangents, wanted: Sequence[bool]) -> Cotangents:
    """Differentiate alpha A' B' + beta C, where A' is A or its transpose."""
    d, (a, b) = given(cotangents[0]), map(given, node.inputs[:2])
    alpha, beta = node.attributes.get_float("alpha", 1.0), node.attributes.get_float("beta", 1.0)
    turns_a, turns_b = node.attributes.get_int("transA", 0), node.attributes.get_int("transB", 0)
    d_a = d_b = d_c = None
    if a is b and turns_a != turns_b:
        left, right = (a, _symmetric(emit, d, 2)) if turns_a else (_symmetric(emit, d, 2), a)
        d_a = emit.op("Gemm", left, right, alpha=alpha)
    else:
        if wanted[0]:
            left, right = (b, d) if turns_a else (d, b)
            d_a = emit.op("Gemm", left, right, alpha=alpha, transA=turns_a * turns_b, transB=turns_a or 1 - turns_b)
        if wanted[1]:
            left, right = (d, a) if turns_b else (a, d)
            d_b = emit.op("Gemm", left, right, alpha=alpha, transA=turns_b or 1 - turns_a, transB=turns_a * turns_b)
    if len(wanted) > 2 and wanted[2]:
        d_c = d if beta == 1.0 else emit.op("Mul", d, beta)
        d_c.shape = node.outputs[0].shape
    return [d_a, d_b, d_c]

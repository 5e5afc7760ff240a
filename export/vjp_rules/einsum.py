"""The rule of Einsum.

Supported: any number of operands, implicit output, ellipsis with broadcasting. Refused: a label repeated within one
operand (a diagonal), a sum over the ellipsis. The cotangent of an operand is the Einsum of d and the other operands,
with the operand's labels for a result. A product of a value with itself that is symmetric in its labels, such as
"bik,bjk->bij", costs one Einsum in reverse instead of two.
"""

from collections.abc import Sequence

import onnx_ir as ir

from impasto.export.vjp_rules.emission import Emission
from impasto.export.vjp_rules.errors import GradientError
from impasto.export.vjp_rules.inspection import describe, given, rank
from impasto.export.vjp_rules.table import Cotangents, rule

DOTS = "..."


@rule("Einsum")
def einsum(emit: Emission, node: ir.Node, cotangents: Cotangents, wanted: Sequence[bool]) -> Cotangents:
    """Exchange the operand and the result."""
    d, operands = given(cotangents[0]), [given(value) for value in node.inputs]
    terms, result = _parsed(node)
    if len(operands) == 2 and operands[0] is operands[1]:
        permutation = _symmetry(terms, result)
        if permutation is not None:
            both = emit.op("Add", d, emit.op("Transpose", d, perm=permutation))
            return [_exchanged(emit, node, both, operands, terms, result, 0), None]
    return [
        _exchanged(emit, node, d, operands, terms, result, index) if is_wanted else None
        for index, is_wanted in enumerate(wanted)
    ]


def _parsed(node: ir.Node) -> tuple[list[str], str]:
    """Return the labels of the operands and of the result, which may be implicit."""
    equation = node.attributes.get_string("equation", "").replace(" ", "")
    left, arrow, result = equation.partition("->")
    terms = left.split(",")
    for term in terms:
        labels = term.replace(DOTS, "")
        if len(set(labels)) != len(labels):
            raise GradientError(f"{describe(node)} takes a diagonal ({equation}), which has no gradient rule")
    if arrow and DOTS in left and DOTS not in result:
        raise GradientError(f"{describe(node)} sums over its ellipsis ({equation}), which has no gradient rule")
    if not arrow:
        letters = left.replace(DOTS, "").replace(",", "")
        once = sorted(label for label in set(letters) if letters.count(label) == 1)
        result = (DOTS if DOTS in left else "") + "".join(once)
    return terms, result


def _symmetry(terms: Sequence[str], result: str) -> list[int] | None:
    """Return how the result's axes are permuted when the two operands change places, None where that changes more."""
    first, second = terms
    if DOTS in first + second + result or len(first) != len(second):
        return None
    swap = dict(zip(first, second, strict=True))
    swap |= {other: label for label, other in swap.items() if other not in swap}
    if any(swap.get(swap[label]) != label for label in first + second):
        return None
    return [result.index(swap[label]) for label in result] if all(swap[label] in result for label in result) else None


def _exchanged(
    emit: Emission,
    node: ir.Node,
    d: ir.Value,
    operands: Sequence[ir.Value],
    terms: Sequence[str],
    result: str,
    index: int,
) -> ir.Value:
    """Emit the cotangent of one operand."""
    others = [position for position in range(len(operands)) if position != index]
    own = terms[index]
    known = result + "".join(terms[position] for position in others)
    missing = [label for label in own.replace(DOTS, "") if label not in known]
    target = "".join(character for character in own if character not in missing)
    if DOTS in result and DOTS not in own:
        target = DOTS + target
    equation = ",".join([result, *(terms[position] for position in others)]) + "->" + target
    value = emit.op("Einsum", d, *(operands[position] for position in others), equation=equation)
    if missing:  # the operand was summed along these axes
        own_rank = rank(node, operands[index])
        value = emit.op("Unsqueeze", value, [_position(own, own_rank, label) - own_rank for label in missing])
        value = emit.op("Expand", value, emit.shape_of(operands[index]))
    if DOTS in result:
        value.shape = _broadcast_shape(node, operands[index], own, result)
    return value


def _position(own: str, own_rank: int, label: str) -> int:
    """Return the axis of a label in an operand, an ellipsis counted as the axes that it stands for."""
    dots = own_rank - len(own.replace(DOTS, "")) if DOTS in own else 0
    return own.replace(DOTS, "." * dots).index(label)


def _broadcast_shape(node: ir.Node, operand: ir.Value, own: str, result: str) -> ir.Shape:
    """Return the shape of an operand's cotangent before the walk undoes the broadcasting of the ellipsis."""
    count = rank(node, node.outputs[0]) - len(result.replace(DOTS, ""))
    start = result.index(DOTS)
    dots = list(node.outputs[0].shape or ())[start : start + count]
    sizes = list(operand.shape or ())
    if DOTS not in own:
        return ir.Shape([*dots, *sizes])
    position = own.index(DOTS)
    return ir.Shape([*sizes[:position], *dots, *sizes[position + count :]])

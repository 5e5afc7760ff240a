"""The rule of Einsum.

Supported: any number of operands, implicit output, ellipsis with broadcasting. Refused: a label repeated within one
operand (a diagonal), a sum over the ellipsis. The cotangent of an operand is the Einsum of d and the other operands,
with the operand's labels for a result. A product of a value with itself that is symmetric in its labels, such as
"bik,bjk->bij", costs one Einsum in reverse instead of two.
"""

from collections.abc import Sequence

import onnx_ir as ir

from impasto.export.vjp_rules.emission import Emission, describe, given, rank
from impasto.export.vjp_rules.errors import GradientError
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
        letters = own.replace(DOTS, "")
        value = emit.op("Unsqueeze", value, [letters.index(label) - len(letters) for label in missing])
        value = emit.op("Expand", value, emit.shape_of(operands[index]))
    if DOTS in result:
        value.shape = _shape_with_dots(node, operands[index], own, result, bool(missing))
    return value


def _shape_with_dots(node: ir.Node, operand: ir.Value, own: str, result: str, has_missing: bool) -> ir.Shape:
    """Return the shape that an operand's cotangent has before the walk undoes the broadcasting of the ellipsis."""
    count = rank(node, node.outputs[0]) - len(result.replace(DOTS, ""))
    start, shape = result.index(DOTS), node.outputs[0].shape
    own_count = rank(node, operand) - len(own.replace(DOTS, ""))
    position = own.index(DOTS) if DOTS in own else 0
    if position and (own_count != count or has_missing):
        raise GradientError(
            f"{describe(node)} broadcasts or sums an operand whose ellipsis is not in front, which has no gradient rule"
        )
    sizes = list(operand.shape or ())
    return ir.Shape([*sizes[:position], *list(shape or ())[start : start + count], *sizes[position + own_count :]])

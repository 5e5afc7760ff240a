"""The check of the rules catches wrong rules."""

import dataclasses
from collections.abc import Callable, Sequence

import onnx_ir as ir
import pytest

from impasto.export.vjp_rules import RULES, Emission
from impasto.export.vjp_rules.table import Cotangents
from tests.export.vjp_rules.cases.case import Case, case, distinct, random
from tests.export.vjp_rules.projection import TOLERANCE, projection_error

Change = Callable[[Emission, ir.Value], ir.Value]

CONV = case("Conv", random(1, 2, 6, 5), random(3, 2, 3, 3, seed=1), pads=[1, 1, 1, 1])
WRONG: dict[str, Change] = {
    "sign": lambda emit, value: emit.op("Neg", value),
    "factor": lambda emit, value: emit.op("Mul", value, 1.001),
}


def _with_changed_result(monkeypatch: pytest.MonkeyPatch, op: str, change: Change) -> None:
    rule = RULES[op]

    def wrong(emit: Emission, node: ir.Node, cotangents: Cotangents, wanted: Sequence[bool]) -> Cotangents:
        results = rule.function(emit, node, cotangents, wanted)
        return [None if value is None else change(emit, value) for value in results]

    monkeypatch.setitem(RULES, op, dataclasses.replace(rule, function=wrong))


@pytest.mark.parametrize("change", ["sign", "factor"])
@pytest.mark.parametrize(
    "checked",
    [
        CONV,
        case("Relu", random(3, 4)),
        case("MatMul", random(3, 4), random(4, 5, seed=1), wrt=(0, 1)),
        case("MaxPool", distinct(1, 2, 7, 6), kernel_shape=[2, 2], strides=[2, 2]),
        case("Softmax", random(3, 4)),
    ],
    ids=str,
)
def test_wrong_sign_or_factor_is_caught(monkeypatch: pytest.MonkeyPatch, checked: Case, change: str) -> None:
    assert projection_error(checked) < TOLERANCE
    _with_changed_result(monkeypatch, checked.op, WRONG[change])
    assert projection_error(checked) > 10 * TOLERANCE


def test_exchanged_axes_are_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    square = case("Conv", random(1, 2, 5, 5), random(3, 2, 3, 3, seed=1), pads=[1, 1, 1, 1])
    _with_changed_result(monkeypatch, "Conv", lambda emit, value: emit.op("Transpose", value, perm=[0, 1, 3, 2]))
    assert projection_error(square) > 10 * TOLERANCE


def test_kernel_that_is_not_reversed_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    rule = RULES["Conv"]

    def unreversed(emit: Emission, node: ir.Node, cotangents: Cotangents, wanted: Sequence[bool]) -> Cotangents:
        turned = emit.op("Transpose", node.inputs[1], perm=[1, 0, 2, 3])
        return [emit.op("Conv", cotangents[0], turned, pads=[1, 1, 1, 1])]

    monkeypatch.setitem(RULES, "Conv", dataclasses.replace(rule, function=unreversed))
    assert projection_error(CONV) > 10 * TOLERANCE


@pytest.mark.parametrize("op", ["Add", "Mul", "Div", "Where", "PRelu"])
def test_broadcasting_that_is_not_undone_is_caught(monkeypatch: pytest.MonkeyPatch, op: str) -> None:
    narrow, wide = random(3, 1), random(2, 3, 4, seed=1)
    inputs = {"Where": (wide > 0, wide, narrow), "PRelu": (wide, narrow)}.get(op, (wide, narrow))
    checked = case(op, *inputs, wrt=(len(inputs) - 1,))
    assert projection_error(checked) < TOLERANCE
    monkeypatch.setattr(
        "impasto.export.gradient.walk._unbroadcast", lambda emit, node, rule, cotangent, value: cotangent
    )
    with pytest.raises(AssertionError):
        projection_error(checked)


def test_half_of_a_sum_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    """The summed cotangents of a repeated input: an Add of a value with itself passes d twice."""
    rule = RULES["Add"]
    first_only = dataclasses.replace(rule, function=lambda emit, node, cotangents, wanted: [cotangents[0], None])
    checked = case("Add", random(3, 4), random(3, 4, seed=1), wrt=(0, 1))
    monkeypatch.setitem(RULES, "Add", first_only)
    assert projection_error(checked) > 10 * TOLERANCE

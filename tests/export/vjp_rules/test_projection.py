"""Every gradient rule against a central difference, in float64 on the ONNX reference evaluator."""

import pytest

from impasto.export.vjp_rules import EXPANSIONS, RULES
from tests.export.vjp_rules.cases import CASES, Case
from tests.export.vjp_rules.projection import projection_error, tolerance

# test_straight_through has those of quantisation, and gradient/test_control_flow that of If.
EXACT = {op: rule for op, rule in RULES.items() if not rule.is_straight_through and op != "If"}


@pytest.mark.parametrize("case", CASES, ids=str)
def test_gradient_is_the_slope_in_a_random_direction(case: Case) -> None:
    assert projection_error(case) < tolerance(case)


def test_every_rule_has_a_case() -> None:
    assert {case.op for case in CASES} == {*EXACT, *EXPANSIONS}


def test_every_differentiable_input_has_a_case() -> None:
    """A variadic operator has all of its inputs differentiable: two of them stand for the others."""
    for op, rule in EXACT.items():
        used = {index for case in CASES if case.op == op for index in case.wrt}
        most = max(len(case.inputs) for case in CASES if case.op == op)
        assert used >= (set(range(most)) if rule.inputs is None else set(rule.inputs)), op

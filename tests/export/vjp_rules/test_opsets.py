"""The rules in the oldest opset that needs no conversion, in the one that is converted to, and in the newest."""

import dataclasses

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from onnx.reference import ReferenceEvaluator

from impasto.export.gradient.preparation import CONVERTED_OPSET, OLDEST_OPSET
from impasto.export.vjp_rules.indexing import SCATTER_OPSET
from tests.export.vjp_rules.cases import CASES, Case
from tests.export.vjp_rules.cases.case import feeds, loss_model
from tests.export.vjp_rules.projection import gradients, projection_error, tolerance
from tests.export.vjp_rules.reference_ops import OPERATORS

SCATTERED = ("Gather", "GatherElements", "GatherND")
NEWEST_OPSET = onnx.defs.onnx_opset_version()


def _exists(case: Case) -> bool:
    """Whether the operator takes these inputs and attributes in this opset, and the evaluator knows it.

    Of BatchNormalization before opset 14 the evaluator computes the training mode.
    """
    if case.op == "BatchNormalization" and case.opset < 14:
        return False
    try:
        model = loss_model(case, np.float64)
        onnx.checker.check_model(model, full_check=True)
        ReferenceEvaluator(model, new_ops=OPERATORS).run(None, feeds(case, np.float64))
    except Exception:
        return False
    return True


@pytest.mark.parametrize("opset", [OLDEST_OPSET, CONVERTED_OPSET, NEWEST_OPSET])
def test_rules_in_other_opsets(opset: int) -> None:
    checked, wrong = 0, []
    for original in CASES:
        case = dataclasses.replace(original, opset=opset)
        if not _exists(case) or (case.op in SCATTERED and opset < SCATTER_OPSET):
            continue
        if case.op == "GroupNormalization" and (original.opset < 21) != (opset < 21):
            continue  # its scale was one per group, and is one per channel
        checked += 1
        if not projection_error(case) < tolerance(case):
            wrong.append(str(case))
        for model in gradients(case, np.float64).values():
            onnx.checker.check_model(ir.to_proto(model), full_check=True)
    assert not wrong
    assert checked > 350

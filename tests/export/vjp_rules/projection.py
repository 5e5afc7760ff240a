"""The check of a gradient rule: one random direction, central difference, float64, on the ONNX reference evaluator.

For a loss f and a direction u, <grad f(x), u> = (f(x + h u) - f(x - h u)) / 2h + O(h^2).
"""

from typing import Any

import numpy as np
import onnx_ir as ir
from onnx.reference import ReferenceEvaluator

from impasto.export.gradient import gradient
from tests.export.vjp_rules.cases.case import Array, Case, feeds, loss_model
from tests.export.vjp_rules.reference_ops import OPERATORS

STEP = 1e-5
TOLERANCE = 1e-6
RESIZE_TOLERANCE = 1e-5  # the coordinates are float32, some of the evaluator's float64


def tolerance(case: Case) -> float:
    """Return the largest relative difference that is rounding."""
    return RESIZE_TOLERANCE if case.op == "Resize" else TOLERANCE


def gradients(case: Case, dtype: type[np.floating[Any]]) -> dict[str, ir.Model]:
    """Return one model with the output ``d_xI`` per input I to check."""
    model = ir.from_proto(loss_model(case, dtype))
    return {f"x{index}": gradient(model, "loss", f"x{index}") for index in case.wrt}


def evaluated(model: ir.Model, values: dict[str, Array], name: str) -> Array:
    """Return one output of a model on the reference evaluator."""
    (result,) = ReferenceEvaluator(ir.to_proto(model), new_ops=OPERATORS).run([name], values)
    return np.asarray(result)


def projection_error(case: Case) -> float:
    """Return the largest relative difference between slope and projected gradient over the inputs to check."""
    values = feeds(case, np.float64)
    forward = ReferenceEvaluator(loss_model(case, np.float64), new_ops=OPERATORS)
    worst = 0.0
    for name, model in gradients(case, np.float64).items():
        direction = np.random.default_rng(7).standard_normal(values[name].shape)
        moved = [values | {name: values[name] + step * direction} for step in (STEP, -STEP)]
        ahead, behind = (float(np.asarray(forward.run(["loss"], each)).item()) for each in moved)
        result = evaluated(model, values, f"d_{name}")
        assert result.shape == values[name].shape
        assert result.dtype == np.float64
        projected = float(np.sum(result * direction))
        slope = (ahead - behind) / (2 * STEP)
        worst = max(worst, abs(projected - slope) / max(abs(slope), abs(projected), 1.0))
    return worst

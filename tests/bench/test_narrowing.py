"""The rule of narrow convolutions is the one that the measurement gives."""

import copy
import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from onnx.reference import ReferenceEvaluator

from impasto.bench.narrowing import ALL, CHOSEN, LARGEST_COST, WAYS, rounded, stay_wide
from impasto.export.objective import build_targets
from impasto.export.precision import RULE, Convolution, everywhere
from tests.small_network import features_model

RESULTS = Path(__file__).parents[2] / "bench" / "results" / "narrowing.json"


@pytest.fixture(scope="module")
def measured() -> dict[str, Any]:
    return dict(json.loads(RESULTS.read_text()))


def test_the_rule_leaves_wide_what_the_measurement_says(measured: dict[str, Any]) -> None:
    stretches = measured["stretches"]
    kernels = [kernel for name, facts in stretches.items() if name.endswith(WAYS[0]) for kernel in facts["kernels"]]
    expected = {(kernel, name.split()[1]) for name in stay_wide(measured) for kernel in stretches[name]["kernels"]}
    found = {
        (kernel, WAYS[backward])
        for depth, kernel in enumerate(kernels, 1)
        for backward in (False, True)
        if not RULE(Convolution(depth, backward, kernel))
    }
    assert found == expected != set()


def test_the_rule_is_better_than_narrow_everywhere(measured: dict[str, Any]) -> None:
    for tried in (measured["errors"]["bf16"], measured["errors"]["fp16"]):
        for where, narrow in tried[ALL].items():
            assert tried[CHOSEN][where]["gradient"] < narrow["gradient"]


@pytest.mark.parametrize("stretch", ["relu2_1 forward", "relu1_1 backward"])
def test_a_stretch_stays_wide_for_much_error_at_little_cost(measured: dict[str, Any], stretch: str) -> None:
    changed = copy.deepcopy(measured)
    changed["stretches"][stretch]["share_of_multiplications"] = LARGEST_COST / 2
    tried = changed["errors"]["bf16"]
    for where, error in tried[f"only {stretch}"].items():
        error["gradient"] = tried[ALL][where]["gradient"] / 2
    assert stretch in stay_wide(changed)
    changed["stretches"][stretch]["share_of_multiplications"] = LARGEST_COST * 2
    assert stretch not in stay_wide(changed)


def test_rounded_models_compute_in_float32_and_every_narrow_value_is_one_of_float16() -> None:
    model = build_targets(features_model(), content_taps=["relu1_1", "relu2_1"], height=32, width=32)
    found = rounded(model, ir.DataType.FLOAT16, everywhere)
    onnx.checker.check_model(ir.to_proto(found), full_check=True)
    assert {node.op_type for node in found.graph if node.outputs[0].dtype == ir.DataType.FLOAT16} == {"Cast"}
    image = np.random.default_rng(0).random((1, 3, 32, 32), np.float32)
    for before, after in zip(
        *(list(ReferenceEvaluator(ir.to_proto(m)).run(None, {"image": image})) for m in (model, found)), strict=True
    ):
        assert np.array_equal(after, np.asarray(after, np.float16))
        assert 0 < np.abs(after - before).max() < 1e-2 * np.abs(before).max()

"""The rule of narrow convolutions is the one that the measurement gives."""

import copy
import json
from pathlib import Path
from typing import Any

import pytest

from impasto.bench.studies.narrowing import ALL, CHOSEN, LARGEST_COST, WAYS, stay_wide
from impasto.export.precision import RULE, Convolution

RESULTS = Path(__file__).parents[3] / "bench" / "results" / "narrowing.json"


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

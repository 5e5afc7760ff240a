"""The numbers of docs/embedding.md are those of bench/results/embedding.json."""

import json
import math
from typing import Any

import pytest

from tests.conftest import REPOSITORY
from tests.cpp.test_evidence import RESULTS

DOCUMENT = REPOSITORY / "docs" / "embedding.md"


def sentences(results: dict[str, Any]) -> dict[str, list[str]]:
    """Return what the document says of each result."""
    image, saved = results["whole_run_style_image"], results["whole_run_saved_style"]
    speed, cycles = results["speed_512_px"], results["cycles_100"]
    peaks = speed["peak_kib"]
    cancel = results["cancel_512_px"]["said"].split()
    first = f"{abs(image['first']['relative']):.2g}".replace("e-0", "e-")
    final = f"{100 * abs(image['final']['relative']):.2g} %"
    assert saved["final"]["relative"] == 0
    return {
        "whole_run_saved_style": ["With a style of the bundle the loss is the same at the end"],
        "whole_run_style_image": [f"With a style image it is {first} apart at the start and {final} at the end"],
        "rounding": [
            f"differ by up to {100 * results['rounding']['lbfgs']['largest_relative']:.2g} %",
            f"With Adam it is {100 * results['rounding']['adam']['largest_relative']:.1g} %",
        ],
        "speed_512_px": [
            f"takes {speed['evaluation_s']['ratio_of_medians']:.2f} times as long",
            f"first evaluation is {speed['start_s']['ratio_of_medians']:.2f} times as long",
            f"{math.floor((min(peaks['python']) - max(peaks['cpp'])) / 1024)} MiB lower",
        ],
        "cancel_512_px": [f"within {cancel[-2]} s (the longest wait of {cancel[2]} cancels)"],
        "cycles_100": [f"adds {cycles['rss_after_100_kib'] - cycles['rss_after_10_kib']} KiB after the first 10"],
    }


@pytest.mark.parametrize("name", sentences(json.loads(RESULTS.read_text())))
def test_the_document_has_the_numbers_of_the_results(name: str) -> None:
    text = DOCUMENT.read_text()
    for sentence in sentences(json.loads(RESULTS.read_text()))[name]:
        assert sentence in text

"""Whether a figure 3 goes the paper's way, told from its record."""

import json
import sys
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest

from impasto.bench.studies import figure_trend
from impasto.bench.studies.figure_trend import trend


def cells(content: list[float], style: list[float], row: int = 0) -> dict[str, dict[str, Any]]:
    return {
        f"{row}-{column}": {
            "row": row,
            "column": column,
            "content_loss": content[column],
            "style_loss": style[column],
            "settings": {
                "style_taps": ["relu1_1"],
                "content_weight": 10.0 ** (column - 5),
                "size": 40,
                "evaluations": 4,
                "init": "noise",
                "seed": 0,
                "pool": "avg",
            },
        }
        for column in range(len(content))
    }


@pytest.mark.parametrize(
    ("content", "style", "falls", "rises"),
    [
        ([4, 3, 2, 1], [1, 2, 3, 4], True, True),
        ([4, 3, 3, 1], [1, 2, 3, 4], False, True),
        ([4, 3, 2, 1], [1, 2.1, 2, 4], True, False),
    ],
)
def test_a_row_goes_the_papers_way_or_not(content: list[float], style: list[float], falls: bool, rises: bool) -> None:
    found = trend(dict(reversed(cells(content, style).items())))  # the order of the record does not matter
    assert [(row["content_falls"], row["style_rises"]) for row in found] == [(falls, rises)]
    assert found[0]["alpha_over_beta"] == pytest.approx([1e-5, 1e-4, 1e-3, 1e-2])
    assert (found[0]["content_loss"], found[0]["style_loss"]) == (content, style)


def test_it_is_said_and_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made = {**cells([2, 1], [1, 2]), **cells([1, 2], [1, 2], 1)}
    (tmp_path / "figure.json").write_text(json.dumps({"asked": {"model": "m", "settings": {}}, "cells": made}))
    command = ["figure_trend", str(tmp_path / "figure.json"), "-o", str(tmp_path / "out.json"), "--threads", "1"]
    with patch.object(sys, "argv", command):
        figure_trend.main()
    assert capsys.readouterr().out.splitlines() == [
        "relu1_1: content 2 1 (falls: True)",
        "         style 1 2 (rises: True)",
        "relu1_1: content 1 2 (falls: False)",
        "         style 1 2 (rises: True)",
    ]
    record = json.loads((tmp_path / "out.json").read_text())
    assert [row["content_falls"] for row in record["rows"]] == [True, False]
    assert (record["conditions"]["threads"], record["asked"]) == (1, {"model": "m"})

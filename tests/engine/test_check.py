"""`impasto check`: figures, verdict and status."""

import dataclasses
import json
from collections.abc import Mapping

import numpy as np
import pytest

from impasto.engine import Evaluation
from impasto.engine.checking import compare
from impasto.engine.precision import PRECISIONS
from tests.engine.command_line import run
from tests.engine.conftest import TAPS, Files

GRADIENT = np.array([[[3.0, 0.0, 4.0]]], np.float32)
TERMS: Mapping[str, float] = {"content_a": 60.0, "style_b": 40.0}
TRUE = Evaluation(100.0, TERMS, GRADIENT, 0.5)


def found(**changes: object) -> Evaluation:
    return dataclasses.replace(TRUE, **changes)  # type: ignore[arg-type]


def command(files: Files, *more: object) -> list[object]:
    return ["check", files.content, files.style, "--model", files.model, "--size", 0, *TAPS, *more]


def test_equal_evaluations_are_good_enough() -> None:
    result = compare("cpu", "fp32", TRUE, TRUE)
    assert (result.loss_error, result.gradient_error, result.complaints) == (0.0, 0.0, ())
    assert result.gradient_cosine == pytest.approx(1.0)


def test_errors_are_relative_to_the_loss_and_the_gradient() -> None:
    gradient = np.array([[[3.0, 5.0, 4.0]]], np.float32)  # at 45 degrees, and as far off as it is long
    result = compare(
        "x", "bf16", found(loss=101.0, terms={"content_a": 63.0, "style_b": 38.0}, gradient=gradient), TRUE
    )
    assert result.loss_error == pytest.approx(0.01)
    assert result.term_errors == pytest.approx({"content_a": 0.03, "style_b": 0.02})
    assert result.gradient_error == pytest.approx(1.0)
    assert result.gradient_cosine == pytest.approx(0.5**0.5)
    assert result.complaints == ("the gradient's cosine is 0.7071, less than 0.95",)


def test_the_same_error_passes_in_bf16_and_fails_in_fp32() -> None:
    off = found(loss=100.5)
    assert compare("x", "bf16", off, TRUE).complaints == ()
    assert compare("x", "fp32", off, TRUE).complaints == ("the loss is off by 5.0e-03, more than 0.0001",)


@pytest.mark.parametrize("precision", PRECISIONS)
def test_values_that_are_not_finite_never_pass(precision: str) -> None:
    for changes in ({"loss": float("nan")}, {"gradient": np.full_like(GRADIENT, np.inf)}):
        with np.errstate(invalid="ignore"):
            assert "values are not finite" in compare("x", precision, found(**changes), TRUE).complaints


def test_the_cpu_provider_agrees_with_itself(capsys: pytest.CaptureFixture[str], files: Files) -> None:
    ended = run(capsys, *command(files, "--provider", "cpu", "--json"))
    report = json.loads(ended.out)
    assert (ended.status, ended.err, report["ok"], report["complaints"]) == (0, "", True, [])
    assert (report["provider"], report["precision"], report["gradient_error"]) == ("cpu", "fp32", 0.0)
    assert set(report["term_errors"]) == {"content_relu2_1", "style_relu1_1", "style_relu3_1"}


def test_a_failed_check_is_status_1(
    capsys: pytest.CaptureFixture[str], files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("impasto.engine.checking.LEAST_COSINE", {"fp32": 1.5})
    ended = run(capsys, *command(files, "--provider", "cpu"))
    assert ended.status == 1
    *figures, verdict = ended.out.splitlines()
    assert figures[0].startswith("cpu in fp32 against cpu in fp32, shares of the loss ")
    assert verdict == "not good enough: the gradient's cosine is 1.0000, less than 1.5"


def test_a_precision_that_is_not_there_is_one_line(capsys: pytest.CaptureFixture[str], files: Files) -> None:
    ended = run(capsys, *command(files, "--provider", "cpu", "--precision", "fp16"))
    assert (ended.status, ended.out) == (2, "")
    assert ended.err == "error: provider cpu has no fp16: its kernels are float32; allowed here are auto, fp32\n"

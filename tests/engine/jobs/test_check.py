"""`impasto check`: figures, verdict and status."""

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir
import pytest
from PIL import Image

from impasto.engine import Engine, Evaluation, Settings
from impasto.engine.jobs.checking import LIMITS, check, compare
from impasto.engine.runtime import providers
from impasto.engine.runtime.precision import PRECISIONS
from tests.engine.command_line import run
from tests.engine.conftest import TAPS, Files
from tests.small_network import features_model

GRADIENT = np.array([[[3.0, 0.0, 4.0]]], np.float32)
TERMS: Mapping[str, float] = {"content_a": 60.0, "style_b": 40.0}
MEASURED = Path(__file__).parents[3] / "bench" / "results" / "narrowing.json"
SOURCES = {"fp16": ("fp16", "rule"), "tf32": ("fp16", "all"), "bf16": ("bf16", "hint"), "bf16-typed": ("bf16", "rule")}
TRUE = Evaluation(100.0, TERMS, GRADIENT, 0.5)


def found(**changes: object) -> Evaluation:
    return dataclasses.replace(TRUE, **changes)  # type: ignore[arg-type]


def command(files: Files, *more: object) -> list[object]:
    return ["check", files.content, files.style, "--model", files.model, "--size", 0, *TAPS, *more]


def test_equal_evaluations_are_good_enough() -> None:
    result = compare("cpu", "fp32", TRUE, TRUE)
    assert (result.loss_error, result.gradient_error, result.complaints) == (0.0, 0.0, ())
    assert result.gradient_cosine == pytest.approx(1.0)


def test_errors_are_relative_to_what_they_are_errors_of() -> None:
    gradient = np.array([[[3.0, 5.0, 4.0]]], np.float32)  # at 45 degrees, and as far off as it is long
    result = compare(
        "x", "bf16", found(loss=101.0, terms={"content_a": 61.2, "style_b": 39.2}, gradient=gradient), TRUE
    )
    assert result.loss_error == pytest.approx(0.01)
    assert result.terms == TERMS
    assert result.term_errors == pytest.approx({"content_a": 0.02, "style_b": 0.02})
    assert result.gradient_error == pytest.approx(1.0)
    assert result.gradient_cosine == pytest.approx(0.5**0.5)
    limits = LIMITS["bf16"]
    assert result.complaints == (
        f"gradient is off by 1, more than {limits.gradient:g}",
        f"the gradient's cosine is 0.7071, less than {limits.cosine:g}",
    )


@pytest.mark.parametrize("precision", SOURCES)
def test_the_limits_are_one_to_three_times_what_was_measured(precision: str) -> None:
    """In tf32, whose mantissa is float16's, it is float16 that was measured."""
    numbers, choice = SOURCES[precision]
    errors = json.loads(MEASURED.read_text())["errors"][numbers][choice].values()
    limits = LIMITS[precision]
    worst = {
        limits.loss: max(abs(item["loss"]) for item in errors),
        limits.term: max(abs(value) for item in errors for value in item["terms"].values()),
        limits.gradient: max(item["gradient"] for item in errors),
        1 - limits.cosine: max(1 - item["cosine"] for item in errors),
    }
    for limit, measured in worst.items():
        assert measured <= limit <= 3 * measured
        assert limit < 1


def test_the_same_error_passes_in_bf16_and_fails_in_fp32() -> None:
    off = found(loss=100.5)
    assert compare("x", "bf16", off, TRUE).complaints == ()
    assert compare("x", "fp32", off, TRUE).complaints == (f"loss is off by 0.005, more than {LIMITS['fp32'].loss:g}",)


@pytest.mark.parametrize("precision", PRECISIONS)
def test_a_small_term_that_is_wrong_does_not_pass(precision: str) -> None:
    """0.1 % of the loss, and all of it wrong: the total and the gradient are as good as true."""
    true = dataclasses.replace(TRUE, terms={"content_a": 99.9, "style_b": 0.1})
    for value in (0.0, 0.2):
        off = dataclasses.replace(true, terms={**true.terms, "style_b": value})
        (complaint,) = compare("x", precision, off, true).complaints
        assert complaint == f"style_b is off by 1, more than {LIMITS[precision].term:g}"


def test_a_term_of_nothing_is_measured_against_the_loss() -> None:
    """As the content term at the content image, which is 0 in float32."""
    true = dataclasses.replace(TRUE, terms={"content_a": 0.0, "style_b": 100.0})
    off = dataclasses.replace(true, terms={"content_a": 1e-3, "style_b": 100.0})
    assert compare("x", "bf16", off, true).term_errors == pytest.approx({"content_a": 1e-5, "style_b": 0.0})


@pytest.mark.parametrize("precision", PRECISIONS)
def test_values_that_are_not_finite_never_pass(precision: str) -> None:
    for changes in ({"loss": float("nan")}, {"gradient": np.full_like(GRADIENT, np.inf)}):
        with np.errstate(invalid="ignore"):
            assert "values are not finite" in compare("x", precision, found(**changes), TRUE).complaints


def test_the_reference_has_no_operators_of_our_own(files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[str] = []

    def engine(*names: object, provider: str, **settings: Any) -> Engine:
        opened.append(provider)
        return Engine(*names, provider=provider, **settings)  # type: ignore[arg-type]

    monkeypatch.setattr("impasto.engine.jobs.checking.Engine", engine)
    settings = Settings(size=0, content_taps=("relu2_1",), style_taps=("relu1_1",))
    check(files.model, files.content, files.content, files.style, settings, provider="cpu")
    assert opened == ["cpu", "cpu,plain"]
    assert not providers.choose(opened[-1]).operators


@pytest.fixture
def broken(files: Files) -> Path:
    """A network that computes NaN."""
    model = features_model()
    bias = model.graph.initializers["relu1_1.bias"]
    assert bias.const_value is not None
    bias.const_value = ir.tensor(np.full_like(bias.const_value.numpy(), np.nan), name=bias.name)
    ir.save(model, files.model)
    return files.model


def test_an_evaluation_that_is_not_finite_is_reported(broken: Path, files: Files) -> None:
    settings = Settings(size=0, content_taps=("relu2_1",), style_taps=("relu1_1", "relu3_1"))
    with Engine(broken, provider="cpu", threads=1) as engine:
        scored = engine.evaluate(files.content, files.content, files.style, settings)
    assert np.isnan(scored.loss)
    assert set(scored.terms) == {"content_relu2_1", "style_relu1_1", "style_relu3_1"}
    assert np.isnan(list(scored.terms.values())).any()
    assert np.isnan(scored.gradient).any()


@pytest.mark.parametrize("as_json", [False, True])
def test_a_check_of_values_that_are_not_finite_fails(
    capsys: pytest.CaptureFixture[str], broken: Path, files: Files, as_json: bool
) -> None:
    ended = run(capsys, *command(files, "--provider", "cpu", *(["--json"] if as_json else [])))
    assert (ended.status, ended.err) == (1, "")
    if as_json:
        report = json.loads(ended.out)
        assert (report["ok"], report["complaints"]) == (False, ["values are not finite"])
    else:
        assert ended.out.splitlines()[-1] == "not good enough: values are not finite"


def test_the_cpu_provider_agrees_with_itself(capsys: pytest.CaptureFixture[str], files: Files) -> None:
    ended = run(capsys, *command(files, "--provider", "cpu", "--json"))
    report = json.loads(ended.out)
    assert (ended.status, ended.err, report["ok"], report["complaints"]) == (0, "", True, [])
    assert (report["provider"], report["precision"], report["gradient_error"]) == ("cpu", "fp32", 0.0)
    assert set(report["terms"]) == set(report["term_errors"]) == {"content_relu2_1", "style_relu1_1", "style_relu3_1"}


def test_a_seamless_run_can_be_checked_and_scored(capsys: pytest.CaptureFixture[str], files: Files) -> None:
    """Without its padding a network sees something else in the same image; sides that do not tile are brought to it."""
    chosen = ("--provider", "cpu", "--style-size", 48, "--tv-weight", 1)
    plain, seamless = (
        json.loads(run(capsys, *command(files, *chosen, *more, "--json")).out) for more in ((), ("--seamless",))
    )
    assert (seamless["ok"], seamless["gradient_error"]) == (True, 0.0)
    assert seamless["terms"]["content_relu2_1"] == 0.0  # the image is the content, resized alike
    assert seamless["loss"] != pytest.approx(plain["loss"], rel=1e-3)
    evaluate = ["evaluate", files.content, "--content", files.content, "--style", files.style, "--model", files.model]
    ended = run(capsys, *evaluate, "--size", 0, *TAPS, *chosen, "--seamless")
    assert ended.status == 0, ended.err
    assert json.loads(ended.out)["terms"] == seamless["terms"]


def test_sides_that_do_not_tile_are_brought_to_it_alike(capsys: pytest.CaptureFixture[str], files: Files) -> None:
    Image.open(files.content).crop((0, 0, 60, 45)).save(files.content)
    ended = run(capsys, *command(files, "--provider", "cpu", "--seamless", "--json"))
    assert ended.status == 0, ended.err
    assert json.loads(ended.out)["terms"]["content_relu2_1"] == 0.0
    other = files.folder / "other.png"
    Image.open(files.content).crop((0, 0, 36, 45)).save(other)
    refused = run(capsys, *command(files, "--provider", "cpu", "--seamless", "--image", other))
    assert (refused.status, refused.out) == (2, "")
    assert refused.err == (
        "error: image and content differ in size: other.png is 32x48, content.png is 64x48 px; "
        "give images of one size, or --size\n"
    )


def test_a_failed_check_is_status_1(
    capsys: pytest.CaptureFixture[str], files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    limits = {"fp32": dataclasses.replace(LIMITS["fp32"], cosine=1.5)}
    monkeypatch.setattr("impasto.engine.jobs.checking.LIMITS", limits)
    ended = run(capsys, *command(files, "--provider", "cpu"))
    assert ended.status == 1
    *figures, verdict = ended.out.splitlines()
    assert figures[0].startswith("cpu in fp32 against cpu in fp32, loss ")
    named = [line.split()[0] for line in figures[2:]]
    assert named == ["content_relu2_1", "style_relu1_1", "style_relu3_1", "loss", "gradient", "gradient,", "first"]
    assert verdict == "not good enough: the gradient's cosine is 1.0000, less than 1.5"


def test_a_precision_that_is_not_there_is_one_line(capsys: pytest.CaptureFixture[str], files: Files) -> None:
    ended = run(capsys, *command(files, "--provider", "cpu", "--precision", "fp16"))
    assert (ended.status, ended.out) == (2, "")
    assert ended.err == "error: provider cpu has no fp16: its kernels are float32; allowed here are auto, fp32\n"


def test_a_saved_style_has_the_same_targets_on_both_sides(
    capsys: pytest.CaptureFixture[str], files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = providers.choose("cpu")
    narrow = dataclasses.replace(plain, precision="bf16", typed=False)
    monkeypatch.setattr(providers, "choose", lambda name, precision, **_: narrow if precision == "bf16" else plain)
    for precision, accepted in (("bf16", True), ("fp32", False)):
        saved = files.folder / f"{precision}.safetensors"
        made = ("--model", files.model, "--precision", precision, "--size", 0, *TAPS[2:])
        assert run(capsys, "style", "save", files.style, "-o", saved, *made).status == 0
        arguments = [saved if item == files.style else item for item in command(files, "--precision", "bf16")]
        ended = run(capsys, *arguments)
        if accepted:
            assert (ended.status, ended.out.splitlines()[-1]) == (0, "good enough for the optimiser")
        else:  # as a run would
            assert ended.status == 2
            assert "was saved for --precision fp32, and this run is bf16" in ended.err


def test_what_auto_took_is_said_unless_it_is_not_wanted(
    capsys: pytest.CaptureFixture[str], files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen = dataclasses.replace(providers.choose("cpu"), choice="provider cpu, fp32; not others: reasons")
    monkeypatch.setattr(providers, "choose", lambda *_, **__: chosen)
    evaluate = ["evaluate", files.content, "--content", files.content, "--style", files.style]
    evaluate += ["--model", files.model, "--size", 0, *TAPS]
    save = ["style", "save", files.style, "-o", files.folder / "s.safetensors", "--model", files.model, "--size", 0]
    for arguments in (command(files), evaluate, [*save, *TAPS[2:]]):
        assert run(capsys, *arguments).err == f"{chosen.choice}\n", arguments[0]
        assert run(capsys, *arguments, "--quiet").err == ""
    assert run(capsys, *command(files), "--json").err == ""
    assert {"model": "small", "provider": "cpu", "precision": "fp32"}.items() <= json.loads(
        run(capsys, *evaluate).out
    ).items()


def test_what_does_not_fit_is_refused_unless_it_is_to_be_tried(
    capsys: pytest.CaptureFixture[str], files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("impasto.engine.compile.memory.available", lambda: 1 << 20)
    evaluate = ["evaluate", files.content, "--content", files.content, "--style", files.style]
    evaluate += ["--model", files.model, "--provider", "cpu", "--size", 0, *TAPS]
    for arguments in (command(files, "--provider", "cpu"), evaluate):
        ended = run(capsys, *arguments)
        assert (ended.status, ended.out) == (2, "")
        assert ended.err.startswith("error: not enough memory: this run (")
        assert run(capsys, *arguments, "--ignore-memory").status == 0

"""The measurements that are no commands of `impasto`, small and short."""

import json
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir
import pytest
from PIL import Image

from impasto.bench.pictures import drawn_content, drawn_style
from impasto.bench.studies import lowering, operators, optimizers, seams
from impasto.bench.studies.study import as_script
from impasto.engine.compile import memory
from impasto.engine.runtime import native_operators
from impasto.engine.runtime.providers import openvino
from impasto.export.objective import build_objective
from tests.small_network import features_model

SMALL = ("--model", "vgg19-slim", "--size", 32, "--threads", 1)


def run(monkeypatch: pytest.MonkeyPatch, module: str, *words: object) -> None:
    monkeypatch.setattr(sys, "argv", [module, *map(str, words)])
    as_script(import_module(f"impasto.bench.studies.{module}").main)


def read(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(path.read_text())
    assert {"date", "processor", "thread_settings", "versions"} <= set(found["conditions"])
    return found


WAYS = (
    ("cpu", "fp32"),
    pytest.param("openvino", "fp32", marks=pytest.mark.openvino),
    pytest.param("openvino", "bf16", marks=pytest.mark.openvino),
)


def way(provider: str, precision: str) -> tuple[str, ...]:
    """Return the options of a provider and a precision, or skip the test where they are not there."""
    if provider == "openvino":
        found = openvino.probe()
        if not found.works or openvino.refusal(precision):
            pytest.skip(f"no OpenVINO in {precision}: {openvino.refusal(precision) if found.works else found.reason}")
    return ("--provider", provider, "--precision", precision)


@pytest.mark.parametrize(("provider", "precision"), WAYS)
def test_lowering(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, provider: str, precision: str) -> None:
    output = tmp_path / "a.json"
    run(monkeypatch, "lowering", *SMALL, *way(provider, precision), "--rounds", 2, "-o", output)
    found = read(output)
    assert (found["provider"], found["precision"]) == (provider, precision)
    (row,) = found["sizes"]
    own = {"operators"} if native_operators.find().path is not None else set()
    expected = {"cpu": {"none", "mask_by_product", "enter_layout_before_sums", "all", *own}}
    assert set(row["median_s"]) == expected.get(provider, {"none", "gram_channels_last"})
    assert all(len(samples) == 2 and min(samples) > 0 for samples in row["samples_s"].values())
    assert max(row["gradient_relative_difference"].values()) < (1e-5 if precision == "fp32" else 3e-2)


@pytest.mark.parametrize("provider", ["cpu", "openvino"])
def test_every_set_of_rewrites_changes_the_graph(provider: str) -> None:
    def kinds(change: Callable[[ir.Model], None]) -> Counter[str]:
        content, style = ("relu2_1",), ("relu1_1", "relu3_1")
        model = build_objective(
            features_model(), content_taps=content, style_taps=style, height=32, width=32, pool="avg"
        ).model
        change(model)
        return Counter(node.op_type for node in model.graph)

    neutral = kinds(lambda _: None)
    found = {name: kinds(rewrite) for name, rewrite in lowering.SETS[provider].items()}
    assert found
    assert neutral not in found.values()


@pytest.mark.parametrize(("provider", "precision"), WAYS[:2])
def test_loop(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, provider: str, precision: str) -> None:
    output = tmp_path / "a.json"
    run(monkeypatch, "loop", *SMALL, *way(provider, precision), "--rounds", 2, "--iterations", 2, "-o", output)
    found = read(output)
    assert (found["provider"], found["precision"], found["asked"]["settings"]["history"]) == (provider, precision, 10)
    assert set(found["share"]["32"]) == set(found["optimiser_s"]["32"]) == {"lbfgs", "plain-lbfgs"}
    for row in found["share"]["32"].values():
        assert len(row["outside_s"]) == len(row["evaluation_s"]) == 2
        shares = sorted(a / b for a, b in zip(row["outside_s"], row["evaluation_s"], strict=True))
        assert row["share"] == pytest.approx(sum(shares) / 2)
        assert min(row["outside_s"]) > 0
    for row in found["optimiser_s"]["32"].values():
        assert set(row["median"]) == ({"host", "device"} if provider == "cpu" else {"host"})


@pytest.fixture
def images(tmp_path: Path) -> tuple[Path, Path]:
    """Content and style as files."""
    paths = (tmp_path / "content.png", tmp_path / "style.png")
    for path, draw in zip(paths, (drawn_content, drawn_style), strict=True):
        Image.fromarray(draw(48)).save(path)
    return paths


def test_optimizers(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, images: tuple[Path, Path]) -> None:
    output = tmp_path / "a.json"
    small = ("--model", "vgg19-slim", "--side", 32, "--evaluations", 4, "--threads", 1)
    run(monkeypatch, "optimizers", *images, *small, "-o", output)
    runs = read(output)["runs"]
    assert [run["init"] for run in runs] == ["content"] * 4 + ["noise"] * 4
    assert [run["optimizer"] for run in runs[:4]] == list(optimizers.RIVALS)
    for start in (runs[:4], runs[4:]):
        assert len({run["curve"][0] for run in start}) == 1  # the same objective at the same image
        assert all(run["curve"] == sorted(run["curve"], reverse=True) for run in start)
        assert all(len(run["curve"]) <= 4 and run["final"] == run["curve"][-1] for run in start)


def test_reconstructions(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    images: tuple[Path, Path],
    capsys: pytest.CaptureFixture[str],
) -> None:
    output = tmp_path / "a.json"
    small = ("--model", "vgg19-slim", "--content-side", 32, "--style-side", 32, "--evaluations", 3, "--threads", 1)
    chosen = ("--optimizer", "impasto", "--optimizer", "torch", "--case", "content relu1_1")
    run(monkeypatch, "reconstructions", *images, *small, *chosen, "-o", output)
    found = read(output)
    assert {name: row["evaluations"] for name, row in found["runs"]["content relu1_1"].items()} == {
        "impasto": 3,
        "torch": 3,
    }
    capsys.readouterr()
    run(monkeypatch, "reconstructions", *images, *small, *chosen, "-o", output)
    assert capsys.readouterr().out == ""  # what the file has is not run again
    output.write_text(json.dumps(found | {"conditions": found["conditions"] | {"threads": 2}}))
    with pytest.raises(SystemExit):
        run(monkeypatch, "reconstructions", *images, *small, *chosen, "-o", output)
    assert capsys.readouterr().err == f"error: {output} is of other conditions: threads differ; give another --output\n"


def test_operators(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    output = tmp_path / "a.json"
    monkeypatch.setattr(operators, "SQUARE", 64)
    run(monkeypatch, "operators", *SMALL, "--rounds", 2, "-o", output)
    found = read(output)
    assert len(found["samples_s"]) == 2
    assert {"Conv", "MatMul"} <= set(found["operators_s"])
    assert sum(found["operators_s"].values()) <= 1.5 * max(found["samples_s"])
    assert found["floor_s"] == pytest.approx(sum(found["operations"].values()) / found["product_rate_per_s"])


def test_operations_by_hand() -> None:
    model = build_objective(
        features_model(), content_taps=("relu1_1",), style_taps=("relu1_1",), height=32, width=32, pool="avg"
    ).model
    found = operators.floating_point_operations(model)
    channels = next(node for node in model.graph if node.op_type == "Conv").outputs[0].shape
    assert channels is not None
    width = int(channels.numpy()[1])
    # Forward and backward each: 32 x 32 positions of 9 weights between 3 channels and so many, multiplied and added.
    assert found["Conv"] == 2 * (2 * 1024 * 9 * 3 * width)
    assert found["MatMul"] % (2 * 1024 * width * width) == 0


def test_seams(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, images: tuple[Path, Path]) -> None:
    output = tmp_path / "a.json"
    small = ("--model", "vgg19-slim", "--side", 32, "--evaluations", 2, "--rounds", 1, "--threads", 1)
    run(monkeypatch, "seams", images[1], *small, "-o", output, "--picture", tmp_path / "tiled.png")
    found = read(output)
    assert set(found["textures"]) == set(found["evaluation_cpu_s"]["median"]) == {"ordinary", "seamless"}
    with Image.open(tmp_path / "tiled.png") as picture:
        assert picture.size == (2 * 64 + 2, 64)


def test_a_seam_by_hand() -> None:
    # Columns 0 0 1 1 of white: one step of 255 in the middle, one across the seam, none downwards.
    pixels = np.repeat(np.array([[0.0, 0.0, 1.0, 1.0]] * 4)[:, :, None], 3, axis=2)
    found = seams.seam(pixels)
    assert found["across_the_seam"] == 255 / 2
    assert found["inside"] == pytest.approx(255 / 3 / 2)
    assert found["ratio"] == pytest.approx(3)
    assert seams.seam(np.roll(pixels, 1, axis=1))["across_the_seam"] == 0


def test_memory(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, images: tuple[Path, Path]) -> None:
    output = tmp_path / "a.json"
    # In a process of its own: a peak is at least what the process has that starts the measured one.
    code = """
from impasto.bench.studies import memory
memory.MODELS, memory.CASES = ("vgg19-slim",), {"32 px": ("--size", 32, "--threads", 1)}
memory.main()
"""
    monkeypatch.delenv("IMPASTO_NO_CACHE", raising=False)
    subprocess.run([sys.executable, "-c", code, *images, "-o", output], check=True, capture_output=True)
    (row,) = read(output)["runs"]
    assert (row["model"], row["case"]) == ("vgg19-slim", "32 px")
    assert 30 < row["again"] <= row["first"] * 1.2  # MiB; Python alone takes more than 30
    assert row["ratio"] == pytest.approx(row["estimate"] / row["first"], abs=0.01)


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (
            ("lowering", "--precision", "bf16", "-o", "a.json"),
            "provider cpu has no bf16: its kernels are float32; allowed here are auto, fp32",
        ),
        (("lowering", "-o", "a.txt"), "cannot write a.txt: unknown extension .txt; allowed are .json"),
        (("loop", "--rounds", 0, "-o", "a.json"), "bad --rounds 0: allowed are whole numbers of 1 or more"),
        (("loop", "--size", 3, "-o", "a.json"), "bad --size 3: allowed are 32 to 4096 px"),
    ],
)
def test_a_user_s_mistake_is_one_line(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    words: tuple[str, ...],
    line: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as caught:
        run(monkeypatch, *words)
    assert caught.value.code == 2
    assert capsys.readouterr().err == f"error: {line}\n"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("module", ["lowering", "operators"])
def test_what_does_not_fit_is_refused_before_it_is_opened(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str], module: str
) -> None:
    monkeypatch.setattr(memory, "available", lambda: 1 << 20)
    words = ("--model", "vgg19-slim", "--size", 64, "--threads", 1, "-o", tmp_path / "a.json")
    with pytest.raises(SystemExit) as caught:
        run(monkeypatch, module, *words)
    assert caught.value.code == 2
    assert capsys.readouterr().err.startswith("error: not enough memory: this run (64x64 px")

"""A normalised network: mean activation 1 in every filter, and nothing else changed."""

import dataclasses
import os
from pathlib import Path

import numpy as np
import onnx_ir as ir
import onnxruntime as ort
import pytest
from PIL import Image

from impasto.engine.compile.normalising import mean_activations, normalise_network
from impasto.engine.runtime.providers import Provider, choose, openvino
from impasto.export.normalisation import normalise
from impasto.export.tap_graph import set_pooling
from impasto.models.errors import ImpastoError
from impasto.models.store import network_file
from tests.engine.command_line import run
from tests.small_network import features_model

TAPS = ("relu1_1", "relu2_1", "relu3_1")


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("IMPASTO_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    folder = tmp_path / "pictures"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for index, size in enumerate(((40, 64, 3), (48, 33, 3), (90, 70, 3))):
        Image.fromarray(rng.integers(0, 255, size).astype(np.uint8)).save(folder / f"{index}.png")
    (folder / "notes.txt").write_text("not an image")
    return folder


def values(model: ir.Model, image: np.ndarray) -> dict[str, np.ndarray]:
    session = ort.InferenceSession(ir.to_proto(model).SerializeToString(), providers=["CPUExecutionProvider"])
    return dict(zip(TAPS, map(np.asarray, session.run(list(TAPS), {"image": image})), strict=True))


def test_means_are_one_and_features_are_the_same_up_to_them(tmp_path: Path, pictures: Path) -> None:
    plain = features_model(seed=3)
    ir.save(plain, tmp_path / "plain.onnx")
    path, count, silent = normalise_network(tmp_path / "plain.onnx", [pictures], tmp_path / "normalised.onnx")
    assert (path, count) == (tmp_path / "normalised.onnx", 3)
    files = sorted(pictures.glob("*.png"))
    before, normalised = mean_activations(plain, files), ir.load(path)
    after = mean_activations(normalised, files)
    assert silent == sum(int((mean == 0).sum()) for mean in before.values())
    for tap in TAPS:
        np.testing.assert_allclose(after[tap][before[tap] > 0], 1, rtol=1e-5)
    image = np.random.default_rng(1).random((2, 3, 50, 61), np.float32)  # another image: exact for it, too
    found, expected = values(normalised, image), values(plain, image)
    for tap in TAPS:
        scale = np.where(before[tap] > 0, before[tap], 1)[:, None, None]
        np.testing.assert_allclose(found[tap] * scale, expected[tap], rtol=2e-4, atol=2e-5 * expected[tap].max())


@pytest.mark.parametrize("pool", ["avg", "max"])
def test_means_are_one_under_the_pooling_asked_for(tmp_path: Path, pictures: Path, pool: str) -> None:
    ir.save(features_model(seed=3), tmp_path / "plain.onnx")
    path, _, _ = normalise_network(tmp_path / "plain.onnx", [pictures], tmp_path / "normalised.onnx", pool)
    run_with = ir.load(path)
    set_pooling(run_with, pool)
    means = mean_activations(run_with, sorted(pictures.glob("*.png")))["relu3_1"]
    np.testing.assert_allclose(means[means > 0], 1, rtol=1e-5)
    set_pooling(run_with, {"avg": "max", "max": "avg"}[pool])
    others = mean_activations(run_with, sorted(pictures.glob("*.png")))["relu3_1"]
    assert np.abs(others[means > 0] - 1).max() > 0.01


@pytest.mark.parametrize("pool", ["model", "median"])
def test_an_unknown_pooling_is_one_line(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, pictures: Path, pool: str
) -> None:
    ir.save(features_model(), tmp_path / "plain.onnx")
    words = [tmp_path / "plain.onnx", "--images", pictures, "-o", tmp_path / "a.onnx", "--pool", pool]
    ended = run(capsys, "weights", "normalise", *words)
    assert ended.status == 2
    assert ended.err.strip() == f"error: unknown pooling '{pool}': it is one of avg, max"
    assert not (tmp_path / "a.onnx").exists()


def test_every_position_counts_alike(pictures: Path) -> None:
    model = features_model()
    sums, positions = 0.0, 0
    for file in sorted(pictures.glob("*.png")):
        pixels = np.asarray(Image.open(file), np.float32).transpose(2, 0, 1)[None] / 255
        tap = values(model, pixels)["relu2_1"]
        sums, positions = sums + tap.sum((0, 2, 3)), positions + tap.shape[2] * tap.shape[3]
    means = mean_activations(model, sorted(pictures.glob("*.png")))
    np.testing.assert_allclose(means["relu2_1"], sums / positions, rtol=1e-4)


def test_the_means_are_those_of_the_graph_that_is_given(pictures: Path) -> None:
    """To the bit what ONNX Runtime's CPU provider gives of the model as it is, with sizes left open."""
    model = features_model()
    (file, *_) = sorted(pictures.glob("*.png"))
    pixels = (np.asarray(Image.open(file), np.float32) / np.float32(255)).transpose(2, 0, 1)[None]
    expected = {tap: value.mean((0, 2, 3), dtype=np.float64) for tap, value in values(model, pixels).items()}
    for threads in (0, 1):
        means = mean_activations(model, [file], threads=threads)
        for tap in TAPS:
            np.testing.assert_array_equal(means[tap], expected[tap])


@pytest.mark.openvino
@pytest.mark.parametrize("precision", ["fp32", "bf16", "bf16-typed"])
def test_another_provider_gives_the_same_means(pictures: Path, precision: str) -> None:
    if not openvino.probe().works or openvino.refusal(precision):
        pytest.skip(f"no OpenVINO in {precision}: {openvino.refusal(precision) or openvino.probe().reason}")
    model, files = features_model(), sorted(pictures.glob("*.png"))
    expected = mean_activations(model, files)
    means = mean_activations(model, [*files], provider=choose("openvino", precision), threads=1)
    rounding = max(np.abs(means[tap] - expected[tap]).max() / expected[tap].mean() for tap in TAPS)
    assert rounding < (1e-5 if precision == "fp32" else 0.03)
    assert precision == "fp32" or rounding > 1e-5


def test_a_silent_filter_stays_as_it_is() -> None:
    model, plain = features_model(), features_model()
    means = {tap: np.full(width, 2.0) for tap, width in zip(TAPS, (6, 8, 5), strict=True)}
    means["relu2_1"][3] = 0.0
    assert normalise(model, means) == ("relu2_1[3]",)
    image = np.random.default_rng(1).random((1, 3, 40, 40), np.float32)
    np.testing.assert_allclose(values(model, image)["relu2_1"][0, 3], values(plain, image)["relu2_1"][0, 3], rtol=1e-5)
    np.testing.assert_allclose(2 * values(model, image)["relu3_1"], values(plain, image)["relu3_1"], rtol=1e-4)


def test_the_command(capsys: pytest.CaptureFixture[str], pictures: Path) -> None:
    network_file("small").parent.mkdir(parents=True)
    ir.save(features_model(), network_file("small"))
    ended = run(capsys, "weights", "normalise", "small", "--images", pictures, "-o", "small-normalised")
    assert ended.status == 0
    assert "normalised     mean activation 1 over 3 pictures" in ended.out
    assert "small-normalised" in run(capsys, "weights", "list").out


def test_where_the_means_are_computed_can_be_said(
    capsys: pytest.CaptureFixture[str], pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ir.save(features_model(), tmp_path / "plain.onnx")
    command = ["weights", "normalise", tmp_path / "plain.onnx", "--images", pictures, "-o", tmp_path / "a.onnx"]
    asked: list[tuple[str, str]] = []
    plain = choose("cpu")

    def chosen(provider: str, precision: str) -> Provider:
        asked.append((provider, precision))
        narrow = {"bf16": dataclasses.replace(plain, precision="bf16", choice="provider cpu, bf16; not others")}
        return narrow.get(precision, plain)

    monkeypatch.setattr("impasto.engine.runtime.providers.choose", chosen)
    ended = run(capsys, *command, "--threads", 1)
    assert (ended.status, ended.err) == (0, "")
    assert ir.load(tmp_path / "a.onnx").metadata_props["normalised"] == "mean activation 1 over 3 pictures, avg pooling"
    ended = run(capsys, *command, "--provider", "auto", "--precision", "bf16")
    assert (ended.status, ended.err) == (0, "provider cpu, bf16; not others\n")
    assert "mean activation 1 over 3 pictures, avg pooling, in bf16" in ended.out
    assert ir.load(tmp_path / "a.onnx").metadata_props["normalised"].endswith("avg pooling, in bf16")
    assert asked == [("cpu,plain", "fp32"), ("auto", "bf16")]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--provider", "gpu"), "unknown provider 'gpu': allowed are auto, tensorrt, cuda, webgpu, openvino, cpu"),
        (
            ("--provider", "cpu", "--precision", "fp16"),
            "provider cpu has no fp16: its kernels are float32; allowed here are auto, fp32",
        ),
        (
            ("--threads", -1),
            f"bad threads -1: allowed on this machine are 0 (one per core) to {8 * (os.cpu_count() or 1)}",
        ),
    ],
)
def test_a_mistake_is_one_line_and_status_2(
    capsys: pytest.CaptureFixture[str], pictures: Path, tmp_path: Path, words: tuple[object, ...], message: str
) -> None:
    ir.save(features_model(), tmp_path / "plain.onnx")
    command = ["weights", "normalise", tmp_path / "plain.onnx", "--images", pictures, "-o", tmp_path / "a.onnx"]
    ended = run(capsys, *command, *words)
    assert (ended.status, ended.out, ended.err) == (2, "", f"error: {message}\n")
    assert not (tmp_path / "a.onnx").exists()


def test_what_cannot_be_normalised_is_one_line(
    capsys: pytest.CaptureFixture[str], pictures: Path, tmp_path: Path
) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    refused = run(capsys, "weights", "normalise", "vgg19-slim", "--images", pictures, "-o", "x")
    assert refused.status == 2
    assert refused.err == (
        "error: cannot normalise relu1_1: it is the output of Conv, expected the ReLU of a Conv; "
        "take a network of such taps, as vgg19 (`impasto weights fetch vgg19`)\n"
    )
    nothing = run(capsys, "weights", "normalise", "vgg19-slim", "--images", empty, "-o", "x")
    assert (nothing.status, nothing.err) == (
        2,
        f"error: no pictures in {empty}: give image files or folders of them with --images\n",
    )
    assert not network_file("x").exists()


def test_a_tap_that_something_else_reads_is_refused() -> None:
    model = features_model()
    tap = next(output for output in model.graph.outputs if output.name == "relu1_1")
    model.graph.append(ir.node("Sigmoid", [tap]))
    means = {tap: np.ones(width) for tap, width in zip(TAPS, (6, 8, 5), strict=True)}
    with pytest.raises(
        ImpastoError, match=r"cannot normalise relu1_1: Sigmoid .* reads it, expected Conv or a pooling"
    ):
        normalise(model, means)

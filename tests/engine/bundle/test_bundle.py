"""A bundle against the engine: the same losses from the files alone, and no other file taken for a bundle."""

import itertools
import json
import math
from pathlib import Path
from typing import Any

import jsonschema_rs
import numpy as np
import onnx
import pytest
from PIL import Image

from impasto.engine import Engine, Settings, preset
from impasto.engine.bundle import Order, check_bundle, read_manifest, write_bundle
from impasto.engine.bundle.manifest import SCHEMA
from impasto.engine.bundle.running import BundleRun
from impasto.engine.compile.network import load_network
from impasto.engine.events import Iteration
from impasto.models.errors import ImpastoError
from tests.engine.bundle.conftest import TAPS
from tests.engine.command_line import run
from tests.engine.conftest import Files

SIZE = (64, 48)
OF_RUNS: dict[str, Any] = {"size": SIZE[0], **TAPS}
LOOKS: dict[str, Settings] = {
    "paper": Settings(**OF_RUNS),
    "plain": Settings(
        **OF_RUNS, optimizer="plain-lbfgs", weighting="johnson", pool="max", tv_weight=1e-3, bounded=False
    ),
    "moments": Settings(**OF_RUNS, style_loss="moments", weighting="calibrated", strength=0.5, padding="replicate"),
    "gram-mean": Settings(
        **OF_RUNS, style_loss="gram-mean", weighting="calibrated", content_weight=1e-2, padding="reflect"
    ),
    "seamless": Settings(**OF_RUNS, seamless=True, tv_weight=1.0, tv_norm="l2"),
    "adam": Settings(**OF_RUNS, optimizer="adam", average=0.9, learning_rate=7.0, weighting="calibrated"),
    "painterly": preset("painterly", **OF_RUNS),
    "fast": preset("fast", **OF_RUNS),
    "smooth": Settings(**OF_RUNS, weighting="calibrated", smoothness=3.0, tv_norm="l1"),
}


def pixels(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.array(image.convert("RGB"))


@pytest.mark.parametrize("name", LOOKS)
def test_follows_the_engine(files: Files, tmp_path: Path, name: str) -> None:
    """Loss for loss: the engine's loop on the device where it has one, else the optimiser in NumPy."""
    settings = LOOKS[name]
    write_bundle(load_network(files.model), tmp_path / "bundle", Order(settings, (SIZE,)))
    record = read_manifest(tmp_path / "bundle")
    jsonschema_rs.validate(json.loads(SCHEMA.read_text()), record)
    content, style = pixels(files.content), pixels(files.style)
    own_size = Settings.from_dict({**settings.as_dict(), "style_size": 0})
    if name == "seamless":
        style = style[:32, :48]
        Image.fromarray(style).save(files.style)
    loop = "host" if settings.optimizer == "adam" else "device"
    losses: list[float] = []

    def listen(event: object) -> None:
        if isinstance(event, Iteration):
            losses.append(event.loss)

    with Engine(files.model, provider="cpu,plain", threads=1, loop=loop) as engine:
        settings_now = Settings.from_dict({**own_size.as_dict(), "evaluations": 12})
        result = engine.transfer(files.content, files.style, settings_now, on_event=listen)
        losses.insert(0, sum(result.initial_terms.values()))
    ran = BundleRun(tmp_path / "bundle", record)
    ran.set_images(content, style)
    rows = ran.run(12)
    seen = {row["iteration"]: row["loss"] for row in rows}
    assert seen[0] == pytest.approx(losses[0], rel=1e-6)
    assert list(seen.values()) == pytest.approx(losses, rel=2e-3)
    expected = np.rint(np.clip(result.picture.pixels, 0, 1) * 255)
    difference = np.abs(ran.picture().astype(int) - expected)
    assert difference.mean() < 0.5


@pytest.mark.parametrize("optimised", [False, True])
def test_targets_of_any_size_are_those_of_the_size(files: Files, bundle: Path, optimised: bool) -> None:
    """To the bit, unless ONNX Runtime merges the constant factors of one of the two graphs into its products."""
    import onnx_ir as ir
    import onnxruntime as ort

    from impasto.export.objective import build_targets

    options = ort.SessionOptions()
    if not optimised:
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    for height, width in ((48, 64), (33, 80)):
        model = build_targets(load_network(files.model).model, height=height, width=width, pool="avg", **TAPS)
        fixed = ort.InferenceSession(ir.to_proto(model).SerializeToString(), options)
        free = ort.InferenceSession(str(bundle / "targets.onnx"), options)
        image = np.random.default_rng(0).random((1, 3, height, width), np.float32)
        names = [output.name for output in fixed.get_outputs()]
        for name, one, other in zip(
            names, fixed.run(names, {"image": image}), free.run(names, {"image": image}), strict=True
        ):
            if not optimised:
                np.testing.assert_array_equal(one, other, err_msg=name)
            np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6 * float(np.abs(one).max()), err_msg=name)


def test_weights_are_in_one_file_once(bundle: Path) -> None:
    record = read_manifest(bundle)
    graphs = {"objective.onnx", "step.onnx", "render.onnx", "targets.onnx", "pixels.onnx"}
    assert set(record["files"]) == {*graphs, "weights.bin"}
    weights = (bundle / "weights.bin").read_bytes()
    ranges: dict[str, set[tuple[int, int]]] = {}
    for name in record["files"]:
        if name.endswith(".onnx"):
            for tensor in onnx.load(bundle / name, load_external_data=False).graph.initializer:
                assert len(tensor.raw_data) < 1024
                entries = {entry.key: entry.value for entry in tensor.external_data}
                if entries:
                    assert entries["location"] == "weights.bin"
                    ranges.setdefault(name, set()).add((int(entries["offset"]), int(entries["length"])))
    assert ranges["objective.onnx"] & ranges["targets.onnx"], "the network's weights, which both take"
    every = sorted(set().union(*ranges.values()))
    contents = {weights[offset : offset + length] for offset, length in every}
    assert len(contents) == len(every)
    assert all(offset + length <= following for (offset, length), (following, _) in itertools.pairwise(every))


@pytest.mark.parametrize(("provider", "precision", "opset"), [("any", "fp32", 20), ("cuda", "bf16", 22)])
def test_the_opset_is_that_of_the_graphs(
    files: Files, tmp_path: Path, provider: str, precision: str, opset: int
) -> None:
    order = Order(LOOKS["paper"], (SIZE,), (), provider, precision)
    record = write_bundle(load_network(files.model), tmp_path / "bundle", order)
    found = [onnx.load(path, load_external_data=False) for path in (tmp_path / "bundle").glob("*.onnx")]
    assert record["opset"] == opset == max(one.version for model in found for one in model.opset_import)
    assert record["ir_version"] == max(model.ir_version for model in found)


def test_scales_of_a_preset_are_sizes_of_the_bundle(files: Files, tmp_path: Path) -> None:
    settings = preset("painterly", **TAPS, weighting="calibrated")
    record = write_bundle(load_network(files.model), tmp_path / "bundle", Order(settings, ((184, 140), (128, 97))))
    jsonschema_rs.validate(json.loads(SCHEMA.read_text()), record)
    assert [(size["width"], size["height"]) for size in record["sizes"]] == [(130, 99), (184, 140), (128, 97)]
    assert [[scale["step"] for scale in result["scales"]] for result in record["results"]] == [[1, 0], [0]]
    assert {one["name"]: one["filter"] for one in record["optimiser"]["between_scales"]} == {
        "x": "lanczos", "mean": "bilinear", "mean_square": "bilinear",
    }  # fmt: skip


def test_commands(files: Files, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    saved, folder = tmp_path / "look.safetensors", tmp_path / "made"
    options = ("--model", files.model, "--style-tap", "relu1_1", "--style-tap", "relu3_1", "--preset", "paper")
    assert run(capsys, "style", "save", files.style, "-o", saved, "--size", 48, *options, "--threads", 1).status == 0
    words = ("bundle", "-o", folder, "--size", "48x40", "--style", saved, "--content-tap", "relu2_1", *options)
    ended = run(capsys, *words)
    assert (ended.status, ended.err) == (0, "")
    assert "48x40 px, lbfgs, 1 styles, 7 files" in ended.out
    record = read_manifest(folder)
    jsonschema_rs.validate(json.loads(SCHEMA.read_text()), record)
    (style,) = record["styles"]
    place = style["steps"][0]["gram_relu1_1"]
    content = (folder / style["file"]).read_bytes()
    gram = np.frombuffer(content, np.float32, place["bytes"] // 4, place["offset"]).reshape(place["shape"])
    np.testing.assert_allclose(gram, gram.transpose(0, 2, 1), rtol=1e-5)
    checked = run(capsys, "bundle", "check", folder, "--threads", 1)
    assert (checked.status, checked.err) == (0, "")
    assert "48x40 px renders; loss" in checked.out
    again = run(capsys, *words)
    assert (again.status, again.err) == (
        2, f"error: cannot write {folder}: it is a bundle already; give another folder, or --force to replace it\n"
    )  # fmt: skip
    assert run(capsys, *words, "--force").status == 0
    assert not list(tmp_path.glob(".made-*"))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--size", "64"), "bad --size '64': write WIDTHxHEIGHT in px, as 512x384"),
        (("--size", "16x64"), "bad --size '16x64': allowed are sides of 32 to 16384 px"),
        (("--size", "64x64", "--size", "64x64"), "--size 64x64 is given twice"),
        (("--size", "70x64", "--seamless"), "bad --size 70x64 for a seamless result: take 64x64"),
        (("--provider", "openvino"), "no bundle for --provider openvino: allowed are any, cpu, cuda"),
        (("--precision", "fp16"), "no bundle for --provider cpu in --precision fp16: allowed are fp32"),
        (("--weighting", "johnson", "--strength", 0.5), "a bundle has no strength with --weighting johnson"),
        (("--smoothness", 2), "a bundle has no smoothness with --weighting paper: give --tv-weight instead"),
        (("--init", "style"), "bad init 'style' of a bundle: allowed are content and noise"),
    ],
)
def test_mistakes(files: Files, capsys: pytest.CaptureFixture[str], arguments: tuple[object, ...], said: str) -> None:
    words = ("bundle", "-o", files.folder / "made", "--model", files.model, "--preset", "paper", *arguments)
    ended = run(capsys, *words)
    assert (ended.status, ended.out, ended.err.count("\n")) == (2, "", 1)
    assert said in ended.err
    assert not (files.folder / "made").exists()


def test_the_check_can_fail(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(BundleRun, "run", lambda *_: [{"loss": 1.0}, {"loss": math.nan}])
    with pytest.raises(ImpastoError, match="does not fall"):
        check_bundle(bundle, 1)

"""Saved styles: the same results as from the image, and one line for what does not fit."""

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir
import pytest
from onnx.reference import ReferenceEvaluator
from safetensors import safe_open
from safetensors.numpy import save_file

from impasto.engine import Engine, ImpastoError, Job, SavedStyle, Settings
from impasto.engine.runtime import providers
from impasto.models.checksum import sha256_of
from tests.engine.command_line import run
from tests.engine.conftest import TAPS, Files
from tests.oracles.gatys import gram
from tests.small_network import features_model

SETTINGS = Settings(
    size=48, content_taps=("relu2_1",), style_taps=("relu1_1", "relu3_1"), content_weight=1e-5, iterations=4
)


def changed(**values: object) -> Settings:
    return dataclasses.replace(SETTINGS, **values)  # type: ignore[arg-type]


@pytest.fixture
def engine(files: Files) -> Engine:
    return Engine(files.model, provider="cpu", threads=1)


@pytest.fixture
def saved(engine: Engine, files: Files) -> Path:
    engine.save_style(files.style, files.folder / "s.safetensors", SETTINGS)
    return files.folder / "s.safetensors"


def complaint(engine: Engine, files: Files, style: Path, settings: Settings = SETTINGS) -> str:
    with pytest.raises(ImpastoError) as caught:
        engine.transfer(files.content, style, settings)
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_results_are_the_same_bits_as_from_the_image(engine: Engine, files: Files, saved: Path) -> None:
    from_image = engine.transfer(files.content, files.style, SETTINGS)
    for style in (saved, str(saved), SavedStyle.read(saved)):
        from_file = engine.transfer(files.content, style, SETTINGS)
        assert from_file.loss == from_image.loss
        assert from_file.terms == from_image.terms
        np.testing.assert_array_equal(from_file.picture.pixels, from_image.picture.pixels)
    assert from_file.provenance["style"] == "s.safetensors"
    scores = [engine.evaluate(files.content, files.content, style, SETTINGS) for style in (files.style, saved)]
    assert scores[0].loss == scores[1].loss
    np.testing.assert_array_equal(scores[0].gradient, scores[1].gradient)
    (one,) = engine.transfer_many([Job(files.content, saved, SETTINGS)])
    assert one.result is not None
    np.testing.assert_array_equal(one.result.picture.pixels, from_image.picture.pixels)


@pytest.mark.parametrize("values", [{"pool": "max"}, {"seamless": True}, {"style_size": 64}])
def test_of_any_kind(engine: Engine, files: Files, values: dict[str, object]) -> None:
    settings, file = changed(**values), files.folder / "k.safetensors"
    engine.save_style(files.style, file, settings)
    image, saved = (engine.transfer(files.content, style, settings) for style in (files.style, file))
    np.testing.assert_array_equal(image.picture.pixels, saved.picture.pixels)


def test_size_0_is_the_images_own(engine: Engine, files: Files) -> None:
    saved = engine.save_style(files.style, files.folder / "k.safetensors", changed(size=0))
    assert (saved.width, saved.height) == (52, 40)


def test_fewer_taps_than_were_saved_and_other_weights(engine: Engine, files: Files, saved: Path) -> None:
    settings = changed(style_taps=("relu3_1=0.5",), weighting="calibrated", content_weight=1e-3)
    losses = [engine.transfer(files.content, style, settings).loss for style in (files.style, saved)]
    assert losses[0] == losses[1]


def test_a_texture_from_a_saved_style_has_its_proportions(engine: Engine, saved: Path) -> None:
    settings = changed(content_weight=0.0, init="noise", size=104)
    assert engine.transfer(None, saved, settings).picture.pixels.shape == (80, 104, 3)


def test_the_file_holds_gram_matrices_and_where_they_are_from(files: Files, saved: Path, engine: Engine) -> None:
    with safe_open(saved, framework="numpy") as file:
        arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (no mapping)
        record = json.loads(file.metadata()["impasto"])
    assert {name: (array.dtype, array.shape) for name, array in arrays.items()} == {
        "gram_relu1_1": (np.float32, (1, 6, 6)),
        "gram_relu3_1": (np.float32, (1, 5, 5)),
    }
    assert record["model_sha256"] == engine.network.sha256
    assert record["image_sha256"] == sha256_of(files.style)
    assert (record["image"], record["taps"], record["pool"]) == ("style.png", ["relu1_1", "relu3_1"], "avg")
    assert (record["width"], record["height"], record["precision"]) == (48, 37, "fp32")
    first = saved.read_bytes()
    engine.save_style(files.style, saved, SETTINGS)
    assert saved.read_bytes() == first


def test_other_runs_are_refused(engine: Engine, files: Files, saved: Path) -> None:
    prefix = "s.safetensors was saved for "
    assert complaint(engine, files, saved, changed(pool="max")) == (
        f"{prefix}--pool avg; make it with `impasto style save` again, with --pool max"
    )
    assert complaint(engine, files, saved, changed(seamless=True)).startswith(f"{prefix}a result that is not seamless;")
    assert complaint(engine, files, saved, changed(style_taps=("relu1_1", "relu2_1"))) == (
        f"{prefix}relu1_1, relu3_1 only; make it with `impasto style save` again, with --style-tap relu2_1"
    )
    assert complaint(engine, files, saved, changed(style_size=64)).startswith(
        "s.safetensors was saved at 48 px, not 64"
    )
    assert complaint(engine, files, saved, changed(init="style")).startswith("cannot start from the style image")
    ir.save(features_model(seed=1), files.folder / "other.onnx")
    with Engine(files.folder / "other.onnx", provider="cpu", threads=1) as other:
        assert complaint(other, files, saved).startswith(f"{prefix}another network, small (")
    narrow = dataclasses.replace(providers.choose("cpu"), precision="bf16")
    with Engine(files.model, provider=narrow, threads=1) as other:
        assert complaint(other, files, saved).endswith(
            "--precision fp32, and this run is bf16; make it with `impasto style save` again, with --precision bf16"
        )


def test_a_run_that_goes_over_to_a_safer_precision_keeps_its_style(
    files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = providers.choose("cpu")
    narrow = dataclasses.replace(plain, precision="bf16")
    monkeypatch.setattr(providers, "safer", lambda used: plain if used.precision == "bf16" else None)
    with Engine(files.model, provider=narrow, threads=1) as engine:
        engine.save_style(files.style, files.folder / "s.safetensors", SETTINGS)
        engine._workshop.make_safer()
        assert engine.provider.precision == "fp32"
        assert engine.transfer(files.content, files.folder / "s.safetensors", SETTINGS).iterations == 4


@pytest.mark.parametrize("kept", [0, 7, 100, -1])
def test_truncated_files(engine: Engine, files: Files, saved: Path, kept: int) -> None:
    saved.write_bytes(saved.read_bytes()[:kept])
    assert complaint(engine, files, saved).startswith(f"damaged or truncated saved style: {saved} (")


def test_files_that_are_something_else(engine: Engine, files: Files, saved: Path) -> None:
    save_file({"a": np.zeros(3, np.float32)}, saved)
    assert complaint(engine, files, saved).startswith(f"not a saved style: {saved}; make it with")
    save_file({"a": np.zeros(3, np.float32)}, saved, {"impasto": '{"kind": "style", "model": "x"}'})
    assert complaint(engine, files, saved).startswith(f"damaged or truncated saved style: {saved} (")
    assert complaint(engine, files, files.folder / "no.safetensors") == f"no such file: {files.folder}/no.safetensors"


def test_the_matrices_are_those_of_the_definition(engine: Engine, files: Files, tmp_path: Path) -> None:
    pixels = np.random.default_rng(3).random((32, 34, 3), np.float32)
    saved = engine.save_style(pixels, tmp_path / "c.safetensors", changed(size=0))
    assert saved.origin.image_sha256 is None
    network = ReferenceEvaluator(ir.to_proto(features_model()))
    features = network.run(["relu1_1", "relu3_1"], {"image": pixels.transpose(2, 0, 1)[None]})
    for name, tap in zip(("gram_relu1_1", "gram_relu3_1"), features, strict=True):
        np.testing.assert_allclose(saved.grams[name][0], gram(tap[0]) / tap[0, 0].size, rtol=1e-5)


def test_the_command_line(capsys: pytest.CaptureFixture[str], files: Files) -> None:
    chosen = ("--model", files.model, "--provider", "cpu", "--threads", 1)
    saved, output = files.folder / "s.safetensors", files.folder / "o.png"
    ended = run(capsys, "style", "save", files.style, "-o", saved, "--size", 48, *chosen, *TAPS[2:])
    assert (ended.status, ended.err) == (0, "")
    assert ended.out == f"{saved}: style.png at 48x37 px, 2 taps of small in fp32\n"
    few = ("--size", 48, "--iterations", 3, *TAPS, *chosen)
    losses = []
    for style in (files.style, saved):
        out = run(capsys, "transfer", files.content, style, "-o", output, *few, "--json").out
        losses.append(json.loads(out.splitlines()[-1])["loss"])
    assert losses[0] == losses[1]
    report = files.folder / "r.html"
    assert run(capsys, "transfer", files.content, saved, "-o", output, *few, "--report", report, "--quiet").status == 0
    assert report.stat().st_size > 0
    scored = run(capsys, "evaluate", output, "--content", files.content, "--style", saved, "--size", 48, *TAPS, *chosen)
    assert json.loads(scored.out)["loss"] == pytest.approx(losses[0], rel=0.1)
    losses = []
    for style in (files.style, saved):
        more = ("-o", output, "--size", 48, "--evaluations", 3, *TAPS[2:], *chosen)
        out = run(capsys, "reconstruct", "style", style, *more, "--json").out
        losses.append(json.loads(out.splitlines()[-1])["loss"])
    assert losses[0] == losses[1]
    shown = run(capsys, "figure", 2, "-o", files.folder / "f", "--content", files.content, "--style", saved, *chosen)
    assert shown.status == 2
    assert "it is a .safetensors file, and a saved style shows no picture" in shown.err


def test_a_saved_style_in_a_manifest(capsys: pytest.CaptureFixture[str], files: Files, saved: Path) -> None:
    chosen = ("--model", files.model, "--provider", "cpu", "--threads", 1)
    few = ("--size", 48, "--iterations", 3, *TAPS, *chosen)
    out = run(capsys, "transfer", files.content, saved, "-o", files.folder / "o.png", *few, "--json").out
    loss = json.loads(out.splitlines()[-1])["loss"]
    manifest = files.folder / "l.jsonl"
    taps = {"content_taps": ["relu2_1"], "style_taps": ["relu1_1", "relu3_1"]}
    row = {"content": "content.png", "style": "s.safetensors", "size": 48, "iterations": 3, **taps}
    manifest.write_text(json.dumps(row))
    told = run(capsys, "batch", manifest, "-o", files.folder / "out", *chosen, "--json").out.splitlines()
    assert json.loads(told[0])["loss"] == loss
    assert (files.folder / "out" / "content-s.png").is_file()


def test_a_dry_run_and_a_style_that_does_not_fit(
    capsys: pytest.CaptureFixture[str], files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    saved = files.folder / "s.safetensors"
    save = ["style", "save", files.style, "-o", saved, "--size", 48, "--model", files.model, "--provider", "cpu"]
    ended = run(capsys, *save, *TAPS[2:], "--dry-run")
    assert (ended.status, ended.err) == (0, "")
    first, second = ended.out.splitlines()
    assert first == f"{saved}: style.png at 48x37 px, 2 taps of small in fp32"
    assert second.startswith("memory: about 2")
    assert not saved.exists()
    monkeypatch.setattr("impasto.engine.compile.memory.available", lambda: 1 << 20)
    ended = run(capsys, *save, *TAPS[2:])
    assert ended.status == 2
    assert ended.err.startswith("error: not enough memory: this run (48x37 px) takes about 2")
    assert ended.err.endswith("1 MiB are free; no smaller size would fit\n")
    assert run(capsys, *save, *TAPS[2:], "--ignore-memory").status == 0
    assert saved.exists()


@pytest.mark.parametrize(
    ("name", "expected"), [("s.png", "a saved style is a .safetensors file"), ("no/s.safetensors", "")]
)
def test_outputs_that_cannot_be_written(
    capsys: pytest.CaptureFixture[str], files: Files, name: str, expected: str
) -> None:
    ended = run(capsys, "style", "save", files.style, "-o", files.folder / name, "--model", files.model)
    assert ended.status == 2
    assert ended.err.startswith(f"error: cannot write {files.folder / name}: {expected}")
    assert ended.err.count("\n") == 1


def rewritten(saved: Path, change: Callable[[dict[str, Any], dict[str, np.ndarray]], object]) -> None:
    """Change a file's record or arrays; it has no checksum then, as files of version 0.2 have none."""
    with safe_open(saved, framework="numpy") as file:
        arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (no mapping)
        record = json.loads(file.metadata()["impasto"])
    del record["checksum"]
    change(record, arrays)
    save_file(
        {name: np.ascontiguousarray(array) for name, array in arrays.items()}, saved, {"impasto": json.dumps(record)}
    )


def test_a_file_without_a_checksum_still_loads(engine: Engine, files: Files, saved: Path) -> None:
    with_sum = engine.transfer(files.content, saved, SETTINGS)
    rewritten(saved, lambda record, arrays: None)
    assert engine.transfer(files.content, saved, SETTINGS).loss == with_sum.loss


@pytest.mark.parametrize("twentieth", range(20))
def test_a_changed_bit(engine: Engine, files: Files, saved: Path, twentieth: int) -> None:
    whole = bytearray(saved.read_bytes())
    whole[len(whole) * twentieth // 20 + 9] ^= 1
    saved.write_bytes(whole)
    assert "saved style" in complaint(engine, files, saved)


def negative_definite(arrays: dict[str, np.ndarray]) -> None:
    matrix = np.eye(6, dtype=np.float32)
    matrix[0, 1] = matrix[1, 0] = 3.0  # |g01| may be sqrt(g00 g11) at most
    arrays["gram_relu1_1"] = matrix[None]


GRAM = "gram_relu1_1"
BAD_ARRAYS: dict[str, Callable[[dict[str, np.ndarray]], object]] = {
    "is float64 (1, 6, 6); it must be float32 [1, C, C]": lambda arrays: arrays.update(
        {GRAM: arrays[GRAM].astype(float)}
    ),
    "is float32 (6, 6); it must be float32 [1, C, C]": lambda arrays: arrays.update({GRAM: arrays[GRAM][0]}),
    "is float32 (1, 6, 5); it must be float32 [1, C, C]": lambda arrays: arrays.update({GRAM: arrays[GRAM][:, :, :5]}),
    "is float32 (2, 6, 6); it must be float32 [1, C, C]": lambda arrays: arrays.update(
        {GRAM: np.tile(arrays[GRAM], (2, 1, 1))}
    ),
    "is empty": lambda arrays: arrays.update({GRAM: np.zeros((1, 0, 0), np.float32)}),
    "is not finite": lambda arrays: arrays[GRAM].__setitem__((0, 1, 1), np.nan),
    "is not symmetric": lambda arrays: arrays[GRAM].__setitem__((0, 1, 2), 1e6),
    "has a diagonal entry below 0": lambda arrays: arrays[GRAM].__setitem__((0, 3, 3), -1e-3),
    "is not positive semidefinite": negative_definite,
}


@pytest.mark.parametrize("said", BAD_ARRAYS)
def test_matrices_that_are_no_gram_matrices(engine: Engine, files: Files, saved: Path, said: str) -> None:
    rewritten(saved, lambda record, arrays: BAD_ARRAYS[said](arrays))
    assert complaint(engine, files, saved) == (
        f"damaged or truncated saved style: {saved} ({GRAM} {said}); make it with `impasto style save` again"
    )


def test_a_channel_that_the_image_does_not_excite_is_allowed(engine: Engine, files: Files, saved: Path) -> None:
    def kill(record: dict[str, Any], arrays: dict[str, np.ndarray]) -> None:
        arrays[GRAM][0, 2, :] = arrays[GRAM][0, :, 2] = 0

    rewritten(saved, kill)
    assert engine.transfer(files.content, saved, SETTINGS).iterations == 4


BAD_FIELDS: list[dict[str, Any]] = [
    {"model": 3},
    {"model": "x" * 5000},
    {"model_sha256": None},
    {"taps": "relu1_1"},
    {"taps": []},
    {"taps": [1]},
    {"pool": "median"},
    {"pool": ["avg"]},
    {"padding": "wrap"},
    {"padding": None},
    {"seamless": 1},
    {"height": 0},
    {"height": 2.5},
    {"height": True},
    {"width": 10**400},
    {"width": float("nan")},
    {"image": None},
    {"image_sha256": 5},
    {"version": {}},
    {"colour": "red"},
    {"image": [[[[[[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]]]]]},
]


@pytest.mark.parametrize("fields", BAD_FIELDS, ids=lambda fields: str(fields)[:30])
def test_an_origin_that_cannot_be(engine: Engine, files: Files, saved: Path, fields: dict[str, Any]) -> None:
    rewritten(saved, lambda record, arrays: record.update(fields))
    assert complaint(engine, files, saved).startswith(f"damaged or truncated saved style: {saved} (")


def test_a_style_with_the_networks_hash_and_other_matrices(engine: Engine, files: Files, saved: Path) -> None:
    rewritten(saved, lambda record, arrays: arrays.update({GRAM: arrays[GRAM][:, :4, :4]}))
    assert complaint(engine, files, saved) == (
        "the saved style is not of this network: gram_relu1_1 is 4 x 4, and the network's is 6 x 6; "
        "make it with `impasto style save` again"
    )


def test_an_origin_that_lacks_a_field(engine: Engine, files: Files, saved: Path) -> None:
    rewritten(saved, lambda record, arrays: record.pop("pool"))
    assert "(pool is missing)" in complaint(engine, files, saved)

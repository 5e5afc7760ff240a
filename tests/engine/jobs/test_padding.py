"""The padding of the first convolution through the engine: runs, batches, saved styles, caches, the command line."""

import dataclasses
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir
import pytest
from safetensors import safe_open
from safetensors.numpy import save_file

from impasto.engine import Engine, ImpastoError, Job, SavedStyle, Settings, style_reconstruction
from impasto.engine.cache import store
from impasto.engine.compile.graph_spec import GraphSpec
from impasto.engine.compile.sessions import OBJECTIVE, TARGETS
from impasto.engine.runtime import providers
from impasto.engine.settings import PADDINGS
from tests.engine.command_line import run
from tests.engine.conftest import TAPS, Files
from tests.engine.jobs.batch_runs import assert_batches_match_single_runs
from tests.oracles import gatys
from tests.oracles import padding as oracle
from tests.small_network import WIDTHS, features_model, weights

OTHERS = ("replicate", "reflect")
STYLE_TAPS = ("relu1_1", "relu3_1")
BASE = Settings(size=48, content_taps=("relu2_1",), style_taps=STYLE_TAPS, iterations=6)
others = pytest.mark.parametrize("padding", OTHERS)


def changed(**values: Any) -> Settings:
    return dataclasses.replace(BASE, **values)


@pytest.fixture
def engine(files: Files) -> Engine:
    return Engine(files.model, provider="cpu", threads=1)


@pytest.mark.parametrize("padding", PADDINGS)
def test_targets_and_image_have_the_same_padding(engine: Engine, padding: str) -> None:
    """The terms, from the features and equations in float64; of two sizes, so the borders count differently."""
    rng = np.random.default_rng(5)
    image, content, painting = (rng.random((height, 44, 3), np.float32) for height in (36, 36, 52))
    found = engine.evaluate(image, content, painting, changed(size=0, padding=padding)).terms
    taps = list(WIDTHS)
    own, scene, other = (
        oracle.features(pixels.transpose(2, 0, 1), weights(), taps, padding) for pixels in (image, content, painting)
    )
    assert found["content_relu2_1"] == pytest.approx(1e-4 * gatys.content_term(own["relu2_1"], scene["relu2_1"]))
    for tap in STYLE_TAPS:
        positions = own[tap][0].size, other[tap][0].size
        target = gatys.gram(other[tap]) / positions[1] * positions[0]
        assert found[f"style_{tap}"] == pytest.approx(0.5 * gatys.style_term(own[tap], target), rel=1e-4)


@others
def test_a_run_lowers_its_own_loss(engine: Engine, files: Files, padding: str) -> None:
    result = engine.transfer(files.content, files.style, changed(padding=padding))
    assert result.loss < 0.7 * sum(result.initial_terms.values())
    assert result.settings.padding == padding


def test_batches_of_each_padding_and_no_evaluation_of_two(engine: Engine, files: Files) -> None:
    jobs = [
        Job(files.content, files.style, changed(padding=padding, content_weight=weight, iterations=3))
        for padding in PADDINGS
        for weight in (1e-4, 1e-2)
    ]
    assert_batches_match_single_runs(engine, jobs)


@others
def test_a_seamless_result_does_not_depend_on_it(engine: Engine, files: Files, padding: str) -> None:
    texture = style_reconstruction(STYLE_TAPS, canvas=(64, 48), seamless=True, iterations=3)
    plain, other = (
        engine.transfer(None, files.style, dataclasses.replace(texture, padding=chosen)) for chosen in ("zero", padding)
    )
    np.testing.assert_array_equal(other.picture.pixels, plain.picture.pixels)
    file = files.folder / "s.safetensors"
    assert engine.save_style(files.style, file, changed(seamless=True, padding=padding)).origin.padding == "zero"


@others
def test_a_saved_style_gives_the_same_bits(engine: Engine, files: Files, padding: str) -> None:
    path, settings = files.folder / "s.safetensors", changed(padding=padding)
    engine.save_style(files.style, path, settings)
    assert SavedStyle.read(path).origin.padding == padding
    image, saved = (engine.transfer(files.content, style, settings) for style in (files.style, path))
    np.testing.assert_array_equal(image.picture.pixels, saved.picture.pixels)


def test_a_saved_style_of_another_padding_is_refused_in_one_line(engine: Engine, files: Files) -> None:
    for own in PADDINGS:
        path = files.folder / f"{own}.safetensors"
        engine.save_style(files.style, path, changed(padding=own))
        for other in PADDINGS:
            if other != own:
                expected = (
                    f"{path.name} was saved for --padding {own}; make it with `impasto style save` again, "
                    f"with --padding {other}"
                )
                with pytest.raises(ImpastoError, match=f"^{re.escape(expected)}$"):
                    engine.transfer(files.content, path, changed(padding=other))


def test_a_file_without_a_padding_has_zeros(engine: Engine, files: Files) -> None:
    path = files.folder / "s.safetensors"
    engine.save_style(files.style, path, BASE)
    with safe_open(path, framework="numpy") as file:
        arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (no mapping)
        record = json.loads(file.metadata()["impasto"])
    del record["padding"], record["checksum"]
    save_file(arrays, path, {"impasto": json.dumps(record)})
    assert SavedStyle.read(path).origin.padding == "zero"
    image, saved = (engine.transfer(files.content, style, BASE) for style in (files.style, path))
    np.testing.assert_array_equal(image.picture.pixels, saved.picture.pixels)


def test_cache_keys_differ_by_padding(
    engine: Engine, files: Files, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("IMPASTO_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv(store.DISABLE_VARIABLE)
    scores = []
    for _ in range(2):
        with Engine(files.model, provider="cpu", threads=1) as caching:
            source = caching._workshop.compiler._source
            specs = [GraphSpec(("relu2_1",), STYLE_TAPS, 48, 48, "avg", padding=name) for name in PADDINGS]
            for kind in (OBJECTIVE, TARGETS):
                assert len({source.key(kind, spec) for spec in specs}) == len(PADDINGS)
            assert len({source.key(TARGETS, spec.content_targets()) for spec in specs}) == len(PADDINGS)
            chosen = [changed(padding=name) for name in PADDINGS]
            scores += [caching.evaluate(files.content, files.content, files.style, each).terms for each in chosen]
    assert scores[:3] == scores[3:]
    assert len({tuple(terms.values()) for terms in scores[:3]}) == 3


@others
def test_the_loop_on_the_device_takes_the_steps_of_the_host(files: Files, padding: str) -> None:
    results = []
    for loop in ("host", "device"):
        with Engine(files.model, provider="cpu", threads=1, loop=loop) as engine:
            results.append(engine.transfer(files.content, files.style, changed(padding=padding)))
    assert results[1].loss == pytest.approx(results[0].loss, rel=1e-3)


@others
@pytest.mark.skipif(not providers.openvino.probe().works, reason="no processor for OpenVINO")
@pytest.mark.parametrize("precision", ["fp32", "bf16", "bf16-typed"])
def test_openvino(files: Files, padding: str, precision: str) -> None:
    if providers.openvino.refusal(precision) is not None:
        pytest.skip("no bfloat16 here")
    found = []
    for provider, chosen in (("cpu", "fp32"), ("openvino", precision)):
        with Engine(files.model, provider=provider, precision=chosen, threads=1) as engine:
            found.append(engine.evaluate(files.content, files.content, files.style, changed(padding=padding)))
    assert found[1].loss == pytest.approx(found[0].loss, rel=1e-5 if precision == "fp32" else 1e-2)


def test_a_network_that_drops_its_border_sees_nothing_beyond_it(files: Files) -> None:
    model = features_model()
    first = next(node for node in model.graph if node.op_type == "Conv")
    first.attributes["pads"] = ir.AttrInt64s("pads", [0, 0, 0, 0])
    ir.save(model, files.folder / "valid.onnx")
    with Engine(files.folder / "valid.onnx", provider="cpu", threads=1) as engine:
        reflected, zero = (
            engine.transfer(files.content, files.style, changed(padding=padding, content_taps=(), content_weight=0.0))
            for padding in ("reflect", "zero")
        )
    np.testing.assert_array_equal(reflected.picture.pixels, zero.picture.pixels)


def test_the_command_line(capsys: pytest.CaptureFixture[str], files: Files) -> None:
    chosen = ("--model", files.model, "--provider", "cpu", "--threads", 1, "--padding", "replicate")
    saved, output = files.folder / "s.safetensors", files.folder / "o.png"
    assert run(capsys, "style", "save", files.style, "-o", saved, "--size", 48, *chosen, *TAPS[2:]).status == 0
    few = ("--size", 48, "--iterations", 3, *TAPS, *chosen)
    assert run(capsys, "transfer", files.content, saved, "-o", output, *few, "--quiet").status == 0
    for file in (output, saved):
        assert re.search(r"padding +replicate", run(capsys, "show", file).out)
    texture = ("-o", output, "--size", 48, "--evaluations", 3, *chosen)
    assert run(capsys, "reconstruct", "content", files.style, "--tap", "relu2_1", *texture, "--quiet").status == 0
    said = run(capsys, "reconstruct", "style", files.style, *texture, *TAPS[2:], "--seamless").err
    assert "seamless: every padding wraps, so --padding replicate has no effect\n" in said
    refused = run(capsys, "transfer", files.content, files.style, "-o", output, *few[:-1], "wrap")
    assert (refused.status, refused.err) == (
        2,
        "error: unknown padding 'wrap': allowed are zero, replicate, reflect\n",
    )


def test_a_row_of_a_list(capsys: pytest.CaptureFixture[str], files: Files) -> None:
    manifest = files.folder / "l.jsonl"
    row = {"content": "content.png", "style": "style.png", "size": 48, "iterations": 2, "padding": "reflect"}
    row |= {"content_taps": ["relu2_1"], "style_taps": list(STYLE_TAPS)}
    manifest.write_text(json.dumps(row))
    chosen = ("--model", files.model, "--provider", "cpu", "--threads", 1)
    assert run(capsys, "batch", manifest, "-o", files.folder / "out", *chosen, "--json").status == 0
    assert re.search(r"padding +reflect", run(capsys, "show", files.folder / "out" / "content-style.png").out)

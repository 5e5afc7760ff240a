"""The style losses through the engine: runs, batches, textures, saved styles, checkpoints, the loop on the device."""

import dataclasses
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import save_file

from impasto.engine import Engine, ImpastoError, Iteration, Job, SavedStyle, Settings, style_reconstruction
from impasto.engine.cache import store
from impasto.engine.compile.graph_spec import GraphSpec
from impasto.engine.compile.sessions import OBJECTIVE, TARGETS
from impasto.engine.inputs.checkpoint import load_checkpoint, save_checkpoint
from impasto.engine.runtime import providers
from impasto.export.square_root import FLOOR
from impasto.export.terms import STYLE_LOSSES
from tests.engine.command_line import run
from tests.engine.conftest import TAPS, Files
from tests.export.test_objective import run as run_graph
from tests.oracles import moments
from tests.small_network import features_model

NEW_LOSSES = ("gram-mean", "moments")
STYLE_TAPS = ("relu1_1", "relu3_1")
BASE = Settings(
    size=48, content_taps=("relu2_1",), style_taps=STYLE_TAPS, weighting="calibrated", content_weight=1e-2, iterations=6
)


def changed(**values: Any) -> Settings:
    return dataclasses.replace(BASE, **values)


@pytest.fixture
def engine(files: Files) -> Engine:
    return Engine(files.model, provider="cpu", threads=1)


@pytest.fixture(params=NEW_LOSSES)
def settings(request: pytest.FixtureRequest) -> Settings:
    return changed(style_loss=request.param)


def test_a_run_lowers_its_own_loss(engine: Engine, files: Files, settings: Settings) -> None:
    result = engine.transfer(files.content, files.style, settings)
    assert result.loss < 0.7 * sum(result.initial_terms.values())
    assert result.settings.style_loss == settings.style_loss
    scored = engine.evaluate(result.picture.pixels, files.content, files.style, settings)
    assert scored.loss == pytest.approx(result.loss, rel=1e-3)
    assert engine.evaluate(result.picture.pixels, files.content, files.style, BASE).loss != pytest.approx(result.loss)


def test_a_batch_gives_what_single_runs_give(engine: Engine, files: Files, settings: Settings) -> None:
    few = dataclasses.replace(settings, iterations=3)
    jobs = [Job(files.content, files.style, dataclasses.replace(few, content_weight=w)) for w in (1e-2, 1e-1, 1.0)]
    alone = [engine.transfer(job.content, job.style, job.settings) for job in jobs]
    together = {item.index: item.result for item in engine.transfer_many(jobs, batch=3)}
    for index, single in enumerate(alone):
        found = together[index]
        assert found is not None
        assert found.loss == pytest.approx(single.loss, rel=1e-3)


def test_runs_of_two_losses_share_no_evaluation(engine: Engine, files: Files) -> None:
    jobs = [Job(files.content, files.style, changed(style_loss=name)) for name in STYLE_LOSSES]
    together = {item.index: item.result for item in engine.transfer_many(jobs, batch=3)}
    for index, job in enumerate(jobs):
        found = together[index]
        assert found is not None
        np.testing.assert_array_equal(
            found.picture.pixels, engine.transfer(job.content, job.style, job.settings).picture.pixels
        )


def test_a_seamless_texture(engine: Engine, files: Files, settings: Settings) -> None:
    texture = style_reconstruction(
        STYLE_TAPS,
        style_loss=settings.style_loss,
        weighting="calibrated",
        canvas=(64, 48),
        seamless=True,
        iterations=30,
    )
    result = engine.transfer(None, files.style, texture)
    assert result.picture.pixels.shape == (48, 64, 3)
    assert result.loss < 0.1 * sum(result.initial_terms.values())


def test_from_the_painting_itself_there_is_nothing_to_do(engine: Engine, files: Files, settings: Settings) -> None:
    result = engine.transfer(None, files.style, dataclasses.replace(settings, content_weight=0.0, init="style"))
    assert abs(result.loss) < 1e-5


def test_a_saved_style_gives_the_same_bits(engine: Engine, files: Files, settings: Settings) -> None:
    path = files.folder / "s.safetensors"
    engine.save_style(files.style, path, settings)
    image, saved = (engine.transfer(files.content, style, settings) for style in (files.style, path))
    np.testing.assert_array_equal(image.picture.pixels, saved.picture.pixels)
    with safe_open(path, framework="numpy") as file:
        names = set(file.keys())
        record = json.loads(file.metadata()["impasto"])
    kinds = {"gram-mean": ("covariance",), "moments": ("mean", "root")}[settings.style_loss]
    assert names == {f"{kind}_{tap}" for kind in kinds for tap in STYLE_TAPS}
    assert record["style_loss"] == settings.style_loss


def test_a_saved_style_of_another_loss_is_refused_in_one_line(engine: Engine, files: Files) -> None:
    for own in STYLE_LOSSES:
        path = files.folder / f"{own}.safetensors"
        engine.save_style(files.style, path, changed(style_loss=own))
        for other in STYLE_LOSSES:
            if other != own:
                expected = (
                    f"{path.name} was saved for --style-loss {own}; make it with `impasto style save` again, "
                    f"with --style-loss {other}"
                )
                with pytest.raises(ImpastoError, match=f"^{re.escape(expected)}$"):
                    engine.transfer(files.content, path, changed(style_loss=other))


def test_a_file_without_a_loss_is_of_gram(engine: Engine, files: Files) -> None:
    path = files.folder / "s.safetensors"
    engine.save_style(files.style, path, BASE)
    with safe_open(path, framework="numpy") as file:
        arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (no mapping)
        record = json.loads(file.metadata()["impasto"])
    del record["style_loss"], record["checksum"]
    save_file(arrays, path, {"impasto": json.dumps(record)})
    assert SavedStyle.read(path).origin.style_loss == "gram"
    image, saved = (engine.transfer(files.content, style, BASE) for style in (files.style, path))
    np.testing.assert_array_equal(image.picture.pixels, saved.picture.pixels)


@pytest.mark.parametrize("from_file", [False, True])
def test_a_resumed_run_ends_at_the_same_bits(engine: Engine, files: Files, settings: Settings, from_file: bool) -> None:
    style: Path = files.style
    if from_file:
        style = files.folder / "s.safetensors"
        engine.save_style(files.style, style, settings)
    whole = engine.transfer(files.content, style, settings)
    half = engine.transfer(files.content, style, dataclasses.replace(settings, iterations=3), keep_state=True)
    assert half.state is not None
    path = files.folder / "c.safetensors"
    save_checkpoint(dataclasses.replace(half.state, settings=settings), path)
    resumed = engine.resume(load_checkpoint(path)[0])
    np.testing.assert_array_equal(resumed.picture.pixels, whole.picture.pixels)


def test_the_loop_on_the_device_takes_the_steps_of_the_host(files: Files, settings: Settings) -> None:
    """Five steps: rounding, which differs between processors, grows from each to the next."""
    losses: list[list[float]] = []
    counts = []
    for loop in ("host", "device"):
        seen: list[float] = []

        def on_event(event: object, seen: list[float] = seen) -> None:
            if isinstance(event, Iteration):
                seen.append(event.loss)

        with Engine(files.model, provider="cpu", threads=1, loop=loop) as engine:
            five = dataclasses.replace(settings, iterations=5)
            result = engine.transfer(files.content, files.style, five, on_event=on_event)
        losses.append(seen)
        counts.append((result.iterations, result.evaluations))
    assert losses[1] == pytest.approx(losses[0], rel=2e-4)
    assert counts[0] == counts[1]


def test_cache_keys_differ_by_loss(
    engine: Engine, files: Files, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("IMPASTO_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv(store.DISABLE_VARIABLE)
    with Engine(files.model, provider="cpu", threads=1) as caching:
        source = caching._workshop.compiler._source
        specs = [GraphSpec(("relu2_1",), STYLE_TAPS, 48, 48, "avg", style_loss=name) for name in STYLE_LOSSES]
        for kind in (OBJECTIVE, TARGETS):
            assert len({source.key(kind, spec) for spec in specs}) == len(STYLE_LOSSES)
        assert len({source.key(TARGETS, spec.content_targets()) for spec in specs}) == 1
        once = [
            caching.evaluate(files.content, files.content, files.style, changed(style_loss=s)) for s in STYLE_LOSSES
        ]
    with Engine(files.model, provider="cpu", threads=1) as again:
        for name, first in zip(STYLE_LOSSES, once, strict=True):
            found = again.evaluate(files.content, files.content, files.style, changed(style_loss=name))
            assert found.terms == first.terms
            np.testing.assert_array_equal(found.gradient, first.gradient)


@pytest.mark.parametrize("weighting", ["paper", "johnson", "calibrated"])
def test_the_weightings_of_moments(engine: Engine, weighting: str) -> None:
    """The terms, from the distance in float64 and the definition of each weighting."""
    rng = np.random.default_rng(5)
    image, painting = (rng.random((40, 44, 3), np.float32) for _ in range(2))
    settings = Settings(
        size=0, style_taps=STYLE_TAPS, content_taps=("relu2_1",), weighting=weighting, style_weight=3.0,
        style_loss="moments",
    )  # fmt: skip
    found = engine.evaluate(image, image, painting**2, settings).terms
    own, other = (
        run_graph(features_model(), {"image": pixels.transpose(2, 0, 1)[None]}) for pixels in (image, painting**2)
    )
    for tap in STYLE_TAPS:
        features = other[tap][0].astype(np.float64)
        distance = moments.distance(own[tap][0], features, FLOOR)
        unit = {"paper": 0.5, "johnson": 1 / len(features), "calibrated": 0.5 / (features**2).mean((1, 2)).sum()}
        assert found[f"style_{tap}"] == pytest.approx(3.0 * unit[weighting] * distance, rel=3e-4)


@pytest.mark.skipif(not providers.openvino.probe().works, reason="no processor for OpenVINO")
@pytest.mark.parametrize("precision", ["fp32", "bf16", "bf16-typed"])
def test_openvino_has_the_root_in_float32(files: Files, settings: Settings, precision: str) -> None:
    if providers.openvino.refusal(precision) is not None:
        pytest.skip("no bfloat16 here")
    with Engine(files.model, provider="cpu", threads=1) as engine:
        expected = engine.evaluate(files.content, files.content, files.style, settings)
    with Engine(files.model, provider="openvino", precision=precision, threads=1) as engine:
        found = engine.evaluate(files.content, files.content, files.style, settings)
    assert found.loss == pytest.approx(expected.loss, rel=1e-5 if precision == "fp32" else 1e-2)


def test_the_command_line(capsys: pytest.CaptureFixture[str], files: Files) -> None:
    chosen = ("--model", files.model, "--provider", "cpu", "--threads", 1, "--style-loss", "moments")
    saved, output = files.folder / "s.safetensors", files.folder / "o.png"
    ended = run(capsys, "style", "save", files.style, "-o", saved, "--size", 48, *chosen, *TAPS[2:])
    assert (ended.status, ended.err) == (0, "")
    assert ended.out == f"{saved}: style.png at 48x37 px, 2 taps of small in fp32, for moments\n"
    few = ("--size", 48, "--iterations", 3, *TAPS, *chosen)
    assert run(capsys, "transfer", files.content, saved, "-o", output, *few, "--quiet").status == 0
    for file in (output, saved):
        assert re.search(r"style_loss +moments", run(capsys, "show", file).out)
    texture = ("-o", output, "--size", 48, "--evaluations", 3, *TAPS[2:], *chosen, "--quiet")
    assert run(capsys, "reconstruct", "style", files.style, *texture).status == 0
    refused = run(capsys, "transfer", files.content, files.style, "-o", output, *few[:-1], "gramm")
    assert (refused.status, refused.err) == (
        2,
        "error: unknown style_loss 'gramm': allowed are gram, gram-mean, moments\n",
    )


def test_a_row_of_a_list(capsys: pytest.CaptureFixture[str], files: Files) -> None:
    manifest = files.folder / "l.jsonl"
    row = {"content": "content.png", "style": "style.png", "size": 48, "iterations": 2, "style_loss": "moments"}
    row |= {"content_taps": ["relu2_1"], "style_taps": list(STYLE_TAPS)}
    manifest.write_text(json.dumps(row))
    chosen = ("--model", files.model, "--provider", "cpu", "--threads", 1)
    assert run(capsys, "batch", manifest, "-o", files.folder / "out", *chosen, "--json").status == 0
    assert re.search(r"style_loss +moments", run(capsys, "show", files.folder / "out" / "content-style.png").out)


@pytest.mark.parametrize(
    ("name", "array", "expected"),
    [
        ("mean_relu1_1", np.zeros((1, 6, 6), np.float32), "it must be float32 [1, C, 1]"),
        ("mean_relu1_1", np.full((1, 6, 1), np.nan, np.float32), "mean_relu1_1 is not finite"),
        ("root_relu1_1", np.zeros((1, 6, 5), np.float32), "it must be float32 [1, C, C]"),
    ],
)
def test_damaged_statistics(engine: Engine, files: Files, name: str, array: np.ndarray, expected: str) -> None:
    path = files.folder / "s.safetensors"
    saved = engine.save_style(files.style, path, changed(style_loss="moments"))
    dataclasses.replace(saved, grams={**saved.grams, name: array}).save(path)
    with pytest.raises(ImpastoError, match=re.escape(expected)):
        SavedStyle.read(path)

"""The norms of total variation through the engine: runs, batches, caches, checkpoints, precisions, the command line."""

import dataclasses
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from impasto.engine import Engine, Job, Settings, style_reconstruction
from impasto.engine.cache import store
from impasto.engine.compile.graph_spec import GraphSpec
from impasto.engine.compile.sessions import OBJECTIVE
from impasto.engine.inputs.checkpoint import load_checkpoint, save_checkpoint
from impasto.engine.runtime import providers
from impasto.export.terms import TV_NORMS
from tests.engine.command_line import run
from tests.engine.conftest import TAPS, Files
from tests.engine.jobs.batch_runs import assert_batches_match_single_runs
from tests.oracles import variation

STYLE_TAPS = ("relu1_1", "relu3_1")
BASE = Settings(size=48, content_taps=("relu2_1",), style_taps=STYLE_TAPS, tv_weight=1e-4, iterations=6)
norms = pytest.mark.parametrize("norm", TV_NORMS)


def changed(**values: Any) -> Settings:
    return dataclasses.replace(BASE, **values)


@pytest.fixture
def engine(files: Files) -> Engine:
    return Engine(files.model, provider="cpu", threads=1)


@norms
@pytest.mark.parametrize("seamless", [False, True])
def test_the_term_is_that_of_the_oracle(engine: Engine, files: Files, norm: str, seamless: bool) -> None:
    image = np.random.default_rng(3).random((32, 48, 3), np.float32)
    settings = changed(size=0, tv_norm=norm, seamless=seamless)
    found = engine.evaluate(image, image, files.style, settings).terms["tv"]
    expected = 1e-4 * variation.total_variation(image.transpose(2, 0, 1), norm, seamless=seamless)
    assert found == pytest.approx(expected, rel=1e-5)


@norms
def test_a_run_becomes_smooth(engine: Engine, files: Files, norm: str) -> None:
    """With nothing but total variation, noise becomes flat."""
    only = Settings(
        size=48, init="noise", content_weight=0.0, style_weight=0.0, tv_weight=1.0, tv_norm=norm, iterations=60
    )
    result = engine.transfer(files.content, files.style, only)
    assert result.loss < 0.03 * sum(result.initial_terms.values())
    assert result.settings.tv_norm == norm


def test_a_batch_gives_what_single_runs_give_and_norms_share_no_evaluation(engine: Engine, files: Files) -> None:
    jobs = [
        Job(files.content, files.style, changed(tv_norm=norm, tv_weight=weight, iterations=3))
        for norm in TV_NORMS
        for weight in (1e-4, 1e-3)
    ]
    assert_batches_match_single_runs(engine, jobs)


def test_without_a_weight_the_norm_does_not_matter(engine: Engine, files: Files) -> None:
    compiler = engine._workshop.compiler
    with engine:
        picture = engine.transfer(files.content, files.style, changed(iterations=1)).picture
        specs = {compiler.spec(changed(tv_weight=0.0, tv_norm=norm), picture) for norm in TV_NORMS}
        assert len(specs) == 1
        assert len({compiler.spec(changed(tv_norm=norm), picture) for norm in TV_NORMS}) == 3
        assert len({compiler.spec(changed(tv_norm=n), picture).style_targets(40, 40) for n in TV_NORMS}) == 1
        assert len({compiler.style_spec(changed(tv_norm=norm), picture) for norm in TV_NORMS}) == 1


@norms
def test_a_resumed_run_ends_at_the_same_bits(engine: Engine, files: Files, norm: str) -> None:
    settings = changed(tv_norm=norm)
    whole = engine.transfer(files.content, files.style, settings)
    half = engine.transfer(files.content, files.style, dataclasses.replace(settings, iterations=3), keep_state=True)
    assert half.state is not None
    path = files.folder / "c.safetensors"
    save_checkpoint(dataclasses.replace(half.state, settings=settings), path)
    np.testing.assert_array_equal(engine.resume(load_checkpoint(path)[0]).picture.pixels, whole.picture.pixels)


def test_a_smooth_texture_tiles(engine: Engine, files: Files) -> None:
    texture = style_reconstruction(
        STYLE_TAPS, canvas=(64, 48), seamless=True, tv_weight=1e-5, tv_norm="l2", iterations=20
    )
    result = engine.transfer(None, files.style, texture)
    assert result.loss < 0.5 * sum(result.initial_terms.values())


def test_cache_keys_differ_by_norm_and_terms_come_back(
    engine: Engine, files: Files, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("IMPASTO_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv(store.DISABLE_VARIABLE)
    scores = []
    for _ in range(2):
        with Engine(files.model, provider="cpu", threads=1) as caching:
            source = caching._workshop.compiler._source
            specs = [GraphSpec((), STYLE_TAPS, 48, 48, "avg", tv=True, tv_norm=norm) for norm in TV_NORMS]
            assert len({source.key(OBJECTIVE, spec) for spec in specs}) == len(TV_NORMS)
            for norm in TV_NORMS:  # calibrated's factor depends on the norm, which a cached graph must know
                settings = changed(tv_norm=norm, weighting="calibrated")
                scores.append(caching.evaluate(files.content, files.content, files.style, settings).terms)
    assert scores[:3] == scores[3:]


@norms
@pytest.mark.skipif(not providers.openvino.probe().works, reason="no processor for OpenVINO")
@pytest.mark.parametrize("precision", ["fp32", "bf16", "bf16-typed"])
def test_openvino(files: Files, norm: str, precision: str) -> None:
    if providers.openvino.refusal(precision) is not None:
        pytest.skip("no bfloat16 here")
    found = []
    for provider, chosen in (("cpu", "fp32"), ("openvino", precision)):
        with Engine(files.model, provider=provider, precision=chosen, threads=1) as engine:
            found.append(engine.evaluate(files.content, files.content, files.style, changed(tv_norm=norm)))
    assert found[1].terms["tv"] == pytest.approx(found[0].terms["tv"], rel=2e-2 if precision == "bf16" else 1e-5)
    assert np.isfinite(found[1].gradient).all()


def test_the_command_line(capsys: pytest.CaptureFixture[str], files: Files) -> None:
    chosen = ("--model", files.model, "--provider", "cpu", "--threads", 1, "--size", 48)
    output, few = files.folder / "o.png", (*TAPS, "--iterations", 2, "--tv-weight", 1e-4, "--quiet")
    asked = ("transfer", files.content, files.style, "-o", output, *chosen, *few, "--tv-norm")
    assert run(capsys, *asked, "l2").status == 0
    assert re.search(r"tv_norm +l2", run(capsys, "show", output).out)
    refused = run(capsys, *asked, "l3")
    assert (refused.status, refused.err) == (2, "error: unknown tv_norm 'l3': allowed are squared, l2, l1\n")
    for kind, taps in (("content", ("--tap", "relu2_1")), ("style", TAPS[2:])):
        reconstruct = ("reconstruct", kind, files.style, "-o", output, *chosen, *taps, *few[6:], "--tv-norm", "l1")
        assert run(capsys, *reconstruct, "--evaluations", 2).status == 0
        assert re.search(r"tv_norm +l1", run(capsys, "show", output).out)


def test_a_row_of_a_list(capsys: pytest.CaptureFixture[str], files: Files) -> None:
    manifest = files.folder / "l.jsonl"
    row = {"content": "content.png", "style": "style.png", "size": 48, "iterations": 2, "tv_norm": "l1"}
    row |= {"content_taps": ["relu2_1"], "style_taps": list(STYLE_TAPS), "tv_weight": 1e-4}
    manifest.write_text(json.dumps(row))
    chosen = ("--model", files.model, "--provider", "cpu", "--threads", 1)
    assert run(capsys, "batch", manifest, "-o", files.folder / "out", *chosen, "--json").status == 0
    assert re.search(r"tv_norm +l1", run(capsys, "show", files.folder / "out" / "content-style.png").out)

"""Narrow formats without their kernels: float32, rounded wherever a value is kept."""

import dataclasses

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from onnx.reference import ReferenceEvaluator

from impasto.bench.pictures import drawn_content, drawn_style
from impasto.bench.studies import precisions, rounding
from impasto.engine import Engine, Settings
from impasto.engine.compile.graph_spec import GraphSpec
from impasto.engine.compile.network import load_network
from impasto.engine.compile.sessions import OBJECTIVE, SessionSource
from impasto.engine.images import to_nchw
from impasto.engine.runtime.providers import choose, safer
from impasto.engine.runtime.session import Graph, Session
from impasto.export.objective import build_targets
from impasto.export.precision import everywhere, narrow_convolutions
from impasto.export.serialised import whole
from impasto.models.errors import ImpastoError
from tests.small_network import features_model


def narrowed() -> ir.Model:
    model = build_targets(features_model(), content_taps=["relu1_1", "relu2_1"], height=32, width=32)
    return narrow_convolutions(model, ir.DataType.FLOAT16, everywhere)


def test_every_narrow_value_is_one_of_float16_and_all_arithmetic_is_float32() -> None:
    plain = build_targets(features_model(), content_taps=["relu1_1", "relu2_1"], height=32, width=32)
    found = rounding.rounded(narrowed(), ir.DataType.FLOAT16)
    onnx.checker.check_model(ir.to_proto(found), full_check=True)
    assert {node.op_type for node in found.graph if node.outputs[0].dtype == ir.DataType.FLOAT16} == {"Cast"}
    image = np.random.default_rng(0).random((1, 3, 32, 32), np.float32)
    for before, after in zip(
        *(list(ReferenceEvaluator(ir.to_proto(m)).run(None, {"image": image})) for m in (plain, found)), strict=True
    ):
        assert np.array_equal(after, np.asarray(after, np.float16))
        assert 0 < np.abs(after - before).max() < 1e-2 * np.abs(before).max()


def test_the_runtime_keeps_the_roundings_and_would_leave_out_those_of_types_alone() -> None:
    """What it makes of a float16 graph on the CPU provider is therefore no measure of float16."""
    image = to_nchw(drawn_content(32).astype(np.float32) / np.float32(255))
    content = whole(narrowed())
    reference = ReferenceEvaluator(
        ir.to_proto(rounding.rounded(ir.from_proto(onnx.load_model_from_string(content)), ir.DataType.FLOAT16))
    )
    expected = dict(zip(reference.output_names, reference.run(None, {"image": image}), strict=True))
    differences = []
    for provider in (rounding.provider("fp16"), dataclasses.replace(choose("cpu"), precision="fp16", typed=True)):
        with Session(Graph(content), provider, 1) as session:
            session.set("image", image)
            found = session.run()
            differences.append(
                max(float(np.abs(found[name] - value).max() / np.abs(value).max()) for name, value in expected.items())
            )
    kept, left_out = differences
    assert kept < left_out


@pytest.mark.parametrize(("precision", "most"), [("fp16", 0.03), ("bf16", 0.3)])
def test_an_engine_runs_on_it(precision: str, most: float) -> None:
    content, style, settings = drawn_content(48), drawn_style(48), Settings(size=0, iterations=3)
    with Engine(provider="cpu", threads=1) as engine:
        true = engine.evaluate(content, content, style, settings)
    with Engine(provider=rounding.provider(precision), threads=1) as engine:
        found = engine.evaluate(content, content, style, settings)
        again = engine.evaluate(content, content, style, settings)
        result = engine.transfer(content, style, settings)
    assert result.provenance["precision"] == precision
    assert result.loss < found.loss
    assert np.array_equal(found.gradient, again.gradient)
    error = np.linalg.norm(found.gradient - true.gradient) / np.linalg.norm(true.gradient)
    assert 1e-4 < error < most
    assert found.loss == pytest.approx(true.loss, rel=most)


def test_no_other_precision_is_known_of_it() -> None:
    assert safer(rounding.provider("fp16")) is None


def test_a_precision_that_is_no_type_is_refused() -> None:
    with pytest.raises(ImpastoError, match="bad precision 'tf32' for rounded: allowed are fp16, bf16, bf16-typed"):
        rounding.provider("tf32")


@pytest.mark.parametrize(("way", "name"), [("cpu:fp32", "cpu"), ("cpu", "cpu"), ("rounded:fp16", "rounded")])
def test_ways_of_the_comparison_of_precisions(way: str, name: str) -> None:
    assert precisions.provider_of(way).name == name


def test_graphs_of_another_rule_are_not_found_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """The rule is among what a graph's name in the cache depends on, and the runtime takes it."""
    monkeypatch.delenv("IMPASTO_NO_CACHE")
    form = GraphSpec(content_taps=("relu4_2",), style_taps=(), height=32, width=32, pool="avg")

    def key() -> str | None:
        return SessionSource(load_network("vgg19-slim"), rounding.provider("fp16"), 1).key(OBJECTIVE, form)

    before, again = key(), key()
    assert before is not None
    assert before == again
    monkeypatch.setattr(rounding, "_RULE", {"rounding": "another"})
    assert key() != before

"""The rewrite for the project's operators: what it takes, what it leaves, and that loss and gradient stay."""

from itertools import pairwise
from typing import Any

import numpy as np
import onnx_ir as ir
import pytest
from onnx.reference import ReferenceEvaluator

from impasto.engine.runtime import native_operators
from impasto.export.gradient.double_precision import in_float64
from impasto.export.graph_memory import graph_memory
from impasto.export.lowering import lower_to_operators
from impasto.export.objective import build_objective, build_targets
from impasto.export.operator_domain import DOMAIN
from tests.export.lowered import feeds, operators, run
from tests.small_network import features_model

WIDTHS = {"relu1_1": 16, "relu1_2": 32, "relu2_1": 24, "relu2_2": 16, "relu3_1": 16}
FOUND = native_operators.find()
needs_library = pytest.mark.skipif(FOUND.path is None, reason=f"no operators: {FOUND.reason}")

FORMS: dict[str, dict[str, Any]] = {
    "average": {},
    "maximum": {"pool": "max"},
    "odd": {"height": 37, "width": 33, "pool": "max"},
    "seamless": {"seamless": True},
    "replicate": {"padding": "replicate"},
    "reflect": {"padding": "reflect"},
    "batch": {"batch": 2},
    "moments": {"style_loss": "moments"},
    "gram-mean": {"style_loss": "gram-mean", "tv": True},
}


def objective(**form: Any) -> ir.Model:
    settings = {"height": 32, "width": 40, "content_taps": ["relu2_1"], "style_taps": ["relu1_1", "relu2_2", "relu3_1"]}
    return build_objective(features_model(widths=WIDTHS), **{**settings, **form}).model


@needs_library
@pytest.mark.parametrize("form", FORMS)
def test_loss_terms_and_gradient_stay(form: str) -> None:
    plain, rewritten = objective(**FORMS[form]), objective(**FORMS[form])
    assert lower_to_operators(rewritten)
    loss, terms, gradient = run(rewritten, feeds(plain), native=True)
    expected = run(plain, feeds(plain))
    np.testing.assert_allclose(loss, expected[0], rtol=1e-5)
    np.testing.assert_allclose(terms, expected[1], rtol=1e-5)
    differences = np.abs(gradient - expected[2]) / np.abs(expected[2]).max()
    assert np.median(differences) < 1e-6
    assert differences.max() < 2e-3  # where a ReLU's input is at rounding distance of 0


@needs_library
def test_the_gradient_is_that_of_float64() -> None:
    plain, rewritten = objective(), objective()
    lower_to_operators(rewritten)
    given = feeds(plain)
    wide = ReferenceEvaluator(in_float64(ir.to_proto(plain)))
    expected = list(wide.run(None, {name: value.astype(np.float64) for name, value in given.items()}))
    found = run(rewritten, given, native=True)
    np.testing.assert_allclose(found[1], expected[1], rtol=1e-5)
    assert np.linalg.norm(found[2] - expected[2]) / np.linalg.norm(expected[2]) < 5e-6


@pytest.mark.parametrize("form", FORMS)
def test_every_layer_is_taken(form: str) -> None:
    model = objective(**FORMS[form])
    before = operators(model)
    assert lower_to_operators(model)
    after = operators(model)
    layers = len(WIDTHS)
    assert before["Conv"] == 2 * layers
    assert after["Conv"] == after["Relu"] == after["AveragePool"] == after["MaxPool"] == after["Resize"] == 0
    assert after["impasto.Conv3x3"] == after["impasto.Conv3x3Gradient"] == layers - 1
    assert after["impasto.FirstConv3x3"] == after["impasto.FirstConv3x3Gradient"] == 1
    assert after["impasto.Pool2x2"] == after["impasto.Pool2x2Gradient"] == 2
    wrapped = [node.attributes.get_int("wrap", 0) for node in model.graph if node.op_type.startswith("Conv3x3")]
    assert all(wrapped) == any(wrapped) == (form == "seamless")
    assert all(value.shape is not None for node in model.graph for value in node.outputs)
    found = graph_memory(model)
    assert found.activations > 0
    sizes = list(WIDTHS.values())
    transformed = sum(36 * into * out for into, out in pairwise(sizes)) * np.dtype(np.float32).itemsize
    assert found.transformed == 2 * transformed  # forward and backward


def test_masks_and_what_taps_add_go_into_the_gradients() -> None:
    model = objective()
    lower_to_operators(model)
    gradients = [node for node in model.graph if node.op_type in ("Conv3x3Gradient", "Pool2x2Gradient")]
    assert sum(node.attributes.get_int("mask", 0) for node in gradients) == 4  # not where the layer below is a pooling
    assert sum(node.attributes.get_int("addend", 0) for node in gradients) == 3  # relu1_1, relu2_1 and relu2_2
    assert operators(model)["Where"] == 1  # of the deepest layer, whose cotangent is a Gram matrix's


@needs_library
def test_targets_are_rewritten_too() -> None:
    taps: dict[str, Any] = {"content_taps": ["relu2_1"], "style_taps": ["relu1_1", "relu3_1"]}
    plain, rewritten = (build_targets(features_model(widths=WIDTHS), height=32, width=40, **taps) for _ in range(2))
    assert lower_to_operators(rewritten)
    assert [output.name for output in rewritten.graph.outputs] == [output.name for output in plain.graph.outputs]
    for found, expected in zip(run(rewritten, feeds(plain), native=True), run(plain, feeds(plain)), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5 * np.abs(expected).max())


def test_a_network_of_other_widths_stays_as_it_is() -> None:
    widths = {"relu1_1": 6, "relu2_1": 8, "relu3_1": 5}
    model = build_objective(features_model(widths=widths), style_taps=["relu3_1"], height=32, width=32).model
    before = operators(model)
    assert not lower_to_operators(model)
    assert operators(model) == before
    assert DOMAIN not in model.opset_imports

"""The graphs that TensorRT would get hold nothing that its parser refuses: checked against its own table."""

import json
from pathlib import Path
from typing import Any

import onnx_ir as ir
import pytest

from impasto.engine.runtime.lowering import lower
from impasto.engine.runtime.providers import Provider
from impasto.export.objective import build_objective, build_targets
from impasto.export.terms import STYLE_LOSSES, TV_NORMS
from tests.small_network import VGG_WIDTHS, features_model

TABLE = json.loads((Path(__file__).parent / "tensorrt-operators.json").read_text())


def objective(precision: str, pool: str, style_loss: str = "gram", **more: Any) -> ir.Model:
    model = build_objective(
        features_model(widths=VGG_WIDTHS),
        content_taps=["relu4_2"],
        style_taps=["relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu5_1"],
        style_loss=style_loss,
        tv=True,
        batch=2,
        height=48,
        width=64,
        pool=pool,
        **more,
    ).model
    return lowered(model, precision)


def lowered(model: ir.Model, precision: str) -> ir.Model:
    return lower(model, Provider("tensorrt", "TensorrtExecutionProvider", precision, typed=True))


@pytest.mark.parametrize("pool", ["avg", "max"])
@pytest.mark.parametrize("precision", ["fp32", "tf32", "fp16", "bf16"])
@pytest.mark.parametrize("style_loss", STYLE_LOSSES)
def test_every_operator_is_supported(style_loss: str, precision: str, pool: str) -> None:
    graph = objective(precision, pool, style_loss)
    assert TABLE["opsets"][0] <= graph.opset_imports[""] <= TABLE["opsets"][1]
    assert {node.op_type for node in graph.graph} <= set(TABLE["operators_in_all_float_types"])
    assert {node.domain for node in graph.graph} == {""}
    floats = {
        value.dtype.name
        for node in graph.graph
        for value in node.outputs
        if value.dtype is not None and value.dtype.is_floating_point()
    }
    assert floats <= set(TABLE["float_types"])


@pytest.mark.parametrize("seamless", [False, True])
@pytest.mark.parametrize("tv_norm", TV_NORMS)
def test_every_norm_of_total_variation_is_supported(tv_norm: str, seamless: bool) -> None:
    graph = objective("fp16", "avg", tv_norm=tv_norm, seamless=seamless).graph
    assert {node.op_type for node in graph} <= set(TABLE["operators_in_all_float_types"])


@pytest.mark.parametrize("padding", ["replicate", "reflect"])
@pytest.mark.parametrize("precision", ["fp32", "fp16", "bf16"])
def test_every_padding_is_supported(padding: str, precision: str) -> None:
    graph = objective(precision, "avg", padding=padding).graph
    assert {node.op_type for node in graph} <= set(TABLE["operators_in_all_float_types"])
    modes = {node.attributes.get_string("mode", "constant") for node in graph if node.op_type == "Pad"}
    assert modes <= {"constant", "edge", "reflect"}  # that its documents name


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_targets_are_supported(precision: str) -> None:
    targets = build_targets(features_model(), content_taps=["relu2_1"], style_taps=["relu1_1"], height=32, width=32)
    assert {node.op_type for node in lowered(targets, precision).graph} <= set(TABLE["operators_in_all_float_types"])


@pytest.mark.parametrize("pool", ["avg", "max"])
@pytest.mark.parametrize("style_loss", STYLE_LOSSES)
def test_restrictions_are_kept(style_loss: str, pool: str) -> None:
    graph = objective("fp16", pool, style_loss).graph
    initializers = set(graph.initializers.values())
    for node in graph:
        if node.op_type == "MaxPool":
            assert len(node.outputs) == 1, "TensorRT's MaxPool has no Indices"
        if node.op_type in TABLE["axes_must_be_initializers"]:
            assert node.inputs[1] in initializers
        if node.op_type == "Resize":
            assert node.attributes["mode"].as_string() in TABLE["resize_modes"]
            assert node.attributes["coordinate_transformation_mode"].as_string() in TABLE["resize_transformations"]
            assert node.attributes["nearest_mode"].as_string() in TABLE["resize_nearest_modes"]


def test_neither_control_flow_nor_free_sizes_stand_in_the_way_of_a_captured_graph() -> None:
    graph = objective("fp16", "avg").graph
    assert not {node.op_type for node in graph} & {"If", "Loop", "Scan"}
    assert all(value.shape is not None and value.shape.is_static() for value in (*graph.inputs, *graph.outputs))


@pytest.mark.parametrize("precision", ["fp16", "bf16"])
def test_the_square_root_of_moments_is_float32(precision: str) -> None:
    graph = objective(precision, "avg", "moments").graph
    products = [node for node in graph if node.op_type == "MatMul"]
    assert products
    assert {value.dtype for node in products for value in (*node.inputs, *node.outputs) if value} == {ir.DataType.FLOAT}

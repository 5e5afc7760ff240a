"""The graphs that TensorRT would get hold nothing that its parser refuses: checked against its own table."""

import json
from pathlib import Path

import onnx_ir as ir
import pytest

from impasto.engine.runtime.lowering import lower
from impasto.engine.runtime.providers import Provider
from impasto.export.objective import build_objective, build_targets
from tests.small_network import VGG_WIDTHS, features_model

TABLE = json.loads((Path(__file__).parent / "tensorrt-operators.json").read_text())


def objective(precision: str, pool: str) -> ir.Model:
    model = build_objective(
        features_model(widths=VGG_WIDTHS),
        content_taps=["relu4_2"],
        style_taps=["relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu5_1"],
        tv=True,
        batch=2,
        height=48,
        width=64,
        pool=pool,
    ).model
    return lowered(model, precision)


def lowered(model: ir.Model, precision: str) -> ir.Model:
    return lower(model, Provider("tensorrt", "TensorrtExecutionProvider", precision, typed=True))


@pytest.mark.parametrize("pool", ["avg", "max"])
@pytest.mark.parametrize("precision", ["fp32", "tf32", "fp16", "bf16"])
def test_every_operator_is_supported(precision: str, pool: str) -> None:
    graph = objective(precision, pool)
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


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_targets_are_supported(precision: str) -> None:
    targets = build_targets(features_model(), content_taps=["relu2_1"], style_taps=["relu1_1"], height=32, width=32)
    assert {node.op_type for node in lowered(targets, precision).graph} <= set(TABLE["operators_in_all_float_types"])


@pytest.mark.parametrize("pool", ["avg", "max"])
def test_restrictions_are_kept(pool: str) -> None:
    graph = objective("fp16", pool).graph
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

"""Weights as float16 in the file, float32 after loading."""

from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime as ort
import pytest

from impasto.export.half_storage import narrow, widen
from tests.small_network import features_model

WIDTHS = {"relu1_1": 48, "relu2_1": 32}


def outputs(model: ir.Model) -> list[np.ndarray]:
    image = np.random.default_rng(1).random((1, 3, 32, 40), np.float32)
    session = ort.InferenceSession(ir.to_proto(model).SerializeToString(), providers=["CPUExecutionProvider"])
    return [np.asarray(value) for value in session.run(None, {"image": image})]


def test_the_stored_model_runs_and_is_half_as_large(tmp_path: Path) -> None:
    whole, halved = features_model(widths=WIDTHS), features_model(widths=WIDTHS)
    narrow(halved)
    onnx.checker.check_model(ir.to_proto(halved), full_check=True)
    ir.save(whole, tmp_path / "whole.onnx")
    ir.save(halved, tmp_path / "halved.onnx")
    assert (tmp_path / "halved.onnx").stat().st_size < 0.6 * (tmp_path / "whole.onnx").stat().st_size
    for found, expected in zip(outputs(halved), outputs(whole), strict=True):
        np.testing.assert_allclose(found, expected, rtol=0, atol=3e-3 * np.abs(expected).max())


def test_widened_it_is_the_first_graph_again() -> None:
    model = features_model(widths=WIDTHS)
    operators = [node.op_type for node in model.graph]
    names = set(model.graph.initializers)
    narrow(model)
    stored = outputs(model)
    widen(model)
    assert [node.op_type for node in model.graph] == operators
    assert set(model.graph.initializers) == names
    assert all(value.dtype == ir.DataType.FLOAT for value in model.graph.initializers.values())
    for found, expected in zip(outputs(model), stored, strict=True):
        np.testing.assert_array_equal(found, expected)


def test_small_tensors_stay_as_they_are() -> None:
    model = features_model()
    narrow(model)
    assert "Cast" not in {node.op_type for node in model.graph}


def test_a_weight_beyond_float16_is_refused() -> None:
    model = features_model(widths=WIDTHS)
    kernel = model.graph.initializers["relu2_1.weight"]
    assert kernel.const_value is not None
    kernel.const_value = ir.tensor(kernel.const_value.numpy() * np.float32(1e6), name=kernel.name)
    with pytest.raises(ValueError, match=r"relu2_1\.weight has values beyond float16"):
        narrow(model)

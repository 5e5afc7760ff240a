"""Features models whose structure is damaged or out of order."""

from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import pytest

from impasto.engine import Engine, ImpastoError, Settings
from impasto.engine.compile.features_file import read_features
from tests.engine.conftest import Files
from tests.small_network import features_model

SETTINGS = Settings(size=48, content_taps=("relu2_1",), style_taps=("relu1_1",), iterations=2)


def test_nodes_may_come_in_any_order(files: Files) -> None:
    model = ir.to_proto(features_model())
    nodes = list(model.graph.node)[::-1]
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    shuffled = files.folder / "shuffled.onnx"
    shuffled.write_bytes(model.SerializeToString())

    results = []
    for path in (files.model, shuffled):
        with Engine(path, provider="cpu", threads=1) as engine:
            results.append(engine.transfer(files.content, files.style, SETTINGS).picture.pixels)

    np.testing.assert_array_equal(results[0], results[1])


def test_a_value_without_a_definition_is_one_line(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    model: onnx.ModelProto = ir.to_proto(features_model())
    model.graph.node[3].input[1] = "nowhere"
    (tmp_path / "damaged.onnx").write_bytes(model.SerializeToString())

    with pytest.raises(ImpastoError) as caught:
        read_features(tmp_path / "damaged.onnx")

    assert str(caught.value).startswith(f"not a features model: {tmp_path}/damaged.onnx: the model is not valid: ")
    assert "reads 'nowhere', which no input, weight or node defines" in str(caught.value)
    assert capfd.readouterr() == ("", "")


def test_a_weight_of_another_size_than_it_says_is_one_line(tmp_path: Path) -> None:
    model: onnx.ModelProto = ir.to_proto(features_model())
    weight = model.graph.initializer[1]
    weight.dims[0] += 1
    (tmp_path / "damaged.onnx").write_bytes(model.SerializeToString())

    with pytest.raises(ImpastoError) as caught:
        read_features(tmp_path / "damaged.onnx")

    assert str(caught.value).startswith(f"not an ONNX model: {tmp_path}/damaged.onnx (")

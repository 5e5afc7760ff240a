"""Graph files that share their weights, and models as bytes."""

from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import pytest

from impasto.export import serialised, shared_weights
from tests.small_network import features_model

WIDE = {"relu1_1": 32, "relu2_1": 32}  # kernels of more than `SMALLEST_BYTES`


def values(content: bytes) -> dict[str, np.ndarray]:
    model = onnx.load_from_string(content)
    onnx.checker.check_model(model)
    return {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in model.graph.initializer}


def assert_equal(found: dict[str, np.ndarray], expected: dict[str, np.ndarray]) -> None:
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        np.testing.assert_array_equal(found[name], value)


@pytest.mark.parametrize("beside", [False, True], ids=["in memory", "beside"])
def test_split_and_joined_a_model_is_the_same(tmp_path: Path, beside: bool) -> None:
    content = serialised.whole(features_model(widths=WIDE))
    source: bytes | Path = content
    if beside:
        source = tmp_path / "model.onnx"
        ir.save(features_model(widths=WIDE), source, external_data="model.weights", size_threshold_bytes=0)
    graph, *weights = shared_weights.split(source, tmp_path / "folder")
    assert len(weights) >= 2
    assert (tmp_path / "folder" / graph).stat().st_size < 5000
    assert_equal(values(shared_weights.join(tmp_path / "folder" / graph)), values(content))


def test_models_with_equal_weights_share_their_files(tmp_path: Path) -> None:
    first, second = features_model(widths=WIDE), features_model(widths=WIDE)
    second.metadata_props["another"] = "graph"
    files = [set(shared_weights.split(serialised.whole(model), tmp_path)) for model in (first, second)]
    assert {Path(name).suffix for name in files[0] & files[1]} == {shared_weights.WEIGHTS}
    assert {Path(name).suffix for name in files[0] ^ files[1]} == {shared_weights.GRAPH}
    assert {path.name for path in tmp_path.iterdir()} == files[0] | files[1]


def test_what_is_not_as_it_was_written_is_deleted_and_written_again(tmp_path: Path) -> None:
    content = serialised.whole(features_model(widths=WIDE))
    names = shared_weights.split(content, tmp_path)
    assert shared_weights.intact(tmp_path, names)
    changed, missing = tmp_path / names[1], tmp_path / names[2]
    changed.write_bytes(changed.read_bytes()[:-1] + b"\1")
    missing.unlink()
    assert not shared_weights.intact(tmp_path, names)
    assert not changed.exists()
    changed.write_bytes(b"something else")
    assert shared_weights.split(content, tmp_path) == names
    assert shared_weights.intact(tmp_path, names)


def test_without_its_weights_a_model_stays_as_it_is() -> None:
    model = features_model(widths=WIDE)
    before = serialised.whole(model)
    content, weights = serialised.without_weights(model)
    assert serialised.whole(model) == before
    assert len(content) < 0.05 * len(before)
    expected = values(before)
    assert set(weights) == {name for name, value in expected.items() if value.nbytes >= 1024}
    for name, weight in weights.items():
        np.testing.assert_array_equal(weight, expected[name])


def test_a_model_is_whole_unless_a_weight_is_elsewhere(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    ir.save(features_model(), path)
    assert serialised.is_whole(ir.load(path))
    ir.save(features_model(), path, external_data="model.weights", size_threshold_bytes=0)
    assert not serialised.is_whole(ir.load(path))

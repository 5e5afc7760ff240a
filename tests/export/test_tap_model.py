import json
import sys
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from onnx import TensorProto, helper

from impasto.export.network_info import read_info
from impasto.export.tap_model import import_features, import_network, import_weights
from impasto.models.errors import ImpastoError
from impasto.models.store import list_networks, network_path
from impasto.models.vgg import sequential
from tests.small_network import WIDTHS, features_model

TINY = sequential("tiny", ((4, 5), (6,)))


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("IMPASTO_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def weights_file(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    arrays = {name: rng.normal(0, 0.2, shape).astype(np.float32) for name, shape in TINY.parameter_shapes.items()}
    np.savez(tmp_path / "tiny.npz", **arrays)  # type: ignore[arg-type]
    return tmp_path / "tiny.npz"


def test_weights_become_a_network_of_that_name(cache: Path, weights_file: Path) -> None:
    path = import_weights(weights_file, "tiny", network=TINY)
    assert path == cache / "networks" / "tiny.onnx" == network_path("tiny")
    onnx.checker.check_model(path, full_check=True)
    info = read_info(path)
    assert info.name == "tiny"
    assert info.taps == ("relu1_1", "relu1_2", "relu2_1")
    assert info.preprocess == "255 x - (123.68, 116.779, 103.939)"
    assert info.layout == "oxford"
    assert info.licence == "unknown"
    assert info.attribution == "unknown: see where the file came from"
    assert len(info.weights_sha256) == 64
    assert info.size_bytes == path.stat().st_size
    said = ir.load(path).metadata_props
    assert said["network"] == "tiny to conv2_1"
    assert json.loads(said["preprocess"])["scale"] == 255


def test_importing_again_replaces(weights_file: Path) -> None:
    import_weights(weights_file, "tiny", network=TINY)
    path = import_weights(weights_file, "tiny", layout="torchvision", network=TINY)
    assert read_info(path).preprocess == "(x - (0.485, 0.456, 0.406)) / (0.229, 0.224, 0.225)"
    assert list(path.parent.iterdir()) == [path]


def test_without_torch(weights_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    monkeypatch.delitem(sys.modules, "impasto.models.vgg_module", raising=False)
    with pytest.raises(ImpastoError) as caught:
        import_weights(weights_file, "tiny", network=TINY)
    assert str(caught.value) == "turning weights into a network needs torch: pip install 'impasto[export]'"


def test_a_bad_name_is_seen_before_the_work(tmp_path: Path) -> None:
    with pytest.raises(ImpastoError, match=r"^bad network name 'A B'"):
        import_weights(tmp_path / "missing.pth", "A B")


def test_weights_of_another_network(weights_file: Path) -> None:
    with pytest.raises(ImpastoError) as caught:
        import_network(weights_file, "vgg19")
    assert str(caught.value) == (
        f"weights of another network: conv1_1.weight in {weights_file} has shape 4x3x3x3, VGG-19 needs 64x3x3x3"
    )
    assert list_networks() == ("vgg19-slim",)


def save(model: ir.Model, path: Path) -> Path:
    ir.save(model, path)
    return path


def test_a_users_own_features_model(tmp_path: Path) -> None:
    path = import_network(save(features_model(), tmp_path / "own.onnx"), "own")
    info = read_info(path)
    assert info.taps == tuple(WIDTHS)
    assert (info.preprocess, info.layout, info.licence, info.attribution, info.weights_sha256) == ("", "", "", "", "")


def test_external_data_is_taken_along(tmp_path: Path) -> None:
    model = features_model()
    ir.save(model, tmp_path / "own.onnx", external_data="own.data", size_threshold_bytes=0)
    assert (tmp_path / "own.data").stat().st_size > 1000
    path = import_features(tmp_path / "own.onnx", "own")
    (tmp_path / "own.data").unlink()
    value = ir.load(path).graph.initializers["relu2_1.weight"].const_value
    expected = features_model().graph.initializers["relu2_1.weight"].const_value
    assert value is not None
    assert expected is not None
    np.testing.assert_array_equal(value.numpy(), expected.numpy())


def test_a_layout_is_not_for_features_models(tmp_path: Path) -> None:
    path = save(features_model(), tmp_path / "own.onnx")
    with pytest.raises(ImpastoError) as caught:
        import_network(path, "own", layout="caffe")
    assert str(caught.value) == f"--layout is for weights files: {path} carries its own preprocessing"


def reduction(tmp_path: Path) -> Path:
    """A valid model whose output is no feature map."""
    graph = helper.make_graph(
        [helper.make_node("ReduceSum", ["image"], ["sum"], keepdims=0)],
        "g",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["n", 3, "h", "w"])],
        [helper.make_tensor_value_info("sum", TensorProto.FLOAT, [])],
    )
    path = tmp_path / "sum.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10), path)
    return path


def test_models_without_feature_maps_are_refused(tmp_path: Path) -> None:
    path = reduction(tmp_path)
    with pytest.raises(ImpastoError) as caught:
        import_features(path, "own")
    assert str(caught.value) == (
        f"not a features model: output 'sum' of {path} has shape [], expected [N, channels, h, w]"
    )


def test_models_that_take_no_image_are_refused(tmp_path: Path) -> None:
    graph = helper.make_graph(
        [helper.make_node("Relu", ["x"], ["y"])],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 10])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 10])],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10), tmp_path / "r.onnx")
    with pytest.raises(
        ImpastoError, match=r"^not a features model: its input is \[n,10\]; expected \[N, 3, H, W\], RGB"
    ):
        import_features(tmp_path / "r.onnx", "own")


@pytest.mark.parametrize("content", [b"", b"not a model at all", b"\x08\x0a"])
def test_files_that_are_no_models(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "own.onnx"
    path.write_bytes(content)
    with pytest.raises(ImpastoError) as caught:
        import_features(path, "own")
    assert str(caught.value).startswith(f"not a valid ONNX model: {path} (")
    assert "\n" not in str(caught.value)
    assert list_networks() == ("vgg19-slim",)


def test_no_such_model(tmp_path: Path) -> None:
    with pytest.raises(ImpastoError) as caught:
        import_network(tmp_path / "own.onnx", "own")
    assert str(caught.value) == f"no such file: {tmp_path / 'own.onnx'}"


def test_a_damaged_network_in_the_cache(tmp_path: Path) -> None:
    path = tmp_path / "vgg19.onnx"
    path.write_bytes(b"not a model at all")
    with pytest.raises(ImpastoError, match=r"^damaged network: .*vgg19\.onnx \(.*\); fetch or import it again$"):
        read_info(path)

import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime as ort
import pytest
import torch
from torch import nn

from impasto.export import features
from impasto.export.features import export_features
from impasto.models.errors import ImpastoError
from impasto.models.preprocess import OXFORD
from impasto.models.vgg import VGG19, sequential
from impasto.models.vgg_module import build_module
from impasto.models.weights import Weights, read_weights

SLIM = sequential("slim", ((6, 5), (7,), (8,)))
SHAPES = [(1, 3, 32, 32), (2, 3, 37, 75), (1, 3, 101, 64)]


def slim_module(pool: str = "avg") -> nn.Module:
    rng = np.random.default_rng(5)
    arrays = {
        name: rng.normal(0, (2 / (9 * shape[1])) ** 0.5 if len(shape) == 4 else 0.1, shape).astype(np.float32)
        for name, shape in SLIM.parameter_shapes.items()
    }
    return build_module(SLIM, Weights(arrays, OXFORD, "oxford", ""), pool=pool)


class Residual(nn.Module):
    """A user's own network: batch normalisation, stride 2, in-place ReLU, a skip connection."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 7, stride=2, padding=3, bias=False)
        self.norm = nn.BatchNorm2d(8)
        self.block = nn.Sequential(nn.Conv2d(8, 8, 3, padding=1), nn.ReLU(inplace=True), nn.Conv2d(8, 8, 3, padding=1))

    def forward(self, image: torch.Tensor) -> list[torch.Tensor]:
        first = torch.relu_(self.norm(self.stem(image - 0.5)))
        return [first, torch.relu(first + self.block(first))]


def run(model: ir.Model, image: torch.Tensor) -> list[np.ndarray]:
    options = ort.SessionOptions()
    options.intra_op_num_threads = 2
    content = ir.to_proto(model).SerializeToString()
    session = ort.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    return list(session.run(None, {"image": image.numpy()}))


def largest_error(model: ir.Model, module: nn.Module, shape: tuple[int, ...]) -> float:
    image = torch.rand(shape, generator=torch.Generator().manual_seed(2))
    errors = []
    with torch.no_grad():
        for found, expected in zip(run(model, image), module(image), strict=True):
            reference = expected.numpy()
            assert found.shape == reference.shape
            errors.append(float(np.abs(found - reference).max() / np.abs(reference).max()))
    return max(errors)


@pytest.fixture(scope="module")
def slim() -> ir.Model:
    return export_features(slim_module(), SLIM.taps, {"licence": "MIT"})


@pytest.mark.parametrize("shape", SHAPES)
def test_any_size_and_batch_gives_what_torch_gives(slim: ir.Model, shape: tuple[int, ...]) -> None:
    assert largest_error(slim, slim_module(), shape) < 2e-6


def test_the_graph_holds_what_the_network_is_and_nothing_else(slim: ir.Model) -> None:
    assert [(node.op_type, node.name, node.outputs[0].name) for node in slim.graph] == [
        ("Mul", "preprocess", "preprocess"),
        ("Add", "preprocess.2", "preprocess.2"),
        ("Conv", "conv1_1", "conv1_1"),
        ("Relu", "relu1_1", "relu1_1"),
        ("Conv", "conv1_2", "conv1_2"),
        ("Relu", "relu1_2", "relu1_2"),
        ("AveragePool", "pool1", "pool1"),
        ("Conv", "conv2_1", "conv2_1"),
        ("Relu", "relu2_1", "relu2_1"),
        ("AveragePool", "pool2", "pool2"),
        ("Conv", "conv3_1", "conv3_1"),
        ("Relu", "relu3_1", "relu3_1"),
    ]
    assert set(slim.graph.initializers) == {*SLIM.parameter_shapes, "preprocess.gain", "preprocess.offset"}
    assert slim.opset_imports == {"": 20}
    assert slim.metadata_props == {"licence": "MIT", "taps": ",".join(SLIM.taps)}


def test_borders_are_named_typed_and_of_free_size(slim: ir.Model) -> None:
    (image,) = slim.graph.inputs
    assert image.name == "image"
    assert image.dtype == ir.DataType.FLOAT
    assert [str(side) for side in image.shape or ()] == ["batch", "3", "height", "width"]
    assert [output.name for output in slim.graph.outputs] == list(SLIM.taps)
    assert [str(side) for side in slim.graph.outputs[-1].shape or ()] == ["batch", "8", "(height//4)", "(width//4)"]


def test_poolings_drop_what_is_left_over_and_pad_nothing(slim: ir.Model) -> None:
    pools = [node for node in slim.graph if node.op_type == "AveragePool"]
    assert len(pools) == 2
    for node in pools:
        assert node.attributes["kernel_shape"].as_ints() == (2, 2)
        assert node.attributes["strides"].as_ints() == (2, 2)
        assert node.attributes["pads"].as_ints() == (0, 0, 0, 0)
        assert node.attributes["ceil_mode"].as_int() == 0


def test_the_file_passes_the_checker_and_names_no_machine(slim: ir.Model, tmp_path: Path) -> None:
    ir.save(slim, tmp_path / "features.onnx")
    onnx.checker.check_model(tmp_path / "features.onnx", full_check=True)
    content = (tmp_path / "features.onnx").read_bytes()
    for trace in (b"stack_trace", b".py", str(Path.cwd()).encode(), b"pkg.torch", b"site-packages"):
        assert trace not in content
    weights = sum(4 * int(np.prod(shape)) for shape in SLIM.parameter_shapes.values())
    assert len(content) < weights + 8000  # each weight once


def test_maximum_pooling() -> None:
    model = export_features(slim_module("max"), SLIM.taps)
    assert [node.op_type for node in model.graph if "Pool" in node.op_type] == ["MaxPool", "MaxPool"]
    assert largest_error(model, slim_module("max"), (2, 3, 45, 38)) < 2e-6


def test_a_users_own_network() -> None:
    torch.manual_seed(0)
    module = Residual()
    model = export_features(module, ["early", "late"])
    assert [output.name for output in model.graph.outputs] == ["early", "late"]
    assert {"block.0", "block.1", "block.2"} <= {str(node.name) for node in model.graph}
    for shape in SHAPES:
        assert largest_error(model, module, shape) < 2e-6


def test_a_module_that_returns_one_tensor() -> None:
    module = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Softplus())
    model = export_features(module, ["only"])
    image = torch.rand(1, 3, 40, 33)
    np.testing.assert_allclose(run(model, image)[0], module(image).detach().numpy(), rtol=1e-5, atol=1e-6)


@pytest.mark.slow
def test_the_exporter_is_silent() -> None:
    code = (
        "import torch; from impasto.export.features import export_features;"
        "export_features(torch.nn.Conv2d(3, 4, 3), ['x'])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout + done.stderr == ""


@pytest.mark.parametrize("taps", [[], ["a"], ["a", "a"], ["a", "b", "c"]])
def test_names_that_do_not_match_what_the_module_returns(taps: list[str]) -> None:
    with pytest.raises(ImpastoError) as caught:
        export_features(Residual(), taps)
    assert str(caught.value) == (
        f"the module returns 2 tensors, the taps named are {', '.join(taps) or 'none'}: give each one name of its own"
    )


def test_a_tap_that_is_no_feature_map() -> None:
    module = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten())
    with pytest.raises(ImpastoError, match=r"^tap 'flat' has shape \(2, 13872\), expected \(N, channels, h, w\)$"):
        export_features(module, ["flat"])


class Branching(nn.Module):
    """What it computes depends on the values: no graph can hold it."""

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return image if image.mean().item() > 2 else -image


def test_a_module_that_torch_cannot_export() -> None:
    with pytest.raises(ImpastoError) as caught:
        export_features(Branching(), ["x"])
    assert str(caught.value).startswith("torch cannot export this module: ")
    assert "\n" not in str(caught.value)


def test_a_wrong_export_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    original = features._exported

    def slightly_wrong(module: nn.Module, taps: list[str]) -> ir.Model:
        model = original(module, taps)
        bias = model.graph.initializers["conv2_1.bias"]
        assert bias.const_value is not None
        values = np.array(bias.const_value.numpy())
        values[2] += 0.05
        bias.const_value = ir.tensor(values, name=bias.name)
        return model

    monkeypatch.setattr(features, "_exported", slightly_wrong)
    with pytest.raises(
        ImpastoError, match=r"^the exported model is wrong: 'relu2_1' differs from torch by [\d.e-]+ of"
    ):
        export_features(slim_module(), SLIM.taps)


def test_without_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(ImpastoError) as caught:
        features.require_torch()
    assert str(caught.value) == "turning weights into a network needs torch: pip install 'impasto[export]'"


def test_the_real_network(shared: Path) -> None:
    weights = read_weights(shared / "weights" / "vgg19_oxford.safetensors")
    module = build_module(VGG19, weights)
    model = export_features(module, VGG19.taps)
    assert [output.name for output in model.graph.outputs] == list(VGG19.taps)
    for shape in SHAPES:
        assert largest_error(model, module, shape) < 5e-6

"""The objective graph against the equations written naively and against PyTorch's autograd."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime as ort
import pytest
import torch
from torch.nn import functional

from impasto.export.objective import ObjectiveGraph, build_objective, build_targets
from impasto.models.errors import ImpastoError
from tests.oracles import gatys
from tests.small_network import WIDTHS, features_model, weights

SIZES = [(32, 32), (37, 50), (33, 47)]


def run(model: ir.Model, feeds: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    session = ort.InferenceSession(ir.to_proto(model).SerializeToString(), options, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, dict(feeds)), strict=True))


def noise(*shape: int, seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).random(shape, np.float32)


def case(height: int, width: int, batch: int = 1, pool: str = "avg") -> tuple[ObjectiveGraph, dict[str, np.ndarray]]:
    """An objective with every kind of term, and targets from two other images."""
    model = features_model()
    settings: dict[str, Any] = {"batch": batch, "height": height, "width": width, "pool": pool}
    taps: dict[str, Any] = {"content_taps": ["relu2_1"], "style_taps": ["relu1_1", "relu3_1"]}
    graph = build_objective(model, **taps, tv=True, **settings)
    targets = run(build_targets(model, **taps, **settings), {"image": noise(batch, 3, height, width, seed=7) ** 3})
    coefficients = np.abs(np.random.default_rng(3).normal(1.0, 0.5, (batch, len(graph.terms)))).astype(np.float32)
    return graph, {**targets, "weights": coefficients, "image": noise(batch, 3, height, width, seed=8)}


def torch_features(image: torch.Tensor, pool: str) -> dict[str, torch.Tensor]:
    arrays = weights()
    result: dict[str, torch.Tensor] = {}
    for index, tap in enumerate(WIDTHS):
        if index:
            image = functional.avg_pool2d(image, 2) if pool == "avg" else functional.max_pool2d(image, 2)
        kernel, bias = (torch.tensor(arrays[f"{tap}.{part}"], dtype=image.dtype) for part in ("weight", "bias"))
        image = torch.relu(functional.conv2d(image, kernel, bias, padding=1))
        result[tap] = image
    return result


@pytest.mark.parametrize(("height", "width"), SIZES)
def test_terms_are_the_equations_of_the_paper(height: int, width: int) -> None:
    graph, feeds = case(height, width)
    got = run(graph.model, feeds)
    taps = run(features_model(), {"image": feeds["image"]})
    positions = {tap: value[0, 0].size for tap, value in taps.items()}
    expected = [
        gatys.content_term(taps["relu2_1"][0], feeds["content_relu2_1"][0]),
        gatys.style_term(taps["relu1_1"][0], feeds["gram_relu1_1"][0] * positions["relu1_1"]),
        gatys.style_term(taps["relu3_1"][0], feeds["gram_relu3_1"][0] * positions["relu3_1"]),
        gatys.total_variation(feeds["image"][0]),
    ]
    assert [term.name for term in graph.terms] == ["content_relu2_1", "style_relu1_1", "style_relu3_1", "tv"]
    np.testing.assert_allclose(got["terms"][0], np.array(expected) * feeds["weights"][0], rtol=2e-5)
    np.testing.assert_allclose(got["loss"], got["terms"].sum(1), rtol=1e-6)


def test_targets_are_gram_matrices_over_their_positions() -> None:
    model = features_model()
    image = noise(1, 3, 34, 40)
    targets = run(
        build_targets(model, style_taps=["relu2_1"], content_taps=["relu1_1"], height=34, width=40),
        {"image": image},
    )
    taps = run(model, {"image": image})
    np.testing.assert_allclose(targets["gram_relu2_1"][0], gatys.gram(taps["relu2_1"][0]) / (17 * 20), rtol=1e-5)
    np.testing.assert_array_equal(targets["content_relu1_1"], taps["relu1_1"])


@pytest.mark.parametrize("pool", ["avg", "max"])
@pytest.mark.parametrize(("height", "width"), SIZES)
def test_gradient_is_pytorchs(height: int, width: int, pool: str) -> None:
    graph, feeds = case(height, width, pool=pool)
    got = run(graph.model, feeds)
    image = torch.tensor(feeds["image"], dtype=torch.float64, requires_grad=True)
    taps = torch_features(image, pool)
    coefficients = torch.tensor(feeds["weights"][0], dtype=torch.float64)
    content, style_1, style_3, tv = coefficients
    total = content * 0.5 * (taps["relu2_1"] - torch.tensor(feeds["content_relu2_1"])).square().sum()
    for weight, tap in ((style_1, "relu1_1"), (style_3, "relu3_1")):
        flat = taps[tap][0].flatten(1)
        difference = flat @ flat.T / flat.shape[1] - torch.tensor(feeds[f"gram_{tap}"][0])
        total = total + weight * difference.square().sum() / (4 * len(flat) ** 2)
    total = total + tv * (image.diff(dim=2).square().sum() + image.diff(dim=3).square().sum())
    total.backward()
    assert image.grad is not None
    expected = image.grad.numpy()
    error = np.linalg.norm(got["d_image"] - expected) / np.linalg.norm(expected)
    assert error < 5e-6
    assert abs(float(got["loss"][0]) / float(total.detach()) - 1) < 1e-5


def test_samples_of_a_batch_do_not_touch_each_other() -> None:
    graph, feeds = case(32, 37, batch=3)
    together = run(graph.model, feeds)
    single, _ = case(32, 37)
    for sample in range(3):
        alone = run(single.model, {name: value[sample : sample + 1] for name, value in feeds.items()})
        for name in ("loss", "terms", "d_image"):
            np.testing.assert_allclose(together[name][sample : sample + 1], alone[name], rtol=2e-5, atol=1e-7)
    changed = dict(feeds, image=feeds["image"].copy())
    changed["image"][1] = 0.25
    after = run(graph.model, changed)
    np.testing.assert_array_equal(after["d_image"][[0, 2]], together["d_image"][[0, 2]])
    assert not np.array_equal(after["d_image"][1], together["d_image"][1])


def test_models_are_valid_static_and_of_standard_operators() -> None:
    graph, _ = case(33, 47)
    proto = ir.to_proto(graph.model)
    onnx.checker.check_model(proto, full_check=True)
    assert {node.domain for node in proto.graph.node} == {""}
    assert not {"Shape", "ConvTranspose", "If", "Loop"} & {node.op_type for node in proto.graph.node}
    shapes = onnx.shape_inference.infer_shapes(proto, strict_mode=True).graph.value_info
    assert all(dim.HasField("dim_value") for value in shapes for dim in value.type.tensor_type.shape.dim)
    outputs = {
        output.name: [dim.dim_value for dim in output.type.tensor_type.shape.dim] for output in proto.graph.output
    }
    assert outputs == {"loss": [1], "terms": [1, 4], "d_image": [1, 3, 33, 47]}


def test_only_what_is_used_is_in_the_graph() -> None:
    shallow = build_objective(features_model(), style_taps=["relu1_1"], height=32, width=32)
    names = set(shallow.model.graph.initializers)
    assert "relu1_1.weight" in names
    assert "relu2_1.weight" not in names
    assert [term.name for term in shallow.terms] == ["style_relu1_1"]


def test_weights_are_in_the_file_once() -> None:
    graph = build_objective(features_model(), content_taps=["relu2_1"], style_taps=["relu3_1"], height=32, width=32)
    sizes = {
        name: value.const_value.nbytes for name, value in graph.model.graph.initializers.items() if value.const_value
    }
    assert {name for name, size in sizes.items() if size > 100} == {
        name for name in weights() if weights()[name].nbytes > 100
    }


def test_too_small_an_image_is_an_error() -> None:
    with pytest.raises(ImpastoError, match="image too small: 40x31 px, the network needs at least 32 px on each side"):
        build_objective(features_model(), style_taps=["relu1_1"], height=31, width=40)


def test_no_term_is_an_error() -> None:
    with pytest.raises(ValueError, match="at least one term"):
        build_objective(features_model(), height=32, width=32)

"""Wrapped padding against PyTorch's circular padding, and what it is for: rolling the image rolls everything."""

from collections import Counter
from collections.abc import Mapping

import numpy as np
import onnx_ir as ir
import onnxruntime as ort
import pytest
import torch
from torch.nn import functional

from impasto.export.objective import build_objective, build_targets
from impasto.export.tap_graph import tap_graph
from impasto.models.errors import ImpastoError
from tests.small_network import VGG_WIDTHS, WIDTHS, features_model, weights

HEIGHT, WIDTH = 32, 48


def run(model: ir.Model, feeds: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    session = ort.InferenceSession(ir.to_proto(model).SerializeToString(), options, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, dict(feeds)), strict=True))


def noise(seed: int, height: int = HEIGHT, width: int = WIDTH) -> np.ndarray:
    return np.random.default_rng(seed).random((1, 3, height, width), np.float32)


def circular_features(image: torch.Tensor, widths: Mapping[str, int], pool: str = "avg") -> dict[str, torch.Tensor]:
    """PyTorch's own circular padding in front of convolutions without any."""
    arrays, result, block = weights(widths=widths), {}, "1"
    for tap in widths:
        if tap[4] != block:
            block = tap[4]
            image = functional.avg_pool2d(image, 2) if pool == "avg" else functional.max_pool2d(image, 2)
        kernel, bias = (torch.tensor(arrays[f"{tap}.{part}"], dtype=image.dtype) for part in ("weight", "bias"))
        image = torch.relu(functional.conv2d(functional.pad(image, (1, 1, 1, 1), mode="circular"), kernel, bias))
        result[tap] = image
    return result


@pytest.mark.parametrize("pool", ["avg", "max"])
def test_taps_are_those_of_circular_padding(pool: str) -> None:
    taps = list(WIDTHS)
    model = tap_graph(features_model(), taps, batch=1, height=HEIGHT, width=WIDTH, pool=pool, seamless=True)
    got = run(model, {"image": noise(1)})
    expected = circular_features(torch.tensor(noise(1), dtype=torch.float64), WIDTHS, pool)
    for tap in taps:
        np.testing.assert_allclose(got[tap], expected[tap].numpy(), rtol=1e-4, atol=1e-5)


def test_loss_and_gradient_are_those_of_circular_padding() -> None:
    """All of VGG's depth: relu5_1 of a 32 x 48 image has 2 x 3 positions, fewer than a kernel is wide."""
    content, style = ["relu4_2"], ["relu1_1", "relu3_1", "relu5_1"]
    model = features_model(widths=VGG_WIDTHS)
    taps = {"content_taps": content, "style_taps": style, "height": HEIGHT, "width": WIDTH, "seamless": True}
    graph = build_objective(model, **taps)  # type: ignore[arg-type]
    targets = run(build_targets(model, **taps), {"image": noise(2) ** 3})  # type: ignore[arg-type]
    factors = np.array([[1.0, 3.0, 0.5, 2.0]], np.float32)
    got = run(graph.model, {**targets, "weights": factors, "image": noise(3)})
    image = torch.tensor(noise(3), dtype=torch.float64, requires_grad=True)
    features = circular_features(image, VGG_WIDTHS)
    total = 0.5 * (features["relu4_2"] - torch.tensor(targets["content_relu4_2"])).square().sum()
    for factor, tap in zip(factors[0, 1:].tolist(), style, strict=True):
        flat = features[tap][0].flatten(1)
        difference = flat @ flat.T / flat.shape[1] - torch.tensor(targets[f"gram_{tap}"][0])
        total = total + factor * difference.square().sum() / (4 * len(flat) ** 2)
    total.backward()  # type: ignore[no-untyped-call]
    assert image.grad is not None
    expected = image.grad.numpy()
    assert abs(float(got["loss"][0]) / float(total.detach()) - 1) < 1e-5
    assert np.linalg.norm(got["d_image"] - expected) / np.linalg.norm(expected) < 5e-6


@pytest.mark.parametrize("tv", [False, True])
@pytest.mark.parametrize(("down", "across"), [(16, 0), (0, 16), (16, 32)])
def test_rolling_the_image_rolls_taps_and_gradient(down: int, across: int, tv: bool) -> None:
    model, style = features_model(widths=VGG_WIDTHS), ["relu1_1", "relu5_1"]
    graph = build_objective(model, style_taps=style, tv=tv, height=HEIGHT, width=WIDTH, seamless=True)
    zeros = np.zeros((1, 4, 4), np.float32)  # any target will do; with these no digit is lost in a difference
    feeds = {"gram_relu1_1": zeros, "gram_relu5_1": zeros, "weights": np.ones((1, 2 + tv), np.float32)}
    still = run(graph.model, {**feeds, "image": noise(5)})
    moved = run(graph.model, {**feeds, "image": np.roll(noise(5), (down, across), (2, 3))})
    np.testing.assert_allclose(moved["terms"], still["terms"], rtol=1e-5)
    expected = np.roll(still["d_image"], (down, across), (2, 3))
    np.testing.assert_allclose(moved["d_image"], expected, rtol=1e-3, atol=1e-5 * np.abs(expected).max())


def test_total_variation_across_the_edges_is_that_of_a_tiling() -> None:
    graph = build_objective(features_model(), tv=True, height=HEIGHT, width=WIDTH, seamless=True)
    image = noise(6)
    got = run(graph.model, {"image": image, "weights": np.ones((1, 1), np.float32)})
    tensor = torch.tensor(image, dtype=torch.float64, requires_grad=True)
    total = sum(((tensor.roll(1, axis) - tensor) ** 2).sum() for axis in (2, 3))
    assert isinstance(total, torch.Tensor)
    total.backward()  # type: ignore[no-untyped-call]
    assert tensor.grad is not None
    assert float(got["loss"][0]) == pytest.approx(float(total.detach()), rel=1e-5)
    np.testing.assert_allclose(got["d_image"], tensor.grad.numpy(), atol=1e-5)


def test_ordinary_padding_does_not_roll() -> None:
    """The test above can fail: with zeros around the image it does."""
    model = tap_graph(features_model(), ["relu1_1"], batch=1, height=HEIGHT, width=WIDTH)
    still = run(model, {"image": noise(5)})["relu1_1"]
    moved = run(model, {"image": np.roll(noise(5), 16, 2)})["relu1_1"]
    assert np.abs(moved - np.roll(still, 16, 2)).max() > 0.1


def test_the_graph_without_it_is_untouched() -> None:
    """The default transfer's objective has not one node more than before the option existed."""
    graph = build_objective(
        features_model(widths=VGG_WIDTHS),
        content_taps=["relu4_2"],
        style_taps=["relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu5_1"],
        height=64,
        width=48,
        pool="avg",
    ).model.graph
    assert Counter(node.op_type for node in graph) == {
        "Add": 10, "AveragePool": 4, "Concat": 1, "Conv": 26, "Expand": 7, "Greater": 13, "MatMul": 10, "Mul": 40,
        "ReduceSum": 8, "ReduceSumSquare": 6, "Relu": 13, "Reshape": 10, "Resize": 4, "Slice": 19, "Sub": 6,
        "Transpose": 23, "Unsqueeze": 8, "Where": 13,
    }  # fmt: skip
    assert {tuple(node.attributes.get_ints("pads", [])) for node in graph if node.op_type == "Conv"} == {(1, 1, 1, 1)}


def test_a_side_that_does_not_divide_is_refused() -> None:
    with pytest.raises(ImpastoError) as caught:
        build_objective(features_model(widths=VGG_WIDTHS), style_taps=["relu5_1"], height=40, width=64, seamless=True)
    assert str(caught.value) == (
        "not seamless: 64x40 px, both sides must be multiples of 16 px for this network's poolings"
    )


def test_a_shallow_graph_asks_for_less() -> None:
    build_objective(features_model(widths=VGG_WIDTHS), style_taps=["relu2_1"], height=34, width=38, seamless=True)


def test_a_network_that_drops_its_border_is_refused() -> None:
    model = features_model()
    convolution = next(node for node in model.graph if node.op_type == "Conv")
    convolution.attributes["pads"] = ir.AttrInt64s("pads", [0, 0, 0, 0])
    with pytest.raises(ImpastoError, match=r"this network cannot be seamless: Conv .* makes"):
        tap_graph(model, ["relu1_1"], batch=1, height=HEIGHT, width=WIDTH, seamless=True)

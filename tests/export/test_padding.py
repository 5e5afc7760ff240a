"""The padding of the first convolution against NumPy and PyTorch in float64, its gradient, and how it is lowered."""

from collections import Counter
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import pytest
import torch
from onnx_ir.tape import Tape
from torch.nn import functional

from impasto.engine.runtime.lowering import lower
from impasto.engine.runtime.providers import Provider
from impasto.engine.settings import PADDINGS
from impasto.export import padding as padding_module
from impasto.export.lowering import lower_for_cpu, lower_for_openvino
from impasto.export.objective import ObjectiveGraph, build_objective, build_targets
from impasto.export.precision import narrow_convolutions
from impasto.export.square_root import with_roots
from impasto.export.tap_graph import tap_graph
from impasto.models.errors import ImpastoError
from tests.export.test_objective import noise, run
from tests.export.test_seamless import HEIGHT, WIDTH
from tests.oracles import padding as oracle
from tests.small_network import VGG_WIDTHS, WIDTHS, features_model, weights

OTHERS = ("replicate", "reflect")
others = pytest.mark.parametrize("padding", OTHERS)
TAPS: dict[str, Any] = {"content_taps": ["relu2_1"], "style_taps": ["relu1_1", "relu3_1"]}


def test_settings_and_graphs_know_the_same() -> None:
    assert tuple(padding_module.PADDINGS) == PADDINGS == ("zero", *OTHERS)


@pytest.mark.parametrize("padding", PADDINGS)
@pytest.mark.parametrize(("height", "width"), [(32, 48), (33, 37)])
def test_taps_are_those_of_numpy(padding: str, height: int, width: int) -> None:
    taps, image = list(WIDTHS), noise(2, 3, height, width)
    model = tap_graph(features_model(), taps, batch=2, height=height, width=width, padding=padding)
    got = run(model, {"image": image})
    for sample in range(2):
        expected = oracle.features(image[sample], weights(), taps, padding)
        for tap in taps:
            np.testing.assert_allclose(got[tap][sample], expected[tap], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("padding", OTHERS)
def test_only_the_border_differs(padding: str) -> None:
    """Of relu1_1 the outermost pixels, and so this test and the one before can fail."""
    image = {"image": noise(1, 3, HEIGHT, WIDTH)}
    zero, other = (
        run(tap_graph(features_model(), ["relu1_1"], height=HEIGHT, width=WIDTH, padding=name), image)["relu1_1"]
        for name in ("zero", padding)
    )
    np.testing.assert_allclose(other[..., 1:-1, 1:-1], zero[..., 1:-1, 1:-1], rtol=1e-4, atol=1e-5)
    for border in (np.s_[..., 0, :], np.s_[..., -1, :], np.s_[..., 0], np.s_[..., -1]):
        assert np.abs(other[border] - zero[border]).mean() > 0.01


def test_a_constant_image_has_no_border_under_replicate() -> None:
    flat = np.full((1, 3, HEIGHT, WIDTH), 0.7, np.float32)
    model = tap_graph(features_model(), ["relu1_1"], height=HEIGHT, width=WIDTH, padding="replicate")
    got = run(model, {"image": flat})["relu1_1"]
    np.testing.assert_allclose(got, np.broadcast_to(got[..., 8:9, 8:9], got.shape), rtol=1e-5, atol=1e-6)


def case(padding: str, batch: int = 1, **form: Any) -> tuple[ObjectiveGraph, dict[str, np.ndarray]]:
    chosen = {"height": 33, "width": 46, "batch": batch, "padding": padding, **form}
    graph = build_objective(features_model(), **TAPS, tv=True, **chosen)
    targets = run(build_targets(features_model(), **TAPS, **chosen), {"image": noise(batch, 3, 33, 46, seed=7) ** 3})
    factors = np.tile(np.array([1.0, 3.0, 0.5, 0.1], np.float32), (batch, 1))
    return graph, {**targets, "weights": factors, "image": noise(batch, 3, 33, 46, seed=8)}


def loss_of_torch(feeds: dict[str, np.ndarray], image: torch.Tensor, padding: str) -> torch.Tensor:
    """PyTorch's own padding in front of a first convolution without any, in float64."""
    arrays, value = weights(), image
    total = 0.1 * (image.diff(dim=2).square().sum() + image.diff(dim=3).square().sum())
    for index, tap in enumerate(WIDTHS):
        kernel, bias = (torch.tensor(arrays[f"{tap}.{part}"], dtype=torch.float64) for part in ("weight", "bias"))
        if index:
            value = functional.conv2d(functional.avg_pool2d(value, 2), kernel, bias, padding=1)
        else:
            value = functional.conv2d(functional.pad(value, (1, 1, 1, 1), mode=padding), kernel, bias)
        value = torch.relu(value)
        if tap == "relu2_1":
            total = total + 0.5 * (value - torch.tensor(feeds["content_relu2_1"])).square().sum()
        else:
            flat = value[0].flatten(1)
            difference = flat @ flat.T / flat.shape[1] - torch.tensor(feeds[f"gram_{tap}"][0])
            total = total + {"relu1_1": 3.0, "relu3_1": 0.5}[tap] * difference.square().sum() / (4 * len(flat) ** 2)
    return total


@others
def test_loss_and_gradient_are_pytorchs(padding: str) -> None:
    graph, feeds = case(padding)
    got = run(graph.model, feeds)
    image = torch.tensor(feeds["image"], dtype=torch.float64, requires_grad=True)
    total = loss_of_torch(feeds, image, padding)
    total.backward()  # type: ignore[no-untyped-call]
    assert image.grad is not None
    assert float(got["loss"][0]) == pytest.approx(float(total.detach()), rel=1e-5)
    expected = image.grad.numpy()
    error = got["d_image"] - expected
    assert np.linalg.norm(error) < 5e-6 * np.linalg.norm(expected)
    for border in (np.s_[..., :2, :], np.s_[..., -2:, :], np.s_[..., :2], np.s_[..., -2:]):
        assert np.linalg.norm(error[border]) < 1e-5 * np.linalg.norm(expected[border])


@others
def test_the_gradient_is_the_slope(padding: str) -> None:
    """One direction, central difference in the float64 oracle."""
    graph, feeds = case(padding)
    gradient = run(graph.model, feeds)["d_image"].astype(np.float64)
    direction = np.random.default_rng(4).normal(size=gradient.shape)
    image = torch.tensor(feeds["image"], dtype=torch.float64)
    ahead, behind = (loss_of_torch(feeds, image + step * torch.tensor(direction), padding) for step in (1e-6, -1e-6))
    assert np.sum(gradient * direction) == pytest.approx(float(ahead - behind) / 2e-6, rel=1e-4)


@others
@pytest.mark.parametrize("style_loss", ["gram", "moments"])
def test_the_samples_of_a_batch_do_not_touch_each_other(padding: str, style_loss: str) -> None:
    form = {"style_loss": style_loss}
    graph, feeds = batch_case(padding, 2, **form)
    single, _ = batch_case(padding, 1, **form)
    together = run(graph.model, feeds)
    for sample in range(2):
        alone = run(single.model, {name: value[sample : sample + 1] for name, value in feeds.items()})
        for name in ("loss", "d_image"):
            np.testing.assert_allclose(together[name][sample : sample + 1], alone[name], rtol=2e-5, atol=1e-7)


def batch_case(padding: str, batch: int, style_loss: str) -> tuple[ObjectiveGraph, dict[str, np.ndarray]]:
    graph, feeds = case(padding, batch, style_loss=style_loss)
    return graph, with_roots(feeds) if style_loss == "moments" else feeds


def test_zero_has_not_one_node_more() -> None:
    chosen: dict[str, Any] = {"style_taps": ["relu5_1"], "height": 64, "width": 48}
    first, second = (
        build_objective(features_model(widths=VGG_WIDTHS), **form).model
        for form in (chosen, {**chosen, "padding": "zero"})
    )
    assert ir.to_proto(first).SerializeToString() == ir.to_proto(second).SerializeToString()
    modes = {node.attributes.get_string("mode", "constant") for node in first.graph if node.op_type == "Pad"}
    assert modes <= {"constant"}  # of gradients


@others
def test_every_other_convolution_keeps_its_zeros(padding: str) -> None:
    model = tap_graph(features_model(widths=VGG_WIDTHS), ["relu5_1"], height=64, width=48, padding=padding)
    pads = [tuple(node.attributes.get_ints("pads", ())) for node in model.graph if node.op_type == "Conv"]
    assert pads == [(0, 0, 0, 0)] + [(1, 1, 1, 1)] * 12
    assert Counter(node.op_type for node in model.graph)["Pad"] == 1


@others
@pytest.mark.parametrize("rewrite", [lower_for_cpu, lower_for_openvino])
def test_the_lowered_graph_computes_the_same(padding: str, rewrite: Any) -> None:
    graph, feeds = case(padding, 2)
    expected = run(graph.model, feeds)
    rewrite(graph.model)
    onnx.checker.check_model(ir.to_proto(graph.model), full_check=True)
    got = run(graph.model, feeds)
    for name, value in expected.items():
        np.testing.assert_allclose(got[name], value, rtol=1e-4, atol=1e-5 * np.abs(value).max())


@others
def test_the_image_is_padded_in_float32_where_convolutions_are_narrow(padding: str) -> None:
    graph, feeds = case(padding)
    narrow = narrow_convolutions(graph.model, ir.DataType.FLOAT16)
    (pad,) = (node for node in narrow.graph if node.attributes.get_string("mode", "") in ("edge", "reflect"))
    assert pad.outputs[0].dtype == ir.DataType.FLOAT
    expected, got = run(graph.model, feeds)["d_image"], run(narrow, feeds)["d_image"]
    assert np.linalg.norm(got - expected) < 5e-3 * np.linalg.norm(expected)


@others
@pytest.mark.parametrize("precision", ["fp32", "tf32", "fp16", "bf16"])
def test_cuda_runs_the_graph(padding: str, precision: str) -> None:
    lowered = lower(case(padding)[0].model, Provider("cuda", "CUDAExecutionProvider", precision, typed=True))
    onnx.checker.check_model(ir.to_proto(lowered), full_check=True)
    assert not [
        node for node in lowered.graph for value in node.inputs if value and value.dtype == ir.DataType.BFLOAT16
        and node.op_type == "Pad"
    ]  # fmt: skip


def convolution(attributes: dict[str, Any]) -> ir.Model:
    """A features model of one convolution of 7 x 7, made by hand."""
    image = ir.val("image", ir.DataType.FLOAT, ("n", 3, "h", "w"))
    tape = Tape()
    kernel = tape.initializer(ir.tensor(noise(4, 3, 7, 7), name="kernel"))
    value = tape.op("Conv", [image, kernel], attributes)
    value.name, value.dtype, value.shape = "tap", ir.DataType.FLOAT, ir.Shape(("n", 4, "p", "q"))
    graph = ir.Graph(
        [image], [value], nodes=tape.nodes, initializers=tape.initializers, opset_imports={"": 20}, name="one"
    )
    return ir.Model(graph, ir_version=10)


@others
def test_pads_of_any_width(padding: str) -> None:
    image = noise(1, 3, 32, 40)
    model = tap_graph(convolution({"pads": [3, 2, 1, 0]}), ["tap"], height=32, width=40, padding=padding)
    surrounded = functional.pad(torch.tensor(image, dtype=torch.float64), (2, 0, 3, 1), mode=padding)
    expected = functional.conv2d(surrounded, torch.tensor(noise(4, 3, 7, 7), dtype=torch.float64))
    np.testing.assert_allclose(run(model, {"image": image})["tap"], expected.numpy(), rtol=1e-4)


@pytest.mark.parametrize("attributes", [{}, {"pads": [0, 0, 0, 0]}, {"auto_pad": "VALID"}])
def test_a_convolution_that_pads_nothing_sees_no_border(attributes: dict[str, Any]) -> None:
    image = noise(1, 3, 32, 40)
    with_it, without = (
        tap_graph(convolution(attributes), ["tap"], height=32, width=40, padding=padding)
        for padding in ("replicate", "zero")
    )
    assert [node.op_type for node in with_it.graph] == [node.op_type for node in without.graph]
    np.testing.assert_array_equal(run(with_it, {"image": image})["tap"], run(without, {"image": image})["tap"])


def test_a_convolution_that_pads_by_itself_is_refused() -> None:
    expected = (
        r"this network cannot have padding replicate: its first convolution, node_Conv_0, pads by itself "
        r"\(auto_pad SAME_UPPER\); leave the padding at zero"
    )
    with pytest.raises(ImpastoError, match=f"^{expected}$"):
        tap_graph(convolution({"auto_pad": "SAME_UPPER"}), ["tap"], height=32, width=40, padding="replicate")


def test_an_unknown_padding_is_refused() -> None:
    with pytest.raises(ImpastoError, match="unknown padding 'wrap': it is one of zero, replicate, reflect"):
        tap_graph(features_model(), ["relu1_1"], height=32, width=40, padding="wrap")


def test_seamless_wraps_whatever_the_padding_is() -> None:
    found = [
        run(
            tap_graph(features_model(), ["relu2_1"], height=32, width=48, seamless=True, padding=padding),
            {"image": noise(1, 3, 32, 48)},
        )["relu2_1"]
        for padding in PADDINGS
    ]
    np.testing.assert_array_equal(found[1], found[0])
    np.testing.assert_array_equal(found[2], found[0])

"""The norms of total variation against float64, by projection, in batches and seamless, and how they are lowered."""

from collections import Counter
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import pytest
import torch
from onnx.reference import ReferenceEvaluator

from impasto.engine.runtime.lowering import lower
from impasto.engine.runtime.providers import Provider
from impasto.export.lowering import lower_for_cpu, lower_for_openvino
from impasto.export.objective import build_objective, build_targets
from impasto.export.precision import narrow_convolutions
from impasto.export.terms import TV_NORMS
from tests.export.test_objective import noise, run
from tests.oracles import variation
from tests.small_network import features_model

SIDES = [(32, 32), (33, 40)]
norms = pytest.mark.parametrize("norm", TV_NORMS)
forms = pytest.mark.parametrize("seamless", [False, True])


def objective(norm: str, height: int, width: int, **form: Any) -> ir.Model:
    return build_objective(features_model(), tv=True, tv_norm=norm, height=height, width=width, **form).model


def evaluated(norm: str, image: np.ndarray, **form: Any) -> dict[str, np.ndarray]:
    batch, _, height, width = image.shape
    model = objective(norm, height, width, batch=batch, **form)
    return run(model, {"image": image, "weights": np.ones((batch, 1), np.float32)})


def of_torch(image: torch.Tensor, norm: str, *, seamless: bool) -> torch.Tensor:
    """The same of [3, H, W], differentiable."""
    if seamless:
        down, across = image.roll(-1, 1) - image, image.roll(-1, 2) - image
    else:
        down = torch.diff(image, dim=1, append=image[:, -1:])
        across = torch.diff(image, dim=2, append=image[..., -1:])
    squares = torch.cat([down, across]).square()
    if norm == "squared":
        return squares.sum()
    parts = squares.sum(0) if norm == "l2" else squares
    return ((parts + variation.VISIBLE**2).sqrt() - variation.VISIBLE).sum()


@norms
@forms
@pytest.mark.parametrize(("height", "width"), SIDES)
def test_value_and_gradient_are_those_of_float64(norm: str, seamless: bool, height: int, width: int) -> None:
    image = noise(1, 3, height, width)
    image[..., :8, :8] = 0.5  # flat, and a step at its border
    image[..., 8:16, :8] *= 3 / 255  # about as much as what is not visible
    got = evaluated(norm, image, seamless=seamless)
    expected = variation.total_variation(image[0], norm, seamless=seamless)
    assert float(got["loss"][0]) == pytest.approx(expected, rel=2e-6)
    tensor = torch.tensor(image[0], dtype=torch.float64, requires_grad=True)
    total = of_torch(tensor, norm, seamless=seamless)
    assert float(total.detach()) == pytest.approx(expected, rel=1e-12)
    total.backward()  # type: ignore[no-untyped-call]
    assert tensor.grad is not None
    np.testing.assert_allclose(got["d_image"][0], tensor.grad.numpy(), rtol=1e-4, atol=1e-5)


@norms
@forms
def test_the_gradient_is_the_slope(norm: str, seamless: bool) -> None:
    """In float64 on the reference evaluator: one direction, central difference."""
    model = objective(norm, 32, 32, seamless=seamless)
    for value in [*model.graph.inputs, *model.graph.outputs, *(out for node in model.graph for out in node.outputs)]:
        if value.dtype == ir.DataType.FLOAT:
            value.dtype = ir.DataType.DOUBLE
    for value in model.graph.initializers.values():
        if value.const_value is not None and value.const_value.dtype == ir.DataType.FLOAT:
            value.const_value = ir.tensor(value.const_value.numpy().astype(np.float64), name=value.name)
            value.dtype = ir.DataType.DOUBLE
    evaluator = ReferenceEvaluator(ir.to_proto(model))
    image, direction = noise(1, 3, 32, 32).astype(np.float64), np.random.default_rng(2).normal(size=(1, 3, 32, 32))

    def at(x: np.ndarray) -> dict[str, Any]:
        feeds = {"image": x, "weights": np.ones((1, 1))}
        return dict(zip(("loss", "d_image"), evaluator.run(["loss", "d_image"], feeds), strict=True))

    ahead, behind = (at(image + step * direction)["loss"].item() for step in (1e-6, -1e-6))
    assert at(image)["d_image"].dtype == np.float64
    assert np.sum(at(image)["d_image"] * direction) == pytest.approx((ahead - behind) / 2e-6, rel=1e-6)


@norms
def test_a_flat_image_scores_nothing_and_stays(norm: str) -> None:
    got = evaluated(norm, np.full((1, 3, 32, 40), 0.3, np.float32))
    assert float(got["loss"][0]) == 0
    np.testing.assert_array_equal(got["d_image"], 0)


def test_an_edge_costs_what_its_norm_says() -> None:
    """A step of the height 1/2 in one colour, along 32 px, and the same spread over 4 px."""
    step, slope = np.zeros((2, 1, 3, 32, 32), np.float32)
    step[0, 0, :, 16:] = 0.5
    slope[0, 0] = np.clip((np.arange(32) - 14) / 8, 0, 0.5)
    sums = {norm: [float(evaluated(norm, image)["loss"][0]) for image in (step, slope)] for norm in TV_NORMS}
    assert sums["squared"] == pytest.approx([8.0, 2.0], rel=1e-6)
    for norm in ("l2", "l1"):  # but for the rounding of the corner, the height alone counts
        assert sums[norm][0] == pytest.approx(16.0, rel=0.01)
        assert sums[norm][1] == pytest.approx(16.0, rel=0.04)


def test_a_diagonal_costs_l2_its_length_and_l1_more() -> None:
    """d_y = d_x = 1/16 in all colours: sqrt(3 * 2) / 16 against 3 * 2 / 16 for each pixel inside."""
    ramp = np.add.outer(np.arange(32), np.arange(32)) / 64
    inside = 31 * 31
    image = np.broadcast_to(ramp, (1, 3, 32, 32)).astype(np.float32) * 4
    l2, l1 = (float(evaluated(norm, image)["loss"][0]) for norm in ("l2", "l1"))
    border = 2 * 31
    assert l2 == pytest.approx((inside * 6**0.5 + border * 3**0.5) / 16, rel=0.03)
    assert l1 == pytest.approx((inside * 6 + border * 3) / 16, rel=0.07)


@norms
def test_the_samples_of_a_batch_do_not_touch_each_other(norm: str) -> None:
    images = noise(2, 3, 32, 40)
    together = evaluated(norm, images)
    for sample in range(2):
        alone = evaluated(norm, images[sample : sample + 1])
        for name in ("loss", "d_image"):
            np.testing.assert_allclose(together[name][sample], alone[name][0], rtol=1e-6)


def test_squared_has_the_nodes_that_it_always_had() -> None:
    model = build_objective(features_model(), style_taps=["relu1_1"], tv=True, height=32, width=32).model
    assert Counter(node.op_type for node in model.graph) == {
        "Add": 6, "Concat": 1, "Conv": 2, "Expand": 5, "Greater": 1, "MatMul": 2, "Mul": 12, "Neg": 2, "Pad": 4,
        "ReduceSum": 6, "ReduceSumSquare": 3, "Relu": 1, "Reshape": 2, "Slice": 7, "Sub": 3, "Transpose": 3,
        "Unsqueeze": 6, "Where": 1,
    }  # fmt: skip


def whole(norm: str, **form: Any) -> tuple[ir.Model, dict[str, np.ndarray]]:
    taps: dict[str, Any] = {"content_taps": ["relu2_1"], "style_taps": ["relu1_1", "relu3_1"]}
    sides: dict[str, Any] = {"height": 48, "width": 32, "batch": 2}
    graph = build_objective(features_model(), **taps, **sides, tv=True, tv_norm=norm, **form)
    targets = run(build_targets(features_model(), **taps, **sides, **form), {"image": noise(2, 3, 48, 32, seed=7)})
    weights = np.tile(np.array([1e-3, 1.0, 1.0, 3e-4], np.float32), (2, 1))
    return graph.model, {**targets, "weights": weights, "image": noise(2, 3, 48, 32)}


@norms
@forms
@pytest.mark.parametrize("rewrite", [lower_for_cpu, lower_for_openvino])
def test_the_lowered_graph_computes_the_same(norm: str, seamless: bool, rewrite: Any) -> None:
    model, feeds = whole(norm, seamless=seamless)
    expected = run(model, feeds)
    rewrite(model)
    onnx.checker.check_model(ir.to_proto(model), full_check=True)
    got = run(model, feeds)
    for name, value in expected.items():
        np.testing.assert_allclose(got[name], value, rtol=1e-4, atol=1e-5 * np.abs(value).max())


@norms
@pytest.mark.parametrize("precision", ["FLOAT16", "BFLOAT16"])
def test_the_norm_is_in_float32_where_convolutions_are_narrow(norm: str, precision: str) -> None:
    model, feeds = whole(norm)
    narrow = narrow_convolutions(model, ir.DataType[precision])
    own = [node for node in narrow.graph if (node.outputs[0].name or "").startswith("tv_loss")]
    assert own
    assert {node.outputs[0].dtype for node in own} == {ir.DataType.FLOAT}
    if precision == "FLOAT16":  # ONNX Runtime has kernels of it on every processor
        expected, got = run(model, feeds), run(narrow, feeds)
        np.testing.assert_allclose(got["terms"][:, 3], expected["terms"][:, 3], rtol=1e-6)
        error = np.linalg.norm(got["d_image"] - expected["d_image"]) / np.linalg.norm(expected["d_image"])
        assert error < 5e-3


@norms
@forms
@pytest.mark.parametrize("precision", ["fp32", "tf32", "fp16", "bf16"])
def test_cuda_runs_the_graph(norm: str, seamless: bool, precision: str) -> None:
    """Nothing but what CUDA has kernels for in bfloat16 remains narrow."""
    model, _ = whole(norm, seamless=seamless)
    lowered = lower(model, Provider("cuda", "CUDAExecutionProvider", precision, typed=True))
    onnx.checker.check_model(ir.to_proto(lowered), full_check=True)
    narrow = {
        node.op_type for node in lowered.graph for value in node.inputs if value and value.dtype == ir.DataType.BFLOAT16
    }
    assert not {"Pad", "Greater", "Resize", "MaxPool"} & narrow

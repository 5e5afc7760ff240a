"""The style losses `gram-mean` and `moments` against float64, alone, in batches, seamless and on difficult matrices."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import pytest
import torch
from onnx.reference import ReferenceEvaluator
from onnx.reference.op_run import OpRun
from onnx_ir.tape import Tape

from impasto.export.gradient import gradient
from impasto.export.losses import Emitter
from impasto.export.lowering import split_exact_products
from impasto.export.moments import wasserstein_loss
from impasto.export.newton_schulz import STEPS, identity, inverse_root, scaled_steps
from impasto.export.objective import ObjectiveGraph, build_objective, build_targets
from impasto.export.readout import tap_moments
from impasto.export.shape_inference import infer_shapes
from impasto.export.square_root import FLOOR, root, with_roots
from impasto.export.terms import STYLE_LOSSES
from tests.export.test_objective import noise, run, torch_features
from tests.oracles import gatys, moments
from tests.small_network import features_model

TAPS: Mapping[str, Any] = {"content_taps": ["relu2_1"], "style_taps": ["relu1_1", "relu3_1"]}
STYLE_TAPS = ("relu1_1", "relu3_1")
NEW_LOSSES = ("gram-mean", "moments")


def case(style_loss: str, height: int, width: int, **form: Any) -> tuple[ObjectiveGraph, dict[str, np.ndarray]]:
    """An objective, its inputs, and as "painting" the image that the targets are from."""
    batch = form.get("batch", 1)
    chosen = {"height": height, "width": width, "style_loss": style_loss, "pool": "avg", **form}
    graph = build_objective(features_model(), **TAPS, tv=True, **chosen)
    painting = noise(batch, 3, height, width, seed=7) ** 3
    targets = run(build_targets(features_model(), **TAPS, **chosen), {"image": painting})
    if style_loss == "moments":
        targets = with_roots(targets)
    weights = np.tile(np.array([0.0, 1.0, 2.0, 0.0], np.float32), (batch, 1))
    return graph, {**targets, "weights": weights, "image": noise(batch, 3, height, width, seed=8)}


def expected_loss(style_loss: str, image: torch.Tensor, painting: np.ndarray) -> torch.Tensor:
    """The weighted loss of one sample in float64, from equations that are written out here."""
    own = torch_features(image, "avg")
    others = torch_features(torch.tensor(painting, dtype=torch.float64), "avg")
    total = torch.zeros((), dtype=torch.float64)
    for weight, tap in zip((1.0, 2.0), STYLE_TAPS, strict=True):
        if style_loss == "moments":
            total = total + weight * moments.distance_of(own[tap][0], others[tap][0].numpy(), FLOOR)
        else:
            flat = own[tap][0].flatten(1)
            _, target = moments.mean_and_covariance(others[tap][0].numpy())
            without = flat - flat.mean(1, keepdim=True)
            difference = without @ without.T / flat.shape[1] - torch.tensor(target)
            total = total + weight * difference.square().sum() / (4 * len(flat) ** 2)
    return total


@pytest.mark.parametrize("style_loss", NEW_LOSSES)
@pytest.mark.parametrize(("height", "width"), [(32, 32), (37, 50)])
def test_loss_and_gradient_are_those_of_float64(style_loss: str, height: int, width: int) -> None:
    graph, feeds = case(style_loss, height, width)
    got = run(graph.model, feeds)
    image = torch.tensor(feeds["image"], dtype=torch.float64, requires_grad=True)
    expected = expected_loss(style_loss, image, noise(1, 3, height, width, seed=7) ** 3)
    expected.backward()  # type: ignore[no-untyped-call]
    assert image.grad is not None
    assert float(got["loss"][0]) == pytest.approx(float(expected.detach()), rel=1e-5)
    difference = np.abs(got["d_image"] - image.grad.numpy())
    assert np.median(difference / np.abs(image.grad.numpy())) < 1e-4
    assert np.linalg.norm(difference) < 1e-4 * np.linalg.norm(image.grad.numpy())


def test_terms_are_those_of_scipys_square_root() -> None:
    graph, feeds = case("moments", 37, 50)
    features = run(features_model(), {"image": feeds["image"]})
    painting = run(features_model(), {"image": noise(1, 3, 37, 50, seed=7) ** 3})
    got = run(graph.model, {**feeds, "weights": np.ones((1, 4), np.float32)})["terms"][0]
    for found, tap in zip(got[1:3], STYLE_TAPS, strict=True):
        expected = moments.distance(features[tap][0], painting[tap][0], FLOOR)
        covariances = (moments.mean_and_covariance(one[tap][0])[1] for one in (features, painting))
        traces = sum(map(np.trace, covariances))  # their difference is the term, so their rounding is the term's
        assert abs(found - expected) < 1e-6 * traces, tap
        assert found == pytest.approx(expected, rel=1e-4), tap


def test_the_oracles_agree() -> None:
    a, b = noise(5, 6, 7, seed=1), noise(5, 6, 7, seed=2) ** 2
    expected = moments.distance(a, b, FLOOR)
    found = moments.distance_of(torch.tensor(a, dtype=torch.float64), b, FLOOR)
    assert float(found) == pytest.approx(expected, rel=1e-9)


def test_the_mean_of_the_features_does_not_count_for_gram_mean() -> None:
    graph, feeds = case("gram-mean", 32, 40)
    taps = run(features_model(), {"image": noise(1, 3, 32, 40, seed=7) ** 3})
    for tap in STYLE_TAPS:
        flat = taps[tap][0]
        without = flat - flat.mean((1, 2), keepdims=True)
        np.testing.assert_allclose(
            feeds[f"covariance_{tap}"][0], gatys.gram(without) / flat[0].size, rtol=1e-4, atol=1e-7
        )
    assert [term.targets for term in graph.terms[1:3]] == [("covariance_relu1_1",), ("covariance_relu3_1",)]


@pytest.mark.parametrize("style_loss", NEW_LOSSES)
def test_a_batch_of_three_is_three_runs(style_loss: str) -> None:
    graph, feeds = case(style_loss, 32, 37, batch=3)
    together = run(graph.model, feeds)
    single, _ = case(style_loss, 32, 37)
    for sample in range(3):
        alone = run(single.model, {name: value[sample : sample + 1] for name, value in feeds.items()})
        for name in ("loss", "terms", "d_image"):
            np.testing.assert_allclose(together[name][sample : sample + 1], alone[name], rtol=2e-5, atol=1e-7)
    changed = run(
        graph.model, dict(feeds, image=feeds["image"] * np.array([1, 0.5, 1], np.float32)[:, None, None, None])
    )
    np.testing.assert_array_equal(changed["d_image"][[0, 2]], together["d_image"][[0, 2]])


@pytest.mark.parametrize("style_loss", NEW_LOSSES)
def test_an_empty_place_of_a_batch_is_finite(style_loss: str) -> None:
    graph, feeds = case(style_loss, 32, 32, batch=2)
    empty = {
        name: value * np.array([1, 0], np.float32).reshape(2, *[1] * (value.ndim - 1)) for name, value in feeds.items()
    }
    got = run(graph.model, empty)
    assert all(np.isfinite(value).all() for value in got.values())
    assert got["loss"][0] > 0


@pytest.mark.parametrize("style_loss", NEW_LOSSES)
def test_seamless_commutes_with_rolling(style_loss: str) -> None:
    graph, feeds = case(style_loss, 32, 48, seamless=True)
    rolled = dict(feeds, image=np.roll(feeds["image"], (16, 32), (2, 3)))
    first, second = run(graph.model, feeds), run(graph.model, rolled)
    np.testing.assert_allclose(second["loss"], first["loss"], rtol=1e-5)
    np.testing.assert_allclose(second["d_image"], np.roll(first["d_image"], (16, 32), (2, 3)), rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("style_loss", NEW_LOSSES)
def test_an_image_that_is_the_painting_scores_nothing(style_loss: str) -> None:
    graph, feeds = case(style_loss, 32, 40)
    elsewhere = float(run(graph.model, feeds)["loss"][0])
    same = run(graph.model, dict(feeds, image=noise(1, 3, 32, 40, seed=7) ** 3))
    assert float(same["loss"][0]) == pytest.approx(0.0, abs=1e-5 * elsewhere)


@pytest.mark.parametrize("style_loss", STYLE_LOSSES)
def test_models_are_valid_and_of_standard_operators(style_loss: str) -> None:
    graph, _ = case(style_loss, 33, 47)
    proto = ir.to_proto(graph.model)
    onnx.checker.check_model(proto, full_check=True)
    assert {node.domain for node in proto.graph.node} == {""}


def test_gram_has_no_node_of_the_others() -> None:
    plain = build_objective(features_model(), **TAPS, height=32, width=32)
    named = build_objective(features_model(), **TAPS, style_loss="gram", height=32, width=32)
    assert ir.to_proto(plain.model).SerializeToString() == ir.to_proto(named.model).SerializeToString()
    kinds = {node.op_type for node in plain.model.graph}
    assert not {"Identity", "ReduceMean", "Sign", "Div"} & kinds


def covariance(spectrum: np.ndarray, seed: int) -> np.ndarray:
    """A symmetric matrix with the eigenvalues given."""
    turn = np.linalg.qr(np.random.default_rng(seed).normal(size=(len(spectrum),) * 2))[0]
    result: np.ndarray = (turn * spectrum) @ turn.T
    return result


def trace_of_root(matrix: np.ndarray) -> tuple[float, np.ndarray]:
    """Trace of the root, and inverse root, as the graph computes them in float32."""
    size = len(matrix)
    source = ir.val("matrix", ir.DataType.FLOAT, (1, size, size))
    graph = ir.Graph([source], [], nodes=[], opset_imports={"": 20}, name="root")
    emit = Emitter(Tape(graph))
    results = inverse_root(emit, source, identity(emit, size), "r")
    for value in results:
        value.dtype = ir.DataType.FLOAT
        value.shape = ir.Shape((1, None, None))
    graph.outputs.extend(results)
    got = run(ir.Model(graph, ir_version=10), {"matrix": matrix[None].astype(np.float32)})
    return float(got["r.trace"].item()), got["r.inverse"][0]


@pytest.mark.parametrize("decades", [1, 4, 6])
def test_newton_and_schulz_find_the_root(decades: int) -> None:
    spectrum = np.logspace(-decades, 0, 24) * 50.0
    trace, inverse = trace_of_root(covariance(spectrum, 3))
    assert trace == pytest.approx(np.sqrt(spectrum).sum(), rel=3e-4)
    if decades == 1:
        np.testing.assert_allclose(inverse, covariance(spectrum**-0.5, 3), atol=1e-5)


def test_the_steps_bring_their_interval_to_1() -> None:
    x = np.logspace(np.log10(3e-5), 0, 1000)
    steps = list(scaled_steps())
    for linear, cubic in steps:
        x = linear * x - cubic * x**3
    assert len(steps) == STEPS
    np.testing.assert_allclose(x, 1.0, atol=1e-5)


def test_the_root_of_a_covariance() -> None:
    spectrum = np.array([5.0, 2.0, 1e-1, 1e-3, 0.0, 0.0])
    matrix = covariance(spectrum, 4)
    found = root(matrix[None].astype(np.float32))[0].astype(np.float64)
    lost = np.linalg.svd(found)[1]
    np.testing.assert_allclose(
        lost**2, np.where(spectrum > 0, spectrum + FLOOR * (found**2).sum() / 6, 0), rtol=1e-4, atol=1e-7
    )
    assert np.count_nonzero(np.abs(found).sum(0)) == 4
    assert not root(np.zeros((1, 3, 3), np.float32)).any()


@pytest.mark.parametrize("positions", [3, 40, 64, 400])  # fewer than, about as many as, and more than 64 channels
@pytest.mark.parametrize("loudness", [1e-3, 1.0, 1e3])
def test_moments_of_few_positions_and_of_loud_taps(positions: int, loudness: float) -> None:
    """A spectrum like VGG's: of low rank, graded over four decades, far louder than the painting or less loud."""
    errors = []
    for seed in range(5):  # of 3 positions, rounding makes 3e-4 to 1.4e-3 of the gradient
        rng, channels = np.random.default_rng((seed, positions)), 64
        scales = np.logspace(0, -2, channels)
        turn = np.linalg.qr(rng.normal(size=(channels, channels)))[0]
        painting = turn @ (scales[:, None] * rng.normal(size=(channels, 200))) + 0.5
        image = loudness * (turn @ (scales[:, None] * rng.normal(size=(channels, positions))) + 0.3)
        value, derivative = moments_of(image, painting)
        features = torch.tensor(image.reshape(channels, 1, -1), requires_grad=True)
        expected = moments.distance_of(features, painting.reshape(channels, 1, -1), FLOOR)
        expected.backward()  # type: ignore[no-untyped-call]
        assert features.grad is not None
        assert value == pytest.approx(float(expected.detach()), rel=1e-4)
        exact = features.grad.numpy().reshape(channels, -1)
        errors.append(np.median(np.abs(derivative - exact)) / np.median(np.abs(exact)))
    assert np.median(errors) < 1e-3
    assert max(errors) < 2e-3


def moments_of(image: np.ndarray, painting: np.ndarray) -> tuple[float, np.ndarray]:
    """Value and derivative of the loss of features [C, M]."""
    got = run(*moments_model(image, painting))
    return float(got["loss"].item()), got["d_image"].reshape(image.shape)


def moments_model(image: np.ndarray, painting: np.ndarray) -> tuple[ir.Model, dict[str, np.ndarray]]:
    """Loss and gradient of features [C, M] as a graph that has them as its image, and its inputs."""
    channels, positions = image.shape
    mean, own = moments.mean_and_covariance(painting.reshape(channels, 1, -1))
    source = ir.val("image", ir.DataType.FLOAT, (1, channels, 1, positions))
    targets = (
        ir.val("mean", ir.DataType.FLOAT, (1, channels, 1)),
        ir.val("root", ir.DataType.FLOAT, (1, channels, channels)),
    )
    graph = ir.Graph([source, *targets], [], nodes=[], opset_imports={"": 20}, name="moments")
    emit = Emitter(Tape(graph))
    loss = wasserstein_loss(emit, tap_moments(emit, source, "m", "c"), targets, "loss")
    loss.dtype, loss.shape = ir.DataType.FLOAT, ir.Shape((1, 1))
    graph.outputs.append(loss)
    model = ir.Model(graph, ir_version=10)
    infer_shapes(model)
    feeds = {
        "image": image.reshape(1, channels, 1, positions).astype(np.float32),
        "mean": mean.reshape(1, channels, 1).astype(np.float32),
        "root": root(own[None].astype(np.float32)),
    }
    return gradient(model, "loss", "image", constants=emit.held_names), feeds


def test_constants_stop_the_gradient() -> None:
    x = ir.val("x", ir.DataType.FLOAT, (3,))
    graph = ir.Graph([x], [], nodes=[], opset_imports={"": 20}, name="held")
    emit = Emitter(Tape(graph))
    held = emit.held(emit.op("Mul", x, x, name="square"))
    loss = emit.op("ReduceSum", emit.op("Mul", held, x, name="cube"), emit.ints("axis", 0), keepdims=0, name="loss")
    loss.dtype, loss.shape = ir.DataType.FLOAT, ir.Shape(())
    graph.outputs.append(loss)
    model = ir.Model(graph, ir_version=10)
    values = {"x": np.array([1.0, 2.0, 3.0], np.float32)}
    np.testing.assert_allclose(run(gradient(model, "loss", "x"), values)["d_x"], 3 * values["x"] ** 2)
    np.testing.assert_allclose(
        run(gradient(model, "loss", "x", constants=emit.held_names), values)["d_x"], values["x"] ** 2
    )


class MatMul(OpRun):
    """A product as TF32 computes it: operands rounded to 11 significant bits."""

    def _run(self, a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray]:
        return (rounded(a) @ rounded(b),)


def rounded(values: np.ndarray) -> np.ndarray:
    """Float32 values with a mantissa of 10 bits."""
    bits = np.ascontiguousarray(values).view(np.uint32).astype(np.uint64)
    return ((bits + (1 << 12)) >> 13 << 13).astype(np.uint32).view(np.float32)


def test_tf32_keeps_the_root_exact() -> None:
    rng, channels = np.random.default_rng(2), 64
    scales = np.logspace(0, -3, channels)[:, None]
    turns = [np.linalg.qr(rng.normal(size=(channels, channels)))[0] for _ in range(2)]
    painting, image = (
        turn @ (scales * rng.normal(size=(channels, count))) for turn, count in zip(turns, (200, 150), strict=True)
    )
    features = torch.tensor(image.reshape(channels, 1, -1))
    expected = float(moments.distance_of(features, painting.reshape(channels, 1, -1), FLOOR))
    model, feeds = moments_model(image, painting)
    assert not np.isfinite(run_in_tf32(model, feeds))
    split_exact_products(model)
    assert run_in_tf32(model, feeds) == pytest.approx(expected, rel=1e-4)


def run_in_tf32(model: ir.Model, feeds: Mapping[str, np.ndarray]) -> float:
    """The loss, on ONNX's reference evaluator with another product."""
    evaluator = ReferenceEvaluator(ir.to_proto(model), new_ops=[MatMul])
    with np.errstate(all="ignore"):
        (loss,) = evaluator.run(["loss"], dict(feeds))
    return float(np.asarray(loss).item())

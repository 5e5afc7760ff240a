"""A Gram matrix by way of the features that a tap is read out of."""

import numpy as np
import onnx_ir as ir
import onnxruntime as ort
import pytest
from onnx_ir.tape import Tape

from impasto.export.objective import build_objective, build_targets

WIDTH = 6


def model(outputs: int, *, bias: bool = False, **attributes: object) -> ir.Model:
    """Image -> 3x3 convolution to 6 channels, ReLU -> tap: a 1x1 convolution to so many channels."""
    rng = np.random.default_rng(0)
    image = ir.val("image", ir.DataType.FLOAT, ("n", 3, "height", "width"))
    tape = Tape()

    def constant(name: str, *shape: int) -> ir.Value:
        return tape.initializer(ir.tensor(rng.normal(0, 0.4, shape).astype(np.float32), name=name))

    own = tape.op("Relu", [tape.op("Conv", [image, constant("w", WIDTH, 3, 3, 3)], {"pads": [1, 1, 1, 1]})])
    inputs = [own, constant("r", outputs, WIDTH, 1, 1), *([constant("b", outputs)] if bias else [])]
    tap = tape.op("Conv", inputs, attributes)  # type: ignore[arg-type]
    tap.name, tap.dtype = "tap", ir.DataType.FLOAT
    tap.shape = ir.Shape(("n", outputs, "h", "w"))
    graph = ir.Graph(
        [image], [tap], nodes=tape.nodes, initializers=tape.initializers, opset_imports={"": 20}, name="readout"
    )
    return ir.Model(graph, ir_version=10)


def run(graph: ir.Model, **inputs: np.ndarray) -> dict[str, np.ndarray]:
    session = ort.InferenceSession(ir.to_proto(graph).SerializeToString(), providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, map(np.asarray, session.run(names, inputs)), strict=True))


def expected_gram(features_model: ir.Model, image: np.ndarray) -> np.ndarray:
    tap = run(features_model, image=image)["tap"].astype(np.float64)
    flat = tap.reshape(*tap.shape[:2], -1)
    return np.asarray(flat @ flat.transpose(0, 2, 1) / flat.shape[2])


@pytest.mark.parametrize("outputs", [6, 9])
def test_the_readout_itself_is_not_computed(outputs: int) -> None:
    graph = build_objective(model(outputs), style_taps=["tap"], height=32, width=40).model
    assert [node.op_type for node in graph.graph].count("Conv") == 2  # the 3x3 one and its gradient
    image = np.random.default_rng(1).random((1, 3, 32, 40), np.float32)
    targets = run(build_targets(model(outputs), style_taps=["tap"], height=32, width=40), image=image)
    np.testing.assert_allclose(targets["gram_tap"], expected_gram(model(outputs), image), rtol=2e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("outputs", "attributes"),
    [(4, {}), (6, {"bias": True}), (6, {"strides": [2, 2]}), (6, {"pads": [1, 1, 1, 1]})],
    ids=["fewer channels", "bias", "stride", "padding"],
)
def test_other_taps_are_computed(outputs: int, attributes: dict[str, object]) -> None:
    tap_model = model(outputs, **attributes)  # type: ignore[arg-type]
    targets = build_targets(tap_model, style_taps=["tap"], height=32, width=40)
    assert [node.op_type for node in targets.graph].count("Conv") == 2
    image = np.random.default_rng(1).random((1, 3, 32, 40), np.float32)
    np.testing.assert_allclose(
        run(targets, image=image)["gram_tap"], expected_gram(tap_model, image), rtol=2e-5, atol=1e-6
    )


def test_loss_and_gradient_are_those_of_the_readout() -> None:
    """Against the same network with a bias of zero, which is not taken for a readout."""
    folded, plain = model(6), model(6, bias=True)
    bias = plain.graph.initializers["b"]
    bias.const_value = ir.tensor(np.zeros(6, np.float32), name="b")
    rng = np.random.default_rng(2)
    image = rng.random((2, 3, 32, 40), np.float32)
    inputs = {
        "image": image,
        "gram_tap": rng.random((2, 6, 6), np.float32),
        "content_tap": rng.random((2, 6, 32, 40), np.float32),
        "weights": np.array([[0.01, 100.0]] * 2, np.float32),
    }
    found, expected = (
        run(
            build_objective(one, content_taps=["tap"], style_taps=["tap"], batch=2, height=32, width=40).model, **inputs
        )
        for one in (folded, plain)
    )
    np.testing.assert_allclose(found["terms"], expected["terms"], rtol=1e-5)
    error = np.linalg.norm(found["d_image"] - expected["d_image"]) / np.linalg.norm(expected["d_image"])
    assert error < 1e-5

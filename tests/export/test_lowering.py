"""The rewrites for one provider each: what they change, what they leave alone, and that the gradient stays."""

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from onnx_ir.tape import Tape

from impasto.export.lowering import lower_for_cpu, lower_for_openvino
from impasto.export.lowering.cpu import MASK_BETA, REWRITES
from impasto.export.objective import build_objective, build_targets
from tests.export.lowered import feeds, operators, run
from tests.small_network import features_model

WIDTHS = {"relu1_1": 16, "relu1_2": 32, "relu2_1": 16, "relu3_1": 16}
SIZE = 32


def objective() -> ir.Model:
    return build_objective(
        features_model(widths=WIDTHS),
        content_taps=["relu2_1"],
        style_taps=["relu1_1", "relu3_1"],
        tv=True,
        batch=2,
        height=SIZE,
        width=SIZE,
    ).model


@pytest.mark.parametrize("names", [[name] for name in REWRITES] + [list(REWRITES)])
def test_each_rewrite_keeps_loss_and_gradient(names: list[str]) -> None:
    model = objective()
    expected = run(model, feeds(model))
    lower_for_cpu(model, names)
    onnx.checker.check_model(ir.to_proto(model), full_check=True)
    for before, after in zip(expected, run(model, feeds(model)), strict=True):
        np.testing.assert_allclose(after, before, rtol=1e-5, atol=1e-6 * np.abs(before).max())
    assert np.abs(expected[2]).max() > 0


def test_masks_become_products() -> None:
    model = objective()
    before = operators(model)
    assert before["Where"] == before["Greater"] == len(WIDTHS)
    lower_for_cpu(model, ["mask_by_product"])
    after = operators(model)
    assert after["Where"] == after["Greater"] == 0
    assert after["HardSigmoid"] == len(WIDTHS)
    assert after["Mul"] == before["Mul"] + len(WIDTHS)


def test_beta_is_never_zero() -> None:
    model = objective()
    lower_for_cpu(model)
    betas = [node.attributes["beta"].as_float() for node in model.graph if node.op_type == "HardSigmoid"]
    assert betas == [pytest.approx(MASK_BETA)] * len(WIDTHS)
    assert all(betas)


@pytest.mark.parametrize(("value", "expected"), [(0.0, 0.0), (1e-30, 1.0), (1e-3, 1.0), (1e5, 1.0)])
def test_the_step_is_nothing_at_zero_and_one_above(value: float, expected: float) -> None:
    model = objective()
    lower_for_cpu(model, ["mask_by_product"])
    step = next(node for node in model.graph if node.op_type == "HardSigmoid")
    alpha, beta = (step.attributes[name].as_float() for name in ("alpha", "beta"))
    assert np.clip(np.float32(alpha) * np.float32(value) + np.float32(beta), 0, 1) == pytest.approx(expected, abs=1e-5)


def test_sums_of_cotangents_are_entered_through_a_pool() -> None:
    model = objective()
    before = operators(model)["AveragePool"]
    lower_for_cpu(model, ["enter_layout_before_sums"])
    kernels = [node.attributes["kernel_shape"].as_ints() for node in model.graph if node.op_type == "AveragePool"]
    assert len(kernels) == before + 2  # the content term's, and the style term's at relu1_1; relu3_1 is the end
    assert [list(kernel) for kernel in kernels].count([1, 1]) == 2


def test_a_mask_of_anything_but_a_relu_is_left_alone() -> None:
    tape = Tape()
    x, d = (ir.val(name, ir.DataType.FLOAT, (4,)) for name in ("x", "d"))
    zero = tape.initializer(ir.tensor(np.array(0, np.float32), name="zero"))
    masked = tape.op("Where", [tape.op("Greater", [x, zero]), d, zero])
    masked.name, masked.type, masked.shape = "masked", ir.TensorType(ir.DataType.FLOAT), ir.Shape((4,))
    graph = ir.Graph(
        [x, d], [masked], nodes=tape.nodes, initializers=tape.initializers, opset_imports={"": 20}, name="mask"
    )
    model = ir.Model(graph, ir_version=10)
    lower_for_cpu(model)
    assert operators(model) == {"Greater": 1, "Where": 1}  # x may be negative or NaN


def test_openvino_gets_gram_matrices_with_the_channels_last() -> None:
    model = objective()
    expected, before = run(model, feeds(model)), operators(model)
    names = [value.name for value in model.graph.outputs]
    lower_for_openvino(model)
    onnx.checker.check_model(ir.to_proto(model), full_check=True)
    after = operators(model)
    assert after["Transpose"] == before["Transpose"] + 2 * 2  # to and from, for each of two style terms
    assert after["MatMul"] == before["MatMul"]
    assert [value.name for value in model.graph.outputs] == names
    for plain, lowered in zip(expected, run(model, feeds(model)), strict=True):
        np.testing.assert_allclose(lowered, plain, rtol=1e-5, atol=1e-6 * np.abs(plain).max())


def test_openvino_keeps_the_plain_mask() -> None:
    model = objective()
    lower_for_openvino(model)
    counts = operators(model)
    assert counts["Where"] == counts["Greater"] == len(WIDTHS)
    assert counts["HardSigmoid"] == 0


def test_targets_are_lowered_too() -> None:
    model = build_targets(features_model(widths=WIDTHS), style_taps=["relu1_2"], height=SIZE, width=SIZE)
    expected = run(model, feeds(model))
    lower_for_openvino(model)
    assert [list(node.attributes["perm"].as_ints()) for node in model.graph if node.op_type == "Transpose"] == [
        [0, 2, 3, 1],
        [0, 2, 1],
    ]
    np.testing.assert_allclose(run(model, feeds(model))[0], expected[0], rtol=1e-5)
    assert [value.name for value in model.graph.outputs] == ["gram_relu1_2"]

"""Mixed precision by type: which values become narrow, that the model stays valid, and what it computes."""

from collections import Counter

import ml_dtypes
import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime as ort
import pytest
from onnx.reference import ReferenceEvaluator

from impasto.export.objective import build_objective, build_targets
from impasto.export.precision import RULE, Rule, convolutions, everywhere, narrow_convolutions
from tests.small_network import features_model

TYPES = (ir.DataType.FLOAT16, ir.DataType.BFLOAT16)
NUMPY = {ir.DataType.FLOAT16: np.float16, ir.DataType.BFLOAT16: ml_dtypes.bfloat16}
WIDTHS = {"relu1_1": 4, "relu1_2": 6, "relu2_1": 5}


def objective(size: int = 32, batch: int = 1) -> ir.Model:
    return build_objective(
        features_model(widths=WIDTHS),
        content_taps=["relu1_2"],
        style_taps=["relu1_1", "relu2_1"],
        batch=batch,
        height=size,
        width=size,
    ).model


def types(model: ir.Model) -> dict[str, set[int]]:
    """The types of the float results of each operator, as the checker infers them."""
    proto = ir.to_proto(model)
    onnx.checker.check_model(proto, full_check=True)
    inferred = onnx.shape_inference.infer_shapes(proto, check_type=True, strict_mode=True)
    known = {
        value.name: value.type.tensor_type.elem_type for value in (*inferred.graph.value_info, *inferred.graph.output)
    }
    found: dict[str, set[int]] = {}
    for node in inferred.graph.node:
        found.setdefault(node.op_type, set()).add(known[node.output[0]])
    return found


def feeds(model: ir.Model) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    return {
        value.name or "": rng.random(value.shape.numpy() if value.shape is not None else (), np.float32)
        for value in model.graph.inputs
    }


@pytest.mark.parametrize("dtype", TYPES)
def test_convolutions_are_narrow_and_losses_are_not(dtype: ir.DataType) -> None:
    narrow, wide = {int(dtype)}, {int(ir.DataType.FLOAT)}
    found = types(narrow_convolutions(objective(), dtype, everywhere))
    for op_type in ("Conv", "Relu", "AveragePool", "Where", "Resize"):
        assert found[op_type] == narrow, op_type
    for op_type in ("MatMul", "ReduceSumSquare", "ReduceSum", "Sub", "Concat"):
        assert found[op_type] == wide, op_type


def test_every_kernel_has_a_depth_and_two_directions() -> None:
    """The gradient meets them in reverse."""
    found = [(item.depth, item.backward, item.kernel) for item in convolutions(objective().graph).values()]
    names = [f"{tap}.weight" for tap in WIDTHS]
    forward = [(depth, False, name) for depth, name in enumerate(names, 1)]
    assert found == [*forward, *((depth, True, name) for depth, _, name in reversed(forward))]


@pytest.mark.parametrize("dtype", TYPES)
def test_the_rule_leaves_only_the_way_from_the_image_to_its_first_convolution_wide(dtype: ir.DataType) -> None:
    narrowed = narrow_convolutions(objective(), dtype)
    first = next(node for node in narrowed.graph if node.op_type == "Conv")
    assert first.outputs[0].dtype == ir.DataType.FLOAT
    found = types(narrowed)
    assert found["Where"] == found["Resize"] == {int(dtype)}
    kinds = Counter(
        (node.op_type, value.dtype)
        for node in narrowed.graph
        for value in node.outputs
        if node.op_type in ("Conv", "Relu")
    )
    assert kinds == {
        ("Conv", ir.DataType.FLOAT): 1,
        ("Conv", dtype): 2 * len(WIDTHS) - 1,
        ("Relu", ir.DataType.FLOAT): 1,
        ("Relu", dtype): len(WIDTHS) - 1,
    }


@pytest.mark.parametrize("dtype", TYPES)
def test_any_choice_gives_a_valid_model(dtype: ir.DataType) -> None:
    model = objective()
    units = set(convolutions(model.graph).values())
    for unit in units:
        for rule in (unit.__eq__, unit.__ne__):
            narrowed = narrow_convolutions(model, dtype, rule)
            onnx.checker.check_model(ir.to_proto(narrowed), full_check=True)
            found = Counter(node.outputs[0].dtype for node in narrowed.graph if node.op_type == "Conv")
            assert found[dtype] == sum(map(rule, units))


def test_near_the_target_the_rule_is_far_more_exact_than_narrow_everywhere() -> None:
    """Where an image differs from the target's by less than bfloat16 tells apart; targets are rounded alike."""
    network, taps = features_model(widths=WIDTHS), ("relu1_1", "relu2_1")
    targets = build_targets(network, style_taps=taps, height=32, width=32)
    model = build_objective(network, style_taps=taps, height=32, width=32).model
    rng = np.random.default_rng(0)
    image = 0.5 + 0.5 * rng.random((1, 3, 32, 32), np.float32)
    near = image + np.float32(3e-3) * rng.standard_normal(image.shape, np.float32)

    def gradient(rule: Rule | None) -> np.ndarray:
        chosen = [m if rule is None else narrow_convolutions(m, ir.DataType.BFLOAT16, rule) for m in (targets, model)]
        first, second = (ReferenceEvaluator(ir.to_proto(item)) for item in chosen)
        known = dict(zip(first.output_names, first.run(None, {"image": image}), strict=True))
        given = {"image": near, "weights": np.ones((1, 2), np.float32), **known}
        return np.asarray(list(second.run(None, given))[2])

    true = gradient(None)
    error, error_everywhere = (
        float(np.linalg.norm(gradient(rule) - true) / np.linalg.norm(true)) for rule in (RULE, everywhere)
    )
    assert error_everywhere > 1
    assert error < 1e-2


def test_the_opset_is_raised_only_where_the_type_needs_it() -> None:
    """Each later opset has fewer kernels somewhere: MaxPool as of 22 has none on CUDA."""
    model = objective()
    assert model.opset_imports[""] == 20
    assert narrow_convolutions(model, ir.DataType.FLOAT16).opset_imports[""] == 20
    assert narrow_convolutions(model, ir.DataType.BFLOAT16).opset_imports[""] == 22


@pytest.mark.parametrize("dtype", TYPES)
def test_inputs_and_outputs_keep_their_names_and_types(dtype: ir.DataType) -> None:
    model = objective()
    narrowed = narrow_convolutions(model, dtype)
    for before, after in ((model.graph.inputs, narrowed.graph.inputs), (model.graph.outputs, narrowed.graph.outputs)):
        assert [(value.name, value.dtype) for value in before] == [(value.name, value.dtype) for value in after]
        assert all(value.dtype == ir.DataType.FLOAT for value in after)


def test_the_model_given_is_left_alone() -> None:
    model = objective()
    before = ir.to_proto(model).SerializeToString()
    narrow_convolutions(model, ir.DataType.FLOAT16)
    assert ir.to_proto(model).SerializeToString() == before


@pytest.mark.parametrize("dtype", TYPES)
def test_each_kernel_is_there_once_and_narrow_but_for_one_of_two_types(dtype: ir.DataType) -> None:
    narrowed = narrow_convolutions(objective(), dtype)
    kernels = [
        value for value in narrowed.graph.initializers.values() if value.shape is not None and len(value.shape) == 4
    ]
    kernels = [value for value in kernels if (value.shape or [0])[-1] == 3]
    assert Counter(value.dtype for value in kernels) == {dtype: len(WIDTHS), ir.DataType.FLOAT: 1}


def test_every_value_is_cast_at_most_once_and_never_back_and_forth() -> None:
    narrowed = narrow_convolutions(objective(), ir.DataType.FLOAT16)
    casts = [node for node in narrowed.graph if node.op_type == "Cast"]
    assert max(Counter((node.inputs[0], node.attributes["to"].as_int()) for node in casts).values()) == 1
    assert not [node for node in casts if node.inputs[0] is not None and node.inputs[0].producer() in casts]


def test_float16_computes_what_float32_does() -> None:
    """On ONNX Runtime's CPU provider, which computes float16 in float32 and rounds weights and what the graph casts."""
    model = objective(batch=2)
    values = feeds(model)
    outputs = []
    for candidate in (model, narrow_convolutions(model, ir.DataType.FLOAT16)):
        session = ort.InferenceSession(ir.to_proto(candidate).SerializeToString(), providers=["CPUExecutionProvider"])
        outputs.append(session.run(None, values))
    (loss, terms, gradient), (loss16, terms16, gradient16) = outputs
    np.testing.assert_allclose(loss16, loss, rtol=5e-3)
    np.testing.assert_allclose(terms16, terms, rtol=1e-2)
    error = np.abs(gradient16 - gradient) / np.abs(gradient).max()
    assert 1e-6 < np.median(error) < 1e-3  # rounded, and not by much
    assert np.quantile(error, 0.98) < 1e-2  # a ReLU that rounding turns on or off moves the few pixels around it


def test_bfloat16_computes_what_float32_does() -> None:
    model = objective()
    values = feeds(model)
    plain, narrowed = (
        list(ReferenceEvaluator(ir.to_proto(candidate)).run(None, values))
        for candidate in (model, narrow_convolutions(model, ir.DataType.BFLOAT16))
    )
    np.testing.assert_allclose(narrowed[0], plain[0], rtol=5e-2)
    error = np.linalg.norm(narrowed[2] - plain[2]) / np.linalg.norm(plain[2])
    assert 1e-5 < error < 1e-1


@pytest.mark.parametrize("dtype", TYPES)
def test_targets_are_rounded_as_in_the_objective(dtype: ir.DataType) -> None:
    """The same image gives no content loss: both sides are computed in the same way."""
    targets = build_targets(features_model(widths=WIDTHS), content_taps=["relu1_2"], height=32, width=32)
    found = types(narrow_convolutions(targets, dtype))
    assert found["Conv"] == {int(dtype), int(ir.DataType.FLOAT)}


def test_an_operator_that_means_something_else_in_later_opsets_is_refused() -> None:
    model = objective()
    model.graph.append(ir.node("GroupNormalization", [model.graph.inputs[0]], num_outputs=1))
    with pytest.raises(ValueError, match="cannot narrow a model of opset 20"):
        narrow_convolutions(model, ir.DataType.BFLOAT16)


def test_other_types_are_refused() -> None:
    with pytest.raises(ValueError, match="allowed are FLOAT16, BFLOAT16"):
        narrow_convolutions(objective(), ir.DataType.DOUBLE)

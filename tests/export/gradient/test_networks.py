"""Gradients of whole networks, exported by PyTorch, against PyTorch's autograd."""

from dataclasses import dataclass
from functools import cache

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from onnx.reference import ReferenceEvaluator
from torch import Tensor

from impasto.export.gradient import gradient
from tests.export.graphs import op_types, run
from tests.export.networks import NETWORKS, autograd, exported, image, network

TOLERANCE = 1e-5
pytestmark = pytest.mark.slow


@dataclass(frozen=True)
class Trained:
    """A network as PyTorch's exporter wrote it, and with its gradient."""

    forward: ir.Model
    whole: ir.Model


@cache
def prepared(name: str) -> Trained:
    """Export a network once for all tests."""
    forward = exported(network(name), image())
    return Trained(forward, gradient(forward, "loss", "image"))


@pytest.mark.parametrize("name", NETWORKS)
def test_gradient_is_autograds(name: str) -> None:
    loss, expected = autograd(network(name), image())
    values = {"image": image().numpy()}
    result = run(prepared(name).whole, values, "d_image")
    assert _relative_error(result, expected) < TOLERANCE
    assert abs(float(run(prepared(name).whole, values, "loss")) - loss) < TOLERANCE * abs(loss)


@pytest.mark.parametrize("name", NETWORKS)
def test_the_model_is_valid_and_standard(name: str) -> None:
    proto = ir.to_proto(prepared(name).whole)
    onnx.checker.check_model(proto, full_check=True)
    onnx.shape_inference.infer_shapes(proto, check_type=True, strict_mode=True, data_prop=True)
    assert {node.domain for node in proto.graph.node} == {""}
    assert not proto.functions


@pytest.mark.parametrize("name", NETWORKS)
def test_the_file_holds_every_weight_once(name: str) -> None:
    """What is added is nodes, small constants and, for linear resampling, its matrices: no copy of a weight."""
    trained = prepared(name)
    own = trained.forward.graph.initializers
    added = [value for key, value in trained.whole.graph.initializers.items() if key not in own]
    sizes = {str(value.name): value.const_value.nbytes for value in added if value.const_value is not None}
    matrices = sum(size for key, size in sizes.items() if key.startswith("gradient.resize"))
    assert max(size for key, size in sizes.items() if not key.startswith("gradient.resize")) < 1024
    forward, whole = (ir.to_proto(model).ByteSize() for model in (trained.forward, trained.whole))
    nodes = len(trained.whole.graph) - len(trained.forward.graph)
    assert whole - forward < 0.01 * forward + 300 * nodes + matrices


@pytest.mark.parametrize("name", NETWORKS)
def test_a_node_costs_a_few_in_reverse(name: str) -> None:
    trained = prepared(name)
    assert len(trained.whole.graph) < 7 * len(trained.forward.graph)
    assert "Shape" not in op_types(trained.whole)


@pytest.mark.parametrize("name", ["vgg_avg", "vgg_max"])
def test_vgg_needs_no_transposed_convolution(name: str) -> None:
    assert "ConvTranspose" not in op_types(prepared(name).whole)
    assert op_types(prepared(name).whole).count("MatMul") == 10  # five Gram matrices, one product each in reverse


def test_in_float64_the_agreement_is_that_of_float64() -> None:
    """The differences above are rounding: with float64 throughout, on the reference evaluator, they vanish."""
    module, example = network("vgg_avg").double(), image(13, 10).double()
    result = gradient(exported(module, example), "loss", "image")
    (found,) = ReferenceEvaluator(ir.to_proto(result)).run(["d_image"], {"image": example.numpy()})
    assert _relative_error(np.asarray(found), autograd(module, example)[1]) < 1e-12


def _relative_error(found: np.ndarray, expected: Tensor) -> float:
    return float(np.linalg.norm(found - expected.numpy()) / np.linalg.norm(expected.numpy()))

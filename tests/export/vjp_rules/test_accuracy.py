"""The float32 gradient in ONNX Runtime is as near to the float64 gradient as PyTorch's own float32 gradient.

The values of a layer in front of a normalisation often lie far from zero, compared with their deviation. There the mean
is large and rounded, and what is left of its error is large next to the normalised values.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional

from tests.export.graphs import gradient_of_sum

Array = np.ndarray[Any, Any]

SHAPE = (1, 16, 48, 48)
ROUNDING = 5e-7  # relative, of sums over so many values
SCALE = "s = Constant <value_floats=[{}]> () b = Constant <value_floats=[{}]> ()".format(
    ", ".join(["1.5"] * 16), ", ".join(["0.25"] * 16)
)
SCALES, BIASES = torch.full((16,), 1.5, dtype=torch.double), torch.full((16,), 0.25, dtype=torch.double)

NORMALIZATIONS: dict[str, tuple[str, Callable[[Tensor], Tensor]]] = {
    "GroupNormalization": (
        f"{SCALE} y = GroupNormalization <num_groups=4> (x, s, b)",
        lambda x: functional.group_norm(x, 4, SCALES.to(x.dtype), BIASES.to(x.dtype)),
    ),
    "InstanceNormalization": (
        f"{SCALE} y = InstanceNormalization (x, s, b)",
        lambda x: functional.instance_norm(x, weight=SCALES.to(x.dtype), bias=BIASES.to(x.dtype)),
    ),
    "LayerNormalization": (
        "k = Constant <value_ints=[48]> () s = ConstantOfShape <value=float[1] {1.5}> (k) "
        "y = LayerNormalization (x, s)",
        lambda x: functional.layer_norm(x, [48], torch.full((48,), 1.5, dtype=x.dtype)),
    ),
}


def _error(result: Array, exact: Array) -> float:
    return float(np.linalg.norm(result - exact) / np.linalg.norm(exact))


def _by_torch(function: Callable[[Tensor], Tensor], x: Array, weights: Array, dtype: torch.dtype) -> Array:
    leaf = torch.tensor(x, dtype=dtype, requires_grad=True)
    torch.autograd.backward((function(leaf) * torch.tensor(weights, dtype=dtype)).sum())
    assert leaf.grad is not None
    return leaf.grad.numpy()


@pytest.mark.parametrize("offset", [0.0, 30.0, 300.0])
@pytest.mark.parametrize("op", NORMALIZATIONS)
def test_normalization_of_values_far_from_zero(op: str, offset: float) -> None:
    nodes, function = NORMALIZATIONS[op]
    generator = np.random.default_rng(3)
    x = (generator.standard_normal(SHAPE) + offset).astype(np.float32)
    weights = generator.standard_normal(SHAPE).astype(np.float32) + np.tanh(x - offset)
    exact = _by_torch(function, x, weights, torch.float64)
    result = gradient_of_sum(nodes, x, weights=weights)
    theirs = _error(_by_torch(function, x, weights, torch.float32), exact)
    assert _error(result, exact) < max(ROUNDING, theirs)


@pytest.mark.parametrize("offset", [0.0, 30.0])
def test_deviation_of_values_far_from_zero(offset: float) -> None:
    """As torch.std is exported: the square root of the mean of squares."""
    generator = np.random.default_rng(3)
    x = (generator.standard_normal(SHAPE) + offset).astype(np.float32)
    weights = generator.standard_normal((1, 16)).astype(np.float32)
    nodes = (
        "a = Constant <value_ints=[2, 3]> () m = ReduceMean (x, a) c = Sub (x, m) q = Mul (c, c) "
        "v = ReduceMean <keepdims=0> (q, a) y = Sqrt (v)"
    )
    exact, theirs = (
        _by_torch(lambda value: value.std((2, 3), unbiased=False), x, weights, dtype)
        for dtype in (torch.float64, torch.float32)
    )
    result = gradient_of_sum(nodes, x, weights=weights)
    assert _error(result, exact) < max(ROUNDING, 2 * _error(theirs, exact))

"""Where a derivative is a matter of convention - kinks and ties - the rules take PyTorch's."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional

from tests.export.graphs import gradient_of_sum

Array = np.ndarray[Any, Any]

AROUND_ZERO = np.array([-3, -1, -0.0, 0, 1e-30, 0.5, 1, 3, 6], np.float32)
KINKS: dict[str, tuple[str, Callable[[Tensor], Tensor]]] = {
    "Relu": ("y = Relu (x)", functional.relu),
    "Abs": ("y = Abs (x)", torch.abs),
    "LeakyRelu": ("y = LeakyRelu <alpha=0.2> (x)", lambda x: functional.leaky_relu(x, 0.2)),
    "PRelu": (
        "s = Constant <value_floats=[0.2]> () y = PRelu (x, s)",
        lambda x: functional.prelu(x, torch.tensor([0.2])),
    ),
    "Elu": ("y = Elu <alpha=0.5> (x)", lambda x: functional.elu(x, 0.5)),
    "Selu": ("y = Selu (x)", functional.selu),
    "ThresholdedRelu": ("y = ThresholdedRelu <alpha=0.5> (x)", lambda x: functional.threshold(x, 0.5, 0)),
    "HardSigmoid": ("y = HardSigmoid <alpha=0.16666667, beta=0.5> (x)", functional.hardsigmoid),
    "ReLU6": (
        "l = Constant <value_float=0.0> () h = Constant <value_float=6.0> () y = Clip (x, l, h)",
        lambda x: torch.clamp(x, 0, 6),
    ),
    "Max": ("z = Constant <value_float=0.0> () y = Max (x, z)", lambda x: torch.maximum(x, torch.zeros(()))),
    "Min": ("z = Constant <value_float=0.5> () y = Min (x, z)", lambda x: torch.minimum(x, torch.tensor(0.5))),
    "Softsign": ("y = Softsign (x)", functional.softsign),
    "Pow 2": ("p = Constant <value_float=2.0> () y = Pow (x, p)", lambda x: x**2),
    "Pow 0": ("p = Constant <value_float=0.0> () y = Pow (x, p) z = Add (y, x)", lambda x: x**0),
    "ReduceL2 of zeros": (
        "z = Constant <value_float=0.0> () q = Mul (x, z) n = ReduceL2 <keepdims=0> (q) y = Add (n, x)",
        lambda x: (x * 0).norm() + x,
    ),
    "ReduceL1": ("y = ReduceL1 <keepdims=0> (x)", lambda x: x.abs().sum()),
}


@pytest.mark.parametrize("name", KINKS)
def test_derivative_at_a_kink(name: str) -> None:
    nodes, function = KINKS[name]
    leaf = torch.tensor(AROUND_ZERO, requires_grad=True)
    torch.autograd.backward(function(leaf).sum())
    assert leaf.grad is not None
    np.testing.assert_allclose(gradient_of_sum(nodes, AROUND_ZERO), leaf.grad.numpy(), rtol=1e-6)


def test_hard_swish_at_its_ends() -> None:
    leaf = torch.tensor(AROUND_ZERO, requires_grad=True)
    torch.autograd.backward(functional.hardswish(leaf).sum())
    assert leaf.grad is not None
    np.testing.assert_allclose(gradient_of_sum("y = HardSwish (x)", AROUND_ZERO, opset=22), leaf.grad, rtol=1e-6)


def _ties(*shape: int) -> Array:
    """Numbers from a set of three, so that nearly every window has ties; one channel is constant."""
    values = np.random.default_rng(2).integers(0, 3, shape).astype(np.float32)
    values[:, 0] = 1
    return values


POOLS: list[dict[str, Any]] = [
    {"kernel_size": 2, "stride": 2},
    {"kernel_size": 3, "stride": 3},
    {"kernel_size": (2, 3), "stride": (2, 3)},
    {"kernel_size": 3, "stride": 2, "padding": 1},
    {"kernel_size": 3, "stride": 1, "padding": 1},
    {"kernel_size": 3, "stride": 2, "ceil_mode": True},
    {"kernel_size": 2, "stride": 2, "ceil_mode": True},
    {"kernel_size": 2, "stride": 2, "dilation": 2},
    {"kernel_size": 2, "stride": 3},
]


@pytest.mark.parametrize("settings", POOLS, ids=str)
@pytest.mark.parametrize("size", [(8, 6), (9, 11)])
def test_first_maximum_of_a_window_gets_all(settings: dict[str, Any], size: tuple[int, int]) -> None:
    x = _ties(2, 3, *size)
    leaf = torch.tensor(x, requires_grad=True)
    pooled = functional.max_pool2d(leaf, **settings)
    weights = np.random.default_rng(4).standard_normal(tuple(pooled.shape)).astype(np.float32)
    torch.autograd.backward(pooled, torch.tensor(weights))

    def pair(name: str, default: int) -> list[int]:
        value = settings.get(name, default)
        return list(value) if isinstance(value, tuple) else [value, value]

    attributes = f"kernel_shape={pair('kernel_size', 1)}, strides={pair('stride', 1)}, dilations={pair('dilation', 1)}"
    attributes += f", pads={pair('padding', 0) * 2}, ceil_mode={int(settings.get('ceil_mode', False))}"
    result = gradient_of_sum(f"y = MaxPool <{attributes}> (x)", x, weights=weights)
    assert leaf.grad is not None
    # Overlapping windows are summed in another order, which is exact for these only up to rounding.
    np.testing.assert_allclose(result, leaf.grad.numpy(), rtol=1e-6, atol=1e-6)


def test_first_maximum_of_a_channel_gets_all() -> None:
    x = _ties(2, 3, 4, 5)
    leaf = torch.tensor(x, requires_grad=True)
    torch.autograd.backward(functional.adaptive_max_pool2d(leaf, 1).sum())
    assert leaf.grad is not None
    np.testing.assert_array_equal(gradient_of_sum("y = GlobalMaxPool (x)", x), leaf.grad.numpy())


@pytest.mark.parametrize(("op", "function"), [("ReduceMax", torch.amax), ("ReduceMin", torch.amin)])
def test_equal_extremes_share_evenly(op: str, function: Callable[..., Tensor]) -> None:
    x = _ties(2, 3, 4, 5)
    leaf = torch.tensor(x, requires_grad=True)
    torch.autograd.backward(function(leaf, dim=(1, 3)).sum())
    assert leaf.grad is not None
    nodes = f"a = Constant <value_ints=[1, 3]> () y = {op} (x, a)"
    np.testing.assert_allclose(gradient_of_sum(nodes, x), leaf.grad.numpy(), rtol=1e-6)


def test_equal_operands_share_evenly() -> None:
    x = np.array([1.0, 2.0], np.float32)
    nodes = "a = Identity (x) b = Identity (x) c = Identity (x) y = Max (a, b, c)"
    np.testing.assert_allclose(gradient_of_sum(nodes, x), [1, 1], rtol=1e-6)


@pytest.mark.parametrize(("reduction", "by_torch"), [("max", "amax"), ("min", "amin")])
def test_equal_extremes_of_a_scatter_share_evenly(reduction: str, by_torch: str) -> None:
    x = _ties(4, 6)
    places = np.array([[0, 2, 2], [1, 1, 1], [5, 0, 5], [3, 3, 4]])
    updates = np.random.default_rng(5).integers(0, 3, places.shape).astype(np.float32)
    leaf = torch.tensor(x, requires_grad=True)
    torch.autograd.backward((leaf.scatter_reduce(1, torch.tensor(places), torch.tensor(updates), by_torch) ** 2).sum())
    assert leaf.grad is not None
    nodes = (
        f"i = Constant <value=int64[4,3] {{{','.join(map(str, places.ravel()))}}}> () "
        f"u = Constant <value=float[4,3] {{{','.join(map(str, updates.ravel()))}}}> () "
        f's = ScatterElements <axis=1, reduction="{reduction}"> (x, i, u) y = Mul (s, s)'
    )
    np.testing.assert_allclose(gradient_of_sum(nodes, x), leaf.grad.numpy(), rtol=1e-6)

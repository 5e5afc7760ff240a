"""Operators that are expanded, against ONNX Runtime's own; GridSample at the border, as in PyTorch."""

from typing import Any

import numpy as np
import onnx_ir as ir
import pytest
import torch

from impasto.export.gradient import gradient
from impasto.export.vjp_rules import EXPANSIONS
from tests.export.gradient.test_errors import refusal
from tests.export.graphs import gradient_of_sum, run
from tests.export.vjp_rules.cases import CASES, Case
from tests.export.vjp_rules.cases.case import feeds, loss_model

EXPANDED = [case for case in CASES if case.op in EXPANSIONS]


@pytest.mark.parametrize("case", EXPANDED, ids=str)
def test_the_expanded_operator_computes_the_same(case: Case) -> None:
    model = ir.from_proto(loss_model(case, np.float32))
    values = feeds(case, np.float32)
    own, expanded = run(model, values, "loss"), run(gradient(model, "loss", "x0"), values, "loss")
    np.testing.assert_allclose(expanded, own, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("padding", ["zeros", "border", "reflection"])
@pytest.mark.parametrize("align", [0, 1])
def test_on_the_border_the_derivative_is_pytorchs(padding: str, align: int) -> None:
    """The grid that leaves an image as it is: with align_corners its outer positions are exactly on the border."""
    axis = np.linspace(-1, 1, 5, dtype=np.float32)
    grid = np.stack(np.meshgrid(axis, axis), -1)[None]
    image = np.random.default_rng(0).standard_normal((1, 2, 5, 5)).astype(np.float32)
    leaf = torch.tensor(grid, requires_grad=True)
    settings: dict[str, Any] = {"padding_mode": padding, "align_corners": bool(align)}
    torch.autograd.backward(torch.nn.functional.grid_sample(torch.tensor(image), leaf, **settings).sum())
    assert leaf.grad is not None
    values = ",".join(map(str, image.ravel().tolist()))
    nodes = (
        f"i = Constant <value=float[1,2,5,5] {{{values}}}> () "
        f'y = GridSample <padding_mode="{padding}", align_corners={align}> (i, x)'
    )
    np.testing.assert_allclose(gradient_of_sum(nodes, grid), leaf.grad.numpy(), rtol=1e-5, atol=1e-5)


BODY = (
    "g (float[1,2,{sizes}] x, float[1,{sizes},{axes}] q) => (float loss) "
    "{{ y = GridSample <{attributes}> (x, q) loss = ReduceSum <keepdims=0> (y) }}"
)


@pytest.mark.parametrize(
    ("sizes", "attributes", "message"),
    [
        (
            "3,3,3",
            'mode="cubic"',
            "GridSample node 'y' has mode 'cubic' of 3 dimensions; there are rules for linear and nearest of 2 and 3 "
            "dimensions, and for cubic of 2",
        ),
        (
            "3,3",
            'padding_mode="wrap"',
            "GridSample node 'y' has padding_mode 'wrap'; allowed are zeros, border, reflection",
        ),
    ],
)
def test_what_is_refused(sizes: str, attributes: str, message: str) -> None:
    assert refusal(BODY.format(sizes=sizes, axes=sizes.count(",") + 1, attributes=attributes)) == message


def test_nearest_does_not_vary_with_the_grid() -> None:
    body = BODY.format(sizes="3,3", axes=2, attributes='mode="nearest"')
    assert "only through what has no derivative: input 0 " in refusal(body, wrt="q")

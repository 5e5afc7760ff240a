"""The square root of a covariance matrix by a fixed number of products, and its derivative by as many.

Forward is the coupled iteration of Newton and Schulz (Higham, "Functions of Matrices", equation 6.35). Backward solves
the Lyapunov equation

    R X + X R = G,  R = A^(1/2)

for the derivative X by A, with the iteration for the sign of the block matrix [[R, G], [0, -R]] (Lin and Maji,
"Improved Bilinear Pooling with CNNs", 2017, section 3.2). A fixed number of steps leaves eigenvalues below some share
of the largest short of their root. style-transfer-pytorch takes `STEPS` in both directions, so this does too.
"""

from typing import Any

import torch

STEPS = 12


def square_root(matrix: torch.Tensor, steps: int = STEPS) -> torch.Tensor:
    """Return the root of a symmetric positive semi-definite matrix [C, C], differentiable by it."""
    root: torch.Tensor = _Root.apply(matrix, steps)  # type: ignore[no-untyped-call]
    return root


class _Root(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, matrix: torch.Tensor, steps: int) -> torch.Tensor:
        norm = torch.linalg.matrix_norm(matrix)
        unit = torch.eye(len(matrix), dtype=matrix.dtype, device=matrix.device)
        y, z = matrix / norm, unit
        for _ in range(steps):
            half = 1.5 * unit - 0.5 * (z @ y)
            y, z = y @ half, half @ z
        root: torch.Tensor = y * norm.sqrt()
        ctx.save_for_backward(root)
        ctx.steps = steps
        return root

    @staticmethod
    def backward(ctx: Any, cotangent: torch.Tensor) -> tuple[torch.Tensor, None]:
        (root,) = ctx.saved_tensors
        norm = torch.linalg.matrix_norm(root)
        unit = torch.eye(len(root), dtype=root.dtype, device=root.device)
        r, x = root / norm, cotangent / norm
        for _ in range(ctx.steps):
            square = 3 * unit - r @ r
            x = 0.5 * (x @ square - r.T @ (r.T @ x - x @ r))
            r = 0.5 * (r @ square)
        return 0.5 * x, None

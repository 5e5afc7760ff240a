"""The paper's objective in PyTorch with `torch.optim.LBFGS`, as programs for style transfer have it.

L = alpha/2 sum (F - P)^2 + beta sum_l w_l / (4 N_l^2 M_l^2) sum (G_l - A_l)^2 on pixels of 0..255, history 10, no line
search, tolerances off.
"""

import math
import time
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np
import onnx_ir as ir
import torch

from impasto.bench.contenders.torch_objective import PIXEL, TorchObjective
from impasto.bench.contenders.torch_running import Run, captured, copied, eager, tf32
from impasto.bench.contenders.variants import Variant
from impasto.engine.optimisers.solution import Vector
from impasto.engine.settings import Settings

_LARGEST_SCALE = 24  # powers of two that a gradient in float16 may need


class TorchRival:
    """A contender; `impasto.bench.contenders.contender.Contender` says what its attributes mean."""

    def __init__(
        self,
        variant: Variant,
        features: ir.Model,
        content: np.ndarray,
        style: np.ndarray,
        settings: Settings,
        *,
        device: str,
        start: Vector,
    ) -> None:
        """Build the network, compute the targets, compile and capture.

        Content and style are float32 N x H x W x 3, 0..1, square; more than one is a batch, which `evaluate` alone is
        for. The start is planes of R, G and B, 0..1. The settings have the paper's weighting.
        """
        begin_s = time.perf_counter()
        batch, side = content.shape[:2]
        self.name = f"torch {variant.name}" + (f" batch {batch}" if batch > 1 else "")
        self.facts: dict[str, Any] = {"batch": batch, "device": device, "version": str(torch.__version__)}
        self.facts |= {"threads": torch.get_num_threads(), "bounded": False}
        self.evaluations, self.loss, self.finished = 0, math.nan, False
        self._variant, self._device, self._scale = variant, device, 1.0
        self._objective = TorchObjective(
            variant, features, _planes(content, device), _planes(style, device), settings, device
        )
        self._start = torch.tensor(start.reshape(batch, 3, side, side) * np.float32(PIXEL), device=device)
        self._x = self._start.clone().requires_grad_(True)
        self._gradient = torch.zeros_like(self._x)
        with self._exactness():
            if variant.autocast == "fp16":
                self._find_scale()
            self._run = self._prepared()
        self._optimizer = torch.optim.LBFGS(
            [self._x], max_iter=1, max_eval=2, history_size=10, tolerance_grad=-1, tolerance_change=-1
        )
        self.evaluate()
        self.setup_s = time.perf_counter() - begin_s

    def evaluate(self) -> float:
        """Evaluate at the start, and wait for the device."""
        with self._exactness(), torch.no_grad():
            self._x.copy_(self._start)
        return self._evaluate()

    def gradient(self) -> np.ndarray:
        """Return the latest gradient, for pixels on 0..1."""
        return np.asarray(self._gradient.detach().float().cpu().numpy().reshape(-1) * np.float32(PIXEL))

    def step(self) -> None:
        """Evaluate where the optimiser is, and move on; the state lasts from call to call."""

        def closure() -> float:
            self.loss = self._evaluate()
            self._x.grad = self._gradient
            return self.loss

        self._optimizer.step(closure)  # type: ignore[no-untyped-call]
        self.evaluations += 1
        self.finished = not math.isfinite(self.loss)
        if self._device == "cuda":
            torch.cuda.synchronize()

    def image(self) -> Vector:
        """Return where the optimiser is."""
        pixels = self._x.detach().float().cpu().contiguous().numpy().reshape(-1)
        return np.asarray(pixels / np.float32(PIXEL), np.float32)

    def loss_of(self, image: Vector) -> float:
        """Return the loss of any image, and leave the optimiser where it is."""
        kept = self._x.detach().clone()
        with torch.no_grad():
            self._x.copy_(torch.tensor(image.reshape(self._x.shape) * np.float32(PIXEL)))
            loss = self._evaluate()
            self._x.copy_(kept)
        return loss

    def close(self) -> None:
        """Let go of everything."""
        del self._run, self._objective, self._optimizer
        torch.compiler.reset()
        if self._device == "cuda":
            torch.cuda.empty_cache()

    def _evaluate(self) -> float:
        with self._exactness(), torch.enable_grad():
            loss, self._gradient = self._run()
        value = float(loss) / self._scale
        if self._scale != 1.0:
            self._gradient = self._gradient / self._scale
        if self._device == "cuda":
            torch.cuda.synchronize()
        return value

    def _prepared(self) -> Run:
        """Return what gives loss and gradient at `_x`, both times the scale."""
        compiled, graph = self._variant.compiled, self._variant.cuda_graph
        if not compiled:
            run = eager(self._loss, self._x)
            return captured(run) if graph else run
        run = eager(torch.compile(self._loss, mode="reduce-overhead" if graph else None), self._x)
        return copied(run) if graph else run

    def _loss(self, x: torch.Tensor) -> torch.Tensor:
        return self._objective(x) * self._scale

    def _find_scale(self) -> None:
        """Find the power of two for which a float16 gradient is finite and has the fewest zeros."""
        fewest, best = math.inf, 1.0
        for power in range(0, _LARGEST_SCALE + 1, 4):
            self._scale = 2.0**power
            _, gradient = eager(self._loss, self._x)()
            zeros = float((gradient == 0).float().mean())
            if bool(torch.isfinite(gradient).all()) and zeros < fewest:
                fewest, best = zeros, self._scale
        self._scale = best

    def _exactness(self) -> AbstractContextManager[None]:
        return tf32(self._variant.tf32) if self._device == "cuda" else nullcontext()


def _planes(pictures: np.ndarray, device: str) -> torch.Tensor:
    """Return N x H x W x 3 as [N, 3, H, W]."""
    return torch.tensor(pictures.astype(np.float32).transpose(0, 3, 1, 2).copy(), device=device)

"""Ways of getting loss and gradient of a torch function: autograd, compiled, captured."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch

_CAPTURE_WARM_UP = 3

Run = Callable[[], tuple[torch.Tensor, torch.Tensor]]
"""Loss and gradient where the image is; the device may not have finished."""


def eager(loss: Callable[[torch.Tensor], torch.Tensor], x: torch.Tensor) -> Run:
    """Return what computes both by autograd; the function may be a compiled one."""

    def run() -> tuple[torch.Tensor, torch.Tensor]:
        value = loss(x)
        (gradient,) = torch.autograd.grad(value, x)
        return value.detach(), gradient.contiguous()  # as torch.optim.LBFGS wants it

    return run


def copied(run: Run) -> Run:
    """Return what copies the results of a compiled function, whose buffers are those of a captured graph."""

    def copy() -> tuple[torch.Tensor, torch.Tensor]:
        torch.compiler.cudagraph_mark_step_begin()  # type: ignore[no-untyped-call]
        loss, gradient = run()
        return loss.clone(), gradient.clone()

    return copy


def captured(run: Run) -> Run:
    """Capture a run as a CUDA graph, after some on another stream as PyTorch's documentation asks for."""
    stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(_CAPTURE_WARM_UP):
            run()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        outputs = run()

    def replay() -> tuple[torch.Tensor, torch.Tensor]:
        graph.replay()
        return outputs

    return replay


@contextmanager
def tf32(allowed: bool) -> Iterator[None]:
    """Say for a block whether float32 products may use TF32."""
    precision, convolutions = torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32
    torch.set_float32_matmul_precision("high" if allowed else "highest")
    torch.backends.cudnn.allow_tf32 = allowed
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(precision)
        torch.backends.cudnn.allow_tf32 = convolutions

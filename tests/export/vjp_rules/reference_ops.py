"""Operators in which the ONNX reference evaluator (1.23) is wrong, inexact or incomplete, done over.

Erf, Gelu and GroupNormalization are float32 inside; LpNormalization forgets the absolute value for p = 1; LRN loops
over the batch instead of the channels; GlobalMaxPool is wrong but for two spatial axes; ConvTranspose fails with
groups, dilation and output_shape; Pad refuses negative pads; MaxPool gets the size of auto_pad=SAME_LOWER wrong;
ReduceLogSumExp fails on a scalar; GridSample computes its positions in float32; GlobalLpPool
is missing; STFT needs a window and has a frame too many.
"""

import itertools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import scipy.special
import torch
from onnx.reference.op_run import OpRun

from impasto.export.gradient.recurrent_operators import RECURRENT

Array = np.ndarray[Any, Any]


class Erf(OpRun):
    def _run(self, x: Array) -> tuple[Array]:
        return (np.asarray(scipy.special.erf(x), x.dtype),)


class Gelu(OpRun):
    def _run(self, x: Array, approximate: str) -> tuple[Array]:
        if approximate == "tanh":
            return (x / 2 * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3))),)
        return (x * scipy.special.ndtr(x),)


class GroupNormalization(OpRun):
    """Scale and bias per channel (since opset 21), or per group."""

    def _run(
        self, x: Array, scale: Array, bias: Array, epsilon: float, num_groups: int, stash_type: int = 1
    ) -> tuple[Array]:
        grouped = x.reshape(x.shape[0], num_groups, -1)
        centred = grouped - grouped.mean(2, keepdims=True)
        normalized = (centred / np.sqrt((centred**2).mean(2, keepdims=True) + epsilon)).reshape(x.shape)
        repeats = x.shape[1] // len(scale)
        shape = (-1, *(1,) * (x.ndim - 2))
        return (normalized * scale.repeat(repeats).reshape(shape) + bias.repeat(repeats).reshape(shape),)


class LpNormalization(OpRun):
    def _run(self, x: Array, axis: int, p: int) -> tuple[Array]:
        return ((x / np.linalg.norm(x, p, axis, keepdims=True)).astype(x.dtype),)


class LRN(OpRun):
    def _run(self, x: Array, alpha: float, beta: float, bias: float, size: int) -> tuple[Array]:
        before, after = math.floor((size - 1) / 2), math.ceil((size - 1) / 2)
        sums = np.zeros_like(x)
        for channel in range(x.shape[1]):
            sums[:, channel] = (x[:, max(channel - before, 0) : channel + after + 1] ** 2).sum(1)
        return ((x / (bias + alpha / size * sums) ** beta).astype(x.dtype),)


class GlobalMaxPool(OpRun):
    def _run(self, x: Array) -> tuple[Array]:
        return (x.max(tuple(range(2, x.ndim)), keepdims=True),)


class GlobalLpPool(OpRun):
    def _run(self, x: Array, p: int = 2) -> tuple[Array]:
        return ((np.abs(x) ** p).sum(tuple(range(2, x.ndim)), keepdims=True) ** (1 / p),)


class ReduceLogSumExp(OpRun):
    def _run(
        self, x: Array, axes: Array | None = None, keepdims: int = 1, noop_with_empty_axes: int = 0
    ) -> tuple[Array]:
        along = None if axes is None or not np.size(axes) else tuple(int(axis) for axis in axes)
        return (np.asarray(scipy.special.logsumexp(x, along, keepdims=bool(keepdims)), x.dtype),)


class Pad(OpRun):
    def _run(
        self, x: Array, pads: Array, value: Array | None = None, axes: Array | None = None, mode: str = "constant"
    ) -> tuple[Array]:
        chosen = range(x.ndim) if axes is None else [int(axis) % x.ndim for axis in axes]
        widths = [(0, 0)] * x.ndim
        for position, axis in enumerate(chosen):
            widths[axis] = int(pads[position]), int(pads[position + len(chosen)])
        crop = tuple(
            slice(max(-before, 0), size - max(-after, 0)) for size, (before, after) in zip(x.shape, widths, strict=True)
        )
        grow = [(max(before, 0), max(after, 0)) for before, after in widths]
        if mode == "constant":
            fill = 0 if value is None else np.asarray(value).item()
            return (np.pad(x[crop], grow, constant_values=fill),)
        return (np.pad(x[crop], grow, mode),)  # type: ignore[call-overload]


class MaxPool(OpRun):
    """A naive loop over windows; the output Indices is not computed."""

    def _run(
        self,
        x: Array,
        auto_pad: str,
        ceil_mode: int,
        dilations: Sequence[int] | None,
        kernel_shape: Sequence[int],
        pads: Sequence[int] | None,
        storage_order: int,
        strides: Sequence[int] | None,
    ) -> tuple[Array, ...]:
        axes = len(kernel_shape)
        strides, dilations = strides or [1] * axes, dilations or [1] * axes
        along = []
        for axis, size in enumerate(x.shape[2:]):
            stride, extent = strides[axis], dilations[axis] * (kernel_shape[axis] - 1) + 1
            before, after = (pads[axis], pads[axes + axis]) if pads else (0, 0)
            if auto_pad.startswith("SAME"):
                total = max((-(-size // stride) - 1) * stride + extent - size, 0)
                before = total // 2 if auto_pad == "SAME_UPPER" else total - total // 2
                after = total - before
            room = size + before + after - extent
            count = (-(-room // stride) if ceil_mode else room // stride) + 1
            if (count - 1) * stride >= size + before:  # a window that begins in the padding behind the axis
                count -= 1
            starts = [index * stride - before for index in range(count)]
            along.append(
                [[at for at in range(start, start + extent, dilations[axis]) if 0 <= at < size] for start in starts]
            )
        y = np.empty((*x.shape[:2], *(len(windows) for windows in along)), x.dtype)
        for position in itertools.product(*(range(len(windows)) for windows in along)):
            window = x
            for axis, index in enumerate(position):
                window = window.take(along[axis][index], axis + 2)
            place: tuple[slice | int, ...] = (slice(None), slice(None), *position)
            y[place] = window.max(tuple(range(2, x.ndim)))
        return (y, np.zeros(y.shape, np.int64))[: len(self.onnx_node.output)]


class ConvTranspose(OpRun):
    def _run(
        self,
        x: Array,
        w: Array,
        b: Array | None = None,
        auto_pad: str = "NOTSET",
        dilations: Sequence[int] | None = None,
        group: int = 1,
        kernel_shape: Sequence[int] | None = None,
        output_padding: Sequence[int] | None = None,
        output_shape: Sequence[int] | None = None,
        pads: Sequence[int] | None = None,
        strides: Sequence[int] | None = None,
    ) -> tuple[Array]:
        axes = x.ndim - 2
        strides, dilations = strides or [1] * axes, dilations or [1] * axes
        extra = output_padding or [0] * axes
        transposed = (torch.conv_transpose1d, torch.conv_transpose2d, torch.conv_transpose3d)[axes - 1]
        y = transposed(torch.tensor(x), torch.tensor(w), stride=strides, dilation=dilations, groups=group).numpy()
        y = np.pad(y, [(0, 0), (0, 0), *((0, add) for add in extra)])
        if auto_pad.startswith("SAME"):
            output_shape = [size * stride for size, stride in zip(x.shape[2:], strides, strict=True)]
        crops = [(pads[axis], pads[axes + axis]) if pads else (0, 0) for axis in range(axes)]
        if output_shape is not None:
            totals = [full - wanted for full, wanted in zip(y.shape[2:], output_shape, strict=True)]
            halves = [total // 2 for total in totals]
            rests = [total - half for total, half in zip(totals, halves, strict=True)]
            crops = list(
                zip(halves, rests, strict=True) if auto_pad == "SAME_UPPER" else zip(rests, halves, strict=True)
            )
        inner = tuple(slice(before, size - after) for size, (before, after) in zip(y.shape[2:], crops, strict=True))
        y = y[np.s_[:, :, *inner]]
        return (y if b is None else y + b.reshape(-1, *(1,) * axes),)


class GridSample(OpRun):
    def _run(self, x: Array, grid: Array, align_corners: int, mode: str, padding_mode: str) -> tuple[Array]:
        name = {"linear": "bilinear", "cubic": "bicubic"}.get(mode, mode)
        values = torch.tensor(x), torch.tensor(grid)
        return (torch.nn.functional.grid_sample(*values, name, padding_mode, bool(align_corners)).numpy(),)


class STFT(OpRun):
    def _run(self, x: Array, step: Array, window: Any = None, length: Any = None, onesided: Any = None) -> tuple[Array]:
        size = int(length) if length is not None else len(window)
        signal = x.reshape(*x.shape[:2], -1)
        values = signal[..., 0] + (1j * signal[..., 1] if signal.shape[2] == 2 else 0)
        starts = range(0, x.shape[1] - size + 1, int(step))
        frames = np.stack([values[:, start : start + size] * (1 if window is None else window) for start in starts], 1)
        spectrum = np.fft.fft(frames)[..., : size if onesided == 0 else size // 2 + 1]
        return (np.stack([spectrum.real, spectrum.imag], -1).astype(x.dtype),)


OPERATORS: list[type[OpRun]] = [
    *RECURRENT,
    ConvTranspose,
    Erf,
    Gelu,
    GlobalLpPool,
    GlobalMaxPool,
    GridSample,
    GroupNormalization,
    LRN,
    LpNormalization,
    MaxPool,
    Pad,
    ReduceLogSumExp,
    STFT,
]

"""Operators of ONNX's reference evaluator that are slow there, by PyTorch and NumPy in float64."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from onnx.reference.op_run import OpRun

from impasto.export.gradient.reference_operators import OPERATORS as EXACT

Array = np.ndarray[Any, Any]
Ints = Sequence[int] | None

_CONV = {1: torch.conv1d, 2: torch.conv2d, 3: torch.conv3d}
_TRANSPOSED = {1: torch.conv_transpose1d, 2: torch.conv_transpose2d, 3: torch.conv_transpose3d}
_MAX: Mapping[int, Any] = {
    1: torch.nn.functional.max_pool1d,
    2: torch.nn.functional.max_pool2d,
    3: torch.nn.functional.max_pool3d,
}


def _pads(
    sizes: Sequence[int], kernel: Sequence[int], strides: Ints, dilations: Ints, pads: Ints, auto_pad: str
) -> list[tuple[int, int]]:
    """Return the padding before and after each axis."""
    axes = range(len(kernel))
    if auto_pad in ("SAME_UPPER", "SAME_LOWER"):
        found = []
        for axis in axes:
            stride = strides[axis] if strides else 1
            extent = (dilations[axis] if dilations else 1) * (kernel[axis] - 1) + 1
            total = max((-(-sizes[axis] // stride) - 1) * stride + extent - sizes[axis], 0)
            small, large = total // 2, total - total // 2
            found.append((small, large) if auto_pad == "SAME_UPPER" else (large, small))
        return found
    return [(pads[axis], pads[axis + len(kernel)]) if pads else (0, 0) for axis in axes]


class Conv(OpRun):
    """A convolution."""

    def _run(
        self,
        x: Array,
        w: Array,
        b: Array | None = None,
        auto_pad: str = "NOTSET",
        dilations: Ints = None,
        group: int = 1,
        kernel_shape: Ints = None,
        pads: Ints = None,
        strides: Ints = None,
    ) -> tuple[Array]:
        around = _pads(x.shape[2:], w.shape[2:], strides, dilations, pads, auto_pad or "NOTSET")
        padded = torch.from_numpy(np.pad(x, [(0, 0), (0, 0), *around]))
        bias = None if b is None else torch.from_numpy(np.array(b))
        one = [1] * (x.ndim - 2)
        y = _CONV[x.ndim - 2](
            padded, torch.from_numpy(np.array(w)), bias, strides or one, [0] * len(one), dilations or one, group or 1
        )
        return (y.numpy(),)


class ConvTranspose(OpRun):
    """A transposed convolution with explicit pads."""

    def _run(
        self,
        x: Array,
        w: Array,
        b: Array | None = None,
        auto_pad: str = "NOTSET",
        dilations: Ints = None,
        group: int = 1,
        kernel_shape: Ints = None,
        output_padding: Ints = None,
        output_shape: Ints = None,
        pads: Ints = None,
        strides: Ints = None,
    ) -> tuple[Array]:
        if (auto_pad or "NOTSET") not in ("NOTSET", "VALID") or output_shape:
            raise NotImplementedError("ConvTranspose with auto_pad or output_shape")
        axes = x.ndim - 2
        y = _TRANSPOSED[axes](
            torch.from_numpy(np.array(x)),
            torch.from_numpy(np.array(w)),
            stride=strides or [1] * axes,
            dilation=dilations or [1] * axes,
            groups=group or 1,
        ).numpy()
        y = np.pad(y, [(0, 0), (0, 0), *((0, more) for more in output_padding or [0] * axes)])
        inner = [
            slice(pads[axis], y.shape[axis + 2] - pads[axis + axes]) if pads else slice(None) for axis in range(axes)
        ]
        y = y[(slice(None), slice(None), *inner)]
        return (y if b is None else y + b.reshape(-1, *(1,) * axes),)


class MaxPool(OpRun):
    """The values of max pooling."""

    def _run(
        self,
        x: Array,
        auto_pad: str = "NOTSET",
        ceil_mode: int = 0,
        dilations: Ints = None,
        kernel_shape: Sequence[int] = (),
        pads: Ints = None,
        storage_order: int = 0,
        strides: Ints = None,
    ) -> tuple[Array, ...]:
        if len(self.onnx_node.output) > 1:
            raise NotImplementedError("MaxPool with indices")
        around = _pads(x.shape[2:], kernel_shape, strides, dilations, pads, auto_pad or "NOTSET")
        padded = torch.from_numpy(np.pad(x, [(0, 0), (0, 0), *around], constant_values=-np.inf))
        one = [1] * len(kernel_shape)
        y = _MAX[len(one)](
            padded, list(kernel_shape), strides or one, dilation=dilations or one, ceil_mode=bool(ceil_mode)
        )
        return (y.numpy(),)


class GatherElements(OpRun):
    """Elements by index along an axis."""

    def _run(self, x: Array, indices: Array, axis: int = 0) -> tuple[Array]:
        size = x.shape[axis or 0]
        return (np.take_along_axis(x, np.where(indices < 0, indices + size, indices), axis or 0),)


class ScatterElements(OpRun):
    """Elements set, or added to, by index along an axis."""

    def _run(
        self, x: Array, indices: Array, updates: Array, axis: int = 0, reduction: str | None = None
    ) -> tuple[Array]:
        if (reduction or "none") not in ("none", "add"):
            raise NotImplementedError(f"ScatterElements with {reduction}")
        result, along = np.array(x), (axis or 0) % x.ndim
        places: list[Any] = list(np.indices(indices.shape, sparse=True))
        places[along] = np.where(indices < 0, indices + x.shape[along], indices)
        if reduction == "add":
            np.add.at(result, tuple(places), updates)
        else:
            result[tuple(places)] = updates
        return (result,)


class ScatterND(OpRun):
    """Slices set, or added to, by index."""

    def _run(self, x: Array, indices: Array, updates: Array, reduction: str | None = None) -> tuple[Array]:
        if (reduction or "none") not in ("none", "add"):
            raise NotImplementedError(f"ScatterND with {reduction}")
        result, places = np.array(x), tuple(np.moveaxis(indices, -1, 0))
        if reduction == "add":
            np.add.at(result, places, updates)
        else:
            result[places] = updates
        return (result,)


OPERATORS: tuple[type[OpRun], ...] = (
    *EXACT,
    Conv,
    ConvTranspose,
    GatherElements,
    MaxPool,
    ScatterElements,
    ScatterND,
)

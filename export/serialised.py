"""Models as bytes: whole, or without their weights, which are then passed separately."""

from collections.abc import Mapping

import numpy as np
import onnx_ir as ir

SMALLEST_WEIGHT_BYTES = 1024  # smaller ones may be needed for shape inference, and cost little


def whole(model: ir.Model) -> bytes:
    """Return a model as bytes, everything inside."""
    return bytes(ir.to_proto(model).SerializeToString())


def is_whole(model: ir.Model) -> bool:
    """Tell whether all of a model's initializers were in its own file."""
    return not any(isinstance(value.const_value, ir.ExternalTensor) for value in model.graph.initializers.values())


def hold_weights(model: ir.Model) -> None:
    """Turn a model's float32 initializers into arrays: a tensor of a file copies its values each time it is asked."""
    for value in model.graph.initializers.values():
        tensor = value.const_value
        if tensor is not None and tensor.dtype == ir.DataType.FLOAT:
            value.const_value = ir.tensor(np.ascontiguousarray(tensor.numpy()), name=value.name)


def without_weights(model: ir.Model) -> tuple[bytes, Mapping[str, np.ndarray]]:
    """Return a model whose large initializers are declared as external data, and their values by name.

    The values are views of the model's own memory wherever its tensors allow that.
    """
    weights = {}
    tensors = {}
    for name, value in model.graph.initializers.items():
        tensor = value.const_value
        if tensor is not None and tensor.dtype == ir.DataType.FLOAT and tensor.nbytes >= SMALLEST_WEIGHT_BYTES:
            weights[name], tensors[name] = np.ascontiguousarray(tensor.numpy()), tensor
    try:
        for name, tensor in tensors.items():
            absent = ir.ExternalTensor(
                "in-memory", 0, tensor.nbytes, tensor.dtype, shape=ir.Shape(weights[name].shape), name=name
            )
            model.graph.initializers[name].const_value = absent
        return whole(model), weights
    finally:
        for name, tensor in tensors.items():
            model.graph.initializers[name].const_value = tensor

"""A features model as a torch module: the same weights, layer by layer as PyTorch has them.

Supported are the operators of the project's tap models and of their kind: Conv, Relu, AveragePool, MaxPool, and Add,
Sub, Mul and Div with a constant. Convolutions and poolings are padded the same on opposite sides.
"""

from collections.abc import Callable

import onnx_ir as ir
import torch
from torch import nn

from impasto.export.tap_graph import tap_graph
from impasto.models.errors import ImpastoError

_WITH_CONSTANT: dict[str, Callable[[torch.Tensor, torch.Tensor], torch.Tensor]] = {
    "Add": torch.add,
    "Sub": torch.sub,
    "Mul": torch.mul,
    "Div": torch.div,
}


class TorchTaps(nn.Module):
    """Image, float32 [N, 3, H, W], RGB, 0..1 -> the values of the taps, in their order."""

    def __init__(self, features: ir.Model, taps: tuple[str, ...], side_px: int, pool: str) -> None:
        """Build the layers that lead to the taps of a features model, for a square image.

        Raises:
            ImpastoError: it has an operator that is not supported.
        """
        super().__init__()
        graph = tap_graph(features, taps, batch=1, height=side_px, width=side_px, pool=pool).graph
        self._taps = taps
        self._layers = nn.ModuleList(map(_layer, graph))
        self._names: list[tuple[str, str]] = []  # of each layer's input and output
        for node in graph:
            source = next(value for value in node.inputs if value is not None and value.const_value is None)
            self._names.append((source.name or "", node.outputs[0].name or ""))
        self.eval().requires_grad_(False)

    def forward(self, image: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Run the layers and return the taps."""
        values = {"image": image}
        for layer, (source, target) in zip(self._layers, self._names, strict=True):
            values[target] = layer(values[source])
        return tuple(values[tap] for tap in self._taps)


class _WithConstant(nn.Module):
    """An elementwise operation with a constant."""

    constant: torch.Tensor

    def __init__(self, op_type: str, constant: torch.Tensor) -> None:
        super().__init__()
        self._op_type = op_type
        self.register_buffer("constant", constant)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return x with the constant applied."""
        return _WITH_CONSTANT[self._op_type](x, self.constant)


def _layer(node: ir.Node) -> nn.Module:
    if node.op_type == "Conv":
        return _convolution(node)
    if node.op_type == "Relu":
        return nn.ReLU()
    if node.op_type in ("AveragePool", "MaxPool"):
        pooling = nn.AvgPool2d if node.op_type == "AveragePool" else nn.MaxPool2d
        return pooling(_ints(node, "kernel_shape", 1), _ints(node, "strides", 1), _padding(node))
    if node.op_type in _WITH_CONSTANT:
        constants = [index for index, value in enumerate(node.inputs) if value is not None and value.const_value]
        if constants == [1] or (constants == [0] and node.op_type in ("Add", "Mul")):
            return _WithConstant(node.op_type, _constant(node, constants[0]))
    raise ImpastoError(
        f"compare cannot build {node.op_type} in PyTorch: it knows Conv, Relu, poolings and arithmetic with a "
        "constant; use --model vgg19 or vgg19-slim"
    )


def _convolution(node: ir.Node) -> nn.Conv2d:
    weight, groups = _constant(node, 1), node.attributes.get_int("group", 1)
    parameters = {"weight": weight, **({"bias": _constant(node, 2)} if len(node.inputs) > 2 else {})}
    outputs, inputs, height, width = weight.shape
    module = nn.Conv2d(
        inputs * groups,
        outputs,
        (height, width),
        _ints(node, "strides", 1),
        _padding(node),
        _ints(node, "dilations", 1),
        groups,
        bias="bias" in parameters,
    )
    module.load_state_dict(parameters)
    return module


def _constant(node: ir.Node, index: int) -> torch.Tensor:
    value = node.inputs[index]
    if value is None or value.const_value is None:
        raise ImpastoError(f"compare cannot build {node.op_type} in PyTorch: its input {index} is no constant")
    return torch.from_numpy(value.const_value.numpy().copy())


def _ints(node: ir.Node, name: str, default: int) -> tuple[int, int]:
    found = node.attributes.get_ints(name, (default, default))
    return int(found[0]), int(found[1])


def _padding(node: ir.Node) -> tuple[int, int]:
    pads = node.attributes.get_ints("pads", (0, 0, 0, 0))
    automatic = node.attributes.get_string("auto_pad", "NOTSET")
    if tuple(pads[:2]) != tuple(pads[2:]) or automatic not in ("NOTSET", "VALID"):
        raise ImpastoError(f"compare cannot build {node.op_type} with padding {automatic} {tuple(pads)} in PyTorch")
    return int(pads[0]), int(pads[1])

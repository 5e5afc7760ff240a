"""The activation functions of recurrent cells, with their derivatives.

Supported: every one of the standard, with its parameters, and clip. Their names may be written in capitals or not.
"""

from collections.abc import Callable, Sequence

import onnx_ir as ir

from impasto.export.vjp_rules.emission import Emission
from impasto.export.vjp_rules.errors import GradientError
from impasto.export.vjp_rules.inspection import describe, given
from impasto.export.vjp_rules.table import RULES

Activation = Callable[[Emission, ir.Value], ir.Value]

PARAMETERS: dict[str, dict[str, float]] = {
    "Affine": {"alpha": 1.0, "beta": 0.0},
    "Elu": {"alpha": 1.0},
    "HardSigmoid": {"alpha": 0.2, "beta": 0.5},
    "LeakyRelu": {"alpha": 0.01},
    "Relu": {},
    "ScaledTanh": {"alpha": 1.0, "beta": 1.0},
    "Sigmoid": {},
    "Softplus": {},
    "Softsign": {},
    "Tanh": {},
    "ThresholdedRelu": {"alpha": 1.0},
}
"""Activations of a recurrent node, and the defaults of their parameters."""


def activations(node: ir.Node, defaults: Sequence[str], directions: int) -> list[list[Activation]]:
    """Return the activations of every direction; a node lists its parameters in the order of those that have them."""
    names = node.attributes.get_strings("activations", ()) or tuple(defaults) * directions
    listed = {name: list(node.attributes.get_floats(f"activation_{name}", ())) for name in ("alpha", "beta")}
    clip = node.attributes.get_float("clip", 0.0)
    made, count = [], len(defaults)
    for number, name in enumerate(names):
        kind = _kind(node, name)
        parameters = {key: listed[key].pop(0) if listed[key] else default for key, default in PARAMETERS[kind].items()}
        is_of_cell = number % count == 2  # the third function of an LSTM, which ONNX Runtime does not clip
        made.append(_activation(kind, parameters, 0.0 if is_of_cell else clip))
    return [made[start : start + count] for start in range(0, directions * count, count)]


def with_slope(emit: Emission, function: Activation, x: ir.Value) -> tuple[ir.Value, ir.Value]:
    """Emit a function of x, and its derivative there by the rules of its nodes."""
    y = function(emit, x)
    slope, value = emit.op("Expand", emit.array(1.0, x), emit.shape_of(x)), y
    while value is not x:
        node = given(value.producer())
        wanted = [True] + [False] * (len(node.inputs) - 1)
        slope = given(RULES[node.op_type].function(emit, node, [slope], wanted)[0])
        value = given(node.inputs[0])
    return y, slope


def _kind(node: ir.Node, name: str) -> str:
    """Return an activation's name as the standard writes it."""
    for kind in PARAMETERS:
        if kind.lower() == name.lower():
            return kind
    raise GradientError(f"{describe(node)} has activation {name!r}; allowed are {', '.join(PARAMETERS)}")


def _activation(kind: str, parameters: dict[str, float], clip: float) -> Activation:
    def apply(emit: Emission, x: ir.Value) -> ir.Value:
        if clip:
            x = emit.op("Clip", x, -clip, clip)
        if kind == "Affine":
            return emit.op("Add", emit.op("Mul", x, parameters["alpha"]), parameters["beta"])
        if kind == "ScaledTanh":
            return emit.op("Mul", emit.op("Tanh", emit.op("Mul", x, parameters["beta"])), parameters["alpha"])
        return emit.op(kind, x, **parameters)

    return apply

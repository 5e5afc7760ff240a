"""Rules of activation functions.

Supported: Celu, Elu, Gelu (both approximations), HardSigmoid, HardSwish, LeakyRelu, Mish, PRelu (value and slope),
Relu, Selu, Sigmoid, Softplus, Softsign, Swish, Tanh, ThresholdedRelu.
At a kink the derivative is that of the side that PyTorch takes: the lower one for Relu, LeakyRelu, PRelu, Elu, Selu and
Celu at 0 (so 0 for Relu), the outer one for HardSigmoid and HardSwish at their ends.
"""

import math
from collections.abc import Sequence

import onnx_ir as ir

from impasto.export.vjp_rules.elementwise import unary
from impasto.export.vjp_rules.emission import Emission
from impasto.export.vjp_rules.inspection import given
from impasto.export.vjp_rules.table import Cotangents, rule

SELU_ALPHA, SELU_GAMMA = 1.6732632423543772, 1.0507009873554805  # the defaults of the ONNX standard


@unary("Relu")
def relu(emit: Emission, node: ir.Node, x: ir.Value, y: ir.Value, d: ir.Value) -> ir.Value:
    """Pass the cotangent where y > 0. Execution providers' lowerings look for these two nodes."""
    return emit.op("Where", emit.op("Greater", y, 0.0), d, 0.0)


@unary("LeakyRelu")
def leaky_relu(emit: Emission, node: ir.Node, x: ir.Value, y: ir.Value, d: ir.Value) -> ir.Value:
    """Emit d where x > 0, else alpha d."""
    scaled = emit.op("Mul", d, node.attributes.get_float("alpha", 0.01))
    return emit.op("Where", emit.op("Greater", x, 0.0), d, scaled)


@rule("PRelu", broadcasts=True)
def parametric_relu(emit: Emission, node: ir.Node, cotangents: Cotangents, wanted: Sequence[bool]) -> Cotangents:
    """Emit d or slope d for x, 0 or x d for the slope."""
    d, (x, slope) = given(cotangents[0]), map(given, node.inputs)
    is_positive = emit.op("Greater", x, 0.0)
    d_x = emit.op("Where", is_positive, d, emit.op("Mul", d, slope)) if wanted[0] else None
    d_slope = emit.op("Where", is_positive, 0.0, emit.op("Mul", d, x)) if wanted[1] else None
    return [d_x, d_slope]


@unary("ThresholdedRelu")
def thresholded_relu(emit: Emission, node: ir.Node, x: ir.Value, y: ir.Value, d: ir.Value) -> ir.Value:
    """Emit d where x > alpha."""
    return emit.op("Where", emit.op("Greater", x, node.attributes.get_float("alpha", 1.0)), d, 0.0)


@unary("Elu")
def elu(emit: Emission, node: ir.Node, x: ir.Value, y: ir.Value, d: ir.Value) -> ir.Value:
    """Emit d where x > 0, else d alpha exp(x) = d (y + alpha)."""
    slope = emit.op("Add", y, node.attributes.get_float("alpha", 1.0))
    return emit.op("Where", emit.op("Greater", x, 0.0), d, emit.op("Mul", d, slope))


@unary("Selu")
def selu(emit: Emission, node: ir.Node, x: ir.Value, y: ir.Value, d: ir.Value) -> ir.Value:
    """Emit gamma d where x > 0, else d gamma alpha exp(x) = d (y + gamma alpha)."""
    gamma = node.attributes.get_float("gamma", SELU_GAMMA)
    slope = emit.op("Add", y, gamma * node.attributes.get_float("alpha", SELU_ALPHA))
    return emit.op("Mul", d, emit.op("Where", emit.op("Greater", x, 0.0), gamma, slope))


@unary("Celu")
def celu(emit: Emission, node: ir.Node, x: ir.Value, y: ir.Value, d: ir.Value) -> ir.Value:
    """Emit d where x > 0, else d exp(x / alpha) = d (y / alpha + 1)."""
    slope = emit.op("Add", emit.op("Mul", y, 1.0 / node.attributes.get_float("alpha", 1.0)), 1.0)
    return emit.op("Where", emit.op("Greater", x, 0.0), d, emit.op("Mul", d, slope))


@unary("Sigmoid")
def sigmoid(emit: Emission, node: ir.Node, x: ir.Value, y: ir.Value, d: ir.Value) -> ir.Value:
    """Emit d y (1 - y)."""
    return emit.op("Mul", d, emit.op("Mul", y, emit.op("Sub", 1.0, y)))


@unary("HardSigmoid")
def hard_sigmoid(emit: Emission, node: ir.Node, x: ir.Value, y: ir.Value, d: ir.Value) -> ir.Value:
    """Emit alpha d where 0 < y < 1."""
    inside = emit.op("And", emit.op("Greater", y, 0.0), emit.op("Less", y, 1.0))
    return emit.op("Where", inside, emit.op("Mul", d, node.attributes.get_float("alpha", 0.2)), 0.0)


@unary("HardSwish")
def hard_swish(emit: Emission, node: ir.Node, x: ir.Value, y: ir.Value, d: ir.Value) -> ir.Value:
    """Emit d (x / 3 + 1 / 2) where -3 < x < 3, 0 below and d above."""
    slope = emit.op("Add", emit.op("Mul", x, 1.0 / 3.0), 0.5)
    upper = emit.op("Where", emit.op("GreaterOrEqual", x, 3.0), 1.0, slope)
    return emit.op("Mul", d, emit.op("Where", emit.op("LessOrEqual", x, -3.0), 0.0, upper))


@unary("Tanh")
def hyperbolic_tangent(emit: Emission, node: ir.Node, x: ir.Value, y: ir.Value, d: ir.Value) -> ir.Value:
    """Emit d (1 - y^2)."""
    return emit.op("Mul", d, emit.op("Sub", 1.0, emit.op("Mul", y, y)))


@unary("Softplus")
def softplus(emit: Emission, node: ir.Node, x: ir.Value, y: ir.Value, d: ir.Value) -> ir.Value:
    """Emit d sigmoid(x)."""
    return emit.op("Mul", d, emit.op("Sigmoid", x))


@unary("Softsign")
def softsign(emit: Emission, node: ir.Node, x: ir.Value, y: ir.Value, d: ir.Value) -> ir.Value:
    """Emit d / (1 + |x|)^2."""
    divisor = emit.op("Add", emit.op("Abs", x), 1.0)
    return emit.op("Div", d, emit.op("Mul", divisor, divisor))


@unary("Swish")
def swish(emit: Emission, node: ir.Node, x: ir.Value, y: ir.Value, d: ir.Value) -> ir.Value:
    """Emit d (s + alpha y (1 - s)) with s = sigmoid(alpha x)."""
    alpha = node.attributes.get_float("alpha", 1.0)
    gate = emit.op("Sigmoid", x if alpha == 1.0 else emit.op("Mul", x, alpha))
    rest = emit.op("Mul", emit.op("Mul", y, alpha), emit.op("Sub", 1.0, gate))
    return emit.op("Mul", d, emit.op("Add", gate, rest))


@unary("Mish")
def mish(emit: Emission, node: ir.Node, x: ir.Value, y: ir.Value, d: ir.Value) -> ir.Value:
    """Emit d (t + x sigmoid(x) (1 - t^2)) with t = tanh(softplus(x))."""
    gate = emit.op("Tanh", emit.op("Softplus", x))
    rest = emit.op("Mul", emit.op("Sigmoid", x), emit.op("Sub", 1.0, emit.op("Mul", gate, gate)))
    return emit.op("Mul", d, emit.op("Add", gate, emit.op("Mul", x, rest)))


@unary("Gelu")
def gelu(emit: Emission, node: ir.Node, x: ir.Value, y: ir.Value, d: ir.Value) -> ir.Value:
    """Differentiate x Phi(x), Phi the normal distribution or its approximation by a hyperbolic tangent."""
    approximation = node.attributes.get_string("approximate", "none")
    slope = _gelu_tanh_slope(emit, x) if approximation == "tanh" else _gelu_slope(emit, x)
    return emit.op("Mul", d, slope)


def _gelu_slope(emit: Emission, x: ir.Value) -> ir.Value:
    """Emit Phi(x) + x phi(x)."""
    half = emit.op("Mul", emit.op("Erf", emit.op("Mul", x, math.sqrt(0.5))), 0.5)
    bell = emit.op("Exp", emit.op("Mul", emit.op("Mul", x, x), -0.5))
    density = emit.op("Mul", bell, 1.0 / math.sqrt(2.0 * math.pi))
    return emit.op("Add", emit.op("Add", half, 0.5), emit.op("Mul", x, density))


def _gelu_tanh_slope(emit: Emission, x: ir.Value) -> ir.Value:
    """Emit (1 + t) / 2 + x (1 - t^2) u' / 2 with t = tanh(u), u = sqrt(2 / pi) (x + 0.044715 x^3)."""
    scale, cubic = math.sqrt(2.0 / math.pi), 0.044715
    square = emit.op("Mul", x, x)
    u = emit.op("Mul", x, emit.op("Add", emit.op("Mul", square, scale * cubic), scale))
    t = emit.op("Tanh", u)
    d_u = emit.op("Add", emit.op("Mul", square, 1.5 * scale * cubic), 0.5 * scale)
    bump = emit.op("Mul", emit.op("Sub", 1.0, emit.op("Mul", t, t)), d_u)
    return emit.op("Add", emit.op("Add", emit.op("Mul", t, 0.5), 0.5), emit.op("Mul", x, bump))

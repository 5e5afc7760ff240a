"""Rules of activation functions.

Supported: Celu, Elu, Gelu (both approximations), HardSigmoid, HardSwish, LeakyRelu, Mish, PRelu (value and slope),
Relu, Selu, Sigmoid, Softplus, Softsign, Swish, Tanh, ThresholdedRelu.
At a kink the derivative is that of the side that PyTorch takes: the lower one for Relu, LeakyRelu, PRelu, Elu, Selu and
Celu at 0 (so 0 for Relu), the outer one for HardSigmoid and HardSwish at their ends.
"""

import math
from collections.abc import Sequence

import onnx_ir as ir

from impasto.export.vjp_rules.elementwise import Expression, formula_rules
from impasto.export.vjp_rules.emission import Emission
from impasto.export.vjp_rules.inspection import given
from impasto.export.vjp_rules.table import Cotangents, rule

SELU_ALPHA, SELU_GAMMA = 1.6732632423543772, 1.0507009873554805  # the defaults of the ONNX standard


@rule("PRelu", broadcasts=True)
def parametric_relu(emit: Emission, node: ir.Node, cotangents: Cotangents, wanted: Sequence[bool]) -> Cotangents:
    """Emit d or slope d for x, 0 or x d for the slope."""
    d, (x, slope) = given(cotangents[0]), map(given, node.inputs)
    is_positive = emit.op("Greater", x, 0.0)
    d_x = emit.op("Where", is_positive, d, emit.op("Mul", d, slope)) if wanted[0] else None
    d_slope = emit.op("Where", is_positive, 0.0, emit.op("Mul", d, x)) if wanted[1] else None
    return [d_x, d_slope]


def _leaky_relu(x: Expression, y: Expression, d: Expression, alpha: float = 0.01) -> Expression:
    scaled = d * alpha
    return (x > 0.0).where(d, scaled)


def _elu(x: Expression, y: Expression, d: Expression, alpha: float = 1.0) -> Expression:
    slope = y + alpha  # alpha exp(x) where x <= 0
    return (x > 0.0).where(d, d * slope)


def _selu(
    x: Expression, y: Expression, d: Expression, alpha: float = SELU_ALPHA, gamma: float = SELU_GAMMA
) -> Expression:
    slope = y + gamma * alpha  # gamma alpha exp(x) where x <= 0
    return d * (x > 0.0).where(gamma, slope)


def _celu(x: Expression, y: Expression, d: Expression, alpha: float = 1.0) -> Expression:
    slope = y * (1.0 / alpha) + 1.0  # exp(x / alpha) where x <= 0
    return (x > 0.0).where(d, d * slope)


def _hard_swish(x: Expression, y: Expression, d: Expression) -> Expression:
    slope = x * (1.0 / 3.0) + 0.5
    upper = (x >= 3.0).where(1.0, slope)
    return d * (x <= -3.0).where(0.0, upper)


def _softsign(x: Expression, y: Expression, d: Expression) -> Expression:
    divisor = abs(x) + 1.0
    return d / (divisor * divisor)


def _swish(x: Expression, y: Expression, d: Expression, alpha: float = 1.0) -> Expression:
    gate = (x if alpha == 1.0 else x * alpha).unary("Sigmoid")
    rest = y * alpha * (1.0 - gate)
    return d * (gate + rest)


def _mish(x: Expression, y: Expression, d: Expression) -> Expression:
    gate = x.unary("Softplus").unary("Tanh")
    rest = x.unary("Sigmoid") * (1.0 - gate * gate)
    return d * (gate + x * rest)


def _gelu(x: Expression, y: Expression, d: Expression, approximate: str = "none") -> Expression:
    return d * (_gelu_tanh_slope(x) if approximate == "tanh" else _gelu_slope(x))


def _gelu_slope(x: Expression) -> Expression:
    """Emit Phi(x) + x phi(x), Phi the normal distribution."""
    half = (x * math.sqrt(0.5)).unary("Erf") * 0.5
    bell = (x * x * -0.5).unary("Exp")
    density = bell * (1.0 / math.sqrt(2.0 * math.pi))
    return half + 0.5 + x * density


def _gelu_tanh_slope(x: Expression) -> Expression:
    """Emit (1 + t) / 2 + x (1 - t^2) u' / 2 with t = tanh(u), u = sqrt(2 / pi) (x + 0.044715 x^3)."""
    scale, cubic = math.sqrt(2.0 / math.pi), 0.044715
    square = x * x
    t = (x * (square * (scale * cubic) + scale)).unary("Tanh")
    d_u = square * (1.5 * scale * cubic) + 0.5 * scale
    bump = (1.0 - t * t) * d_u
    return t * 0.5 + 0.5 + x * bump


formula_rules(
    {
        "Celu": _celu,
        "Elu": _elu,
        "Gelu": _gelu,
        "HardSigmoid": lambda x, y, d, alpha=0.2: ((y > 0.0) & (y < 1.0)).where(d * alpha, 0.0),
        "HardSwish": _hard_swish,
        "LeakyRelu": _leaky_relu,
        "Mish": _mish,
        "Relu": lambda x, y, d: (y > 0.0).where(d, 0.0),  # the lowerings look for these two nodes
        "Selu": _selu,
        "Sigmoid": lambda x, y, d: d * (y * (1.0 - y)),
        "Softplus": lambda x, y, d: d * x.unary("Sigmoid"),
        "Softsign": _softsign,
        "Swish": _swish,
        "Tanh": lambda x, y, d: d * (1.0 - y * y),
        "ThresholdedRelu": lambda x, y, d, alpha=1.0: (x > alpha).where(d, 0.0),
    }
)

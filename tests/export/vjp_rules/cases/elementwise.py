"""Cases of elementwise operators."""

import numpy as np
import onnx

from tests.export.vjp_rules.cases.case import case, distinct, random

_X = random(3, 4)
_POSITIVE = random(3, 4, low=0.2, high=2.0)
_INSIDE = random(3, 4, low=-0.9, high=0.9)

CASES = (
    *(case(op, _X) for op in ("Abs", "Identity", "Neg", "Sigmoid", "Tanh", "Softplus", "Softsign", "Erf", "Exp")),
    *(case(op, _X) for op in ("Relu", "Elu", "Selu", "LeakyRelu", "ThresholdedRelu", "HardSigmoid", "Dropout")),
    *(case(op, _X) for op in ("Sin", "Cos", "Sinh", "Cosh", "Atan", "Asinh")),
    *(case(op, _INSIDE) for op in ("Tan", "Asin", "Acos", "Atanh")),
    *(case(op, _POSITIVE) for op in ("Sqrt", "Log", "Reciprocal")),
    case("Reciprocal", random(3, 4) + np.sign(random(3, 4))),
    case("Acosh", _POSITIVE + 1.0),
    case("Relu", random(2, 3, 4, 5)),
    case("Relu", np.array(0.7), note="scalar"),
    case("Elu", _X, alpha=0.3),
    case("Selu", _X, alpha=1.3, gamma=0.8),
    case("Celu", _X, opset=28, in_ort=False),
    case("Celu", _X, alpha=0.6, opset=28, in_ort=False),
    case("LeakyRelu", _X, alpha=0.2),
    case("ThresholdedRelu", _X, alpha=0.6),
    case("HardSigmoid", _X, alpha=0.4, beta=0.45),
    case("HardSwish", random(3, 4, low=-5, high=5), opset=22),
    case("Mish", _X, opset=22),
    case("Swish", _X, opset=24),
    case("Swish", _X, opset=24, alpha=1.7),
    case("Gelu", _X),
    case("Gelu", _X, approximate="tanh"),
    case("PRelu", random(2, 3, 4), random(3, 1, seed=1), wrt=(0, 1)),
    case("PRelu", random(2, 3, 4), random(1, seed=1), wrt=(0, 1)),
    case("Cast", _X, to=onnx.TensorProto.DOUBLE, in_ort=False),
    case("CastLike", _X, np.zeros(1)),
    case("Dropout", _X, np.array(0.4, np.float32), np.array(False), note="inference"),
    case("Dropout", _X, outputs=2, note="mask"),
    *(
        case(op, random(*first), random(*second, seed=1, low=0.4), wrt=(0, 1))
        for op in ("Add", "Sub", "Mul", "Div")
        for first, second in (((3, 4), (3, 4)), ((2, 3, 4), (4,)), ((3, 1), (2, 1, 4)), ((), (2, 3)), ((1, 1), ()))
    ),
    case("Mod", random(3, 4, high=7), random(4, seed=1, low=0.4), wrt=(0, 1), fmod=1),
    case("Mod", random(3, 4, low=-7), random(3, 1, seed=1, low=-2, high=-0.4), wrt=(0, 1), fmod=1),
    case("Pow", _POSITIVE, random(4, seed=1), wrt=(0, 1)),
    case("Pow", random(2, 1, 3, low=0.3), random(4, 1, seed=1), wrt=(0, 1)),
    case("Pow", _X, np.array(2.0)),
    case("Pow", _X, np.array(1.0)),
    case("Pow", _X, np.array(3.0)),
    case("Pow", _X, np.array(-2.0)),
    case("Pow", _X, np.array([0.0])),
    case("Pow", _POSITIVE, np.array(0.5)),
    case("Pow", _POSITIVE, np.array(1.0 / 3.0)),
    case("Pow", _X, np.array([3, 2, 1, 4], np.int64), note="integer exponents"),
    case("Sum", _X, random(4, seed=1), random(3, 1, seed=2), wrt=(0, 1, 2)),
    case("Sum", _X),
    case("Mean", _X, random(4, seed=1), random(3, 1, seed=2), wrt=(0, 1, 2)),
    *(
        extreme
        for op in ("Max", "Min")
        for extreme in (
            case(op, distinct(3, 4), distinct(3, 4, seed=1) + 0.01, wrt=(0, 1)),
            case(op, distinct(3, 4), distinct(4, seed=1) + 0.01, distinct(3, 1, seed=2) - 0.01, wrt=(0, 1, 2)),
            case(op, _X, np.array(0.0)),
            case(op, _X),
        )
    ),
    case("Where", _X > 0, _X, random(3, 4, seed=1), wrt=(1, 2)),
    case("Where", _X > 0, random(4), random(2, 3, 1, seed=1), wrt=(1, 2)),
    case("Where", np.array(True), random(4), random(3, 1, seed=1), wrt=(1, 2)),
    case("Clip", _X),
    case("Clip", _X, np.array(-0.5), np.array(1.0), wrt=(0, 1, 2)),
    case("Clip", _X, np.array(-0.5)),
    case("Clip", _X, None, np.array(0.5), wrt=(0, 2)),
    case("Clip", _X, np.array(1.0), np.array(-0.5), wrt=(0, 1, 2), note="bounds exchanged"),
)

"""Cases of normalisations."""

from tests.export.vjp_rules.cases.case import case, random

_IMAGE = random(2, 6, 3, 4)
_SCALE, _BIAS, _MEAN = random(6, seed=1), random(6, seed=2), random(6, seed=3)
_VARIANCE = random(6, seed=4, low=0.3)

CASES = (
    case("BatchNormalization", _IMAGE, _SCALE, _BIAS, _MEAN, _VARIANCE, wrt=(0, 1, 2, 3, 4)),
    case("BatchNormalization", _IMAGE, _SCALE, _BIAS, _MEAN, _VARIANCE, epsilon=0.1, momentum=0.5),
    case("BatchNormalization", random(5, 6), _SCALE, _BIAS, _MEAN, _VARIANCE, wrt=(0, 1)),
    case("BatchNormalization", random(2, 6, 5), _SCALE, _BIAS, _MEAN, _VARIANCE, wrt=(0, 4), opset=14),
    case("InstanceNormalization", _IMAGE, _SCALE, _BIAS, wrt=(0, 1, 2)),
    case("InstanceNormalization", random(2, 6, 5), _SCALE, _BIAS, wrt=(0, 1, 2), epsilon=0.01),
    case("LayerNormalization", random(2, 3, 4), random(4, seed=1), random(4, seed=2), wrt=(0, 1, 2)),
    case("LayerNormalization", random(2, 3, 4), random(4, seed=1), wrt=(0, 1), epsilon=0.1),
    case("LayerNormalization", random(2, 3, 4), random(3, 4, seed=1), random(3, 4, seed=2), wrt=(0, 1, 2), axis=1),
    case("LayerNormalization", random(2, 3, 4), random(3, 4, seed=1), random(4, seed=2), wrt=(0, 1, 2), axis=-2),
    case("LayerNormalization", random(2, 3, 4), random(4, seed=1), outputs=3, note="Mean and InvStdDev", opset=17),
    case("GroupNormalization", _IMAGE, _SCALE, _BIAS, wrt=(0, 1, 2), num_groups=3),
    case("GroupNormalization", random(2, 6, 5), _SCALE, _BIAS, wrt=(0, 1, 2), num_groups=2, epsilon=0.1),
    case(
        "GroupNormalization",
        _IMAGE,
        random(3, seed=1),
        random(3, seed=2),
        wrt=(0, 1, 2),
        num_groups=3,
        opset=18,
        in_ort=False,
    ),
    case("RMSNormalization", random(2, 3, 4), random(4, seed=1), wrt=(0, 1), opset=23),
    case("RMSNormalization", random(2, 3, 4), random(3, 4, seed=1), wrt=(0, 1), axis=1, epsilon=0.1, opset=23),
    case("Softmax", random(2, 3, 4)),
    case("Softmax", random(2, 3, 4), axis=1),
    case("LogSoftmax", random(2, 3, 4)),
    case("LogSoftmax", random(2, 3, 4), axis=-2),
    case("LpNormalization", random(2, 3, 4)),
    case("LpNormalization", random(2, 3, 4), axis=1, p=1),
    case("LRN", random(2, 7, 3, 2), size=3, alpha=0.3, beta=0.6, bias=1.2),
    case("LRN", random(2, 7, 3, 2), size=4, alpha=0.3, in_ort=False),
    case("LRN", random(2, 7, 3, 2), size=1, alpha=0.3),
    case("LRN", random(2, 3, 3, 2), size=9, alpha=0.3),
)

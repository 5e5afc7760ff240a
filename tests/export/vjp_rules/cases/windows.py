"""Cases of convolution and pooling."""

from typing import Any

from tests.export.vjp_rules.cases.case import Case, case, distinct, random


def _conv(image: tuple[int, ...], weights: tuple[int, ...], **attributes: object) -> Case:
    bias = random(weights[0], seed=2)
    return case("Conv", random(*image), random(*weights, seed=1), bias, wrt=(0, 1, 2), **attributes)


def _transpose(image: tuple[int, ...], weights: tuple[int, ...], group: int = 1, **attributes: object) -> Case:
    bias = random(weights[1] * group, seed=2)
    return case(
        "ConvTranspose", random(*image), random(*weights, seed=1), bias, wrt=(0, 1, 2), group=group, **attributes
    )


_CONVOLUTIONS = (
    _conv((2, 3, 6, 5), (4, 3, 3, 3), pads=[1, 1, 1, 1]),
    _conv((1, 3, 6, 5), (4, 3, 3, 3)),
    _conv((1, 2, 6, 7), (4, 2, 3, 2), pads=[2, 0, 1, 1]),
    _conv((1, 2, 6, 7), (3, 2, 1, 1)),
    _conv((1, 2, 3, 4), (3, 2, 1, 1), pads=[1, 1, 0, 2]),
    _conv((1, 2, 7, 8), (3, 2, 3, 3), strides=[2, 2], pads=[1, 1, 1, 1]),
    _conv((1, 2, 8, 7), (3, 2, 3, 2), strides=[3, 2], pads=[0, 1, 2, 0]),
    _conv((1, 2, 7, 8), (3, 2, 1, 1), strides=[2, 2]),
    _conv((1, 2, 8, 9), (3, 2, 2, 2), strides=[3, 4]),
    _conv((1, 2, 9, 8), (3, 2, 3, 3), dilations=[2, 1], pads=[2, 1, 2, 1]),
    _conv((1, 2, 9, 9), (3, 2, 3, 3), dilations=[2, 3], strides=[2, 2], pads=[1, 3, 2, 0]),
    _conv((2, 4, 6, 5), (6, 2, 3, 3), group=2, pads=[1, 1, 1, 1]),
    _conv((1, 4, 6, 5), (6, 2, 3, 3), group=2, strides=[2, 2], pads=[1, 1, 1, 1]),
    _conv((2, 4, 6, 5), (4, 1, 3, 3), group=4, pads=[1, 1, 1, 1]),
    _conv((1, 4, 7, 5), (4, 1, 3, 3), group=4, strides=[2, 2], pads=[1, 1, 1, 1]),
    _conv((1, 3, 6, 5), (6, 1, 3, 3), group=3),
    _conv((2, 3, 9), (4, 3, 3), pads=[1, 1]),
    _conv((1, 3, 9), (4, 3, 4), strides=[2], dilations=[2], pads=[1, 2]),
    *(
        _conv((1, 2, 7, 8), (3, 2, 3, 4), strides=strides, auto_pad=auto_pad)
        for auto_pad in ("SAME_UPPER", "SAME_LOWER", "VALID")
        for strides in ([1, 1], [2, 3])
    ),
    _conv((1, 2, 4, 3, 3), (2, 2, 2, 3, 2), pads=[0, 1, 0, 1, 1, 0]),
    case("Conv", random(1, 2, 5, 5), random(3, 2, 3, 3), kernel_shape=[3, 3], opset=13),
    _transpose((1, 3, 4, 5), (3, 2, 3, 3), strides=[2, 2], pads=[1, 1, 1, 1], output_padding=[1, 1]),
    _transpose((2, 3, 4, 5), (3, 2, 3, 3)),
    _transpose((1, 3, 4, 3), (3, 2, 3, 3), strides=[2, 3], pads=[0, 1, 2, 0]),
    _transpose((1, 4, 4, 3), (4, 3, 2, 3), strides=[2, 2], group=2),
    _transpose((1, 3, 4, 3), (3, 2, 3, 3), dilations=[2, 2], pads=[1, 1, 1, 1]),
    _transpose((1, 3, 5), (3, 2, 4), strides=[2], pads=[1, 1]),
    _transpose((1, 3, 4, 5), (3, 2, 3, 3), strides=[2, 2], auto_pad="SAME_UPPER"),
    _transpose((1, 3, 4, 5), (3, 2, 3, 3), strides=[2, 2], auto_pad="SAME_LOWER"),
    _transpose((1, 3, 4, 5), (3, 2, 3, 3), strides=[2, 2], output_shape=[8, 10]),
    _transpose((1, 3, 4, 5), (3, 2, 3, 3), strides=[1, 1], dilations=[3, 3], output_padding=[2, 1], in_ort=False),
)

_POOLING = (
    {"kernel_shape": [2, 2], "strides": [2, 2]},
    {"kernel_shape": [3, 3], "strides": [3, 3]},
    {"kernel_shape": [2, 3], "strides": [2, 3]},
    {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [1, 1, 1, 1]},
    {"kernel_shape": [3, 3], "strides": [1, 1], "pads": [1, 1, 1, 1]},
    {"kernel_shape": [3, 2], "strides": [2, 1], "pads": [0, 1, 2, 0]},
    {"kernel_shape": [2, 2], "strides": [2, 2], "ceil_mode": 1},
    {"kernel_shape": [3, 3], "strides": [2, 2], "ceil_mode": 1},
    {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [1, 1, 1, 1], "ceil_mode": 1},
    {"kernel_shape": [2, 2], "strides": [3, 3]},
    {"kernel_shape": [2, 2], "strides": [1, 1]},
    {"kernel_shape": [3, 3], "strides": [2, 2], "auto_pad": "SAME_UPPER"},
    {"kernel_shape": [3, 2], "strides": [2, 1], "auto_pad": "SAME_LOWER"},
    {"kernel_shape": [2, 2], "strides": [1, 2], "auto_pad": "VALID"},
    {"kernel_shape": [2, 2], "dilations": [2, 1], "strides": [2, 1]},
)

_LP_POOLING: tuple[dict[str, Any], ...] = (
    {"kernel_shape": [2, 2], "strides": [2, 2]},
    {"kernel_shape": [3, 2], "strides": [2, 1], "pads": [0, 1, 2, 0], "p": 3},
    {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1], "p": 1},
    {"kernel_shape": [2, 2], "dilations": [2, 1], "strides": [2, 1]},
    {"kernel_shape": [3, 3], "strides": [2, 2], "auto_pad": "SAME_UPPER"},
)

CASES = (
    *_CONVOLUTIONS,
    *(case("AveragePool", random(2, 3, 7, 8), **attributes) for attributes in _POOLING),
    *(case("AveragePool", random(2, 3, 7, 8), count_include_pad=1, **attributes) for attributes in _POOLING),
    *(case("MaxPool", distinct(2, 3, 7, 8), **attributes) for attributes in _POOLING),
    case("AveragePool", random(2, 3, 8, 6), kernel_shape=[2, 2], strides=[2, 2], note="even"),
    case("MaxPool", distinct(2, 3, 8, 6), kernel_shape=[2, 2], strides=[2, 2], note="even"),
    case("AveragePool", random(2, 3, 9), kernel_shape=[2], strides=[2]),
    case("AveragePool", random(2, 3, 9), kernel_shape=[3], strides=[2], pads=[1, 0]),
    case("MaxPool", distinct(2, 3, 9), kernel_shape=[2], strides=[2]),
    case("MaxPool", distinct(2, 3, 9), kernel_shape=[3], strides=[2], pads=[1, 0]),
    case("MaxPool", distinct(1, 2, 4, 5, 4), kernel_shape=[2, 2, 2], strides=[2, 2, 2]),
    case("AveragePool", random(1, 2, 4, 5, 4), kernel_shape=[2, 2, 2], strides=[2, 2, 2]),
    case("MaxPool", distinct(1, 2, 4, 6), kernel_shape=[2, 2], strides=[2, 2], outputs=2, note="indices unused"),
    *(case("LpPool", random(2, 3, 7, 8), opset=22, **attributes) for attributes in _LP_POOLING),
    case("LpPool", random(2, 3, 9), kernel_shape=[3], strides=[2], p=4, opset=22),
    case("GlobalLpPool", random(2, 3, 4, 5)),
    case("GlobalLpPool", random(2, 3, 4), p=3),
    case("GlobalLpPool", random(2, 3, 4, 5), p=1),
    case("GlobalAveragePool", random(2, 3, 4, 5)),
    case("GlobalAveragePool", random(2, 3, 4)),
    case("GlobalMaxPool", distinct(2, 3, 4, 5)),
    case("GlobalMaxPool", distinct(2, 3, 4)),
)

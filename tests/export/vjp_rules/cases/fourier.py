"""Cases of DFT and STFT."""

import numpy as np

from tests.export.vjp_rules.cases.case import case, random

_REAL, _COMPLEX = random(2, 7, 3, 1), random(2, 7, 3, 2)
_SIGNAL, _WINDOW = random(2, 20, 1), random(8, seed=1)

CASES = (
    *(
        each
        for values in (_REAL, _COMPLEX)
        for each in (
            case("DFT", values, axis=1, opset=17),
            case("DFT", values, np.array(5), axis=1, opset=17),
            case("DFT", values, np.array(9), np.array(-3), opset=20),
            case("DFT", values, None, np.array(1), inverse=1, opset=20),
            case("DFT", values, opset=20),
        )
    ),
    *(case("DFT", _REAL, None, np.array(axis), onesided=1, opset=20) for axis in (1, 2)),
    case("DFT", _REAL, np.array(8), axis=1, onesided=1, opset=17),
    case("DFT", _REAL, np.array(4), axis=1, onesided=1, opset=17),
    # onesided is written out: shape inference (onnx 1.23) takes its default for 0.
    case("STFT", _SIGNAL, np.array(4), _WINDOW, wrt=(0, 2), onesided=1),
    case("STFT", _SIGNAL, np.array(3), None, np.array(8), onesided=1),
    case("STFT", _SIGNAL, np.array(5), _WINDOW, np.array(8), onesided=0, opset=17),
)

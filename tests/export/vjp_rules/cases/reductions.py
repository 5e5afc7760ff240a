"""Cases of reductions."""

import numpy as np

from tests.export.vjp_rules.cases.case import Case, case, distinct, random

_X = random(2, 3, 4)
_POSITIVE = random(2, 3, 4, low=0.2)
_WITH_ZEROS = np.where(np.arange(24).reshape(2, 3, 4) % 7 == 3, 0.0, _X)
_VALUES = {
    "ReduceSum": _X,
    "ReduceMean": _X,
    "ReduceSumSquare": _X,
    "ReduceL1": _X,
    "ReduceL2": _X,
    "ReduceMax": distinct(2, 3, 4),
    "ReduceMin": distinct(2, 3, 4),
    "ReduceProd": _X,
    "ReduceLogSum": _POSITIVE,
    "ReduceLogSumExp": _X,
}


def _cases(op: str) -> tuple[Case, ...]:
    values = _VALUES[op]
    since = 13 if op == "ReduceSum" else 18
    newer = (
        case(op, values, [1]),
        case(op, values, [-1, 0], keepdims=0),
        case(op, values, [2, 1], keepdims=1),
        case(op, values, keepdims=0),
        case(op, values, note="all"),
        case(op, values, np.array([], np.int64), keepdims=0, note="empty axes"),
        case(op, np.array(0.6), keepdims=0, note="scalar"),
    )
    older = (
        (case(op, values, [-2], keepdims=0, opset=since),)
        if op == "ReduceSum"
        else (case(op, values, axes=[-2], keepdims=0, opset=13), case(op, values, axes=[0, 2], opset=13))
    )
    return newer + older


CASES = (
    *(each for op in _VALUES for each in _cases(op)),
    case("ReduceSum", _X, noop_with_empty_axes=1, note="nothing"),
    case("ReduceMean", _X, np.array([], np.int64), noop_with_empty_axes=1, keepdims=0, note="nothing"),
    case("ReduceMax", _X, noop_with_empty_axes=1, note="nothing"),
    case("ReduceProd", _WITH_ZEROS, [2], note="one zero or none"),
    case("ReduceProd", _WITH_ZEROS, keepdims=0, note="several zeros"),
    case("ReduceSum", random(1, 3, 1), [0, 2], note="size one"),
    case("ReduceMean", random(3, 1), [1], keepdims=0, note="size one"),
)

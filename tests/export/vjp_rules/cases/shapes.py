"""Cases of operators that move elements about, by position or by index, and of padding and resampling."""

import numpy as np

from tests.export.vjp_rules.cases.case import Case, case, random

_X = random(2, 3, 4)
_IMAGE = random(1, 2, 4, 5)
_LAST = np.iinfo(np.int64).max


def _resizes() -> tuple[Case, ...]:
    modes = ("half_pixel", "half_pixel_symmetric", "pytorch_half_pixel", "align_corners", "asymmetric")
    # The reference evaluator does not round the size in align_corners, so that its scales must give whole sizes.
    scales = (
        np.array([1, 1, 2, 3], np.float32),
        np.array([1, 1, 1.75, 0.4], np.float32),
        np.array([1, 1, 1.6, 0.7], np.float32),
    )
    return tuple(
        case("Resize", _IMAGE, None, scale, mode=mode, coordinate_transformation_mode=coordinates)
        for mode in ("nearest", "linear", "cubic")
        for coordinates in modes
        for scale in (scales[:2] if coordinates == "align_corners" else scales)
    )


CASES = (
    case("Reshape", _X, [4, -1]),
    case("Reshape", _X, [0, 12]),
    case("Flatten", _X),
    case("Flatten", _X, axis=-1),
    case("Flatten", _X, axis=0),
    case("Squeeze", random(1, 3, 1), [-1]),
    case("Squeeze", random(1, 3, 1)),
    case("Unsqueeze", random(3, 4), [0, -1]),
    case("Transpose", _X),
    case("Transpose", _X, perm=[1, 2, 0]),
    case("Expand", random(3, 1), [2, 1, 4]),
    case("Expand", random(2, 3), [1, 1]),
    case("Tile", _X, [2, 1, 3]),
    case("Tile", _X, [1, 1, 1]),
    case("Trilu", random(2, 4, 5)),
    case("Trilu", random(2, 4, 5), np.array(-1), upper=0),
    case("CumSum", _X, np.array(1)),
    case("CumSum", _X, np.array(-1), reverse=1),
    case("CumSum", _X, np.array(0), exclusive=1),
    case("CumSum", _X, np.array(2), exclusive=1, reverse=1),
    case("ReverseSequence", random(4, 3, 2), np.array([4, 1, 3])),
    case("ReverseSequence", random(3, 4, 2), np.array([4, 1, 3]), batch_axis=0, time_axis=1),
    case("SpaceToDepth", random(2, 3, 4, 6), blocksize=2),
    case("DepthToSpace", random(2, 8, 2, 3), blocksize=2),
    case("DepthToSpace", random(2, 8, 2, 3), blocksize=2, mode="CRD"),
    case("Concat", _X, random(2, 1, 4), random(2, 2, 4, seed=2), wrt=(0, 1, 2), axis=1),
    case("Concat", _X, random(2, 3, 1), wrt=(1,), axis=-1),
    case("Split", random(2, 6), outputs=3, measured=(0, 1, 2), axis=-1, num_outputs=3, opset=18),
    case("Split", random(2, 7), outputs=3, measured=(0, 2), axis=1, num_outputs=3, opset=18),
    case("Split", random(2, 7), [1, 4, 2], outputs=3, measured=(1,), axis=1),
    case("Split", random(6, 2), outputs=2, measured=(0, 1), opset=13),
    case("Split", random(6, 2), outputs=1, axis=0, num_outputs=1, opset=18),
    case("Slice", _X, [1], [3], [2]),
    case("Slice", _X, [0, 1], [1, _LAST]),
    case("Slice", _X, [-3, -2], [-1, _LAST], [-1, 0]),
    case("Slice", random(3, 9), [1], [_LAST], [1], [3]),
    case("Slice", random(3, 9), [-1, 2], [-_LAST, 0], [1, 0], [-1, -1]),
    case("Slice", random(5, 9), [-2, 4], [-10, 0], [1, 0], [-3, -2]),
    case("Slice", random(5, 9), [0, 0], [5, 9], [0, 1], [2, 4]),
    case("Slice", random(5, 9), [3], [100], [0], [7], note="one element"),
    case("Pad", _X, [0, 1, 2, 1, 0, 1]),
    case("Pad", _X, [0, 1, 2, 1, 0, 1], np.array(0.5), wrt=(0, 2)),
    case("Pad", _X, [0, -1, 2, 0, 1, -1], np.array(0.5), wrt=(0, 2)),
    case("Pad", _X, [-1, -1, 0, 0, 0, -2]),
    case("Pad", _X, [1, 2, 0, 1], None, [-1, 0]),
    *(case("Pad", random(3, 5), [1, 2, 2, 3], mode=mode) for mode in ("reflect", "edge")),
    case("Pad", random(3, 5), [1, 2, 2, 3], mode="wrap", opset=19),
    case("Pad", random(3, 5), [0, 4, 0, 0], mode="reflect"),
    case("Pad", random(3, 1), [0, 4, 0, 2], mode="edge"),
    case("Gather", _X, [2, 1, 0], axis=1),
    case("Gather", _X, np.array(-1), axis=2),
    case("Gather", _X, np.array([[0, 1], [1, 1]]), axis=1),
    case("Gather", _X, [3, 1, 1, 0, 3, 2, 3, 0, 1], axis=-1),
    case("Gather", _X, [1, 0, 1, 0, 1, 0, 1]),
    case("Gather", random(7, 2), [0, 1, 2, 5]),
    case("GatherElements", _X, np.array([[[0, 1, 1, 0], [1, 1, 0, -1], [0, 0, 1, 1]]])),
    case("GatherElements", _X, np.array([[[0, 3], [3, 1], [1, 1]], [[1, 1], [-1, 0], [2, 2]]]), axis=2),
    case("GatherND", _X, np.array([[0, 1], [1, 2], [0, 1]])),
    case("GatherND", _X, np.array([[0, 1, -1], [1, 2, 0]])),
    case("ScatterElements", _X, np.array([[[0, 1, 1, 0], [1, 1, 0, -1], [0, 0, 1, 1]]]), random(1, 3, 4), wrt=(0, 2)),
    case(
        "ScatterElements",
        _X,
        np.array([[[0, 3], [3, 1], [1, 0]], [[1, 0], [-1, 0], [2, 3]]]),
        random(2, 3, 2),
        wrt=(0, 2),
        axis=2,
    ),
    case("ScatterND", _X, np.array([[0, 1], [1, 2]]), random(2, 4, seed=1), wrt=(0, 2)),
    *_resizes(),
    *(
        case("Resize", _IMAGE, None, np.array([1, 1, 1.5, 2.5], np.float32), mode="nearest", nearest_mode=mode)
        for mode in ("round_prefer_floor", "round_prefer_ceil", "floor", "ceil")
    ),
    case("Resize", _IMAGE, None, None, [1, 2, 7, 3], mode="linear"),
    case("Resize", _IMAGE, None, None, [8, 15], mode="nearest", axes=[2, 3]),
    case("Resize", _IMAGE, None, None, [9, 7], mode="linear", axes=[2, 3], keep_aspect_ratio_policy="not_larger"),
    case("Resize", _IMAGE, None, None, [9, 7], mode="linear", axes=[3, 2], keep_aspect_ratio_policy="not_smaller"),
    case("Resize", _IMAGE, None, np.array([1, 1, 1, 2], np.float32), mode="nearest", note="one axis"),
    case("Resize", random(2, 3), None, np.array([2, 3], np.float32), mode="nearest", note="no image"),
    case("Resize", random(2, 3, 4), None, np.array([2, 1.5, 1], np.float32), mode="linear", note="first axes"),
    case("Resize", _IMAGE, None, np.array([1, 1, 0.5, 2], np.float32), mode="cubic", cubic_coeff_a=-0.5),
    case("Resize", _IMAGE, None, np.array([1, 1, 1.7, 2], np.float32), mode="cubic", exclude_outside=1),
    case("Resize", _IMAGE, None, np.array([1, 1, 1, 1], np.float32), mode="linear", note="nothing"),
)

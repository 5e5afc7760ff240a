"""Cases of scattering with reductions, TopK, GatherND with batch axes, and GridSample."""

import numpy as np

from tests.export.vjp_rules.cases.case import Array, Case, case, distinct, random

_X = random(2, 3, 4)
_PLACES = np.array([[[0, 1, 1, 0], [1, 1, 0, -1], [0, 0, 1, 1]]])
_COLUMNS = np.array([[[0, 3], [3, 1], [1, 1]], [[1, 1], [-1, 0], [2, 3]]])
_ROWS = np.array([[0, 1], [1, 2], [0, 1]])
_SOME_ZERO = np.where(np.arange(12).reshape(2, 3, 2) % 5 == 1, 0.0, random(2, 3, 2, seed=4))


def _scatters(reduction: str) -> tuple[Case, ...]:
    make = distinct if reduction in ("max", "min") else random
    x = make(2, 3, 4)
    return (
        case("ScatterElements", x, _PLACES, make(1, 3, 4, seed=1) * 0.9, wrt=(0, 2), reduction=reduction, opset=18),
        case("ScatterElements", x, _COLUMNS, make(2, 3, 2, seed=1) * 0.9, wrt=(0, 2), reduction=reduction, axis=-1),
        case("ScatterND", x, _ROWS, make(3, 4, seed=1) * 0.9, wrt=(0, 2), reduction=reduction, opset=18),
        case("ScatterND", x, np.array([[0, 1, -1], [1, 2, 0]]), make(2, seed=1), wrt=(0, 2), reduction=reduction),
    )


def _grids(axes: int, mode: str, **settings: object) -> tuple[Case, ...]:
    image = random(2, 3, *(4, 5, 3)[:axes])
    inside = random(2, *(3, 2, 2)[:axes], axes, low=-0.9, high=0.9)
    outside: Array = random(2, *(3, 2, 2)[:axes], axes, low=-1.9, high=1.9, seed=3)
    wrt = (0,) if mode == "nearest" else (0, 1)
    return tuple(
        case(
            "GridSample",
            image,
            grid,
            wrt=wrt,
            mode=mode,
            padding_mode=padding,
            align_corners=align,
            note=note,
            opset=20,
            **settings,
        )
        for padding in ("zeros", "border", "reflection")
        for align in (0, 1)
        for note, grid in (("inside", inside), ("outside", outside))
    )


CASES = (
    *(each for reduction in ("add", "mul", "max", "min") for each in _scatters(reduction)),
    case("ScatterElements", _X, _COLUMNS, _SOME_ZERO, wrt=(0, 2), axis=2, reduction="mul", note="zeros", opset=18),
    case("TopK", distinct(3, 7), [3], outputs=2),
    case("TopK", distinct(3, 7), [2], outputs=2, axis=0, largest=0),
    case("TopK", distinct(2, 3, 4), [2], outputs=2, axis=1),
    case("TopK", distinct(3, 7), [3], outputs=2, opset=13),
    case("GatherND", random(2, 3, 4), np.array([[[0], [2], [0]], [[1], [1], [2]]]), batch_dims=1),
    case("GatherND", random(2, 3, 4, 2), np.array([[[1], [3], [0]], [[2], [2], [-1]]]), batch_dims=2),
    case("GatherND", random(2, 3, 4), np.array([[1, 0], [2, 3]]), batch_dims=1),
    *(each for mode in ("linear", "nearest", "cubic") for each in _grids(2, mode)),
    *(each for mode in ("linear", "nearest") for each in _grids(3, mode)),
    case("GridSample", random(1, 2, 4, 4), random(1, 2, 3, 2), wrt=(0, 1), opset=16),
    case("GridSample", random(1, 2, 4, 4), random(1, 2, 3, 2), wrt=(0, 1), mode="bicubic", opset=16),
)

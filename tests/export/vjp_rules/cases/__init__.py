"""One node per case, for the checks of every gradient rule."""

from tests.export.vjp_rules.cases import (
    elementwise,
    fourier,
    indexing,
    linear,
    normalizations,
    recurrent,
    reductions,
    shapes,
    windows,
)
from tests.export.vjp_rules.cases.case import Case

CASES: tuple[Case, ...] = (
    *elementwise.CASES,
    *fourier.CASES,
    *indexing.CASES,
    *linear.CASES,
    *normalizations.CASES,
    *recurrent.CASES,
    *reductions.CASES,
    *shapes.CASES,
    *windows.CASES,
)

__all__ = ["CASES", "Case"]

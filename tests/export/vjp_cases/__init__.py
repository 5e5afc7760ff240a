"""One node per case, for the checks of every gradient rule."""

from tests.export.vjp_cases import elementwise, linear, normalizations, reductions, shapes, windows
from tests.export.vjp_cases.case import Case

CASES: tuple[Case, ...] = (
    *elementwise.CASES,
    *linear.CASES,
    *normalizations.CASES,
    *reductions.CASES,
    *shapes.CASES,
    *windows.CASES,
)

__all__ = ["CASES", "Case"]

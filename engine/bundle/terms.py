"""The weights of the terms as numbers that a program multiplies: factor x power^-exponent.

The power of a term is the mean square of what it compares, computed from its targets (`target_power`); a weighting
that measures relative errors divides by it.
"""

from collections.abc import Sequence
from typing import Any

from impasto.engine.compile.network import Network
from impasto.engine.compile.term_factors import term_factors
from impasto.engine.settings import Settings
from impasto.export.terms import MOMENTS, Term
from impasto.models.errors import ImpastoError

CALIBRATED = "calibrated"


def check_weights(settings: Settings) -> None:
    """Check that the weights of a bundle do not depend on each other's targets.

    Raises:
        ImpastoError: a strength or a smoothness outside the weighting `CALIBRATED`; it weighs content or total
            variation against the style's targets.
    """
    if settings.weighting == CALIBRATED:
        return
    for name, instead, depends in (
        ("strength", "content-weight", settings.strength is not None),
        ("smoothness", "tv-weight", bool(settings.smoothness)),
    ):
        if depends:
            raise ImpastoError(
                f"a bundle has no {name} with --weighting {settings.weighting}: give --{instead} instead, or "
                f"--weighting {CALIBRATED}"
            )


def describe_terms(terms: Sequence[Term], settings: Settings, network: Network) -> list[dict[str, Any]]:
    """Return the terms of an objective for the manifest, in the order of the columns of `weights`."""
    factors = term_factors(terms, settings, network)
    return [_described(term, factor, settings) for term, factor in zip(terms, factors, strict=True)]


def _described(term: Term, factor: float, settings: Settings) -> dict[str, Any]:
    relative = settings.weighting == CALIBRATED
    matrix = term.kind == "style" and term.style_loss != MOMENTS
    power = None
    if relative and term.targets:
        divisor = term.channels * (term.positions if term.kind == "content" else 1)
        power = {
            "of": list(term.targets),
            "sum": "trace" if matrix else "squares",
            "divisor": divisor,
            "exponent": 2 if matrix else 1,
        }
    return {
        "name": term.name,
        "kind": term.kind,
        "tap": term.tap,
        "targets": list(term.targets),
        "factor": factor,
        "power": power,
    }

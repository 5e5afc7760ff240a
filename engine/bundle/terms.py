"""The weights of the terms as numbers that a program multiplies: factor x power^-exponent.

The power of a term is the mean square of what it compares, computed from its targets (`target_power`); a weighting
that measures relative errors divides by it.
"""

from collections.abc import Sequence
from typing import Any

from impasto.engine.compile.network import Network
from impasto.engine.settings import Settings
from impasto.export.terms import MOMENTS, Term
from impasto.export.weightings import coefficients
from impasto.models.errors import ImpastoError

CALIBRATED = "calibrated"


def check_weights(settings: Settings) -> None:
    """Check that the weights of a bundle do not depend on each other's targets.

    Raises:
        ImpastoError: a strength outside the weighting `CALIBRATED`, which weighs content against the style's targets.
    """
    if settings.strength is not None and settings.weighting != CALIBRATED:
        raise ImpastoError(
            f"a bundle has no strength with --weighting {settings.weighting}: give --content-weight instead, or "
            f"--weighting {CALIBRATED}"
        )


def describe_terms(terms: Sequence[Term], settings: Settings, network: Network) -> list[dict[str, Any]]:
    """Return the terms of an objective for the manifest, in the order of the columns of `weights`."""
    taps = {"content": settings.active_content_taps, "style": settings.active_style_taps}
    factors = coefficients(
        terms,
        settings.weighting,
        content_weight=settings.content_weight or 0.0,
        strength=settings.strength,
        style_weight=settings.style_weight or 0.0,
        tv_weight=settings.tv_weight or 0.0,
        layer_weights={f"{kind}_{network.find_tap(tap.name)}": tap.weight for kind in taps for tap in taps[kind]},
    )
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

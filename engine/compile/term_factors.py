"""The factor of every term of a run, from its settings."""

from collections.abc import Mapping, Sequence

from impasto.engine.compile.network import Network
from impasto.engine.settings import Settings
from impasto.export.terms import Term
from impasto.export.weightings import coefficients


def term_factors(
    terms: Sequence[Term], settings: Settings, network: Network, powers: Mapping[str, float] | None = None
) -> list[float]:
    """Return the factor of every term's unweighted loss, in the terms' order.

    Args:
        terms: of the objective graph.
        settings: of the run.
        network: of the graph; it finds the taps that the settings name.
        powers: as for `impasto.export.weightings.coefficients`; None is 1 for every term.
    """
    taps = {"content": settings.active_content_taps, "style": settings.active_style_taps}
    return coefficients(
        terms,
        settings.weighting,
        content_weight=settings.content_weight or 0.0,
        strength=settings.strength,
        smoothness=settings.smoothness,
        style_weight=settings.style_weight or 0.0,
        tv_weight=settings.tv_weight or 0.0,
        layer_weights={f"{kind}_{network.find_tap(tap.name)}": tap.weight for kind in taps for tap in taps[kind]},
        powers=powers,
    )

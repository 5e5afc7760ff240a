"""The coefficient of every term, from alpha, beta and the layer weights.

`paper` is the literal objective of Gatys et al. (arXiv:1508.06576, equations 1, 4, 5 and 7),

    L = alpha * 1/2 sum (F - P)^2  +  beta * sum_l w_l / (4 N_l^2 M_l^2) sum (G_l - A_l)^2  +  gamma * TV,

with w_l = 1 / (number of style taps). `johnson` takes the numbers that users of jcjohnson/neural-style know:

    content_weight * mean (F - P)^2  +  style_weight * mean (G / (N M) - A / (N M))^2  +  tv_weight * TV / 2

with TV on 0..255. Both are the same sums with other factors, so a conversion is all that the second one needs:
alpha = 2 cw / (N M) and beta w_l = 4 sw / N^2.

`calibrated` measures every error against what is to be reached, so that the weights mean the same on another network,
size or pooling:

    alpha * sum (F - P)^2 / sum P^2  +  beta * sum_l w_l / 4 * sum (G_l - A_l)^2 / (trace A_l)^2  +  gamma * mean TV.

Each tap is scaled to unit mean square, by the content image for its content term and by the painting for its style
term; the content term is then a mean over all values (times 2 / (N M)) and no longer a sum. Differs from Gatys et al.
(CVPR 2016, section 2): their normalised network does this filter by filter and for a fixed set of pictures
(`impasto.export.normalisation`); docs/decisions.md says why this one does not.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from impasto.export.terms import Term


@dataclass(frozen=True)
class Weighting:
    """A named convention for the three weights, with the values that its users expect as defaults."""

    name: str
    content_weight: float
    style_weight: float
    tv_weight: float


CALIBRATED_ALPHA = 2e-3

WEIGHTINGS: Mapping[str, Weighting] = {
    "paper": Weighting("paper", content_weight=1e-4, style_weight=1.0, tv_weight=0.0),
    "johnson": Weighting("johnson", content_weight=5.0, style_weight=100.0, tv_weight=1e-3),
    "calibrated": Weighting("calibrated", content_weight=CALIBRATED_ALPHA, style_weight=1.0, tv_weight=0.0),
}


def coefficients(
    terms: Sequence[Term],
    weighting: str,
    *,
    content_weight: float,
    style_weight: float,
    tv_weight: float,
    layer_weights: Mapping[str, float | None],
    powers: Mapping[str, float] | None = None,
) -> list[float]:
    """Return the factor of every term's unweighted loss, in the terms' order.

    Args:
        terms: of the objective graph.
        weighting: a key of `WEIGHTINGS`.
        content_weight: alpha, or the convention's own content weight.
        style_weight: beta, or the convention's own style weight.
        tv_weight: of total variation.
        layer_weights: by term name; None or absent is the convention's default: 1 for a content tap and, for a
            style tap, 1 / (number of style taps) in `paper` and `calibrated` and 1 in `johnson`.
        powers: by term name, as `target_power` gives them; for `calibrated`.
    """
    style_taps = sum(term.kind == "style" for term in terms)
    weights = {"content": content_weight, "style": style_weight, "tv": tv_weight}
    factors = []
    for term in terms:
        default = 1.0 / style_taps if term.kind == "style" and weighting != "johnson" else 1.0
        layer = layer_weights.get(term.name)
        unit = _unit(term, weighting, (powers or {}).get(term.name, 1.0))
        factors.append(unit * weights[term.kind] * (default if layer is None else layer))
    return factors


def _unit(term: Term, weighting: str, power: float) -> float:
    """Return the factor of a term whose weight is 1."""
    if weighting == "paper":
        return 1.0
    entries = term.channels * term.positions
    if weighting == "johnson":
        return {"content": 2.0 / entries, "style": 4.0 / term.channels**2, "tv": 255.0**2 / 2.0}[term.kind]
    return {"content": 2.0 / (entries * power), "style": 1.0 / power**2, "tv": 1.0 / entries}[term.kind]


def target_power(term: Term, target: np.ndarray) -> float:
    """Return the mean square of a tap's features, from a content or style term's target; 1 where that is 0 throughout.

    The target is of one sample: content features [C, h, w] or a Gram matrix over M positions [C, C]. The power is that
    per channel that the term stands for.
    """
    if term.kind == "style":
        power = float(np.trace(target, dtype=np.float64)) / term.channels
    else:
        power = float(np.square(target, dtype=np.float64).sum()) / (term.channels * term.positions)
    return power or 1.0


def conversion(terms: Sequence[Term], factors: Sequence[float]) -> str:
    """Say in one line what the factors are in the paper's own terms: alpha, and beta w_l by tap."""
    names = {"content": "alpha", "style": "beta w", "tv": "tv"}
    return ", ".join(f"{names[t.kind]}[{t.tap}] = {f:.4g}" for t, f in zip(terms, factors, strict=True))

"""What alpha, beta and the layer weights come to: the coefficient of every term.

`paper` is the literal objective of Gatys et al. (arXiv:1508.06576, equations 1, 4, 5 and 7),

    L = alpha * 1/2 sum (F - P)^2  +  beta * sum_l w_l / (4 N_l^2 M_l^2) sum (G_l - A_l)^2  +  gamma * TV,

with w_l = 1 / (number of style taps). `johnson` takes the numbers that users of jcjohnson/neural-style know:

    content_weight * mean (F - P)^2  +  style_weight * mean (G / (N M) - A / (N M))^2  +  tv_weight * TV / 2

with TV on 0..255. Both are the same sums with other factors, so a conversion is all that the second one needs:
alpha = 2 cw / (N M) and beta w_l = 4 sw / N^2.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from impasto.export.terms import Term


@dataclass(frozen=True)
class Weighting:
    """A named convention for the three weights, with the values that its users expect as defaults."""

    name: str
    content_weight: float
    style_weight: float
    tv_weight: float


WEIGHTINGS: Mapping[str, Weighting] = {
    "paper": Weighting("paper", content_weight=1e-4, style_weight=1.0, tv_weight=0.0),
    "johnson": Weighting("johnson", content_weight=5.0, style_weight=100.0, tv_weight=1e-3),
}


def coefficients(
    terms: Sequence[Term],
    weighting: str,
    *,
    content_weight: float,
    style_weight: float,
    tv_weight: float,
    layer_weights: Mapping[str, float | None],
) -> list[float]:
    """Return the factor of every term's unweighted loss, in the terms' order.

    Args:
        terms: of the objective graph.
        weighting: a key of `WEIGHTINGS`.
        content_weight: alpha, or the convention's own content weight.
        style_weight: beta, or the convention's own style weight.
        tv_weight: of total variation.
        layer_weights: by term name; None or absent is the convention's default: 1 for a content tap and, for a
            style tap, 1 / (number of style taps) in `paper` and 1 in `johnson`.
    """
    style_taps = sum(term.kind == "style" for term in terms)
    factors = []
    for term in terms:
        layer = layer_weights.get(term.name)
        if weighting == "paper":
            default = 1.0 / style_taps if term.kind == "style" else 1.0
            factor = {"content": content_weight, "style": style_weight, "tv": tv_weight}[term.kind]
        else:
            default = 1.0
            factor = {
                "content": 2.0 * content_weight / (term.channels * term.positions),
                "style": 4.0 * style_weight / term.channels**2,
                "tv": tv_weight * 255.0**2 / 2.0,
            }[term.kind]
        factors.append(factor * (default if layer is None else layer))
    return factors


def conversion(terms: Sequence[Term], factors: Sequence[float]) -> str:
    """Say in one line what the factors are in the paper's own terms: alpha, and beta w_l by tap."""
    names = {"content": "alpha", "style": "beta w", "tv": "tv"}
    return ", ".join(f"{names[t.kind]}[{t.tap}] = {f:.4g}" for t, f in zip(terms, factors, strict=True))

"""The coefficient of every term, from alpha, beta and the layer weights.

`paper` is the literal objective of Gatys et al. (arXiv:1508.06576, equations 1, 4, 5 and 7),

    L = alpha * 1/2 sum (F - P)^2  +  beta * sum_l w_l / (4 N_l^2 M_l^2) sum (G_l - A_l)^2  +  gamma * TV,

with w_l = 1 / (number of style taps). `johnson` takes the numbers that users of jcjohnson/neural-style know:

    content_weight * mean (F - P)^2  +  style_weight * mean (G / (N M) - A / (N M))^2  +  tv_weight * TV / 2

with TV on 0..255 (a norm of TV that is no square is not halved, and not theirs). Both are the same sums with other
factors, so a conversion is all that the second one needs: alpha = 2 cw / (N M) and beta w_l = 4 sw / N^2.

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

from impasto.export.terms import GRAM, GRAM_MEAN, L1, L2, MOMENTS, SQUARED, Term


@dataclass(frozen=True)
class Weighting:
    """A named convention for the three weights, with the values that its users expect as defaults."""

    name: str
    content_weight: float
    style_weight: float
    tv_weight: float


CALIBRATED_ALPHA = 2e-3

HALF_STRENGTH = {GRAM: CALIBRATED_ALPHA, GRAM_MEAN: CALIBRATED_ALPHA, MOMENTS: 1.2e-2}
"""By style loss, alpha under `calibrated` of the strength 1/2, for style weights whose sum is 1."""

USUAL_SMOOTHNESS = {SQUARED: 3.0, L1: 0.3, L2: 0.22}
"""By norm, the weight of total variation under `calibrated` of the smoothness 1, for style weights whose sum is 1.

Those of `L1` and `L2` have a gradient of the same root mean square as `SQUARED` at a picture that was painted with it.
"""

STRENGTH_RANGE = 1e3
"""How many times more the content weighs at strength 0 than at strength 1."""

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
    strength: float | None = None,
    smoothness: float | None = None,
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
        powers: by term name, as `target_power` gives them; for `calibrated`, a strength and a smoothness.
        strength: 0 to 1, in place of the content weight; see `content_strength`.
        smoothness: 0 or more, in place of the weight of total variation; see `with_smoothness`.
    """
    style_taps = sum(term.kind == "style" for term in terms)
    weights = {"content": content_weight, "style": style_weight, "tv": tv_weight}
    factors = []
    for term in terms:
        default = 1.0 / style_taps if term.kind == "style" and weighting != "johnson" else 1.0
        layer = layer_weights.get(term.name)
        unit = _unit(term, weighting, (powers or {}).get(term.name, 1.0))
        factors.append(unit * weights[term.kind] * (default if layer is None else layer))
    if strength is not None:
        factors = content_strength(terms, factors, strength, layer_weights=layer_weights, powers=powers or {})
    return factors if smoothness is None else with_smoothness(terms, factors, smoothness, powers=powers or {})


def content_strength(
    terms: Sequence[Term],
    factors: Sequence[float],
    strength: float,
    *,
    layer_weights: Mapping[str, float | None],
    powers: Mapping[str, float],
) -> list[float]:
    """Return the factors of the terms, with those of the content terms from a strength.

    Content is weighed against style with both as relative errors, as `calibrated` measures them:

        alpha = HALF[style loss] * 1000^(1/2 - strength) * sum_l beta_l,

    where beta_l is what a style factor is in `calibrated`. So 1/2 is the usual picture, and each tenth more divides the
    weight of the content by 2.

    Args:
        terms: of the objective graph.
        factors: theirs; those of the content terms are replaced.
        strength: 0 to 1.
        layer_weights: as for `coefficients`.
        powers: as for `coefficients`; of every term with a target.
    """
    half = next((HALF_STRENGTH[term.style_loss] for term in terms if term.kind == "style"), HALF_STRENGTH[GRAM])
    alpha = half * STRENGTH_RANGE ** (0.5 - strength) * _style_share(terms, factors, powers)
    replaced = []
    for term, factor in zip(terms, factors, strict=True):
        if term.kind == "content":
            layer = layer_weights.get(term.name)
            unit = _unit(term, "calibrated", powers.get(term.name, 1.0))
            replaced.append(alpha * unit * (1.0 if layer is None else layer))
        else:
            replaced.append(factor)
    return replaced


def with_smoothness(
    terms: Sequence[Term], factors: Sequence[float], smoothness: float, *, powers: Mapping[str, float]
) -> list[float]:
    """Return the factors of the terms, with that of total variation from a smoothness.

    Total variation is weighed against style, with both as `calibrated` measures them:

        gamma = USUAL[norm] * smoothness * sum_l beta_l,

    where beta_l is what a style factor is in `calibrated`. So 1 is the usual picture, at every size and weighting.

    Args:
        terms: of the objective graph.
        factors: theirs; that of total variation is replaced.
        smoothness: 0 or more.
        powers: as for `coefficients`; of every style term.
    """
    weight = smoothness * _style_share(terms, factors, powers)
    return [
        weight * USUAL_SMOOTHNESS[term.tv_norm] * _unit(term, "calibrated", 1.0) if term.kind == "tv" else factor
        for term, factor in zip(terms, factors, strict=True)
    ]


def _style_share(terms: Sequence[Term], factors: Sequence[float], powers: Mapping[str, float]) -> float:
    """Return the sum of what the style factors are in `calibrated`; 1 where there are none."""
    share = sum(
        factor / _unit(term, "calibrated", powers.get(term.name, 1.0))
        for term, factor in zip(terms, factors, strict=True)
        if term.kind == "style"
    )
    return share or 1.0


def _unit(term: Term, weighting: str, power: float) -> float:
    """Return the factor of a term whose weight is 1."""
    if weighting == "paper":
        return 1.0
    entries = term.channels * term.positions
    distance = term.kind == "style" and term.style_loss == MOMENTS  # squared: in the features' square, not its square
    if weighting == "johnson":
        style = 1.0 / term.channels if distance else 4.0 / term.channels**2
        tv = 255.0**2 / 2.0 if term.tv_norm == SQUARED else 255.0  # on 0..255; half is a square's
        return {"content": 2.0 / entries, "style": style, "tv": tv}[term.kind]
    style = 1.0 / (term.channels * power) if distance else 1.0 / power**2
    tv = 1.0 / (term.positions if term.tv_norm == L2 else entries)
    return {"content": 2.0 / (entries * power), "style": style, "tv": tv}[term.kind]


def target_power(term: Term, *targets: np.ndarray) -> float:
    """Return the mean square of what a term compares, from its targets; 1 where that is 0 throughout.

    The targets are of one sample, in the order of `Term.targets`: content features [C, h, w]; a Gram or covariance
    matrix over M positions [C, C]; or a mean [C, 1] and a root of the covariance [C, C]. The power is that per channel
    that the term stands for: of the features, or for `gram-mean` of the features without their mean.
    """
    if term.kind == "style" and term.style_loss != MOMENTS:
        power = float(np.trace(targets[0], dtype=np.float64)) / term.channels
    else:
        values = term.channels * (term.positions if term.kind == "content" else 1)
        power = sum(float(np.square(target, dtype=np.float64).sum()) for target in targets) / values
    return power or 1.0


def conversion(terms: Sequence[Term], factors: Sequence[float]) -> str:
    """Say in one line what the factors are in the paper's own terms: alpha, and beta w_l by tap."""
    names = {"content": "alpha", "style": "beta w", "tv": "tv"}
    return ", ".join(f"{names[t.kind]}[{t.tap}] = {f:.4g}" for t, f in zip(terms, factors, strict=True))

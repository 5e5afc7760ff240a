"""Coefficients of the terms, against the conventions written out on arrays."""

from typing import TypedDict

import numpy as np
import pytest

from impasto.export.terms import Term
from impasto.export.weightings import coefficients, conversion, target_power

TERMS = (
    Term("content", "relu4_2", channels=6, positions=20),
    Term("style", "relu1_1", channels=4, positions=80),
    Term("style", "relu2_1", channels=6, positions=20),
    Term("tv", "image", channels=3, positions=320),
)


class Weights(TypedDict):
    content_weight: float
    style_weight: float
    tv_weight: float


WEIGHTS: Weights = {"content_weight": 5.0, "style_weight": 100.0, "tv_weight": 1e-3}


def features(channels: int, positions: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).random((channels, positions))


def test_paper_is_alpha_and_beta_over_the_number_of_style_taps() -> None:
    factors = coefficients(TERMS, "paper", **WEIGHTS, layer_weights={})
    assert factors == [5.0, 50.0, 50.0, 1e-3]


def test_layer_weights_replace_the_default() -> None:
    factors = coefficients(TERMS, "paper", **WEIGHTS, layer_weights={"style_relu1_1": 0.125, "content_relu4_2": 2.0})
    assert factors == [10.0, 12.5, 50.0, 1e-3]


def test_johnson_is_its_own_mean_errors() -> None:
    content, *styles, tv = coefficients(TERMS, "johnson", **WEIGHTS, layer_weights={})
    term = TERMS[0]
    f, p = features(term.channels, term.positions, 1), features(term.channels, term.positions, 2)
    assert content * 0.5 * np.sum((f - p) ** 2) == pytest.approx(5.0 * np.mean((f - p) ** 2), rel=1e-12)
    for term, factor in zip(TERMS[1:3], styles, strict=True):
        n, m = term.channels, term.positions
        f, p = features(n, m, 3), features(n, m, 4)
        literal = np.sum((f @ f.T - p @ p.T) ** 2) / (4 * n**2 * m**2)
        theirs = 100.0 * np.mean((f @ f.T / (n * m) - p @ p.T / (n * m)) ** 2)
        assert factor * literal == pytest.approx(theirs, rel=1e-12)
    assert tv == pytest.approx(1e-3 / 2 * 255**2)


@pytest.mark.parametrize(("norm", "johnson", "calibrated"), [("l1", 255, 1 / 960), ("l2", 255, 1 / 320)])
def test_a_norm_that_is_no_square(norm: str, johnson: float, calibrated: float) -> None:
    """johnson has the sum on 0..255; calibrated the mean over values, and for l2 over pixels."""
    tv = Term("tv", "image", channels=3, positions=320, tv_norm=norm)
    found = [coefficients([tv], name, **WEIGHTS, layer_weights={})[0] for name in ("paper", "johnson", "calibrated")]
    assert found == pytest.approx([1e-3, 1e-3 * johnson, 1e-3 * calibrated])


def test_the_conversion_is_said_in_the_papers_terms() -> None:
    factors = coefficients(TERMS, "johnson", **WEIGHTS, layer_weights={})
    assert conversion(TERMS, factors) == (
        "alpha[relu4_2] = 0.08333, beta w[relu1_1] = 25, beta w[relu2_1] = 11.11, tv[image] = 32.51"
    )


def test_calibrated_measures_against_the_targets() -> None:
    content, *styles, tv = TERMS
    targets = {content.name: features(content.channels, content.positions, 1).reshape(6, 4, 5)}
    for index, term in enumerate(styles):
        a = features(term.channels, term.positions, 10 + index)
        targets[term.name] = a @ a.T / term.positions
    powers = {term.name: target_power(term, targets[term.name]) for term in (content, *styles)}
    factors = coefficients(TERMS, "calibrated", **WEIGHTS, layer_weights={}, powers=powers)
    p = targets[content.name].reshape(6, 20)
    f = features(6, 20, 2)
    assert factors[0] * 0.5 * np.sum((f - p) ** 2) == pytest.approx(5.0 * np.sum((f - p) ** 2) / np.sum(p**2))
    for term, factor in zip(styles, factors[1:3], strict=True):
        n, m, a = term.channels, term.positions, targets[term.name]
        g = features(n, m, 5) @ features(n, m, 5).T / m
        literal = np.sum((g * m - a * m) ** 2) / (4 * n**2 * m**2)
        assert factor * literal == pytest.approx(100.0 / 2 * 0.25 * np.sum((g - a) ** 2) / np.trace(a) ** 2)
    assert factors[3] == pytest.approx(1e-3 / (tv.channels * tv.positions))


def test_a_target_of_zeros_counts_as_it_is() -> None:
    assert target_power(TERMS[0], np.zeros((6, 4, 5), np.float32)) == 1.0
    assert target_power(TERMS[1], np.zeros((4, 4), np.float32)) == 1.0

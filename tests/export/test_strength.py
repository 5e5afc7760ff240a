"""Strength and smoothness: weights of content and total variation against style, whatever the weighting."""

import numpy as np
import pytest

from impasto.export.terms import GRAM, L1, L2, MOMENTS, SQUARED, Term
from impasto.export.weightings import HALF_STRENGTH, USUAL_SMOOTHNESS, coefficients

POWERS = {"content_relu4_2": 3.0, "style_relu1_1": 50.0, "style_relu4_1": 900.0}


def terms(style_loss: str = GRAM, channels: int = 6) -> tuple[Term, ...]:
    return (
        Term("content", "relu4_2", channels=channels, positions=20),
        Term("style", "relu1_1", channels=4, positions=80, style_loss=style_loss),
        Term("style", "relu4_1", channels=channels, positions=20, style_loss=style_loss),
        Term("tv", "image", channels=3, positions=320),
    )


def factors(weighting: str, strength: float, *, style_loss: str = GRAM, scale: float = 1.0) -> np.ndarray:
    powers = {name: power * scale for name, power in POWERS.items()}
    return np.array(
        coefficients(
            terms(style_loss),
            weighting,
            content_weight=0.0,
            style_weight=1.0,
            tv_weight=0.0,
            layer_weights={},
            powers=powers,
            strength=strength,
        )
    )


@pytest.mark.parametrize("style_loss", [GRAM, MOMENTS])
def test_a_half_is_the_usual_alpha(style_loss: str) -> None:
    content = factors("calibrated", 0.5, style_loss=style_loss)[0]
    mean = 2 / (6 * 20 * POWERS["content_relu4_2"])
    assert content == pytest.approx(HALF_STRENGTH[style_loss] * mean)


def test_a_tenth_more_halves_the_content() -> None:
    share = factors("calibrated", 0.6)[0] / factors("calibrated", 0.5)[0]
    assert share == pytest.approx(1000**-0.1)  # 0.501


@pytest.mark.parametrize("weighting", ["paper", "calibrated", "johnson"])
@pytest.mark.parametrize("strength", [0.0, 0.5, 1.0])
def test_another_network_keeps_the_balance(weighting: str, strength: float) -> None:
    """Features twice as large multiply a Gram term by 16 and a content term by 4; the ratio of what they add stays."""
    one, other = (factors(weighting, strength, scale=scale) for scale in (1.0, 4.0))
    content = other[0] * 4 / one[0]
    style = other[1] * 16 / one[1]
    assert content / style == pytest.approx(1.0)


def test_the_style_keeps_its_factors() -> None:
    without = coefficients(
        terms(), "paper", content_weight=1.0, style_weight=1.0, tv_weight=2.0, layer_weights={}, powers=POWERS
    )
    with_it = coefficients(
        terms(),
        "paper",
        content_weight=0.0,
        style_weight=1.0,
        tv_weight=2.0,
        layer_weights={},
        powers=POWERS,
        strength=1.0,
    )
    assert with_it[1:] == without[1:]
    assert 0 < with_it[0] < without[0]


def smooth_factors(
    weighting: str, smoothness: float, norm: str, *, scale: float = 1.0, style: float = 1.0
) -> list[float]:
    shaped = (*terms()[:-1], Term("tv", "image", channels=3, positions=320, tv_norm=norm))
    return coefficients(
        shaped,
        weighting,
        content_weight=1.0,
        style_weight=style,
        tv_weight=0.0,
        layer_weights={},
        powers={name: power * scale for name, power in POWERS.items()},
        smoothness=smoothness,
    )


@pytest.mark.parametrize(("norm", "entries"), [(SQUARED, 960), (L1, 960), (L2, 320)])
def test_a_smoothness_of_1_is_the_usual_weight(norm: str, entries: int) -> None:
    assert smooth_factors("calibrated", 1.0, norm)[-1] == pytest.approx(USUAL_SMOOTHNESS[norm] / entries)
    assert smooth_factors("calibrated", 0.0, norm)[-1] == 0.0
    assert smooth_factors("calibrated", 1.0, norm, style=2.0)[-1] == pytest.approx(2 * USUAL_SMOOTHNESS[norm] / entries)


@pytest.mark.parametrize("weighting", ["paper", "calibrated", "johnson"])
def test_a_smoothness_keeps_its_balance_with_the_style_on_another_network(weighting: str) -> None:
    """Features twice as large multiply a Gram term by 16; total variation stays as it is."""
    one, other = (smooth_factors(weighting, 1.0, SQUARED, scale=scale) for scale in (1.0, 4.0))
    assert other[-1] / one[-1] == pytest.approx(other[1] * 16 / one[1])
    assert one[-1] > 0

"""float16 inside the graph: the factor that keeps its cotangents in range, and a whole run on the CPU provider."""

import dataclasses

import numpy as np
import pytest

from impasto.engine import Engine, Settings
from impasto.engine.runtime import providers
from impasto.engine.runtime.loss_scaling import BACK_OFF, MOST_ATTEMPTS, LossScale
from tests.engine.conftest import Files

SETTINGS = Settings(
    size=0, content_taps=("relu2_1",), style_taps=("relu1_1", "relu3_1"), content_weight=1e-5, iterations=10
)


@pytest.mark.parametrize("magnitude", [1e-30, 1e-9, 1e-3, 1.0, 1e4, 1e9, 1e30])
def test_the_factor_brings_any_magnitude_into_range(magnitude: float) -> None:
    """With a float16 that keeps no gradient below 1e-6 and none above 65504."""
    scale = LossScale()
    for _ in range(MOST_ATTEMPTS):
        seen = magnitude * scale.factor
        if not scale.settle(float("inf") if seen > 65504 else seen):
            break
    assert 1e-1 < magnitude * scale.factor < 65504
    assert not scale.settle(magnitude * scale.factor)


def test_the_factor_is_a_power_of_two_and_stays_while_it_fits() -> None:
    scale = LossScale()
    assert scale.settle(1e-5)
    factor = scale.factor
    assert np.frexp(factor)[0] == 0.5
    for seen in (1e-5 * factor, 3e-6 * factor, 4e-5 * factor):
        assert not scale.settle(seen)
    assert scale.factor == factor


def test_values_that_are_not_finite_lower_the_factor() -> None:
    scale = LossScale()
    assert scale.settle(float("nan"))
    assert scale.factor == 2.0**-BACK_OFF


def test_no_gradient_at_all_is_no_reason_to_repeat() -> None:
    assert not LossScale().settle(0.0)


@pytest.mark.parametrize("style_weight", [1e-7, 1.0, 1e9])
def test_a_run_in_float16_follows_the_one_in_float32(
    files: Files, monkeypatch: pytest.MonkeyPatch, style_weight: float
) -> None:
    """Whatever the units of the loss are, which without the factor would underflow or overflow."""
    settings = dataclasses.replace(SETTINGS, style_weight=style_weight, content_weight=1e-5 * style_weight)
    plain = providers.choose("cpu")
    narrow = dataclasses.replace(plain, precision="fp16", typed=True)
    losses = []
    for chosen in (plain, narrow):
        monkeypatch.setattr(providers, "choose", lambda *names, chosen=chosen, **more: chosen)
        with Engine(files.model, threads=1) as engine:
            score = engine.evaluate(files.content, files.content, files.style, settings)
            result = engine.transfer(files.content, files.style, settings)
            assert engine.provider.precision == chosen.precision  # no fall-back
            losses.append((score, result.loss))
    (true, end), (found, end16) = losses
    assert found.loss == pytest.approx(true.loss, rel=5e-3)
    assert sum(found.terms.values()) == pytest.approx(found.loss, rel=1e-5)
    error = np.linalg.norm(found.gradient - true.gradient) / np.linalg.norm(true.gradient)
    assert 1e-6 < error < 1e-2
    assert end16 == pytest.approx(end, rel=5e-2)

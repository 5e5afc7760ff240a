"""Settings: defaults, checks with exact messages, and the way to JSON and back."""

import dataclasses
import json
from typing import Any

import numpy as np
import pytest

from impasto.engine.settings import Settings, Tap
from impasto.models.errors import ImpastoError


def test_defaults_are_the_papers() -> None:
    settings = Settings()
    assert [tap.name for tap in settings.active_content_taps] == ["relu4_2"]
    assert [tap.name for tap in settings.active_style_taps] == ["relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu5_1"]
    assert (settings.content_weight, settings.style_weight, settings.tv_weight) == (1e-4, 1.0, 0.0)
    assert settings.pool == "avg"


def test_another_weighting_brings_its_own_defaults() -> None:
    settings = Settings(weighting="johnson", style_weight=7.0)
    assert (settings.content_weight, settings.style_weight, settings.tv_weight) == (5.0, 7.0, 1e-3)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"size": -1}, "bad size -1: allowed are whole numbers from 0 to 16384"),
        ({"size": 20000}, "bad size 20000: allowed are whole numbers from 0 to 16384"),
        ({"style_size": -5}, "bad style_size -5: allowed are whole numbers from 0 to 16384"),
        ({"iterations": -1}, "bad iterations -1: allowed are whole numbers of 0 or more"),
        ({"evaluations": 0}, "bad evaluations 0: allowed are whole numbers of 1 or more"),
        ({"history": 0}, "bad history 0: allowed are whole numbers from 1 to 100"),
        ({"seed": -1}, "bad seed -1: allowed are whole numbers of 0 or more"),
        ({"timeout_s": 0.0}, "bad timeout_s 0.0: allowed are seconds above 0"),
        ({"timeout_s": float("inf")}, "bad timeout_s inf: allowed are seconds above 0"),
        ({"timeout_s": float("nan")}, "bad timeout_s nan: allowed are seconds above 0"),
        ({"timeout_s": 10**400}, "bad timeout_s of about 401 digits: allowed are seconds above 0"),
        ({"timeout_s": "9"}, "bad timeout_s '9': allowed are seconds above 0"),
        ({"learning_rate": 0.0}, "bad learning_rate 0.0: allowed are numbers above 0"),
        ({"average": 1.0, "optimizer": "adam"}, "bad average 1: allowed are numbers from 0 to below 1"),
        ({"average": -0.5, "optimizer": "adam"}, "bad average -0.5: allowed are numbers from 0 to below 1"),
        ({"average": "0.9", "optimizer": "adam"}, "bad average '0.9': allowed are numbers from 0 to below 1"),
        (
            {"average": 0.99},
            "bad average 0.99 with optimizer lbfgs: only the images of adam are averaged; give --optimizer adam, or "
            "leave --average out",
        ),
        ({"learning_rate": float("inf")}, "bad learning_rate inf: allowed are numbers above 0"),
        (
            {"iterations": 10**400},
            "bad iterations of about 401 digits: allowed are whole numbers from 0 to 9223372036854775807",
        ),
        ({"seed": 10**5000}, "bad seed of about 5001 digits: allowed are whole numbers from 0 to 9223372036854775807"),
        ({"size": 10**5000}, "bad size of about 5001 digits: allowed are whole numbers from 0 to 16384"),
        ({"size": 48.0}, "bad size 48: allowed are whole numbers from 0 to 16384"),
        ({"size": True}, "bad size True: allowed are whole numbers from 0 to 16384"),
        ({"size": None}, "bad size None: allowed are whole numbers from 0 to 16384"),
        ({"bounded": "no"}, "bad bounded 'no': allowed are True and False"),
        ({"seamless": 1}, "bad seamless 1: allowed are True and False"),
        ({"pool": ["avg"]}, "unknown pool ['avg']: allowed are avg, max"),
        ({"init": 3}, "bad init 3: expected text"),
        ({"init": "a\0b"}, "bad init 'a\\x00b': expected text"),
        ({"style_weight": "1"}, "bad style_weight '1': allowed are finite numbers of 0 or more"),
        ({"style_weight": 10**400}, "bad style_weight of about 401 digits: allowed are finite numbers of 0 or more"),
        (
            {"style_taps": "relu1_1"},
            "bad style_taps 'relu1_1': give a sequence of taps, as ('relu4_2', 'relu5_1')",
        ),
        ({"style_taps": (3,)}, "bad style_taps 3: expected NAME or NAME=WEIGHT, as relu4_2=0.5"),
        ({"canvas": 64}, "bad canvas 64: give a width and a height, px"),
        ({"canvas": (64, 2.5)}, "bad canvas side 2.5: allowed are whole numbers from 1 to 16384"),
        ({"content_weight": -1.0}, "bad content_weight -1: allowed are finite numbers of 0 or more"),
        ({"style_weight": float("nan")}, "bad style_weight nan: allowed are finite numbers of 0 or more"),
        ({"tv_weight": float("inf")}, "bad tv_weight inf: allowed are finite numbers of 0 or more"),
        ({"style_taps": ("relu1_1=-2",)}, "bad weight of relu1_1 -2: allowed are finite numbers of 0 or more"),
        ({"style_taps": ("relu1_1=x",)}, "bad tap 'relu1_1=x': expected NAME or NAME=WEIGHT, as relu4_2=0.5"),
        ({"style_taps": ("relu1_1", "conv1_1")}, "relu1_1 is given twice in style_taps: give each tap once"),
        ({"weighting": "gatys"}, "unknown weighting 'gatys': allowed are paper, johnson, calibrated"),
        ({"tv_norm": "l0"}, "unknown tv_norm 'l0': allowed are squared, l2, l1"),
        ({"padding": "wrap"}, "unknown padding 'wrap': allowed are zero, replicate, reflect"),
        ({"pool": "median"}, "unknown pool 'median': allowed are avg, max"),
        ({"optimizer": "sgd"}, "unknown optimizer 'sgd': allowed are lbfgs, plain-lbfgs, adam"),
        (
            {"content_weight": 0.0, "style_weight": 0.0},
            "nothing to optimise: every weight is 0; give --content-weight, --style-weight or --tv-weight above 0",
        ),
        (
            {"content_taps": ("relu4_2=0",), "style_taps": ("relu1_1=0",)},
            "nothing to optimise: the weight of relu4_2 is 0; give a tap a weight above 0, as relu4_2=1",
        ),
    ],
)
def test_a_value_out_of_range_is_one_clear_line(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ImpastoError) as caught:
        Settings(**values)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ((3,), "bad tap 3: expected the name of one, as relu4_2"),
        (("",), "bad tap '': expected the name of one, as relu4_2"),
        ((None, 1.0), "bad tap None: expected the name of one, as relu4_2"),
        (("x", float("nan")), "bad weight of x nan: allowed are finite numbers of 0 or more"),
        (("x", float("inf")), "bad weight of x inf: allowed are finite numbers of 0 or more"),
        (("x", -1), "bad weight of x -1: allowed are finite numbers of 0 or more"),
        (("x", "1"), "bad weight of x '1': allowed are finite numbers of 0 or more"),
        (("x", True), "bad weight of x True: allowed are finite numbers of 0 or more"),
        (("x", 10**400), "bad weight of x of about 401 digits: allowed are finite numbers of 0 or more"),
    ],
)
def test_a_tap_is_checked_where_it_is_made(values: tuple[Any, ...], message: str) -> None:
    with pytest.raises(ImpastoError) as caught:
        Tap(*values)
    assert str(caught.value) == message


def test_the_weight_of_a_tap_becomes_a_plain_number() -> None:
    weight = Tap("x", np.float32(0.5)).weight  # type: ignore[arg-type]
    assert (type(weight), weight) == (float, 0.5)


def test_numbers_of_numpy_become_plain_ones() -> None:
    settings = Settings(
        size=np.int64(48),  # type: ignore[arg-type]
        seed=np.uint8(3),  # type: ignore[arg-type]
        style_weight=np.float32(2),  # type: ignore[arg-type]
        timeout_s=np.int32(5),  # type: ignore[arg-type]
        bounded=np.True_,  # type: ignore[arg-type]
    )
    assert settings == Settings(size=48, seed=3, style_weight=2.0, timeout_s=5.0)
    assert json.loads(json.dumps(settings.as_dict()))["size"] == 48


def test_terms_of_weight_zero_are_left_out() -> None:
    settings = Settings(content_weight=0.0, style_taps=("relu1_1=0", "relu2_1=0.5", "conv3_1"))
    assert settings.active_content_taps == ()
    assert settings.active_style_taps == (Tap("relu2_1", 0.5), Tap("conv3_1"))


def test_settings_survive_json() -> None:
    settings = Settings(size=300, style_taps=(Tap("relu1_1", 0.25), Tap("relu4_1")), weighting="johnson", timeout_s=9.5)
    assert Settings.from_dict(json.loads(json.dumps(settings.as_dict()))) == settings


def test_an_unknown_setting_names_the_known_ones() -> None:
    known = ", ".join(sorted(field.name for field in dataclasses.fields(Settings)))
    with pytest.raises(ImpastoError) as caught:
        Settings.from_dict({"sise": 3})
    assert str(caught.value) == f"unknown setting 'sise': allowed are {known}"

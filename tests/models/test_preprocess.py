import numpy as np
import pytest

from impasto.models.errors import ImpastoError
from impasto.models.preprocess import OXFORD, TORCHVISION, Preprocess


def apply(preprocess: Preprocess, rgb: list[float]) -> list[float]:
    return [g * x + o for g, x, o in zip(preprocess.gain, rgb, preprocess.offset, strict=True)]


def test_oxford_takes_grey_levels_from_the_mean_colour() -> None:
    np.testing.assert_allclose(apply(OXFORD, [1.0, 0.0, 0.5]), [255 - 123.68, -116.779, 127.5 - 103.939], rtol=1e-12)


def test_torchvision_takes_standard_scores() -> None:
    expected = [(1 - 0.485) / 0.229, (0 - 0.456) / 0.224, (0.5 - 0.406) / 0.225]
    np.testing.assert_allclose(apply(TORCHVISION, [1.0, 0.0, 0.5]), expected, rtol=1e-12)


@pytest.mark.parametrize("preprocess", [OXFORD, TORCHVISION])
def test_json_round_trip(preprocess: Preprocess) -> None:
    assert Preprocess.from_json(preprocess.to_json()) == preprocess


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{",
        '{"scale": 1}',
        '{"scale": 1, "mean": [0, 0], "std": [1, 1, 1]}',
        '{"scale": 1, "mean": "abc", "std": [1, 1, 1]}',
        '{"scale": null, "mean": [0, 0, 0], "std": [1, 1, 1]}',
        '{"scale": 1, "mean": [0, 0, 0], "std": [1, 0, 1]}',
        '{"scale": 1, "mean": [0, 0, NaN], "std": [1, 1, 1]}',
    ],
)
def test_other_texts_are_refused(text: str) -> None:
    with pytest.raises(ImpastoError, match=r"^unreadable preprocessing .*: expected \{\"scale\": s"):
        Preprocess.from_json(text)


def test_formulas() -> None:
    assert str(OXFORD) == "255 x - (123.68, 116.779, 103.939)"
    assert str(TORCHVISION) == "(x - (0.485, 0.456, 0.406)) / (0.229, 0.224, 0.225)"

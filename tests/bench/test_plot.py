"""Records as a picture: which panels there are, and what is in them."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from impasto.bench import record
from impasto.bench.plot import draw
from impasto.bench.series import Point, Series
from impasto.models.errors import ImpastoError

TIME, LATENCIES, LOSS = "Time against size", "Latencies", "Loss against seconds"
CURVE = (Point(1, 0.1, 9.0), Point(2, 0.2, 5.0), Point(3, 0.3, 6.0))


def a_record(*series: Series) -> dict[str, Any]:
    return record.make("evaluation", "what", conditions={}, asked={}, series=series)


def a_series(size: int, *, samples: int = 5, curve: tuple[Point, ...] = (), unit: str = "evaluation") -> Series:
    return Series("impasto cpu fp32", unit, size, [size / 1000 + 0.001 * n for n in range(samples)], 1, 2.0, curve)


@pytest.mark.parametrize(
    ("series", "panels"),
    [
        ([a_series(64)], [LATENCIES]),
        ([a_series(64), a_series(128)], [TIME, LATENCIES]),
        ([a_series(64, samples=1), a_series(128, samples=1)], [TIME]),
        ([a_series(64, samples=1, curve=CURVE)], [LOSS]),
        ([a_series(64, curve=CURVE), a_series(128, curve=CURVE)], [TIME, LATENCIES, LOSS]),
        ([a_series(64, unit="step", curve=CURVE), a_series(128, unit="step", curve=CURVE)], [LOSS]),
    ],
)
def test_the_panels_are_those_that_there_is_something_for(
    tmp_path: Path, series: list[Series], panels: list[str]
) -> None:
    path = tmp_path / "a.png"
    assert draw({"a": a_record(*series)}, path) == panels
    image = Image.open(path)
    assert (image.format, image.size) == ("PNG", (960 * len(panels), 900))
    assert np.asarray(image.convert("L")).std() > 5  # not a blank sheet


def test_several_files_are_told_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from matplotlib.axes import Axes

    labels: list[str] = []
    original = Axes.plot

    def plot(self: Axes, *data: Any, **look: Any) -> Any:
        labels.append(str(look["label"]))
        return original(self, *data, **look)

    monkeypatch.setattr(Axes, "plot", plot)
    sizes = (a_series(64), a_series(128))
    draw({"cpu": a_record(*sizes), "gpu": a_record(*sizes)}, tmp_path / "a.png")
    assert labels[:2] == ["cpu: impasto cpu fp32", "gpu: impasto cpu fp32"]
    assert labels[2:4] == ["cpu: impasto cpu fp32, 64 px", "cpu: impasto cpu fp32, 128 px"]


def test_nothing_to_draw(tmp_path: Path) -> None:
    with pytest.raises(ImpastoError) as caught:
        draw({"a": a_record(a_series(64, samples=1))}, tmp_path / "a.png")
    assert str(caught.value) == "nothing to draw: the files hold no series; measure for longer"
    with pytest.raises(ImpastoError, match=r"unknown extension \.svg"):
        draw({"a": a_record(a_series(64))}, tmp_path / "a.svg")
    assert list(tmp_path.iterdir()) == []

"""The page of a run in a real browser.

Its pictures are kept to be looked at, in `screenshots` of pytest's temporary folder, or in IMPASTO_SCREENSHOTS.
"""

import io
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from impasto.engine import Engine, Settings
from impasto.engine.watch.report import Report
from tests import chromium
from tests.conftest import REPOSITORY
from tests.small_network import features_model

ARROW_RIGHT, HOME, END = ("ArrowRight", 39), ("Home", 36), ("End", 35)
SPLIT = "getComputedStyle(document.querySelector('.frame')).getPropertyValue('--split')"
BOX = "JSON.parse(JSON.stringify(document.querySelector('.frame').getBoundingClientRect()))"


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of a run whose two images differ a lot: the content is black, the style white."""
    import onnx_ir as ir

    folder = tmp_path_factory.mktemp("report")
    ir.save(features_model(), folder / "small.onnx")
    content, style = REPOSITORY / "examples" / "harbour.jpg", REPOSITORY / "examples" / "swirls.jpg"
    command = "impasto transfer harbour.jpg swirls.jpg -o out.png --report out.html"
    page = Report(folder / "out.html", content=content, style=style, command=command)
    settings = Settings(size=256, content_taps=("relu2_1",), style_taps=("relu1_1", "relu3_1"), iterations=20)
    with Engine(folder / "small.onnx", provider="cpu") as engine:
        page.finish(engine.transfer(content, style, settings, on_event=page.take))
    return folder / "out.html"


@pytest.fixture(scope="module")
def screenshots(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the pictures."""
    folder = Path(os.environ.get("IMPASTO_SCREENSHOTS") or tmp_path_factory.mktemp("screenshots", numbered=False))
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@pytest.fixture(scope="module")
def tab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[chromium.Page]:
    with chromium.page(tmp_path_factory.mktemp("profile")) as page:
        yield page


def seen(tab: chromium.Page, picture_file: Path) -> np.ndarray:
    """Return the page as it looks, kept in a file."""
    picture = tab.screenshot()
    picture_file.write_bytes(picture)
    return np.asarray(Image.open(io.BytesIO(picture)).convert("RGB"), np.float32)


def frame_of(tab: chromium.Page, pixels: np.ndarray) -> np.ndarray:
    box = tab.evaluate(BOX)
    left, top = round(box["x"]), round(box["y"])
    return pixels[top : top + int(box["height"]), left : left + int(box["width"])]


def test_the_slider_is_moved_with_keys_and_pointer(tab: chromium.Page, report: Path, screenshots: Path) -> None:
    tab.look(1200, scheme="light")
    tab.open(report)
    assert tab.evaluate(SPLIT) == "50%"
    tab.evaluate("document.querySelector('#slider').focus()")
    tab.press(*ARROW_RIGHT)
    assert tab.evaluate(SPLIT) == "51%"
    spoken = tab.evaluate("document.querySelector('#slider').getAttribute('aria-valuetext')")
    assert spoken == "content image left of 51 percent, result right of it"
    tab.press(*END)
    assert tab.evaluate(SPLIT) == "100%"
    before = frame_of(tab, seen(tab, screenshots / "before.png"))
    tab.press(*HOME)
    assert tab.evaluate(SPLIT) == "0%"
    after = frame_of(tab, seen(tab, screenshots / "after.png"))
    assert np.abs(before - after).mean() > 5
    box = tab.evaluate(BOX)
    tab.click(box["x"] + box["width"] / 4, box["y"] + box["height"] / 2)
    assert tab.evaluate(SPLIT) == "25%"
    both = frame_of(tab, seen(tab, screenshots / "light.png"))
    border = both.shape[1] // 4
    np.testing.assert_array_equal(both[:, : border - 4], before[:, : border - 4])
    np.testing.assert_array_equal(both[:, border + 4 :], after[:, border + 4 :])


def test_the_whole_page_is_loaded_without_the_network(tab: chromium.Page, report: Path) -> None:
    tab.requests.clear()
    tab.complaints.clear()
    tab.open(report)
    widths = tab.evaluate("[...document.images].map(image => image.complete ? image.naturalWidth : 0)")
    assert len(widths) == 4
    assert min(widths) > 100
    assert [url for url in tab.requests if not url.startswith(("file:", "data:"))] == []
    assert [url for url in tab.requests if url.startswith("file:")] == [report.as_uri()]
    assert tab.complaints == []


def test_the_policy_would_stop_a_page_that_reaches_out(tab: chromium.Page, report: Path) -> None:
    """The counter-check of the test above."""
    other = report.with_name("reaching-out.html")
    other.write_text(report.read_text().replace("<main>", '<main><img src="http://127.0.0.1:9/x.png" alt="x">'))
    tab.complaints.clear()
    tab.open(other)
    assert tab.evaluate("document.images[0].naturalWidth") == 0
    assert any("Content Security Policy" in text for text in tab.complaints)


def test_dark_and_narrow(tab: chromium.Page, report: Path, screenshots: Path) -> None:
    tab.look(390, scheme="dark")
    tab.open(report)
    assert tab.evaluate("document.documentElement.scrollWidth") == 390  # nothing sticks out
    assert seen(tab, screenshots / "narrow.png")[2, 2].mean() < 40
    tab.look(1200, scheme="dark")
    dark = seen(tab, screenshots / "dark.png")
    tab.look(1200, scheme="light")
    light = seen(tab, screenshots / "light-again.png")
    assert dark[2, 2].mean() < 40
    assert light[2, 2].mean() > 240
    line = "getComputedStyle(document.querySelector('polyline.line-0')).stroke"
    assert tab.evaluate(line) == "rgb(26, 26, 26)"

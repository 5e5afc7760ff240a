"""The pages of figures in a real browser: sizes of what is seen, and the sliders of a report.

With IMPASTO_SCREENSHOTS=FOLDER the pictures are kept there to be looked at.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import onnx_ir as ir
import pytest

from impasto.engine import Engine
from impasto.engine.figures import FigureReport, make_figure, plan_figure
from tests import chromium
from tests.conftest import REPOSITORY
from tests.small_network import VGG_WIDTHS, features_model

CONTENT, STYLES = "harbour.jpg", ("swirls.jpg", "mosaic.jpg")
CELLS_PX = 128
BOXES = """[...document.querySelectorAll(%r)].map(element => {
  const box = element.getBoundingClientRect();
  return {left: box.left, right: box.right, width: box.width, height: box.height, natural: element.naturalWidth};
})"""
SPILT = """[...document.querySelectorAll('.cells td, .cells th')].filter(
  cell => cell.scrollWidth > cell.clientWidth).map(cell => cell.textContent)"""
LINES_OF_TITLES = """[...document.querySelectorAll('.cells th[scope=row]')].map(
  title => Math.round(title.firstChild ? (range => (range.selectNodeContents(title), range.getClientRects().length))(
    document.createRange()) : 0))"""


@pytest.fixture(scope="module")
def figures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("figures")
    ir.save(features_model(widths=VGG_WIDTHS), folder / "narrow.onnx")
    content, *styles = (REPOSITORY / "examples" / name for name in (CONTENT, *STYLES))
    with Engine(folder / "narrow.onnx", provider="cpu", threads=1) as engine:
        for number in (1, 2, 3):
            chosen = styles[: 2 if number == 2 else 1]
            plan = plan_figure(number, content, chosen, size=CELLS_PX, iterations=2, evaluations=2)
            report = FigureReport(folder / f"report-{number}.html", plan, folder / str(number))
            assert make_figure(engine, plan, folder / str(number), followers=[report])
            report.finish()
    return folder


@pytest.fixture(scope="module")
def tab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[chromium.Page]:
    with chromium.page(tmp_path_factory.mktemp("profile")) as page:
        yield page


def boxes(tab: chromium.Page, selector: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = tab.evaluate(BOXES % selector)
    return found


def keep(tab: chromium.Page, name: str) -> None:
    folder = os.environ.get("IMPASTO_SCREENSHOTS")
    if folder:
        Path(folder, f"{name}.png").write_bytes(tab.screenshot())


@pytest.mark.parametrize(("width", "scheme"), [(1000, "light"), (1400, "dark"), (390, "dark")])
@pytest.mark.parametrize(("number", "cells"), [(1, 12), (2, 3), (3, 20)])
def test_cells_have_one_size_and_captions_their_place(
    tab: chromium.Page, figures: Path, number: int, cells: int, width: int, scheme: str
) -> None:
    tab.look(width, scheme=scheme)
    tab.complaints.clear()
    tab.open(figures / str(number) / "figure.html")
    keep(tab, f"figure-{number}-{width}-{scheme}")
    pictures = boxes(tab, ".cells figure > img")
    assert len(pictures) == cells  # with the originals beside them
    assert {picture["natural"] for picture in pictures} == {CELLS_PX}
    assert max(picture["width"] for picture in pictures) - min(picture["width"] for picture in pictures) < 1
    assert min(picture["width"] for picture in pictures) >= 0.9 * CELLS_PX
    for picture in pictures:
        assert picture["width"] / picture["height"] == pytest.approx(4 / 3, rel=0.02)
    assert tab.evaluate(SPILT) == []
    assert tab.evaluate("document.documentElement.scrollWidth") == width
    assert len(boxes(tab, ".loss")) == {1: 10, 2: 4, 3: 40}[number]
    assert {box["height"] // 18 for box in boxes(tab, ".loss")} == {1.0}  # one line each
    assert tab.complaints == []


def test_the_paintings_are_there(tab: chromium.Page, figures: Path) -> None:
    tab.look(1000, scheme="light")
    tab.open(figures / "2" / "figure.html")
    assert {(box["natural"], box["width"] > 50) for box in boxes(tab, ".cells figcaption img")} == {(CELLS_PX, True)}
    tab.open(figures / "3" / "figure.html")
    texts = tab.evaluate("[...document.querySelectorAll('.originals img')].map(image => image.alt)")
    assert texts == [f"The content image {CONTENT}", f"The style image {STYLES[0]}"]


def test_titles_of_rows_are_not_broken_inside_words(tab: chromium.Page, figures: Path) -> None:
    tab.look(1000, scheme="light")
    tab.open(figures / "1" / "figure.html")
    assert tab.evaluate(LINES_OF_TITLES) == [2, 2]  # "Content", "reconstructions"


@pytest.mark.parametrize("width", [390, 1000])
def test_a_report_compares_with_images_that_it_holds_once(tab: chromium.Page, figures: Path, width: int) -> None:
    tab.look(width, scheme="light")
    tab.complaints.clear()
    tab.open(figures / "report-2.html")
    keep(tab, f"figure-report-{width}")
    assert tab.evaluate("document.documentElement.scrollWidth") == width
    shown = "[...document.querySelectorAll('.shared')].map(e => getComputedStyle(e).backgroundImage.slice(5, 30))"
    assert set(tab.evaluate(shown)) == {"data:image/jpeg;base64,/9j"[:25]}
    assert all(box["width"] > 100 and box["height"] > 75 for box in boxes(tab, ".shared"))
    split = "document.querySelectorAll('.frame')[1].style.getPropertyValue('--split')"
    tab.evaluate("document.querySelector('#cell-2-slider').focus()")
    tab.press("End", 35)
    assert tab.evaluate(split) == "100%"
    assert tab.complaints == []

"""The page of a figure: every cell against its original, with its course."""

import json
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import onnx_ir as ir
import pytest
from PIL import Image

from impasto.engine import Engine
from impasto.engine.figures import make_figure, plan_figure
from tests.engine import pages
from tests.engine.command_line import run
from tests.small_network import VGG_WIDTHS, features_model


@pytest.fixture
def command(tmp_path: Path) -> list[object]:
    """Figure 2 with two styles, one of which has an awkward name; in the folder `figure`."""
    rng = np.random.default_rng(0)
    names = ("scene.png", "a <b> 'c'.png", "second.png")
    for name in names:
        Image.fromarray(rng.integers(0, 255, (44, 48, 3)).astype(np.uint8)).save(tmp_path / name)
    ir.save(features_model(widths=VGG_WIDTHS), tmp_path / "narrow.onnx")
    scene, first, second = (tmp_path / name for name in names)
    return [
        "figure", 2, "-o", tmp_path / "figure", "--content", scene, "--style", first, "--style", second,
        "--model", tmp_path / "narrow.onnx", "--provider", "cpu", "--size", 40, "--threads", 1,
    ]  # fmt: skip


def test_every_cell_has_pictures_and_its_course(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, command: list[object]
) -> None:
    path = tmp_path / "figure" / "report.html"
    ended = run(capsys, *command, "--evaluations", 6, "--report", path)
    assert ended.status == 0, ended.err
    assert ended.out.splitlines()[1] == f"{path}: report"
    html = path.read_text()
    document = pages.read(html)
    ids = [element.attributes["id"] for element in document.elements if "id" in element.attributes]
    assert len(ids) == len(set(ids))
    assert not any(" " in name for name in ids)
    assert html == (tmp_path / "figure" / "figure.html").read_text()
    images = document.every("img")
    assert len(images) == 2 + 2  # every cell in the table, and under its original
    assert all(image.attributes["alt"] and image.attributes["src"].startswith("data:") for image in images)
    assert html.count("data:image") == 4 + 3  # each original once, whatever it is compared with
    shown = [element.attributes for element in document.every("div") if element.attributes.get("role") == "img"]
    assert [attributes["aria-label"] for attributes in shown] == [
        "The content image scene.png", "The style image a <b> 'c'.png", "The style image second.png",
        "The content image scene.png", "The style image a <b> 'c'.png", "The style image second.png",
        *(["The content image scene.png"] * 2),
    ]  # fmt: skip
    assert [re.findall(r"var\(--(.+?)\)", attributes["style"])[0] for attributes in shown] == [
        *["input-1", "input-2", "input-3"] * 2, "input-1", "input-1"
    ]  # fmt: skip
    sliders = [element.attributes["aria-label"] for element in document.every("input")]
    assert sliders == [
        "Border between content image and result: scene.png in the style of a <b> 'c'.png",
        "Border between content image and result: scene.png in the style of second.png",
    ]
    assert "<b>" not in html
    charts = pages.charts(html)
    cells = json.loads((tmp_path / "figure" / "figure.json").read_text())["cells"]
    assert len(charts) == 4
    for chart, cell in zip(charts[::2], cells.values(), strict=True):
        lines = pages.polylines(chart)
        assert len(lines) == 1 + len(cell["terms"])
        assert lines[0][0][0] == pytest.approx(1, abs=0.05)  # the image that it started from
        assert lines[0][0][1] == pytest.approx(sum(cell["initial_terms"].values()), rel=0.03)
        assert lines[0][-1][0] == pytest.approx(6, abs=0.05)
        assert lines[0][-1][1] == pytest.approx(cell["loss"], rel=0.03)
    assert "--precision fp32 --seed 0" in html  # filled in


def test_an_interrupted_figure_has_what_there_is_and_then_the_rest(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, command: list[object]
) -> None:
    path = tmp_path / "report.html"
    whole = [*command, "--evaluations", 300, "--report", path]
    process = subprocess.Popen(
        [sys.executable, "-c", "from impasto.engine.cli import main; main()", *map(str, whole)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    record = tmp_path / "figure" / "figure.json"
    while not (record.is_file() and json.loads(record.read_text())["cells"]):
        assert process.poll() is None
        time.sleep(0.005)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    if process.returncode == 0:
        pytest.skip("the second cell was finished before the signal came")
    assert process.returncode == 130, err
    assert "1 of 2 cells are finished" in path.read_text()
    assert len(pages.charts(path.read_text())) in (2, 4)  # the second cell has a course if it had begun
    assert run(capsys, *whole).status == 0
    assert "2 of 2 cells are finished" in path.read_text()
    assert len(pages.charts(path.read_text())) == 4  # the first one's course was kept


def test_a_course_of_another_run_is_not_shown(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, command: list[object]
) -> None:
    path = tmp_path / "report.html"
    run(capsys, *command, "--evaluations", 3, "--report", path)
    for course in (tmp_path / "figure" / "courses").iterdir():
        content = json.loads(course.read_text())
        content["points"][-1]["loss"] *= 2
        course.write_text(json.dumps(content))
    run(capsys, *command, "--evaluations", 3, "--report", path)
    assert pages.charts(path.read_text()) == []
    assert path.read_text().count("its course is not known") == 2


def test_the_report_may_be_the_figures_own_page(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, command: list[object]
) -> None:
    path = tmp_path / "figure" / "figure.html"
    assert run(capsys, *command, "--evaluations", 3, "--report", path).status == 0
    cells, _, facts = path.read_text().partition("The command")
    assert len(pages.charts(cells)) == 4
    assert "--evaluations 3" in facts
    assert run(capsys, *command, "--evaluations", 3).status == 0
    assert path.read_text().partition("The command")[0] == cells  # from what was kept


def test_a_figure_without_a_finished_cell_has_its_page(tmp_path: Path, command: list[object]) -> None:
    scene, first = command[5], command[7]
    figure = plan_figure(2, Path(str(scene)), [Path(str(first))], size=40, evaluations=3)
    with Engine(Path(str(command[command.index("--model") + 1])), provider="cpu", threads=1) as engine:
        assert not make_figure(engine, figure, tmp_path / "figure", cancel=lambda: True)
    html = (tmp_path / "figure" / "figure.html").read_text()
    assert "0 of 1 cells are finished" in html
    assert pages.read(html).every("img") == []
    assert not (tmp_path / "figure" / "sheet.png").exists()


def test_a_bad_path_is_found_before_the_first_cell(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, command: list[object]
) -> None:
    ended = run(capsys, *command, "--report", tmp_path / "missing" / "report.html")
    assert (ended.status, len(ended.err.splitlines())) == (2, 1)
    assert "create it first" in ended.err
    assert not (tmp_path / "figure").exists()

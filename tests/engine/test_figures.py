"""The paper's figures on a narrow network: what they hold, and that they go on after any interruption."""

import json
import re
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir
import pytest
from PIL import Image

from impasto.engine.figures import plan_figure
from impasto.engine.images.sheet import Labelled, SheetRow, draw_sheet
from tests.engine.command_line import run
from tests.small_network import VGG_WIDTHS, features_model

CELLS = {1: 10, 2: 2, 3: 20}


@dataclass(frozen=True)
class Inputs:
    folder: Path
    content: Path
    styles: tuple[Path, Path]
    model: Path

    def command(self, number: int, name: str, *more: object) -> list[object]:
        styles = [option for path in self.styles[: 2 if number == 2 else 1] for option in ("--style", path)]
        chosen = ["--model", self.model, "--provider", "cpu", "--size", 40, "--evaluations", 4, "--threads", 1]
        return ["figure", number, "-o", self.folder / name, "--content", self.content, *styles, *chosen, *more]


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Inputs:
    folder = tmp_path_factory.mktemp("figures")
    rng = np.random.default_rng(0)
    for name in ("scene", "first", "second"):
        Image.fromarray(rng.integers(0, 255, (44, 48, 3)).astype(np.uint8)).save(folder / f"{name}.png")
    ir.save(features_model(widths=VGG_WIDTHS), folder / "narrow.onnx")
    styles = (folder / "first.png", folder / "second.png")
    return Inputs(folder, folder / "scene.png", styles, folder / "narrow.onnx")


def record(folder: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((folder / "figure.json").read_text())
    return content


def outcome(folder: Path) -> dict[str, Any]:
    """Everything about the cells but how long they took."""
    cells = record(folder)["cells"]
    return {name: {key: value for key, value in cell.items() if key != "seconds"} for name, cell in cells.items()}


class Page(HTMLParser):
    """What a reader who does not see the page needs, and what would leave it."""

    def __init__(self) -> None:
        super().__init__()
        self.alternatives: list[str] = []
        self.sources: list[str] = []
        self.language = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        if tag == "img":
            self.alternatives.append(values.get("alt", ""))
        if tag == "html":
            self.language = values.get("lang", "")
        self.sources += [values[name] for name in ("src", "href") if name in values]


@pytest.mark.parametrize("number", [1, 2, 3])
def test_a_figure_is_cells_sheet_page_and_record(
    capsys: pytest.CaptureFixture[str], inputs: Inputs, number: int
) -> None:
    folder = inputs.folder / f"whole-{number}"
    ended = run(capsys, *inputs.command(number, folder.name))
    assert ended.status == 0
    assert ended.out.startswith(f"{folder / 'sheet.png'} and figure.html: {CELLS[number]} cells, 0 of them found, ")
    content = record(folder)
    assert content["asked"]["figure"] == number
    assert content["asked"]["content"].startswith("scene.png, sha256 ")
    assert len(content["cells"]) == CELLS[number]
    for cell in content["cells"].values():
        assert cell["evaluations"] == 4
        assert cell["loss"] == pytest.approx(sum(cell["terms"].values()), rel=1e-5)
        assert cell["loss"] < sum(cell["initial_terms"].values())
        with Image.open(folder / cell["file"]) as image:
            assert image.size == (cell["width"], cell["height"]) == (40, 37)
    page = Page()
    page.feed((folder / "figure.html").read_text())
    originals = {1: 2, 2: 1, 3: 0}[number]
    assert page.language == "en"
    assert len(page.alternatives) == CELLS[number] + originals
    assert all(len(text) > 10 for text in page.alternatives)
    assert len(set(page.alternatives)) == len(page.alternatives)
    assert all(source.startswith("data:") for source in page.sources)
    with Image.open(folder / "sheet.png") as sheet:
        columns = {1: 6, 2: 3, 3: 4}[number]
        assert sheet.width > columns * 40
    assert {path.name for path in folder.iterdir()} == {
        "sheet.png", "figure.html", "figure.json", *(cell["file"] for cell in content["cells"].values())
    }  # fmt: skip


def test_the_settings_are_those_of_the_paper() -> None:
    three = plan_figure(3, Path("a.png"), [Path("b.png")])
    assert [cell.settings.content_weight for cell in three.cells[:4]] == [1e-5, 1e-4, 1e-3, 1e-2]
    assert [[tap.name for tap in cell.settings.active_style_taps] for cell in three.cells[::4]] == [
        [f"relu{block}_1" for block in range(1, count + 1)] for count in range(1, 6)
    ]
    assert {cell.settings.weighting for cell in three.cells} == {"paper"}  # w = 1 / active
    assert {tap.weight for cell in three.cells for tap in cell.settings.active_style_taps} == {None}
    one = plan_figure(1, Path("a.png"), [Path("b.png")])
    assert [len(cell.settings.active_content_taps) for cell in one.cells] == [1] * 5 + [0] * 5
    assert [len(cell.settings.active_style_taps) for cell in one.cells] == [0] * 5 + [1, 2, 3, 4, 5]
    two = plan_figure(2, Path("a.png"), [Path("b.png"), Path("c.png")], ratio=1e-3)
    assert [cell.settings.content_weight for cell in two.cells] == [1e-3, 1e-3]
    assert {cell.settings.init for plan in (one, two, three) for cell in plan.cells} == {"noise"}


def test_figure_1_may_have_one_row(capsys: pytest.CaptureFixture[str], inputs: Inputs) -> None:
    folder = inputs.folder / "one-row"
    command = ["figure", 1, "-o", folder, "--style", inputs.styles[0], "--model", inputs.model, "--size", 40]
    assert run(capsys, *command, "--evaluations", 2, "--provider", "cpu").status == 0
    assert [name.partition("-")[0] for name in record(folder)["cells"]] == ["style"] * 5


@pytest.mark.slow
def test_a_killed_figure_goes_on_and_ends_the_same(capsys: pytest.CaptureFixture[str], inputs: Inputs) -> None:
    run(capsys, *inputs.command(3, "calm"))
    folder = inputs.folder / "killed"
    code = "from impasto.engine.cli import main; main()"
    rng = np.random.default_rng(4)
    finished: list[int] = []
    for _ in range(3):
        process = subprocess.Popen(
            [sys.executable, "-c", code, *map(str, inputs.command(3, "killed", "--json"))],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        assert process.stdout is not None
        for _ in range(1 + len(finished)):
            process.stdout.readline()
        while json.loads(process.stdout.readline() or '{"finished": false}')["finished"]:
            pass
        time.sleep(float(rng.uniform(0, 0.15)))
        process.send_signal(signal.SIGKILL)
        process.wait(timeout=60)
        process.stdout.close()
        finished.append(len(record(folder)["cells"]))
    assert finished == sorted(finished)
    assert 0 < finished[-1] < 20
    times = {name: (folder / cell["file"]).stat().st_mtime_ns for name, cell in record(folder)["cells"].items()}
    ended = run(capsys, *inputs.command(3, "killed"))
    assert f"20 cells, {finished[-1]} of them found" in ended.out
    assert outcome(folder) == outcome(inputs.folder / "calm")
    for name, modified_ns in times.items():
        assert (folder / f"{name}.png").stat().st_mtime_ns == modified_ns
    for name in record(folder)["cells"]:
        assert (folder / f"{name}.png").read_bytes() == (inputs.folder / "calm" / f"{name}.png").read_bytes()
    assert (folder / "sheet.png").read_bytes() == (inputs.folder / "calm" / "sheet.png").read_bytes()


def test_a_lost_or_broken_image_is_made_again(capsys: pytest.CaptureFixture[str], inputs: Inputs) -> None:
    run(capsys, *inputs.command(2, "mended"))
    folder = inputs.folder / "mended"
    before = outcome(folder)
    (folder / "1-first.png").unlink()
    (folder / "2-second.png").write_bytes(b"broken")
    assert "2 cells, 0 of them found" in run(capsys, *inputs.command(2, "mended")).out
    assert outcome(folder) == before
    assert "2 cells, 2 of them found" in run(capsys, *inputs.command(2, "mended")).out


@pytest.mark.parametrize(
    ("more", "difference"),
    [
        (["--seed", 1], "seed was 0, now 1"),
        (["--ratio", 0.001], "title was .*, now .*"),
        (["--content", "OTHER"], "content was scene.png, sha256 .*, now second.png, sha256 .*"),
    ],
)
def test_another_figure_in_the_folder_is_one_clear_line(
    capsys: pytest.CaptureFixture[str], inputs: Inputs, more: list[object], difference: str
) -> None:
    folder = inputs.folder / "taken"
    if not folder.exists():
        assert run(capsys, *inputs.command(2, "taken")).status == 0
    options = [inputs.styles[1] if option == "OTHER" else option for option in more]
    ended = run(capsys, *inputs.command(2, "taken", "--quiet", *options))
    pattern = (
        rf"error: {re.escape(str(folder))} holds another figure \({difference}\); give another folder, or delete "
        rf"{re.escape(str(folder / 'figure.json'))} to start afresh\n"
    )
    assert (ended.status, ended.out) == (2, "")
    assert re.fullmatch(pattern, ended.err)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([4], "no figure 4: allowed are 1, 2, 3"),
        ([1], "figure 1 needs a content image, a style image, or both: give --content or --style"),
        ([2], "figure 2 needs a content image and a style image: give --content and --style"),
        ([3, "--content", "a.png"], "figure 3 needs a content image and a style image: give --style"),
        ([3, "--style", "a.png", "--style", "b.png"], "figure 3 has one style image, not 2: give --style once"),
        ([3, "--content", "a.png", "--style", "b.png", "--evaluations", 0],
         "bad evaluations 0: allowed are whole numbers of 1 or more"),
        ([3, "--content", "none.png", "--style", "none.png"], "cannot read none.png: no such file"),
    ],
)  # fmt: skip
def test_a_mistake_is_one_line_and_status_2(
    capsys: pytest.CaptureFixture[str], inputs: Inputs, arguments: list[object], message: str
) -> None:
    folder = inputs.folder / "mistake"
    ended = run(capsys, "figure", *arguments, "-o", folder, "--model", inputs.model, "--quiet")
    assert (ended.status, ended.out, ended.err) == (2, "", f"error: {message}\n")
    assert not folder.exists()


def test_an_output_that_is_a_file_is_refused(capsys: pytest.CaptureFixture[str], inputs: Inputs) -> None:
    ended = run(capsys, *inputs.command(2, "scene.png", "--quiet"))
    assert ended.err == f"error: cannot write to {inputs.content}: it is a file; give a folder\n"


def test_a_folder_where_nothing_was_finished_takes_any_figure(
    capsys: pytest.CaptureFixture[str], inputs: Inputs
) -> None:
    """A first attempt with a mistake in it does not occupy the folder."""
    folder = inputs.folder / "fresh"
    failed = run(capsys, *inputs.command(2, "fresh", "--quiet", "--size", 30))
    assert failed.status == 2
    assert "image too small" in failed.err
    assert record(folder)["cells"] == {}
    assert run(capsys, *inputs.command(2, "fresh")).status == 0


def test_a_sheet_puts_pictures_where_they_belong() -> None:
    red, blue = (np.full((20, 60, 3), colour, np.float32) for colour in ((1, 0, 0), (0, 0, 1)))
    tall = np.full((50, 40, 3), (0, 1, 0), np.float32)
    rows = [SheetRow("first", [Labelled(red, "one"), None]), SheetRow("", [Labelled(blue, "", tall), Labelled(tall)])]
    sheet = draw_sheet("Title", ["left", "right"], rows, "note")

    def found(colour: tuple[float, float, float]) -> np.ndarray:
        return np.argwhere((sheet == np.array(colour, np.float32)).all(axis=2))

    assert len(found((1, 0, 0))) == red[..., 0].size
    assert len(found((0, 1, 0))) > tall[..., 0].size  # the picture and the inset
    assert len(found((0, 0, 1))) < blue[..., 0].size  # the inset covers some of it
    assert found((1, 0, 0))[:, 0].max() < found((0, 0, 1))[:, 0].min()
    assert found((0, 0, 1))[:, 1].max() < found((0, 1, 0))[:, 1].max()

"""The paper's figures on a narrow network: what they hold, and that they go on after any interruption."""

import json
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from filelock import FileLock
from PIL import Image

from impasto.engine import Engine
from impasto.engine.cli.progress import FigureProgress
from impasto.engine.events import Event, Iteration, PrecisionChanged, Started
from impasto.engine.figures import Cell, make_figure, plan_figure
from impasto.engine.figures.figure import PICTURES
from impasto.engine.images.sheet import Labelled, SheetRow, draw_sheet
from impasto.engine.runtime.precision import NAMES
from tests.engine.command_line import run
from tests.engine.figures.conftest import Inputs, outcome, record

CELLS = {1: 10, 2: 2, 3: 20}


class Page(HTMLParser):
    """What a reader who does not see the page needs, and what would leave it."""

    def __init__(self) -> None:
        super().__init__()
        self.alternatives: list[str] = []
        self.shared: list[str] = []
        self.sources: list[str] = []
        self.language = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        if tag == "img":
            self.alternatives.append(values.get("alt", ""))
        if values.get("role") == "img" and tag == "div":
            self.shared.append(values.get("aria-label", ""))
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
    html = (folder / "figure.html").read_text()
    assert "; 40 x 37 px, 4 evaluations, " in html  # what it came to, whatever --size said
    page = Page()
    page.feed(html)
    shown = {1: 2 + 2, 2: 3 + 3, 3: 2}[number]  # the inputs, and those of them that stand with the cells
    assert page.language == "en"
    assert len(page.alternatives) == 2 * CELLS[number]  # in the table, and compared with an original
    assert len(page.shared) == shown + CELLS[number]
    assert all(len(text) > 10 for text in page.alternatives + page.shared)
    assert len(set(page.alternatives)) == len(page.alternatives)
    assert all(source.startswith(("data:", "#cell-")) for source in page.sources)
    with Image.open(folder / "sheet.png") as sheet:
        columns, factor = {1: (6, 4), 2: (3, 7), 3: (4, 5)}[number]
        assert 800 <= columns * factor * 40 < sheet.width < 1200  # labels are sharp where it is shown
    assert {path.name for path in folder.iterdir()} == {
        "sheet.png", "figure.html", "figure.json", "courses", ".figure.lock",
        *(cell["file"] for cell in content["cells"].values()),
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


def test_without_images_the_packages_are_taken(capsys: pytest.CaptureFixture[str], inputs: Inputs) -> None:
    command = ["figure", 2, "-o", inputs.folder / "default", "--model", inputs.model, "--size", 48, "--threads", 1]
    ended = run(capsys, *command, "--evaluations", 1, "--provider", "cpu")
    assert ended.status == 0
    assert ended.err.startswith("from the package: harbour.jpg, swirls.jpg, mosaic.jpg, woodcut.jpg\n")
    assert list(record(inputs.folder / "default")["cells"]) == ["1-swirls", "2-mosaic", "3-woodcut"]
    assert sum(path.stat().st_size for path in PICTURES.iterdir()) < 150_000  # they are in the wheel


@pytest.mark.parametrize(
    ("number", "content", "styles", "found"),
    [
        (1, None, [], ["harbour.jpg", "swirls.jpg"]),
        (1, "a.png", [], ["a.png"]),
        (2, "a.png", [], ["a.png", "swirls.jpg", "mosaic.jpg", "woodcut.jpg"]),
        (2, None, ["b.png"], ["harbour.jpg", "b.png"]),
        (3, None, [], ["harbour.jpg", "swirls.jpg"]),
    ],
)
def test_what_is_given_stays(number: int, content: str | None, styles: list[str], found: list[str]) -> None:
    plan = plan_figure(number, Path(content) if content else None, [Path(name) for name in styles])
    assert [path.name for _, path in plan.inputs] == found


def test_cells_of_one_form_may_run_as_a_batch(capsys: pytest.CaptureFixture[str], inputs: Inputs) -> None:
    """The rows of figure 3 share a graph, and the order of the lines shows what ran beside what."""
    ended = run(capsys, *inputs.command(3, "batched", "--batch", 3, "--json"))
    assert ended.status == 0, ended.err
    lines = [json.loads(line) for line in ended.out.splitlines()]
    assert [line["number"] for line in lines] == list(range(1, 21))
    run(capsys, *inputs.command(3, "single"))
    batched, single = (outcome(inputs.folder / name) for name in ("batched", "single"))
    assert set(batched) == set(single)
    for name, cell in batched.items():
        assert cell["loss"] == pytest.approx(single[name]["loss"], rel=1e-4)
        assert (cell["evaluations"], cell["row"]) == (4, single[name]["row"])
    (inputs.folder / "batched" / "relu3_1-1e-4.png").unlink()
    again = run(capsys, *inputs.command(3, "batched", "--batch", 3))
    assert "20 cells, 19 of them found" in again.out
    assert outcome(inputs.folder / "batched") == batched


@pytest.mark.parametrize("batch", [1, 2])
def test_the_loop_may_be_on_the_device(
    capsys: pytest.CaptureFixture[str], inputs: Inputs, device_steps: list[tuple[int, int]], batch: int
) -> None:
    ended = run(capsys, *inputs.command(2, f"device-{batch}", "--batch", batch, "--loop", "device", "--quiet"))
    assert (ended.status, ended.err) == (0, "")
    assert sum(count for _, count in device_steps) >= 4 * CELLS[2] // batch
    device_steps.clear()
    assert run(capsys, *inputs.command(2, f"host-{batch}", "--batch", batch, "--quiet")).status == 0
    assert device_steps == []
    device, host = (outcome(inputs.folder / f"{loop}-{batch}") for loop in ("device", "host"))
    for name, cell in device.items():
        assert cell["loss"] == pytest.approx(host[name]["loss"], rel=1e-3)


def test_every_precision_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    text = run(capsys, "figure", "--help").out
    for name in NAMES:
        assert re.search(rf"\b{name}\b", text), name


def test_cells_that_run_together_are_all_followed(inputs: Inputs, tmp_path: Path) -> None:
    plan = plan_figure(3, inputs.content, inputs.styles[:1], size=40, iterations=3, evaluations=3)
    told: list[tuple[str, str]] = []

    class Told:
        def found(self, cell: Cell) -> None:
            told.append(("found", cell.name))

        def take(self, cell: Cell, event: Event) -> None:
            told.append((type(event).__name__, cell.name))

        def ended(self, cell: Cell) -> None:
            told.append(("ended", cell.name))
            assert not (tmp_path / f"{cell.name}.png").exists()

        def cut_short(self, cell: Cell, evaluations: int) -> None:
            told.append(("cut short", cell.name))

    stopped: list[bool] = []
    with Engine(inputs.model, provider="cpu", threads=1) as engine:
        assert not make_figure(engine, plan, tmp_path, batch=2, followers=[Told()], cancel=lambda: len(told) > 9)
        row = [cell.name for cell in plan.cells[:2]]
        assert {("Started", name) for name in row} | {("Iteration", name) for name in row} <= set(told)
        assert told.index(("Started", row[1])) < told.index(("Iteration", row[0]))  # side by side
        kept = [name for what, name in told if what == "ended"]
        cut_short = [name for what, name in told if what == "cut short"]
        cells = record(tmp_path)["cells"]
        assert sorted(name for name, cell in cells.items() if cell["outcome"] != "cancelled") == sorted(kept)
        assert sorted(cells) == sorted(kept + cut_short)
        for name in cut_short:
            (tmp_path / f"{name}.png").unlink()
        told.clear()
        assert make_figure(engine, plan, tmp_path, batch=2, followers=[Told()], cancel=lambda: bool(stopped))
    assert [name for what, name in told if what == "found"] == kept
    assert len([name for what, name in told if what == "ended"]) == 20 - len(kept)


def test_bars_count_what_is_behind_and_not_what_was_found(inputs: Inputs) -> None:
    plan = plan_figure(3, inputs.content, inputs.styles[:1], size=40)
    first, last, second, third = plan.cells[:4]
    said: list[str] = []
    bars = FigureProgress(plan, 100, hidden=True, say=said.append)
    for cell in (first, last):
        bars.found(cell)
    assert bars.completed == 200
    assert bars.tasks[0].time_remaining is None  # found cells are no speed
    for cell in (second, third):
        bars.take(cell, Started(30, 40, "m", "cpu", "fp32", "", 0.0))
    for evaluations in (2, 12):
        for cell in (second, third):
            bars.take(cell, Iteration(evaluations, evaluations, 1.0, {"content": 1.0}, 1.0, lambda: np.zeros(1)))
    assert bars.completed == 200 + 12 + 12
    bars.ended(second)
    assert bars.completed == 300 + 12
    assert said == []
    bars.take(third, PrecisionChanged("fp16", "bf16", 7))
    assert said == [f"cell {third.name}: values in fp16 are not finite; continuing from iteration 7 in bf16"]


def test_another_process_in_the_folder_is_refused(capsys: pytest.CaptureFixture[str], inputs: Inputs) -> None:
    folder = inputs.folder / "busy"
    folder.mkdir()
    with FileLock(folder / ".figure.lock"):
        ended = run(capsys, *inputs.command(2, "busy", "--quiet"))
    message = f"error: another process makes a figure in {folder}: wait for it, or give another folder\n"
    assert (ended.status, ended.out, ended.err) == (2, "", message)
    assert not (folder / "figure.json").exists()
    assert run(capsys, *inputs.command(2, "busy")).status == 0


def test_another_image_to_start_from_is_noticed(capsys: pytest.CaptureFixture[str], inputs: Inputs) -> None:
    start = inputs.folder / "start.png"
    start.write_bytes(inputs.content.read_bytes())
    command = inputs.command(2, "started", "--init", start, "--quiet")
    assert run(capsys, *command).status == 0
    start.write_bytes(inputs.styles[0].read_bytes())
    ended = run(capsys, *command)
    assert ended.status == 2
    assert "holds another figure (init was start.png, sha256 " in ended.err


@pytest.mark.parametrize("entry", [{}, None, [], {"sha256": 3}, "THEIRS"])
def test_an_entry_that_is_none_is_made_again(capsys: pytest.CaptureFixture[str], inputs: Inputs, entry: object) -> None:
    folder = inputs.folder / "odd"
    command = inputs.command(2, "odd")
    run(capsys, *command)
    before, content = outcome(folder), record(folder)
    odd = {**content["cells"]["1-first"], "file": "../odd/1-first.png"} if entry == "THEIRS" else entry
    content["cells"]["1-first"] = odd
    (folder / "figure.json").write_text(json.dumps(content))
    assert "2 cells, 1 of them found" in run(capsys, *command).out
    assert outcome(folder) == before


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
        ([3, "--style", "a.png", "--style", "b.png"], "figure 3 has one style image, not 2: give --style once"),
        ([3, "--content", "a.png", "--style", "b.png", "--evaluations", 0],
         "bad evaluations 0: allowed are whole numbers of 1 or more"),
        ([1, "--content", "a.png", "--ratio", 0.01],
         "bad ratio 0.01: figure 2 alone takes one, and figure 1 has no alpha/beta; drop --ratio"),
        ([3, "--content", "a.png", "--style", "b.png", "--ratio", 0.01],
         "bad ratio 0.01: figure 2 alone takes one, and figure 3 has its own: 1e-5, 1e-4, 1e-3, 1e-2; drop --ratio"),
        ([3, "--content", "none.png", "--style", "none.png"], "cannot read none.png: no such file"),
        ([2, "--loop", "gpu"], "unknown loop 'gpu': allowed are auto, host, device"),
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

"""Figures that are stopped: what is kept, and that the same command ends with the same files."""

import json
import signal
import subprocess
import sys
import time
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pytest

from impasto.engine import Engine, ImpastoError
from impasto.engine.cli.progress import FigureProgress
from impasto.engine.events import Event, Iteration
from impasto.engine.figures import Cell, Figure, make_figure, plan_figure
from impasto.engine.images import read_metadata
from tests.engine import pages
from tests.engine.command_line import run
from tests.engine.figures.conftest import Inputs, outcome, record


@pytest.mark.slow
def test_a_killed_figure_goes_on_and_ends_the_same(capsys: pytest.CaptureFixture[str], inputs: Inputs) -> None:
    run(capsys, *inputs.command(3, "calm"))
    folder = inputs.folder / "killed"
    code = "from impasto.engine.cli import main; main()"
    rng = np.random.default_rng(4)
    finished: list[int] = []
    for begun in range(1, 4):
        process = subprocess.Popen(
            [sys.executable, "-c", code, *map(str, inputs.command(3, "killed", "--json"))],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        assert process.stdout is not None
        while begun:  # found cells come first, then those that begin
            begun -= not json.loads(process.stdout.readline())["finished"]
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


class StopsAt:
    """Presses Ctrl-C at an iteration of a cell."""

    def __init__(self, name: str, iteration: int) -> None:
        self.name, self.iteration, self.came = name, iteration, False

    def found(self, cell: Cell) -> None:
        pass

    def take(self, cell: Cell, event: Event) -> None:
        self.came |= isinstance(event, Iteration) and (cell.name, event.iteration) == (self.name, self.iteration)

    def ended(self, cell: Cell) -> None:
        pass

    def cut_short(self, cell: Cell, evaluations: int) -> None:
        pass


@pytest.mark.parametrize("batch", [1, 2])
def test_the_picture_so_far_is_kept_and_made_again(inputs: Inputs, tmp_path: Path, batch: int) -> None:
    figure = plan_figure(2, inputs.content, inputs.styles, size=40, evaluations=9)
    names = ["1-first", "2-second"]
    under_way = names if batch == 2 else names[1:]
    with Engine(inputs.model, provider="cpu", threads=1) as engine:

        def make(stop: StopsAt | None = None, figure: Figure = figure, folder: Path = tmp_path) -> bool:
            followers = [stop] if stop is not None else []
            return make_figure(
                engine, figure, folder, batch=batch, followers=followers, cancel=lambda: stop is not None and stop.came
            )

        assert make(folder=tmp_path / "calm")
        assert not make(StopsAt("2-second", 3))
        cells = record(tmp_path)["cells"]
        assert [name for name in names if cells[name]["outcome"] == "cancelled"] == under_way
        assert cells["2-second"]["iterations"] == 3
        for name in under_way:
            kept = read_metadata(tmp_path / f"{name}.png")
            assert (kept["outcome"], kept["iterations"]) == ("cancelled", cells[name]["iterations"])
            assert (tmp_path / f"{name}.png").read_bytes() != (tmp_path / "calm" / f"{name}.png").read_bytes()
        html = (tmp_path / "figure.html").read_text()
        assert f"{2 - batch} of 2 cells are finished, and {batch} unfinished." in html
        assert html.count("unfinished: the run was interrupted") == html.count("(unfinished)</span>") == batch
        assert len(pages.charts(html)) == 4  # the courses so far as well
        assert ("9 evaluations, avg pooling" in html) == (batch == 1)  # of the finished cells
        assert not (tmp_path / "sheet.png").exists()

        assert not make(StopsAt("2-second", 2))  # again, and earlier
        assert record(tmp_path)["cells"]["2-second"]["iterations"] == 2
        assert make()
    assert outcome(tmp_path) == outcome(tmp_path / "calm")
    for name in ("1-first.png", "2-second.png", "sheet.png"):
        assert (tmp_path / name).read_bytes() == (tmp_path / "calm" / name).read_bytes()
    assert "unfinished" not in (tmp_path / "figure.html").read_text()


def test_a_folder_of_unfinished_cells_takes_any_figure(inputs: Inputs, tmp_path: Path) -> None:
    figure = plan_figure(2, inputs.content, inputs.styles[:1], size=40, evaluations=9)
    other = plan_figure(2, inputs.content, inputs.styles[:1], size=40, evaluations=9, seed=1)
    with Engine(inputs.model, provider="cpu", threads=1) as engine:
        stop = StopsAt("1-first", 2)
        assert not make_figure(engine, figure, tmp_path, followers=[stop], cancel=lambda: stop.came)
        assert not make_figure(engine, other, tmp_path, cancel=lambda: True)
        assert record(tmp_path)["cells"] == {}  # that cell was of the other figure
        assert make_figure(engine, other, tmp_path)
        with pytest.raises(ImpastoError, match="holds another figure"):
            make_figure(engine, figure, tmp_path)


@pytest.mark.parametrize("as_json", [False, True])
def test_the_command_tells_of_the_picture_so_far(
    capsys: pytest.CaptureFixture[str], inputs: Inputs, monkeypatch: pytest.MonkeyPatch, as_json: bool
) -> None:
    flag: list[int] = []
    take = FigureProgress.take

    def watched(self: FigureProgress, cell: Cell, event: Event) -> None:
        take(self, cell, event)
        if isinstance(event, Iteration) and (cell.name, event.iteration) == ("1-first", 2):
            flag.append(signal.SIGINT)

    monkeypatch.setattr("impasto.engine.cli.figure.interruptible", lambda: nullcontext(flag))
    monkeypatch.setattr(FigureProgress, "take", watched)
    name = f"told-{as_json}"
    ended = run(capsys, *inputs.command(2, name, "--evaluations", 50, *(["--json"] if as_json else [])))
    assert ended.status == 130
    told, last = ended.err.splitlines()[-2:] if not as_json else ("", ended.err.splitlines()[-1])
    assert last == f"{inputs.folder / name}: interrupted; the same command continues it"
    evaluations = record(inputs.folder / name)["cells"]["1-first"]["evaluations"]
    if as_json:
        begun, cut_short = (json.loads(line) for line in ended.out.splitlines())
        assert begun == {"cell": "1-first", "number": 1, "of": 2, "finished": False}
        assert cut_short == {**begun, "outcome": "cancelled", "evaluations": evaluations}
    else:
        assert told == f"{inputs.folder / name / '1-first.png'}: unfinished, {evaluations} evaluations"
        assert ended.out == ""

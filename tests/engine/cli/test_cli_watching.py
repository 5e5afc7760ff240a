"""Reports, films and previews as parts of a run: what Ctrl-C leaves, and that other runs do not pay."""

import json
import signal
import subprocess
import sys
from pathlib import Path

import onnx_ir as ir
import pytest
from PIL import Image

from impasto.engine import Engine, Settings
from impasto.engine.cli.options import Options
from impasto.engine.cli.pinned_command import with_options
from impasto.engine.cli.single_run import SingleRun
from impasto.engine.watch.preview import Preview
from impasto.engine.watch.report import Report
from tests.engine import pages
from tests.engine.command_line import run
from tests.engine.conftest import TAPS, Files
from tests.small_network import features_model

LOADED = """
import sys
from impasto.engine.cli import main
try:
    main()
except SystemExit as end:
    assert not end.code, end.code
parts = ("watch.report", "watch.preview", "watch.animation", "figures")
print([name for name in sys.modules if name.startswith(("jinja2", *(f"impasto.engine.{part}" for part in parts)))])
"""


def command(files: Files, *more: object) -> list[str]:
    chosen = ("--model", files.model, "--size", 0, "--provider", "cpu", *TAPS, "-o", files.folder / "out.png")
    return [str(item) for item in ("transfer", files.content, files.style, *chosen, *more)]


def test_a_run_without_them_loads_none_of_them(files: Files) -> None:
    def loaded(*more: object) -> str:
        arguments = command(files, "--iterations", 1, *more)
        ended = subprocess.run([sys.executable, "-c", LOADED, *arguments], check=True, capture_output=True, text=True)
        return ended.stdout.splitlines()[-1]

    assert loaded() == "[]"
    assert "impasto.engine.watch.animation" in loaded("--animation", files.folder / "film.gif")  # the counter-check
    assert "'jinja2'" in loaded("--report", files.folder / "page.html")


def test_ctrl_c_leaves_report_and_film_of_what_there_is(files: Files) -> None:
    page, film = files.folder / "out.html", files.folder / "film.gif"
    arguments = command(files, "--iterations", 10_000_000, "--json", "--report", page, "--animation", film)
    process = subprocess.Popen(
        [sys.executable, "-c", "from impasto.engine.cli import main; main()", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    for _ in range(3):
        json.loads(process.stdout.readline())
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (130, "")
    iterations = json.loads(out.splitlines()[-1])["iterations"]
    assert iterations >= 3
    lines = pages.polylines(pages.charts(page.read_text())[0])
    assert len(lines[0]) == 1 + iterations or 500 <= len(lines[0]) <= 1001  # with the start
    assert "it was cancelled" in page.read_text()
    with Image.open(film) as opened:
        assert getattr(opened, "n_frames", 1) > 1


def test_all_of_them_at_once(capsys: pytest.CaptureFixture[str], files: Files) -> None:
    page, film = files.folder / "out.html", files.folder / "film.webp"
    ended = run(capsys, *command(files, "--iterations", 3, "--report", page, "--animation", film, "--preview"))
    assert ended.status == 0
    assert ended.out.splitlines()[2:] == [f"{page}: report", f"{film}: 3 frames"]
    assert ended.err.splitlines()[0] == "no preview: stderr is not a terminal"


def test_a_refinement_is_marked_in_the_charts(
    capsys: pytest.CaptureFixture[str], files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second network is another small one under the name that refinements look for."""
    networks = files.folder / "cache" / "networks"
    networks.mkdir(parents=True)
    ir.save(features_model(seed=1), networks / "vgg19.onnx")
    monkeypatch.setenv("IMPASTO_CACHE", str(files.folder / "cache"))
    page = files.folder / "out.html"
    ended = run(capsys, *command(files, "--iterations", 3, "--refine", 3, "--report", page))
    assert ended.status == 0, ended.err
    for chart in pages.charts(page.read_text()):
        (mark,) = (element for element in chart.iter("path") if element.attrib["class"] == "mark")
        assert mark.attrib["d"].startswith("M")
        assert "vgg19" in [element.text for element in chart.iter("text")]
    assert '<td class="number">-</td>' in page.read_text()  # the start was seen by the other network


def test_only_what_shows_each_iteration_makes_the_host_look_at_each(files: Files) -> None:
    """A loop on the device is otherwise left alone for ten evaluations, and a report needs no more than its log."""

    def asked(save_every: int = 0, **files_of: Path) -> int | None:
        options = Options(save_every=save_every, quiet=True, **files_of)  # type: ignore[arg-type]
        return SingleRun(options, Settings(), files.content, files.style, files.folder / "out.png").report_every

    assert asked() is None
    assert asked(report=files.folder / "out.html") is None
    assert asked(save_every=2) == 1
    assert asked(animation=files.folder / "out.gif") == 1
    assert asked(report=files.folder / "out.html", animation=files.folder / "out.gif") == 1
    assert not Preview.needs_each_image


def test_a_report_of_a_device_loop_has_each_iteration(files: Files) -> None:
    """Though the host looks on only now and then: every loss is in the log that it finds."""
    report = Report(files.folder / "out.html")
    settings = Settings(size=0, content_weight=0, style_taps=("relu1_1",), iterations=12)
    with Engine(files.model, provider="cpu", threads=1, loop="device", report_every=10) as engine:
        html = report.html(engine.transfer(files.content, files.style, settings, on_event=report.take))
    lines = pages.polylines(pages.charts(html)[0])
    assert len(lines[0]) == 13  # with the start


def test_a_jpeg_without_the_transparency_says_so(capsys: pytest.CaptureFixture[str], files: Files) -> None:
    Image.open(files.content).convert("RGBA").save(files.content)
    jpeg = files.folder / "out.jpg"
    ended = run(capsys, *command(files, "--iterations", 1, "-o", jpeg))
    assert f"{jpeg} is without the content image's transparency: .png, .webp and .tif keep it\n" in ended.err
    assert "transparency" not in run(capsys, *command(files, "--iterations", 1)).err


def test_a_command_keeps_what_was_said_and_gets_what_was_left_open() -> None:
    values = {"model": "vgg19", "provider": "cpu", "precision": "fp32"}
    assert with_options(["impasto", "figure", "1"], values) == (
        "impasto figure 1 --model vgg19 --provider cpu --precision fp32"
    )
    words = ["impasto", "figure", "--model", "my net.onnx", "--provider=auto", "1", "--precision", "auto"]
    assert with_options(words, values) == ("impasto figure --model 'my net.onnx' 1 --provider cpu --precision fp32")
    assert with_options(["impasto", "--provider", "cuda:1,nhwc"], {"provider": "cuda"}) == (
        "impasto --provider cuda:1,nhwc"
    )

"""The page of a run."""

import inspect
import itertools
import math
import os
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import numpy as np
import onnx_ir as ir
import pytest

from impasto.engine import Engine, Event, ImpastoError, Iteration, PrecisionChanged, Result, Settings, Started
from impasto.engine.watch.report import MOST_POINTS, Curve, Mark, Report
from impasto.engine.watch.report.charts import COLOURS, Chart, round_steps
from impasto.engine.watch.thinning import EvenlySpaced
from tests.engine import pages
from tests.engine.command_line import run
from tests.engine.conftest import TAPS, Files
from tests.small_network import VGG_WIDTHS, features_model

NASTY = """<script>alert(1)</script> "both" 'kinds' & more.png"""
SETTINGS = {"size": 0, "content_taps": ("relu2_1",), "style_taps": ("relu1_1", "relu3_1")}


def made(files: Files, stop_after: int = 100, **settings: object) -> tuple[str, Result, list[Iteration]]:
    """Return a page, the result and the iterations of a run on the small network."""
    report = Report(files.folder / "out.html", content=files.content, style=files.style, command="impasto transfer")
    iterations: list[Iteration] = []

    def on_event(event: Event) -> None:
        report.take(event)
        if isinstance(event, Iteration):
            iterations.append(event)

    with Engine(files.model, provider="cpu") as engine:
        chosen = Settings(**{**SETTINGS, "iterations": 12, **settings})  # type: ignore[arg-type]
        result = engine.transfer(
            files.content, files.style, chosen, on_event=on_event, cancel=lambda: len(iterations) >= stop_after
        )
    report.finish(result)
    return (files.folder / "out.html").read_text(), result, iterations


def event(iteration: int, loss: float = 1.0) -> Iteration:
    return Iteration(iteration, iteration + 1, loss, {"style": loss}, iteration / 10, lambda: np.zeros((1, 1, 3)))


def started(model: str = "vgg19") -> Started:
    return Started(1, 1, model, "cpu", "fp32", "as they are", 0.1)


def luminance(colour: str) -> float:
    """Relative luminance, WCAG 2.2."""
    channels = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return float(np.dot([0.2126, 0.7152, 0.0722], linear))


def contrast(one: str, other: str) -> float:
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def test_the_page_is_sound_and_whole(files: Files) -> None:
    html, result, _ = made(files)
    document = pages.read(html)
    images = document.every("img")
    assert len(images) == 4  # the slider's two, and two inputs
    assert all(image.attributes["src"].startswith("data:image/jpeg;base64,") for image in images)
    assert all(image.attributes["alt"].strip() for image in images)
    ids = [element.attributes["id"] for element in document.elements if "id" in element.attributes]
    assert len(ids) == len(set(ids))
    for element in document.elements:
        named = element.attributes.get("aria-labelledby", "").split()
        assert set(named) <= set(ids)
    (slider,) = document.every("input")
    assert slider.attributes["type"] == "range"
    assert slider.attributes["aria-label"] == "Border between content image and result"
    assert document.every("html")[0].attributes["lang"] == "en"
    text = " ".join(element.text for element in document.elements)
    for expected in ("content.png", "style.png", "relu1_1", "onnxruntime", "processor", result.message):
        assert expected in text


def test_nothing_is_loaded_from_elsewhere(files: Files) -> None:
    html, _, _ = made(files)
    outside = pages.read(html)
    addresses = [
        element.attributes[name]
        for element in outside.elements
        for name in ("src", "href", "srcset", "data")
        if name in element.attributes
    ]
    assert len(addresses) == 5
    assert all(address.startswith("data:") for address in addresses)
    assert re.findall(r"https?:|url\(|@import|//\w", re.sub(r'"data:[^"]*"', "", html)) == []
    (policy,) = (item for item in outside.every("meta") if "http-equiv" in item.attributes)
    assert "default-src 'none'" in policy.attributes["content"]


def test_charts_show_the_values_of_the_events(files: Files) -> None:
    html, result, iterations = made(files)
    over_evaluations, over_seconds = pages.charts(html)
    names = ["loss", *result.terms]
    for chart, axis in ((over_evaluations, "evaluations"), (over_seconds, "seconds")):
        assert chart.attrib["role"] == "img"
        assert chart.attrib["aria-labelledby"].split() == [chart[0].attrib["id"], chart[1].attrib["id"]]
        lines = pages.polylines(chart)
        assert len(lines) == len(names) == 4
        for name, points in zip(names, lines, strict=True):
            first = sum(result.initial_terms.values()) if name == "loss" else result.initial_terms[name]
            assert (first > 0) == (name != "content_relu2_1")  # which is 0 at the content image: no place on the axis
            start, line = (points[0], points[1:]) if first else (None, points)
            if start is not None:
                assert math.log10(start[1]) == pytest.approx(math.log10(first), abs=0.01)
                assert start[0] < line[0][0]
            assert len(line) == len(iterations)
            for (x, y), item in zip(line, iterations, strict=True):
                value = item.loss if name == "loss" else item.terms[name]
                assert x == pytest.approx(getattr(item, axis), abs=2e-3 * getattr(iterations[-1], axis))
                assert math.log10(y) == pytest.approx(math.log10(value), abs=0.01)
    described = str(over_evaluations[1].text)
    assert f"loss goes from {sum(result.initial_terms.values()):.3g} to {result.loss:.3g}" in described
    cells = re.findall(r'<td class="number">([^<]*)</td>', html)
    assert cells[1] == f"{result.loss:.5g}"
    assert [float(cell) for cell in cells[3::3]] == [float(f"{result.initial_terms[n]:.5g}") for n in result.terms]


def test_names_are_escaped(files: Files) -> None:
    nasty = files.folder / NASTY.replace("/", "")
    files.content.rename(nasty)
    html, _, _ = made(Files(files.folder, nasty, files.style, files.model))
    assert "<script>alert" not in html
    document = pages.read(html)
    assert len(document.every("script")) == 1
    assert document.every("h1")[0].text == f"{nasty.name} in the style of style.png"
    assert f"The content image {nasty.name}" in [image.attributes["alt"] for image in document.every("img")]


def test_a_run_that_was_stopped_has_its_page(files: Files) -> None:
    html, result, iterations = made(files, stop_after=3)
    assert result.outcome == "cancelled"
    assert len(iterations) == 3
    assert [len(line) for line in pages.polylines(pages.charts(html)[0])] == [4, 3, 4, 4]  # with the start
    assert "it was cancelled" in html


def test_a_run_without_an_iteration_has_its_page(files: Files) -> None:
    html, _, _ = made(files, iterations=0)
    assert pages.charts(html) == []
    assert html.count("nothing to draw") == 2


def test_style_alone_is_compared_with_the_style_image(files: Files) -> None:
    report = Report(files.folder / "out.html", style=files.style)
    settings = Settings(size=0, canvas=(96, 64), content_weight=0, style_taps=("relu1_1",), init="noise", iterations=2)
    with Engine(files.model, provider="cpu") as engine:
        result = engine.transfer(None, files.style, settings, on_event=report.take)
    document = pages.read(report.html(result))
    assert document.every("h1")[0].text == "style.png, its style reconstructed"
    alts = [image.attributes["alt"] for image in document.every("img")]
    assert alts == ["The result: style.png, its style reconstructed", *["The style image style.png"] * 2]
    assert "aspect-ratio: 96 / 64" in report.html(result)
    assert "<pre>" not in report.html(result)  # no command was given


def test_transparency_is_kept(files: Files) -> None:
    from PIL import Image

    Image.open(files.content).convert("RGBA").save(files.content)
    html, _, _ = made(files, iterations=1)
    assert html.count("data:image/png;base64,") == 3


def test_the_command_makes_the_picture_again(capsys: pytest.CaptureFixture[str], files: Files) -> None:
    spaced = files.content.rename(files.folder / "it's content.png")
    output, page = files.folder / "out.png", files.folder / "out.html"
    chosen = ("--model", files.model, "--size", 0, "--provider", "cpu", *TAPS, "--iterations", 3)
    ended = run(capsys, "transfer", spaced, files.style, "-o", output, *chosen, "--report", page)
    assert (ended.status, ended.out.splitlines()[2]) == (0, f"{page}: report")
    picture = output.read_bytes()
    output.unlink()
    (code,) = pages.read(page.read_text()).every("code")
    name, *arguments = shlex.split(code.text)
    assert name == "impasto"
    assert run(capsys, *arguments).status == 0
    assert output.read_bytes() == picture


@pytest.mark.skipif(shutil.which("bash") is None, reason="no bash here")
def test_no_character_of_a_page_is_other_than_it_looks(capsys: pytest.CaptureFixture[str], files: Files) -> None:
    awkward = files.content.rename(files.folder / os.fsdecode(b"a\x1b[2J\nb\xff'\xe2\x80\xae.png"))
    page = files.folder / "out.html"
    chosen = ("--model", files.model, "--size", 0, "--provider", "cpu", *TAPS, "--iterations", 1)
    ended = run(capsys, "transfer", awkward, files.style, "-o", files.folder / "out.png", *chosen, "--report", page)
    assert (ended.status, ended.err) == (0, "")
    html = page.read_text("utf-8")
    assert {character for character in html if not character.isprintable()} == {"\n"}
    assert "The content image a\\x1b[2J\\nb\\udcff" in html
    (code,) = pages.read(html).every("code")
    words = subprocess.run(["bash", "-c", f"printf '%s\\0' {code.text}"], capture_output=True, check=True).stdout
    assert words.split(b"\0")[2] == os.fsencode(awkward)


def test_the_command_does_not_depend_on_what_is_installed(
    capsys: pytest.CaptureFixture[str], files: Files, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """`auto` takes the embedded network as long as there is no other, and afterwards another one."""
    monkeypatch.setenv("IMPASTO_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(files.folder)
    chosen = ("--size", 0, "--iterations", 2, "--model=auto", "--refine", 1)
    command = ("transfer", "content.png", "style.png", "-o", "out.png")
    assert run(capsys, *command, *chosen, "--report", "out.html").status == 0
    (code,) = pages.read(Path("out.html").read_text()).every("code")
    arguments = shlex.split(code.text)[1:]
    pinned = ["--model", "vgg19-slim", "--provider", "--precision", "--seed"]
    assert [word for word in arguments if word in pinned] == pinned
    assert not {"--model=auto", "--refine", "auto"} & set(arguments)
    assert "Relative file names begin in the folder of this page." in Path("out.html").read_text()
    picture = Path("out.png").read_bytes()
    network = features_model(widths=VGG_WIDTHS)
    (tmp_path / "cache" / "networks").mkdir(parents=True, exist_ok=True)
    ir.save(network, tmp_path / "cache" / "networks" / "vgg19.onnx")
    again = run(capsys, *arguments)
    assert (again.status, again.err) == (0, "")
    assert Path("out.png").read_bytes() == picture
    other = run(capsys, *command, "--size", 0, "--iterations", 2)
    assert "with vgg19 on" in other.out  # the counter-check: this is what auto takes now


@pytest.mark.parametrize(
    ("page", "words"),
    [
        ("pages/2026/out.html", "begin 2 folders above that of this page."),
        ("pages/out.html", "begin 1 folder above that of this page."),
        ("../out.html", "begin in the folder where it was run, which is not above this page."),
    ],
)
def test_the_page_says_where_relative_names_begin(
    files: Files, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, page: str, words: str
) -> None:
    here = tmp_path / "here"
    here.mkdir()
    (here / page).parent.mkdir(parents=True, exist_ok=True)
    monkeypatch.chdir(here)
    report = Report(page, content=files.content, style=files.style, command="impasto transfer")
    with Engine(files.model, provider="cpu") as engine:
        settings = Settings(**SETTINGS, iterations=1)  # type: ignore[arg-type]
        html = report.html(engine.transfer(files.content, files.style, settings, on_event=report.take))
    assert f"Relative file names {words}" in html
    assert str(tmp_path) not in html


@pytest.mark.parametrize(("kind", "tap"), [("content", "--tap"), ("style", "--style-tap")])
def test_reconstructions_have_reports(capsys: pytest.CaptureFixture[str], files: Files, kind: str, tap: str) -> None:
    output, page = files.folder / "out.png", files.folder / "out.html"
    chosen = (tap, "relu1_1", "--model", files.model, "--size", 48, "--provider", "cpu", "--iterations", 2)
    ended = run(capsys, "reconstruct", kind, files.style, "-o", output, *chosen, "--report", page)
    assert ended.status == 0, ended.err
    document = pages.read(page.read_text())
    alts = [image.attributes["alt"] for image in document.every("img")]
    assert alts == [f"The result: style.png, its {kind} reconstructed", *[f"The {kind} image style.png"] * 2]
    assert document.every("code")[0].text.startswith(f"impasto reconstruct {kind} ")


@pytest.mark.parametrize(
    ("path", "why"),
    [
        ("out.pdf", "a report is a page; allowed are .html, .htm"),
        ("missing/out.html", "create it first"),
        ("folder.html", "it is a folder"),
    ],
)
def test_a_bad_path_is_found_before_the_run(
    capsys: pytest.CaptureFixture[str], files: Files, path: str, why: str
) -> None:
    (files.folder / "folder.html").mkdir()
    output = files.folder / "out.png"
    ended = run(capsys, "transfer", files.content, files.style, "-o", output, "--report", files.folder / path)
    assert ended.status == 2
    assert len(ended.err.splitlines()) == 1
    assert why in ended.err
    assert not output.exists()


def test_an_older_page_stays_where_the_input_is_bad(files: Files) -> None:
    page = files.folder / "out.html"
    page.write_text("older")
    report = Report(page, content=files.folder / "missing.png")
    with pytest.raises(ImpastoError, match="no such file"):
        report.take(started())
    assert page.read_text() == "older"


def test_a_long_curve_is_thinned_evenly_and_keeps_its_end() -> None:
    curve = Curve()
    for iteration in range(1, 5002):
        curve.take(event(iteration))
    points = curve.points()
    assert MOST_POINTS / 2 <= len(points) <= MOST_POINTS
    numbers = [point.iteration for point in points[:-1]]
    assert {after - before for before, after in itertools.pairwise(numbers)} == {8}
    assert points[-1].iteration == 5001


def test_changes_of_network_and_precision_are_marked() -> None:
    curve = Curve()
    curve.take(started("vgg19-slim"))
    curve.take(event(1))
    curve.take(PrecisionChanged("fp16", "fp32", 1))
    curve.take(event(2))
    curve.take(started("vgg19"))
    assert curve.marks == [Mark(2, 0.1, "fp32"), Mark(3, 0.2, "vgg19")]
    chart = Chart("c", "t", "x", {"loss": [(2.0, 1.0), (3.0, 2.0)]}, [(3.0, "vgg19")])
    assert ">vgg19</text>" in chart.svg()


def test_values_without_a_place_on_the_axis_are_left_out() -> None:
    line = [(0.0, 0.0), (1.0, math.nan), (2.0, math.inf), (3.0, 1e300), (4.0, 1e-300)]
    (chart,) = pages.charts(Chart("c", "a < b", "x", {"one": line, "zero": [(1.0, 0.0)]}).svg())
    ((first, second),) = pages.polylines(chart)
    assert (round(first[0], 2), round(second[0], 2)) == (3, 4)
    assert math.log10(first[1]) == pytest.approx(300, abs=1)
    assert chart[0].text == "a < b"
    assert "zero is never above 0" in str(chart[1].text)


@pytest.mark.parametrize("high", [1e-3, 0.7, 1, 7, 301, 10_000_000])
def test_steps_are_round_and_few(high: float) -> None:
    steps = round_steps(0, high)
    assert 3 <= len(steps) <= 7
    assert steps[0] == 0
    assert steps[-1] <= high * (1 + 1e-9)
    assert f"{steps[1]:e}"[0] in "125"


@pytest.mark.parametrize("dark", [False, True])
def test_colours_stand_out_from_the_page(dark: bool) -> None:
    sheet = (Path(inspect.getfile(Report)).with_name("page.css")).read_text()
    light_alone, both = (re.findall(r":root {(.*?)}", sheet, re.DOTALL)[at] for at in (0, 1))
    colours = dict(re.findall(r"--([\w-]+): (#\w{6});", both if dark else light_alone))
    lines = [colours[f"line-{index}"] for index in range(COLOURS)]
    assert len(colours) == len(lines) + 5
    assert contrast("#ffffff", "#000000") == pytest.approx(21)
    for name in ("text", "faint"):
        assert contrast(colours[name], colours["page"]) >= 4.5
    assert contrast(colours["text"], colours["panel"]) >= 4.5
    assert min(contrast(line, colours["page"]) for line in lines) >= 4.5


def test_thinning_keeps_multiples_of_its_step() -> None:
    thinned: EvenlySpaced[int] = EvenlySpaced(4, 3)
    for number in range(1, 40):
        thinned.add(number, number)
    assert thinned.items() == [12, 24, 36]
    assert thinned.step == 12
    assert (thinned.wants(48), thinned.wants(42)) == (True, False)
    with pytest.raises(ValueError, match="must be 1 or more"):
        EvenlySpaced(0)


def test_public_path_is_checked_when_the_report_is_made(tmp_path: Path) -> None:
    with pytest.raises(ImpastoError, match=r"allowed are \.html, \.htm"):
        Report(tmp_path / "out")

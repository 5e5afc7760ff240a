"""Every benchmark from the command line to its file, table and exit status."""

import statistics
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from impasto.bench import cold_start
from impasto.bench.cold_start import KINDS, Start
from impasto.bench.sampling import Effort, Watch
from impasto.bench.series import summarise
from impasto.bench.subject import Subject
from impasto.engine.settings import Settings
from tests.bench.command import ON_CPU, bench, interrupt_at, measured
from tests.engine.command_line import run

HEADINGS = ("what", "px", "of", "n", "median", "IQR", "p50", "p90", "p95", "p99", "evaluations", "loss")


def check_series(found: dict[str, Any]) -> None:
    for item in found["series"]:
        assert item["summary_s"] == pytest.approx(summarise(item["samples_s"]))
        assert min(item["samples_s"]) > 0
        assert item["loss"] > 0
    assert {"processor", "cores", "threads", "thread_settings", "gpus", "versions"} <= set(found["conditions"])
    assert found["asked"]["warm_up"] == 1
    assert found["asked"]["settings"]["content_weight"] == Settings().content_weight


@pytest.mark.parametrize(
    ("command", "options", "names", "evaluations"),
    [
        ("evaluation", (), ["impasto cpu fp32"], [1]),
        ("evaluation", ("--batch", 2), ["impasto cpu fp32 batch 2"], [2]),
        ("transfer", ("--evaluations", 3), ["impasto cpu fp32"], [3]),
        ("transfer", ("--evaluations", 2, "--batch", 2), ["impasto cpu fp32 batch 2"], [4]),
        (
            "throughput",
            ("--evaluations", 2, "--batch", 2),
            ["impasto cpu fp32, single-stream", "impasto cpu fp32 batch 2, offline", "impasto cpu fp32, server"],
            [2, 2, 2],
        ),
    ],
)
def test_file_table_and_progress(
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    command: str,
    options: tuple[object, ...],
    names: list[str],
    evaluations: list[int],
) -> None:
    found, ended = measured(capsys, tmp_path, command, *ON_CPU, *options)
    check_series(found)
    assert [item["name"] for item in found["series"]] == names
    assert [item["evaluations"] for item in found["series"]] == evaluations
    heading, *rows = ended.out.splitlines()
    assert tuple(heading.split()) == HEADINGS
    assert [row.split("  ")[0] for row in rows[: len(names)]] == names
    assert ended.err.splitlines()[-1] == f"{tmp_path}/a.json: every sample"
    assert any(line.startswith("64 px, ") for line in ended.err.splitlines())


def test_a_batch_is_of_different_pictures(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    one, _ = measured(capsys, tmp_path, "evaluation", *ON_CPU)
    two, _ = measured(capsys, tmp_path, "evaluation", *ON_CPU, "--batch", 2)
    losses = [found["series"][0]["loss"] for found in (one, two)]
    assert losses[0] != losses[1]
    assert losses[0] == pytest.approx(losses[1], rel=0.2)  # a mean, not a sum


def test_a_transfer_has_the_way_to_its_loss(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    found, _ = measured(capsys, tmp_path, "transfer", *ON_CPU, "--evaluations", 5)
    (item,) = found["series"]
    assert [point[0] for point in item["curve"]] == sorted(point[0] for point in item["curve"])
    assert item["curve"][0] == [1, item["setup_s"][-1], item["initial_loss"]]
    assert [point[:2] for point in item["curve"]] == sorted(point[:2] for point in item["curve"])
    assert item["curve"][-1][2] == item["loss"] < item["initial_loss"]
    assert all(0 < share < 1 for share in item["share_outside_evaluations"])
    assert item["loop_asked"] == found["asked"]["loop"] == "auto"
    assert item["loop"] == "host"


def test_a_transfer_without_an_iteration_has_its_start(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    found, _ = measured(capsys, tmp_path, "transfer", *ON_CPU, "--evaluations", 1)
    (item,) = found["series"]
    assert item["curve"] == [[1, item["setup_s"][-1], item["initial_loss"]]]
    assert item["loss"] == pytest.approx(item["initial_loss"])


@pytest.mark.parametrize("more", [("--batch", 2), ("--loop", "device")])
def test_evaluations_that_are_not_timed_apart_have_no_share(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, more: tuple[object, ...]
) -> None:
    found, _ = measured(capsys, tmp_path, "transfer", *ON_CPU, "--evaluations", 3, *more)
    (item,) = found["series"]
    assert "share_outside_evaluations" not in item


def test_throughput_has_queueing_and_what_was_asked(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    load = ("--scenario", "server", "--rate", 500, "--seed", 3, "--evaluations", 1)
    found, ended = measured(capsys, tmp_path, "throughput", *ON_CPU, *load)
    (item,) = found["series"]
    assert (item["scenario"], item["rate_per_s"], item["seed"]) == ("server", 500, 3)
    assert (item["loop_asked"], item["loop"]) == ("auto", "host")
    latencies = [a + b for a, b in zip(item["queueing_s"], item["service_s"], strict=True)]
    assert item["samples_s"] == pytest.approx(latencies)
    assert item["queueing_summary_s"]["max"] > 0  # far more than one worker answers
    assert len(item["losses"]) == len(latencies)
    assert " queries/s; in the queue " in ended.out.splitlines()[-1]


def test_sizes_can_be_drawn_over_each_other(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    found, ended = measured(capsys, tmp_path, "evaluation", *ON_CPU, "--size", 96, "--quiet")
    assert [item["size_px"] for item in found["series"]] == [64, 96]
    assert ended.err == f"{tmp_path}/a.json: every sample\n"
    picture = tmp_path / "a.png"
    ended = run(capsys, "bench", "plot", tmp_path / "a.json", "-o", picture)
    assert (ended.status, ended.err) == (0, "")
    assert ended.out == f"{picture}: time against size, latencies\n"
    with Image.open(picture) as image:
        assert image.format == "PNG"


def test_starts_are_of_three_kinds() -> None:
    subject = Subject(model="vgg19-slim", provider="cpu", threads=1, sizes=(64,))
    found = list(cold_start.measure(subject, Effort(0.01, least=1), Watch()))
    assert [item.facts["kind"] for item in found] == list(KINDS)
    for item in found:
        (first_iteration_s,), (process_s,) = item.samples_s, item.facts["process_s"]
        assert 0 < first_iteration_s < process_s
        assert (item.unit, item.facts["precision"]) == ("start", "fp32")
    assert found[0].loss == found[2].loss != found[1].loss


def test_cold_start_from_the_command_line(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    summary = {"provider": "cpu", "precision": "fp32", "model": "vgg19-slim", "evaluations": 2, "loss": 5.0}
    counted = iter(range(1, 100))
    monkeypatch.setattr(
        cold_start, "_start", lambda *_: Start(200.0, summary | {"first_iteration_s": float(next(counted))})
    )
    found, ended = measured(capsys, tmp_path, "cold-start", *ON_CPU)
    check_series(found)
    # The first round, 1 2 3, warms up; three rounds count, or more on a machine that ends them before the time is over.
    samples = [item["samples_s"] for item in found["series"]]
    assert [item[:3] for item in samples] == [[4.0, 7.0, 10.0], [5.0, 8.0, 11.0], [6.0, 9.0, 12.0]]
    assert "starts that do not count" in ended.err
    assert statistics.median(samples[0]) == found["series"][0]["summary_s"]["median"]


def test_a_whole_process_has_the_iterations_that_are_asked_for(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[int] = []
    summary = {"provider": "cpu", "precision": "fp32", "model": "vgg19-slim", "evaluations": 4, "loss": 5.0}

    def start(subject: Subject, *_: object) -> Start:
        given.append(subject.settings.iterations)
        return Start(float(len(given)), summary | {"first_iteration_s": 0.5})

    monkeypatch.setattr(cold_start, "_start", start)
    found, ended = measured(capsys, tmp_path, "cold-start", *ON_CPU, "--warm-up", 0, "--iterations", 3)
    assert set(given) == {3}
    assert found["asked"]["iterations"] == 3
    assert found["series"][0]["process_s"][:3] == [1.0, 4.0, 7.0]
    assert "64 px, impasto cpu fp32, first start: the whole process takes " in ended.out


def test_a_start_that_fails_says_why(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cold_start, "_MAIN", "import sys; sys.exit('error: it is raining')")
    ended = bench(capsys, "cold-start", *ON_CPU, "--quiet")
    assert (ended.status, ended.out) == (2, "")
    assert ended.err == "error: `impasto transfer` ended with 1: it is raining\n"


def test_ctrl_c_keeps_what_there_is(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    interrupt_at(monkeypatch, lambda text: text.startswith("96 px"))
    found, ended = measured(capsys, tmp_path, "evaluation", *ON_CPU, "--size", 96, status=130)
    assert [item["size_px"] for item in found["series"]] == [64]
    assert "impasto cpu fp32" in ended.out


@pytest.mark.parametrize("command", ["evaluation", "transfer", "throughput", "cold-start", "compare"])
def test_ctrl_c_at_the_beginning(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    interrupt_at(monkeypatch, lambda _: True)
    output = tmp_path / "a.json"
    more = ("--against", "eager") if command == "compare" else ()
    ended = bench(capsys, command, *ON_CPU, *more, "--json", output)
    assert (ended.status, ended.out) == (130, ""), ended.err
    assert ended.err.splitlines()[-1] == "stopped before anything was measured: nothing was written"
    assert not output.exists()


@pytest.mark.parametrize(
    ("command", "options", "line"),
    [
        ("evaluation", ("--batch", 0), "bad --batch 0: allowed are 1 to 64 pictures in one evaluation"),
        ("evaluation", ("--size", 64), "--size 64 is given twice: give each size once"),
        ("evaluation", ("--size", 7), "bad --size 7: allowed are 32 to 4096 px"),
        ("evaluation", ("--duration", 0), "bad --duration 0: allowed are seconds above 0"),
        ("evaluation", ("--warm-up", 0), "bad --warm-up 0: allowed are whole numbers of 1 or more"),
        ("evaluation", ("--json", "a.txt"), "cannot write a.txt: unknown extension .txt; allowed are .json"),
        (
            "evaluation",
            ("--size", 72, "--seamless"),
            "bad --size 72 with --seamless: allowed are multiples of 16 px",
        ),
        ("transfer", ("--loop", "gpu"), "unknown loop 'gpu': allowed are auto, host, device"),
        ("throughput", ("--history", 0), "bad history 0: allowed are whole numbers from 1 to 100"),
        (
            "compare",
            ("--tv-weight", 0.5),
            "compare cannot take --tv-weight 0.5: PyTorch's side has no total variation; leave the option out",
        ),
        (
            "compare",
            ("--padding", "reflect"),
            "compare cannot take --padding reflect: PyTorch's side pads with zeros alone; leave the option out",
        ),
        (
            "compare",
            ("--seamless",),
            "compare cannot take --seamless: PyTorch's side cannot wrap its paddings; leave the option out",
        ),
        (
            "compare",
            ("--weighting", "johnson"),
            "compare cannot take --weighting johnson: PyTorch's side knows the paper's equations alone; leave the "
            "option out",
        ),
        ("transfer", ("--evaluations", 0), "bad --evaluations 0: allowed are whole numbers of 1 or more"),
        (
            "throughput",
            ("--scenario", "multi-stream"),
            "unknown scenario 'multi-stream': allowed are single-stream, offline, server",
        ),
        ("throughput", ("--rate", 0), "bad --rate 0: allowed are queries a second above 0"),
        ("throughput", ("--seed", -1), "bad --seed -1: allowed are whole numbers of 0 or more"),
        ("cold-start", ("--batch", 2), "bad --batch 2: a start is that of one transfer; allowed is 1"),
        ("cold-start", ("--warm-up", -1), "bad --warm-up -1: allowed are 0 and more rounds of starts"),
        ("compare", ("--evaluations", -1), "bad --evaluations -1: allowed are 0 (no descents) and more"),
        (
            "compare",
            ("--batch", 2),
            "bad --evaluations 200 with --batch 2: descents are of one picture; give --evaluations 0, which compares "
            "single evaluations of the batch",
        ),
        (
            "compare",
            ("--against", "jax"),
            "unknown --against 'jax': allowed are eager, eager-channels-last, compile, autocast-bf16, "
            "autocast-bf16-channels-last, eager-tf32, compile-tf32, cuda-graph-tf32, autocast-fp16-channels-last, "
            "compile-fp16-channels-last-cuda-graph",
        ),
    ],
)
def test_a_user_s_mistake_is_one_line(
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    command: str,
    options: tuple[object, ...],
    line: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    ended = bench(capsys, command, *ON_CPU, *options)
    assert (ended.status, ended.out) == (2, "")
    assert ended.err.splitlines()[-1] == f"error: {line}"
    assert list(tmp_path.iterdir()) == []


def test_plot_refuses_what_is_no_record(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("a.json").write_text("{}")
    ended = run(capsys, "bench", "plot", "a.json", "-o", "a.png")
    assert (ended.status, ended.out) == (2, "")
    why = "its format is not impasto-bench-1"
    assert ended.err == f"error: not a benchmark's record: a.json, {why}; give a file of `impasto bench ... --json`\n"

"""`--scales` as a user of the commands sees it."""

import json
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from impasto.engine import Iteration, ScaleStarted
from impasto.engine.cli.progress import RunProgress
from impasto.engine.images import read_metadata
from impasto.engine.inputs.checkpoint import load_checkpoint
from impasto.engine.jobs import refinement
from tests.engine.command_line import Ended, run
from tests.engine.conftest import TAPS, Files
from tests.engine.jobs.scale_runs import SIZES, three

__all__ = ["three"]  # a fixture
pytestmark = pytest.mark.usefixtures("three")
Capture = pytest.CaptureFixture[str]

CHOSEN = ("--provider", "cpu", "--threads", 1)
SCALED = ("--size", 96, "--scales", 0, "--iterations", 14, *TAPS)


def transfer(capsys: Capture, files: Files, *more: object, status: int = 0) -> Ended:
    output = files.folder / "out.png"
    ended = run(
        capsys, "transfer", files.content, files.style, "-o", output, "--model", files.model, *CHOSEN, *SCALED, *more
    )
    assert ended.status == status, ended.err
    return ended


def lines(ended: Ended) -> list[dict[str, Any]]:
    return [json.loads(line) for line in ended.out.splitlines()]


def size_px(path: Path) -> tuple[int, int]:
    with Image.open(path) as image:
        return image.size


def test_json_has_a_line_per_scale_and_the_scale_in_each_line(capsys: Capture, files: Files) -> None:
    *found, summary = lines(transfer(capsys, files, "--json"))
    begun = [line for line in found if "event" in line]
    assert [(line["event"], line["scale"], line["scales"], line["height"], line["width"]) for line in begun] == [
        ("scale", number, 3, *size) for number, size in enumerate(SIZES, 1)
    ]
    assert [(line["iteration"], line["last_iteration"]) for line in begun] == [(0, 5), (5, 10), (10, 14)]
    steps = [line for line in found if "event" not in line]
    assert [line["iteration"] for line in steps] == list(range(1, 15))
    assert [(line["scale"], line["height"], line["width"]) for line in steps] == [
        (number, *SIZES[number - 1]) for number in [1] * 5 + [2] * 5 + [3] * 4
    ]
    assert [scale["iterations"] for scale in summary["scales"]] == [5, 5, 4]
    assert set(summary["scales"][0]) == {"height", "width", "iterations", "evaluations", "seconds"}
    assert size_px(files.folder / "out.png") == (96, 72)


def test_the_file_tells_of_the_scales_and_not_of_the_time(capsys: Capture, files: Files) -> None:
    transfer(capsys, files)
    first = (files.folder / "out.png").read_bytes()
    record = read_metadata(files.folder / "out.png")
    assert record["settings"]["scales"] == 0
    assert [set(scale) for scale in record["scales"]] == [{"width", "height", "iterations", "evaluations"}] * 3
    transfer(capsys, files)
    assert (files.folder / "out.png").read_bytes() == first
    shown = run(capsys, "show", files.folder / "out.png").out
    assert "width=48 height=36 iterations=5 evaluations=" in shown


def test_the_plan_has_the_sizes_and_the_memory_of_the_largest(capsys: Capture, files: Files) -> None:
    plan = transfer(capsys, files, "--dry-run").out
    assert "scales   48x36 px (5), 68x51 px (5), 96x72 px (4); in brackets the iterations of each" in plan
    several, one = (lines(transfer(capsys, files, "--dry-run", "--json", "--scales", count))[0] for count in (0, 1))
    assert several["scales"] == [
        {"width": width, "height": height, "iterations": share}
        for (height, width), share in zip(SIZES, (5, 5, 4), strict=True)
    ]
    assert several["memory_bytes"] == one["memory_bytes"]
    assert one["scales"] == [{"width": 96, "height": 72, "iterations": 14}]
    assert "scales" not in transfer(capsys, files, "--dry-run", "--scales", 1).out
    assert not (files.folder / "out.png").exists()


def test_frames_have_the_size_of_the_result(capsys: Capture, files: Files) -> None:
    film = files.folder / "film.png"
    transfer(capsys, files, "--save-every", 2, "--animation", film)
    frames = sorted(files.folder.glob("out-0*.png"))
    assert [path.stem for path in frames] == [f"out-{number:06d}" for number in range(2, 15, 2)]
    assert {size_px(path) for path in frames} == {(96, 72)}
    with Image.open(film) as image:
        assert image.size == (96, 72)
        assert getattr(image, "n_frames", 1) == 7
    last = np.asarray(Image.open(frames[-1]))
    np.testing.assert_array_equal(last, np.asarray(Image.open(files.folder / "out.png")))


def test_the_report_marks_the_scales(capsys: Capture, files: Files) -> None:
    report = files.folder / "report.html"
    transfer(capsys, files, "--report", report, "--weighting", "paper")
    text = report.read_text("utf-8")
    assert "68 × 51 px" in text
    assert "96 × 72 px" in text
    assert "48 × 36 px: 5 iterations, " in text


def test_the_bar_names_the_scale_and_measures_its_own_speed() -> None:
    bar = RunProgress(14, hidden=True)
    bar.show(ScaleStarted(2, 5, 136, 181, 5, 10, 7, 3.0, ""))
    assert bar.tasks[0].fields["scale"] == "scale 2 of 5, 181 px: "
    bar.show(Iteration(6, 9, 1.0, {}, 4.0, lambda: np.zeros(())))
    assert bar.tasks[0].fields["rate"] == "2.00 evaluations/s"
    assert bar.tasks[0].completed == 6


@pytest.mark.parametrize("at", [3, 5, 8])
def test_a_run_that_was_stopped_is_resumed_to_the_same_file(
    capsys: Capture, files: Files, monkeypatch: pytest.MonkeyPatch, at: int
) -> None:
    """It stops at an iteration, as after a crash; the checkpoint alone is left."""
    from impasto.engine.watch.checkpoints import Checkpoints

    file, output = files.folder / "run.safetensors", files.folder / "out.png"
    transfer(capsys, files)
    whole = output.read_bytes()
    output.unlink()
    take = Checkpoints.take

    def until(self: Checkpoints, event: object) -> None:
        if not isinstance(event, Iteration) or event.iteration <= at:
            take(self, event)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(Checkpoints, "take", until)
        patch.setattr(Checkpoints, "finish", lambda self, result: "")
        transfer(capsys, files, "--checkpoint", file, "--checkpoint-every", 0)
    output.unlink()
    state = load_checkpoint(file)[0]
    assert (state.iteration, state.scale) == (at, 2 if at <= 5 else 1)
    shown = run(capsys, "show", file).out
    assert "scales_done" in shown
    ended = run(capsys, "resume", file)
    assert ended.status == 0
    assert output.read_bytes() == whole


@pytest.mark.parametrize("at", [3, 5, 7, 12])
def test_ctrl_c_in_any_scale_gives_a_picture_of_the_final_size(
    capsys: Capture, files: Files, monkeypatch: pytest.MonkeyPatch, at: int
) -> None:
    from impasto.engine.watch.checkpoints import Checkpoints

    file, output = files.folder / "run.safetensors", files.folder / "out.png"
    transfer(capsys, files)
    whole = output.read_bytes()
    take = Checkpoints.take

    def stop(self: Checkpoints, event: object) -> None:
        take(self, event)  # type: ignore[arg-type]
        if isinstance(event, Iteration) and event.iteration == at:
            signal.raise_signal(signal.SIGINT)

    with monkeypatch.context() as patch:
        patch.setattr(Checkpoints, "take", stop)
        ended = transfer(capsys, files, "--checkpoint", file, status=130)
    assert size_px(output) == (96, 72)
    assert ("; it was cancelled, at scale " in ended.out) == (at < 10)
    assert ("; the picture is enlarged from " in ended.out) == (at < 10)
    assert ended.out.endswith(f"to continue this run: impasto resume {file}\n")
    assert run(capsys, "resume", file).status == 0
    assert output.read_bytes() == whole


def test_a_list_may_have_scales(capsys: Capture, files: Files) -> None:
    rows = "content,style,output,size,scales,iterations\ncontent.png,style.png,a.png,96,0,9\n"
    rows += "content.png,style.png,b.png,96,1,4\ncontent.png,style.png,c.png,96,2,8\n"
    (files.folder / "list.csv").write_text(rows)
    taps = ("--set", "content_taps=relu2_1", "--set", "style_taps=relu1_1 relu3_1")
    command = ("batch", files.folder / "list.csv", "-o", files.folder / "out", "--model", files.model, *CHOSEN, *taps)
    plans = lines(run(capsys, *command, "--dry-run", "--json"))[:-1]
    assert [len(plan["scales"]) for plan in plans] == [3, 1, 2]
    found = {Path(line["output"]).name: line for line in lines(run(capsys, *command, "--json", "--batch", 2))[:-1]}
    assert {name: len(line.get("scales", ())) for name, line in found.items()} == {"a.png": 3, "b.png": 0, "c.png": 2}
    again = lines(run(capsys, *command, "--json"))
    assert [line["status"] for line in again[:-1]] == ["skipped"] * 3


def test_a_style_is_saved_for_several_scales(capsys: Capture, files: Files) -> None:
    style, output = files.folder / "style.safetensors", files.folder / "out.png"
    transfer(capsys, files)
    whole = np.asarray(Image.open(output))
    save = ("style", "save", files.style, "-o", style, "--model", files.model, *CHOSEN, "--size", 96, *TAPS[2:])
    planned = run(capsys, *save, "--scales", 0, "--dry-run")
    assert ", for up to 3 scales" in planned.out
    ended = run(capsys, *save, "--scales", 0)
    assert ended.out.endswith(", for up to 3 scales\n")
    used = run(capsys, "transfer", files.content, style, "-o", output, "--model", files.model, *CHOSEN, *SCALED)
    assert used.status == 0
    np.testing.assert_array_equal(np.asarray(Image.open(output)), whole)
    assert "coarser" in run(capsys, "show", style).out
    run(capsys, *save)
    refused = run(capsys, "transfer", files.content, style, "-o", output, "--model", files.model, *CHOSEN, *SCALED)
    assert (refused.status, refused.out) == (2, "")
    assert refused.err.endswith(
        "style.safetensors was saved for 1 scale, and this run has 3: make it with `impasto style save` again, with "
        "--scales 3, or run with --scales 1\n"
    )


def test_a_refinement_has_the_scales_in_its_draft(files: Files) -> None:
    from impasto.engine import Engine, transfer_refined
    from tests.engine.jobs.scale_runs import Followed, changed

    seen = Followed()
    with Engine(files.model, provider="cpu") as draft, Engine("vgg19-slim", provider="cpu") as full:
        plan = refinement.plan_refined(draft, full, files.content, files.style, changed(), evaluations=2)
        assert (len(plan.draft.scales), len(plan.refinement.scales)) == (3, 1)
        result = transfer_refined(
            draft, full, files.content, files.style, changed(), evaluations=2, on_event=seen.events.append
        )
    assert [(event.height, event.width) for event in seen.scales] == SIZES
    assert [scale.iterations for scale in result.scales] == [5, 5, 4]
    assert result.provenance["refine"] == 2
    assert result.settings == changed()
    last = [event for event in seen.events if isinstance(event, Iteration)][-1]
    assert (last.iteration, last.scales) == (result.iterations, 1)


@pytest.mark.parametrize(
    "command", [("reconstruct", "content"), ("reconstruct", "style"), ("figure", "1"), ("evaluate",), ("check",)]
)
def test_commands_of_one_scale_have_no_such_option(capsys: Capture, command: tuple[str, ...]) -> None:
    ended = run(capsys, *command, "x.png", "--scales", 2)
    assert ended.status == 2
    assert "No such option: --scales" in ended.err


def test_a_bad_number_is_one_line(capsys: Capture, files: Files) -> None:
    ended = run(capsys, "transfer", files.content, files.style, "-o", files.folder / "o.png", "--scales", -1)
    assert (ended.status, ended.err.count("\n")) == (2, 1)
    assert "bad scales -1: allowed are whole numbers from 0 to 32" in ended.err

"""`--checkpoint` and `impasto resume` as a user runs them."""

import dataclasses
import json
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir
import pytest
from PIL import Image

from impasto.bench.studies.kills import summary, trials
from impasto.engine.inputs.checkpoint import load_checkpoint, save_checkpoint
from impasto.models import temporary
from impasto.models.temporary import temporary_file
from tests.engine.command_line import run
from tests.engine.conftest import TAPS, Files
from tests.small_network import features_model

Capture = pytest.CaptureFixture[str]


def transfer(files: Files, *more: object) -> list[object]:
    chosen = ("--model", files.model, "--size", 0, "--provider", "cpu", "--threads", 1)
    return ["transfer", files.content, files.style, *chosen, *TAPS, *more]


@pytest.fixture
def output(files: Files) -> Path:
    return files.folder / "out.png"


@pytest.fixture
def file(files: Files) -> Path:
    return files.folder / "run.safetensors"


def refused(capsys: Capture, *command: object) -> str:
    ended = run(capsys, *command)
    assert (ended.status, ended.out) == (2, "")
    assert ended.err.startswith("error: ")
    assert ended.err.count("\n") == 1
    return ended.err.removeprefix("error: ").strip()


def stopped(capsys: Capture, files: Files, output: Path, file: Path, *more: object) -> bytes:
    """Leave a checkpoint of iteration 4 of 12, and return the file of the whole run."""
    run(capsys, *transfer(files, "-o", output, "--iterations", 12, *more))
    whole = output.read_bytes()
    ended = run(capsys, *transfer(files, "-o", output, "--iterations", 4, *more, "--checkpoint", file))
    assert (ended.status, ended.err) == (0, "")
    state, kept = load_checkpoint(file)
    settings = dataclasses.replace(state.settings, iterations=12)
    save_checkpoint(dataclasses.replace(state, settings=settings), file, kept)
    output.unlink()
    return whole


def test_a_run_continues_to_the_file_that_it_would_have_written(
    capsys: Capture, files: Files, output: Path, file: Path
) -> None:
    whole = stopped(capsys, files, output, file)
    ended = run(capsys, "resume", file)
    assert (ended.status, ended.err) == (0, "")
    assert ended.out.startswith(f"{output}: 64x48 px, 12 iterations (")
    assert ended.out.endswith(f"to continue this run: impasto resume {file} --iterations N\n")
    assert output.read_bytes() == whole
    assert load_checkpoint(file)[0].iteration == 12


def test_to_another_file_with_json(capsys: Capture, files: Files, output: Path, file: Path) -> None:
    whole, other = stopped(capsys, files, output, file, "--bits", 16), files.folder / "other.png"
    ended = run(capsys, "resume", file, "-o", other, "--json")
    *lines, last = [json.loads(line) for line in ended.out.splitlines()]
    assert [line["iteration"] for line in lines] == list(range(5, 13))
    assert (last["iterations"], last["outcome"], last["output"]) == (12, "iterations_done", str(other))
    assert ended.err == ""
    assert other.read_bytes() == whole
    assert not output.exists()


def test_with_other_limits_and_another_checkpoint(capsys: Capture, files: Files, output: Path, file: Path) -> None:
    stopped(capsys, files, output, file)
    before, other = file.read_bytes(), files.folder / "second.safetensors"
    ended = run(capsys, "resume", file, "--iterations", 6, "--checkpoint", other, "--quiet")
    assert (ended.status, ended.out, ended.err) == (0, "", "")
    assert file.read_bytes() == before
    assert load_checkpoint(other)[0].iteration == 6
    run(capsys, "resume", other, "--iterations", 9, "--quiet")  # a resumed run is resumed
    run(capsys, "resume", other, "--iterations", 12, "--evaluations", 1000, "--timeout-s", 1000, "--quiet")
    with Image.open(output) as picture:
        pixels = np.asarray(picture)
    run(capsys, *transfer(files, "-o", output, "--iterations", 12, "--quiet"))
    with Image.open(output) as picture:
        np.testing.assert_array_equal(pixels, np.asarray(picture))


def test_what_was_chosen_is_kept_unless_it_is_given(capsys: Capture, files: Files, output: Path, file: Path) -> None:
    stopped(capsys, files, output, file, "--checkpoint", file, "--checkpoint-every", 0, "--loop", "host")
    kept = load_checkpoint(file)[1]
    assert kept == {
        "provider": "cpu", "threads": 1, "loop": "host", "bits": 8, "ignore_memory": False, "checkpoint_every": 0.0,
        "model": str(files.model), "output": str(output),
        "inputs": [str(files.content), str(files.style)],
    }  # fmt: skip
    run(capsys, "resume", file, "--threads", 0, "--iterations", 5, "--quiet")
    kept = load_checkpoint(file)[1]
    assert kept["inputs"] == [str(files.content), str(files.style)]
    assert (kept["threads"], kept["checkpoint_every"], kept["provider"]) == (0, 0.0, "cpu")
    run(capsys, "resume", file, "--checkpoint-every", 60, "--iterations", 6, "--quiet")
    assert load_checkpoint(file)[1]["checkpoint_every"] == 60.0


def test_the_network_may_be_elsewhere(capsys: Capture, files: Files, output: Path, file: Path) -> None:
    whole = stopped(capsys, files, output, file)
    moved = files.folder / "moved.onnx"
    shutil.move(files.model, moved)
    ended = run(capsys, "resume", file)
    assert (ended.status, ended.err) == (2, f"error: no such file: --model {files.model}\n")
    ir.save(features_model(seed=1), files.folder / "other.onnx")
    ended = run(capsys, "resume", file, "--model", files.folder / "other.onnx")
    assert ended.status == 2
    assert ended.err.startswith("error: this run is on network small (")
    assert run(capsys, "resume", file, "--model", moved).status == 0
    with Image.open(output) as picture:
        assert picture.size == (64, 48)
    assert output.exists()
    assert len(output.read_bytes()) == pytest.approx(len(whole), rel=0.01)  # the name of the network is in it


def test_a_network_is_kept_by_the_name_that_auto_chose(
    capsys: Capture, files: Files, output: Path, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("IMPASTO_CACHE", str(files.folder / "cache"))
    chosen = ("--size", 48, "--provider", "cpu", "--threads", 1)
    start = ["transfer", files.content, files.style, "-o", output, *chosen]
    run(capsys, *start, "--iterations", 2, "--checkpoint", file)
    (files.folder / "cache" / "networks").mkdir(parents=True)
    shutil.copy(files.model, files.folder / "cache" / "networks" / "vgg19.onnx")  # now auto would take that
    ended = run(capsys, "resume", file, "--iterations", 3)
    assert (ended.status, ended.out.splitlines()[0].endswith("with vgg19-slim on cpu, fp32")) == (0, True)


def test_a_state_that_python_saved_needs_an_output(capsys: Capture, files: Files, output: Path, file: Path) -> None:
    whole = stopped(capsys, files, output, file)
    state, kept = load_checkpoint(file)
    save_checkpoint(state, file, {"model": kept["model"]})
    ended = run(capsys, "resume", file)
    assert (ended.status, ended.err) == (2, f"error: {file} does not name the file of the result: give -o\n")
    assert run(capsys, "resume", file, "-o", output, "--provider", "cpu", "--threads", 1).status == 0
    assert output.read_bytes() == whole


def test_no_files_are_left_but_the_result_and_the_checkpoint(
    capsys: Capture, files: Files, output: Path, file: Path
) -> None:
    with temporary_file(files.folder / "other.safetensors") as other:  # of somebody else, who is writing it
        left = other.with_name(".impasto-1a2b3c4d-5e6f.tmp")  # of a run that was killed while it wrote
        left.write_bytes(b"half a checkpoint")
        temporary._cleaned.clear()
        run(capsys, *transfer(files, "-o", output, "--iterations", 3, "--checkpoint", file, "--checkpoint-every", 0))
        names = {path.name for path in files.folder.iterdir()}
    assert names == {"content.png", "style.png", "small.onnx", "out.png", "run.safetensors", other.name}


def test_every_iteration_is_saved_when_the_seconds_are_0(
    capsys: Capture, files: Files, output: Path, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    saved: list[int] = []

    def save(state: Any, path: Path, extra: object) -> None:
        saved.append(state.iteration)
        save_checkpoint(state, path)

    monkeypatch.setattr("impasto.engine.watch.checkpoints.save_checkpoint", save)
    run(capsys, *transfer(files, "-o", output, "--iterations", 3, "--checkpoint", file, "--checkpoint-every", 0))
    assert saved == [1, 2, 3, 3]
    saved.clear()
    run(capsys, *transfer(files, "-o", output, "--iterations", 3, "--checkpoint", file))
    assert saved == [1, 3]


def test_with_everything_else_that_follows_a_run(capsys: Capture, files: Files, output: Path, file: Path) -> None:
    report, film = files.folder / "r.html", files.folder / "a.webp"
    more = ("--report", report, "--animation", film, "--save-every", 2, "--checkpoint", file, "--checkpoint-every", 0)
    ended = run(capsys, *transfer(files, "-o", output, "--iterations", 4, *more))
    assert (ended.status, ended.err) == (0, "")
    assert report.stat().st_size > 0
    assert film.stat().st_size > 0
    assert (files.folder / "out-000004.png").is_file()
    assert load_checkpoint(file)[0].iteration == 4


@pytest.mark.parametrize("command", ["content", "style"])
def test_reconstructions(capsys: Capture, files: Files, output: Path, file: Path, command: str) -> None:
    tap = ("--tap", "relu2_1", "--size", 48) if command == "content" else (*TAPS[2:], "--size", "64x48")
    image = files.content if command == "content" else files.style
    chosen = ("--model", files.model, "--provider", "cpu", "--threads", 1, *tap)
    start = ["reconstruct", command, image, "-o", output, *chosen]
    run(capsys, *start, "--iterations", 7)
    whole = output.read_bytes()
    assert run(capsys, *start, "--iterations", 3, "--checkpoint", file).status == 0
    assert run(capsys, "resume", file, "--iterations", 7).status == 0
    assert output.read_bytes() == whole


def test_a_deadline_says_what_to_give(capsys: Capture, files: Files, output: Path, file: Path) -> None:
    more = ("--iterations", 1_000_000, "--timeout-s", 1.5, "--checkpoint", file)
    ended = run(capsys, *transfer(files, "-o", output, *more))
    assert ended.out.endswith(f"to continue this run: impasto resume {file} --timeout-s SECONDS\n")
    done = load_checkpoint(file)[0].iteration
    ended = run(capsys, "resume", file)
    assert f"px, {done} iterations" in ended.out
    assert "the deadline passed" in ended.out
    ended = run(capsys, "resume", file, "--iterations", done + 2, "--timeout-s", 600)
    assert f"px, {done + 2} iterations" in ended.out


@pytest.mark.parametrize("optimizer", ["lbfgs", "adam"])
def test_ctrl_c_saves_the_state_of_the_image_that_it_saves(
    capsys: Capture, files: Files, output: Path, file: Path, optimizer: str
) -> None:
    many = ("--iterations", 10_000_000, "--optimizer", optimizer)
    process = start(*transfer(files, "-o", output, *many, "--checkpoint", file))
    out, err = interrupted(process)
    assert process.returncode == 130
    assert err == ""
    assert out.endswith(f"to continue this run: impasto resume {file}\n")
    assert state_is_of(output, file)
    done = load_checkpoint(file)[0].iteration
    process = start("resume", file)
    interrupted(process)
    assert process.returncode == 130
    assert state_is_of(output, file)
    assert load_checkpoint(file)[0].iteration > done


def start(*command: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", PATIENT, *map(str, command)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


PATIENT = """
import impasto.engine.watch.checkpoints as module
from impasto.engine.cli import main
take, seen = module.Checkpoints.take, []
def told(self, event):
    take(self, event)
    seen.append(event)
    if len(seen) == 4:
        print("begun", flush=True)
module.Checkpoints.take = told
main()
"""
"""The command, which says when it is under way."""


def interrupted(process: subprocess.Popen[str]) -> tuple[str, str]:
    """Send Ctrl-C once the run is under way; return what is printed after that."""
    assert process.stdout is not None
    assert process.stdout.readline() == "begun\n"
    process.send_signal(signal.SIGINT)
    return process.communicate(timeout=60)


def state_is_of(output: Path, file: Path) -> bool:
    state = load_checkpoint(file)[0]
    with Image.open(output) as picture:
        record = json.loads(picture.info["impasto"])
        pixels = np.asarray(picture)
    assert (record["iterations"], record["loss"]) == (state.iteration, state.loss)
    planes = state.optimiser["x"].reshape(3, *pixels.shape[:2]).transpose(1, 2, 0)
    return bool(np.abs(planes * 255 - pixels).max() <= 0.51)


def test_an_error_after_ctrl_c_is_told(
    capsys: Capture, files: Files, output: Path, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from impasto.engine.cli import single_run
    from impasto.models.errors import ImpastoError

    flags: list[bool] = []

    def fail(*_: object) -> None:
        flags.append(True)
        raise ImpastoError("no room")

    class Interruptible:
        def __enter__(self) -> list[bool]:
            return flags

        def __exit__(self, *_: object) -> None: ...

    monkeypatch.setattr(single_run, "interruptible", Interruptible)
    monkeypatch.setattr("impasto.engine.watch.checkpoints.save_checkpoint", fail)
    ended = run(capsys, *transfer(files, "-o", output, "--checkpoint", file, "--checkpoint-every", 0))
    assert (ended.status, ended.err) == (2, "error: no room\n")


def test_the_folder_of_the_result_is_gone(capsys: Capture, files: Files, file: Path) -> None:
    folder = files.folder / "results"
    folder.mkdir()
    stopped(capsys, files, folder / "out.png", file)
    folder.rmdir()
    ended = run(capsys, "resume", file)
    assert (ended.status, ended.err) == (
        2, f"error: cannot write {folder}/out.png: there is no folder {folder}; create it first\n",
    )  # fmt: skip
    assert run(capsys, "resume", file, "-o", files.folder / "out.png").status == 0


def test_a_folder_that_becomes_a_file_during_a_run_leaves_the_checkpoint(
    capsys: Capture, files: Files, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = files.folder / "results"
    folder.mkdir()

    def save(*arguments: Any) -> None:
        save_checkpoint(*arguments)
        if folder.is_dir():
            folder.rmdir()
            folder.touch()

    monkeypatch.setattr("impasto.engine.watch.checkpoints.save_checkpoint", save)
    ended = run(capsys, *transfer(files, "-o", folder / "out.png", "--iterations", 3, "--checkpoint", file))
    assert ended.status == 2
    assert ended.err.startswith(f"error: cannot write {folder}/out.png: ")
    assert load_checkpoint(file)[0].iteration == 3


def test_show(capsys: Capture, files: Files, output: Path, file: Path) -> None:
    stopped(capsys, files, output, file)
    out = run(capsys, "show", file).out
    assert out.startswith("run.safetensors\n  kind             checkpoint\n")
    assert "  iteration        4\n" in out
    assert f"  output           {output}\n" in out
    record = json.loads(run(capsys, "show", file, "--json").out)
    assert (record["kind"], record["settings"]["iterations"], record["model"]) == ("checkpoint", 12, "small")
    file.write_bytes(b"x" * 100)
    assert refused(capsys, "show", file).startswith(f"damaged or truncated file: {file} (")
    assert refused(capsys, "show", files.folder / "no.safetensors").startswith("no such file: ")


@pytest.mark.slow
def test_killed_runs_end_at_the_same_picture() -> None:
    found = trials(3, iterations=10, size=64, seed=1)
    assert summary(found)["equal"] == 3
    assert all(trial.kills for trial in found)

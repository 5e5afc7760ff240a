"""`impasto transfer`, `evaluate` and `doctor` as a user runs them."""

import json
import signal
import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.engine.command_line import run
from tests.engine.conftest import TAPS, Files

SUMMARY_KEYS = {
    "loss",
    "terms",
    "iterations",
    "evaluations",
    "seconds",
    "first_iteration_s",
    "provider",
    "precision",
    "model",
    "outcome",
}


def size_px(path: Path) -> tuple[int, int]:
    with Image.open(path) as image:
        return image.size


def transfer(files: Files, *more: object) -> list[object]:
    chosen = ("--model", files.model, "--size", 0, "--provider", "cpu")
    return ["transfer", files.content, files.style, *chosen, *TAPS, *more]


def test_json_is_a_line_per_iteration_and_a_summary(capsys: pytest.CaptureFixture[str], files: Files) -> None:
    ended = run(capsys, *transfer(files, "-o", files.folder / "out.png", "--iterations", 5, "--json"))
    assert ended.status == 0
    assert ended.err == ""
    *iterations, summary = [json.loads(line) for line in ended.out.splitlines()]
    assert [line["iteration"] for line in iterations] == [1, 2, 3, 4, 5]
    of_a_scale = {"scale": 1, "scales": 1, "width": 64, "height": 48}
    assert set(iterations[0]) == {"iteration", "evaluations", "loss", "terms", "seconds", "model", *of_a_scale}
    assert all({name: line[name] for name in of_a_scale} == of_a_scale for line in iterations)
    assert set(summary) >= SUMMARY_KEYS
    assert summary["loss"] == iterations[-1]["loss"]
    assert summary["model"] == "small"
    assert size_px(files.folder / "out.png") == (64, 48)


def test_a_person_sees_two_lines(capsys: pytest.CaptureFixture[str], files: Files) -> None:
    output = files.folder / "out.png"
    ended = run(capsys, *transfer(files, "-o", output, "--iterations", 2))
    first, second = ended.out.splitlines()
    assert first.startswith(f"{output}: 64x48 px, 2 iterations (3 evaluations) in ")
    assert first.endswith("s with small on cpu, fp32")
    assert second.startswith("loss ")
    assert second.endswith("; all iterations of the budget are done")


def test_quiet_says_nothing(capsys: pytest.CaptureFixture[str], files: Files) -> None:
    ended = run(capsys, *transfer(files, "-o", files.folder / "out.png", "--iterations", 1, "--quiet"))
    assert (ended.status, ended.out, ended.err) == (0, "", "")


def test_johnson_prints_its_conversion(capsys: pytest.CaptureFixture[str], files: Files) -> None:
    ended = run(capsys, *transfer(files, "-o", files.folder / "o.png", "--iterations", 1, "--weighting", "johnson"))
    assert "weighting johnson: alpha[relu2_1] = " in ended.err
    assert ", beta w[relu1_1] = " in ended.err


def test_frames_are_written_every_so_often(capsys: pytest.CaptureFixture[str], files: Files) -> None:
    run(capsys, *transfer(files, "-o", files.folder / "out.png", "--iterations", 5, "--save-every", 2))
    assert sorted(path.name for path in files.folder.glob("out*")) == ["out-000002.png", "out-000004.png", "out.png"]


def test_same_command_same_pixels(capsys: pytest.CaptureFixture[str], files: Files) -> None:
    for name in ("a.png", "b.png"):
        run(capsys, *transfer(files, "-o", files.folder / name, "--iterations", 6, "--init", "noise", "--seed", 7))
    assert (files.folder / "a.png").read_bytes() == (files.folder / "b.png").read_bytes()


def test_show_prints_the_settings_of_a_result(capsys: pytest.CaptureFixture[str], files: Files) -> None:
    output = files.folder / "out.png"
    run(capsys, *transfer(files, "-o", output, "--iterations", 3, "--seed", 11))
    record = json.loads(run(capsys, "show", output, "--json").out)
    assert (record["settings"]["iterations"], record["settings"]["seed"]) == (3, 11)
    assert "seed" in run(capsys, "show", output).out


def test_evaluate_prints_terms_and_writes_the_gradient(capsys: pytest.CaptureFixture[str], files: Files) -> None:
    gradient = files.folder / "g.npy"
    pixels = np.random.default_rng(2).random((48, 64, 3)) * 255
    np.save(files.folder / "image.npy", pixels)
    base = ["--content", files.content, "--style", files.style, "--model", files.model, "--size", 0, *TAPS]
    ended = run(capsys, "evaluate", files.folder / "image.npy", *base, "--gradient", gradient)
    score = json.loads(ended.out)
    assert set(score) == {"loss", "terms", "evaluation_s", "model", "provider", "precision"}
    assert sum(score["terms"].values()) == pytest.approx(score["loss"], rel=1e-6)
    array = np.load(gradient)
    assert (array.shape, array.dtype) == ((48, 64, 3), np.float32)
    assert np.abs(array).max() > 0


def test_doctor_tells_the_truth_without_a_gpu(capsys: pytest.CaptureFixture[str]) -> None:
    ended = run(capsys, "doctor", "--json")
    assert ended.status == 0
    assert ended.err == ""
    report = json.loads(ended.out)
    assert report["Providers"]["cpu"].startswith("works")
    if not Path("/dev/nvidiactl").exists():
        assert report["Providers"]["cuda"].startswith("not usable")
        openvino = report["Providers"]["openvino"].startswith("works") and report["Machine"]["bfloat16"] == "amx_bf16"
        assert report["Providers"]["would be used"].startswith("openvino, bf16; " if openvino else "cpu, fp32; ")
    assert report["Versions"]["numpy"] == np.__version__


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    from impasto.models.version import VERSION

    assert run(capsys, "--version").out == f"impasto {VERSION}\n"


def test_ctrl_c_before_the_first_evaluation_exits_130_and_writes_nothing(
    capsys: pytest.CaptureFixture[str], files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("impasto.engine.cli.single_run.interruptible", lambda: nullcontext([signal.SIGINT]))
    ended = run(capsys, *transfer(files, "-o", files.folder / "out.png", "--quiet"))
    assert (ended.status, ended.out) == (130, "")
    assert ended.err == "stopped before the first evaluation: nothing was written\n"
    assert not (files.folder / "out.png").exists()


def test_ctrl_c_saves_what_there_is_and_exits_130(files: Files) -> None:
    output = files.folder / "out.png"
    command = transfer(files, "-o", output, "--iterations", 10_000_000, "--json")
    process = subprocess.Popen(
        [sys.executable, "-c", "from impasto.engine.cli import main; main()", *map(str, command)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert json.loads(process.stdout.readline())["iteration"] == 1
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert err == ""
    summary = json.loads(out.splitlines()[-1])
    assert summary["outcome"] == "cancelled"
    assert size_px(output) == (64, 48)


def test_help_loads_no_runtime() -> None:
    heavy = ("torch", "onnx", "onnxruntime", "PIL")
    code = f"import sys, impasto.engine.cli; print([name for name in {heavy} if name in sys.modules])"
    loaded = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    assert loaded.strip() == "[]"

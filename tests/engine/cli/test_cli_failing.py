"""A provider that fails in the middle of a run, as where a GPU is lost."""

from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
import pytest
from PIL import Image

from tests.engine.command_line import run
from tests.engine.conftest import TAPS, Files


def _fail_after(monkeypatch: pytest.MonkeyPatch, runs: int) -> None:
    """Have every run of a session fail after so many."""
    left, real = [runs], ort.InferenceSession.run_with_iobinding

    def once_lost(*arguments: Any) -> None:
        left[0] -= 1
        if left[0] < 0:
            raise RuntimeError("device lost\nin a stack of several lines")
        real(*arguments)

    monkeypatch.setattr(ort.InferenceSession, "run_with_iobinding", once_lost)


def _words(files: Files, output: Path, iterations: int) -> tuple[object, ...]:
    images = (files.content, files.style, "-o", output, "--model", files.model, "--provider", "cpu,plain")
    return ("transfer", *images, "--size", 0, "--iterations", iterations, "--quiet", *TAPS)


@pytest.mark.parametrize("name", ["out.png", "out.jpg"])
def test_the_last_good_image_is_written_and_the_error_is_one_line(
    files: Files, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str
) -> None:
    output = tmp_path / name
    _fail_after(monkeypatch, 12)
    ended = run(capsys, *_words(files, output, 100))
    assert (ended.status, ended.err.count("\n")) == (2, 1)
    assert "provider cpu in fp32 cannot run the graph: device lost; see `impasto doctor`; " in ended.err
    iteration = int(ended.err.split(f"{output} is the last good image, after iteration ")[1])
    assert iteration > 2
    monkeypatch.undo()
    wanted = tmp_path / f"wanted-{name}"
    assert run(capsys, *_words(files, wanted, iteration)).status == 0
    np.testing.assert_array_equal(np.asarray(Image.open(output)), np.asarray(Image.open(wanted)))


def test_nothing_is_written_where_there_is_no_image_yet(
    files: Files, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    output = tmp_path / "out.png"
    _fail_after(monkeypatch, 2)  # the targets of the two images
    ended = run(capsys, *_words(files, output, 100))
    assert (ended.status, ended.err.count("\n"), output.exists()) == (2, 1, False)
    assert "last good image" not in ended.err

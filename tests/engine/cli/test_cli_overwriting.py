"""Commands do not destroy what they read."""

import os
import stat
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from impasto.engine import Engine, Result
from impasto.engine.images import read_image
from tests.engine.command_line import Ended, run
from tests.engine.conftest import TAPS, Files

ADVICE = "give another name, or --force to write over it"


def transfer(capsys: pytest.CaptureFixture[str], files: Files, *more: object) -> Ended:
    chosen = ("--model", files.model, "--size", 0, "--provider", "cpu", "--iterations", 1, "--quiet")
    return run(capsys, "transfer", files.content, files.style, *chosen, *TAPS, *more)


@pytest.mark.parametrize(("name", "what"), [("content.png", "content"), ("style.png", "style"), ("start.png", "start")])
def test_a_result_does_not_replace_an_image_of_the_run(
    capsys: pytest.CaptureFixture[str], files: Files, name: str, what: str
) -> None:
    (files.folder / "start.png").write_bytes(files.content.read_bytes())
    path = files.folder / name
    before = path.read_bytes()

    ended = transfer(capsys, files, "-o", path, "--init", files.folder / "start.png")

    message = f"error: cannot write {path}: it is the {what} image, which the run reads; {ADVICE}\n"
    assert (ended.status, ended.err) == (2, message)
    assert path.read_bytes() == before


def test_force_replaces_it(capsys: pytest.CaptureFixture[str], files: Files) -> None:
    before = files.content.read_bytes()
    assert transfer(capsys, files, "-o", files.content, "--force").status == 0
    assert files.content.read_bytes() != before


def test_other_outputs_do_not_either(capsys: pytest.CaptureFixture[str], files: Files) -> None:
    ended = transfer(capsys, files, "-o", files.folder / "out.png", "--animation", files.style)
    assert (ended.status, "it is the style image" in ended.err) == (2, True)
    array = files.folder / "a.npy"
    np.save(array, read_image(files.content).pixels * 255)
    images = (array, "--content", array, "--style", files.style)
    ended = run(capsys, "evaluate", *images, "--gradient", array, "--model", files.model, *TAPS)
    assert (ended.status, "which the run reads; give another name" in ended.err) == (2, True)


def batch(capsys: pytest.CaptureFixture[str], files: Files, rows: str, *more: object) -> Ended:
    manifest = files.folder / "list.csv"
    manifest.write_text("content,style,output\n" + rows)
    chosen = ("--model", files.model, "--provider", "cpu", "--set", "iterations=1", "--set", "size=0")
    taps = ("--set", "content_taps=relu2_1", "--set", "style_taps=relu1_1")
    return run(capsys, "batch", manifest, "-o", files.folder, *chosen, *taps, *more)


@pytest.mark.parametrize(
    ("rows", "row", "what"),
    [
        ("content.png,style.png,content.png\n", 2, "content.png is the content of row 2"),
        ("content.png,style.png,a.png\ncontent.png,style.png,style.png\n", 3, "style.png is the style of row 3"),
        ("content.png,style.png,a.png\na.png,style.png,b.png\n", 2, "a.png is the content of row 3"),
    ],
    ids=["its own", "another's", "not made yet"],
)
@pytest.mark.parametrize("more", [(), ("--dry-run",), ("--force",)], ids=["", "dry run", "force"])
def test_a_row_of_a_batch_does_not_destroy_an_image(
    capsys: pytest.CaptureFixture[str], files: Files, rows: str, row: int, what: str, more: tuple[str, ...]
) -> None:
    before = {path.name: path.read_bytes() for path in files.folder.glob("*.png")}

    ended = batch(capsys, files, rows, *more)

    assert ended.status == 2
    assert f"row {row}, column output: " in ended.err
    assert f"{what}; give another name" in ended.err
    assert {path.name: path.read_bytes() for path in files.folder.glob("*.png")} == before


def test_a_result_that_was_cut_off_is_made_again(capsys: pytest.CaptureFixture[str], files: Files) -> None:
    rows = "content.png,style.png,a.png\n"
    assert "1 done, 0 skipped" in batch(capsys, files, rows).out
    assert "0 done, 1 skipped" in batch(capsys, files, rows).out
    result = files.folder / "a.png"
    whole = result.read_bytes()
    result.write_bytes(whole[: len(whole) * 2 // 3])  # the settings are before the pixels

    assert "1 done, 0 skipped" in batch(capsys, files, rows).out
    assert result.read_bytes() == whole


def test_a_figure_does_not_replace_its_images(capsys: pytest.CaptureFixture[str], files: Files) -> None:
    path = files.folder / "sheet.png"
    path.write_bytes(files.content.read_bytes())
    ended = run(capsys, "figure", 1, "--content", path, "-o", files.folder, "--model", files.model)
    assert ended.status == 2
    assert ended.err.endswith(f"it is the content image {path}, which the run reads; give another folder\n")
    assert path.read_bytes() == files.content.read_bytes()


def test_a_saved_style_does_not_replace_its_image(capsys: pytest.CaptureFixture[str], files: Files) -> None:
    link = files.folder / "s.safetensors"
    link.symlink_to(files.style)
    ended = run(capsys, "style", "save", files.style, "-o", link, "--model", files.model, "--style-tap", "relu1_1")
    assert (ended.status, "it is the style image" in ended.err) == (2, True)
    assert Path(files.style).read_bytes()[:4] == b"\x89PNG"


def test_a_frame_does_not_replace_an_image(capsys: pytest.CaptureFixture[str], files: Files) -> None:
    frame = files.folder / "out-000002.png"
    frame.write_bytes(files.content.read_bytes())
    chosen = ("--model", files.model, "--size", 0, "--iterations", 2, *TAPS)
    ended = run(capsys, "transfer", frame, files.style, "-o", files.folder / "out.png", "--save-every", 2, *chosen)
    assert (ended.status, f"cannot write {frame}: it is the content image" in ended.err) == (2, True)
    assert frame.read_bytes() == files.content.read_bytes()


def test_a_resumed_run_does_not_replace_its_image(capsys: pytest.CaptureFixture[str], files: Files) -> None:
    state = files.folder / "state.safetensors"
    before = files.content.read_bytes()
    assert transfer(capsys, files, "-o", files.folder / "out.png", "--checkpoint", state).status == 0
    ended = run(capsys, "resume", state, "-o", files.content, "--iterations", 2)
    assert (ended.status, f"it is the image {files.content}, which the run reads" in ended.err) == (2, True)
    assert files.content.read_bytes() == before
    assert run(capsys, "resume", state, "-o", files.content, "--iterations", 2, "--force", "--quiet").status == 0


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes with names here")
@pytest.mark.parametrize("through_link", [False, True], ids=["pipe", "link"])
def test_a_pipe_is_not_replaced(capsys: pytest.CaptureFixture[str], files: Files, through_link: bool) -> None:
    pipe = files.folder / "pipe.png"
    os.mkfifo(pipe)
    output = files.folder / "link.png" if through_link else pipe
    if through_link:
        output.symlink_to(pipe)
    ended = transfer(capsys, files, "-o", output)
    message = f"error: cannot write {output}: a pipe, a socket or a device has that name; give the name of a file\n"
    assert (ended.status, ended.err) == (2, message)
    assert stat.S_ISFIFO(pipe.stat().st_mode)


def test_a_folder_that_was_deleted_meanwhile_is_made_again(
    capsys: pytest.CaptureFixture[str], files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = files.folder / "results"
    folder.mkdir()
    original = Engine.transfer

    def deleting(self: Engine, *arguments: Any, **more: Any) -> Result:
        result = original(self, *arguments, **more)
        folder.rmdir()
        return result

    monkeypatch.setattr(Engine, "transfer", deleting)
    assert transfer(capsys, files, "-o", folder / "out.png").status == 0
    assert (folder / "out.png").is_file()

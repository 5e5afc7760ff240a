"""Folders that a user may not read or write: one line and status 2 before the computation, and nothing is left."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.engine.command_line import run
from tests.engine.conftest import TAPS, Files

NOBODY = 65534
SMALL = ("--provider", "cpu", "--quiet")


def furnish(folder: Path, files: Files) -> None:
    for place in (folder, folder / "unread", folder / "unwritten"):
        place.mkdir(exist_ok=True)
        for file in (files.content, files.style, files.model):
            if file.parent != place:
                shutil.copy(file, place)
        (place / "list.jsonl").write_text('{"content": "content.png", "style": "style.png"}\n')


@pytest.fixture
def locked(files: Files, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Path]:
    """A folder with `unread/`, which nobody may enter, and `unwritten/`, where nobody may make a file.

    The test runs as a user for whom that is true.
    """
    folder = Path(tempfile.mkdtemp(prefix="impasto-test-"))
    monkeypatch.setenv("IMPASTO_CACHE", str(folder / "cache"))
    furnish(files.folder, files)
    for name, arguments in commands(files.folder).items():  # imports what a user without rights cannot import later
        if "unread" not in name:
            run(capsys, *arguments)
    furnish(folder, files)
    for path in (folder, *folder.rglob("*")):
        path.chmod(0o777 if path.is_dir() else 0o644)
    (folder / "unwritten").chmod(0o555)
    (folder / "unread").chmod(0o000)
    was_root = os.geteuid() == 0
    try:
        if was_root:
            os.seteuid(NOBODY)
    except OSError as error:
        pytest.skip(f"root cannot become another user here: {error}")
    try:
        yield folder
    finally:
        if was_root:
            os.seteuid(0)
        for name in ("unread", "unwritten"):
            (folder / name).chmod(0o777)
        shutil.rmtree(folder)


def transfer(folder: Path, *more: object, content: str = "content.png", style: str = "style.png") -> tuple[object, ...]:
    images = (folder / content, folder / style)
    return ("transfer", *images, "--model", folder / "small.onnx", *SMALL, *TAPS, "--iterations", 1, *more)


def commands(folder: Path) -> dict[str, tuple[object, ...]]:
    out, closed, fixed = folder / "out.png", folder / "unread", folder / "unwritten"
    manifest = folder / "list.jsonl"
    rows = ("batch", manifest, "--model", folder / "small.onnx", *SMALL)
    scored = ("--model", folder / "small.onnx", *SMALL, *TAPS)
    pair = ("--content", folder / "content.png", "--style", folder / "style.png")
    found: dict[str, tuple[object, ...]] = {}
    for name, place in (("unread", closed), ("unwritten", fixed)):
        found |= {
            f"output {name}": transfer(folder, "-o", place / "x.png"),
            f"existing output {name}": transfer(folder, "-o", place / "content.png"),
            f"report {name}": transfer(folder, "-o", out, "--report", place / "x.html"),
            f"animation {name}": transfer(folder, "-o", out, "--animation", place / "x.webp"),
            f"checkpoint {name}": transfer(folder, "-o", out, "--checkpoint", place / "x.safetensors"),
            f"batch {name}": (*rows, "-o", place),
            f"batch below {name}": (*rows, "-o", place / "below"),
            f"dry batch {name}": (*rows, "-o", place, "--dry-run"),
            f"style {name}": ("style", "save", folder / "style.png", "-o", place / "x.safetensors", *scored[:-6],
                              "--style-tap", "relu1_1"),
            f"gradient {name}": ("evaluate", folder / "content.png", *pair, "--gradient", place / "x.npy", *scored),
        }  # fmt: skip
    found |= {
        "content": transfer(folder, "-o", out, content="unread/content.png"),
        "style": transfer(folder, "-o", out, style="unread/style.png"),
        "saved style": transfer(folder, "-o", out, style="unread/style.safetensors"),
        "init": transfer(folder, "-o", out, "--init", closed / "content.png"),
        "dry init": transfer(folder, "-o", out, "--init", closed / "content.png", "--dry-run"),
        "model": transfer(folder, "-o", out, "--model", closed / "small.onnx"),
        "weights": transfer(folder, "-o", out, "--model", closed / "small.npz"),
        "list": ("batch", closed / "list.jsonl", "-o", folder / "results", "--model", folder / "small.onnx", *SMALL),
        "resume": ("resume", closed / "x.safetensors"),
        "show": ("show", closed / "content.png"),
        "score": ("evaluate", closed / "content.png", *pair, *scored),
    }
    return found


def test_each_ends_in_one_line(locked: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = sorted(locked.iterdir())
    for name, arguments in commands(locked).items():
        ended = run(capsys, *arguments)
        assert (ended.status, ended.err.count("\n"), ended.out) == (2, 1, ""), (name, ended)
        assert ended.err.startswith("error: "), (name, ended)
        assert "Errno" not in ended.err, (name, ended)
        assert "unexpected" not in ended.err, (name, ended)
        left = {path.name for path in locked.iterdir()} - {path.name for path in before}
        assert left <= {"cache"}, (name, left)


def test_a_row_that_may_not_be_read_fails_alone(locked: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = ["unread/content.png", "content.png"]
    lines = [f'{{"content": "{row}", "style": "style.png", "output": "{n}.png"}}' for n, row in enumerate(rows)]
    (locked / "list.jsonl").unlink()
    (locked / "list.jsonl").write_text("\n".join(lines))
    taps = ("--set", "content_taps=relu2_1", "--set", "style_taps=relu1_1", "--set", "iterations=1")
    common = ("batch", locked / "list.jsonl", "-o", locked / "results", "--model", locked / "small.onnx", *SMALL, *taps)
    ended = run(capsys, *common, "--dry-run")
    assert (ended.status, "0.png: failed" in ended.out, "1.png: to do" in ended.out) == (0, True, True), ended
    ended = run(capsys, *common)
    assert (ended.status, ended.err.count("\n")) == (1, 1)
    assert [path.name for path in (locked / "results").iterdir()] == ["1.png"]

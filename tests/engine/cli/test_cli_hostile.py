"""The command line, given what strangers make: one line, whatever the names and records hold."""

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, PngImagePlugin
from safetensors.numpy import save_file

from impasto.models.errors import OF_PATHS
from tests.engine.command_line import run
from tests.engine.conftest import TAPS, Files

Capture = pytest.CaptureFixture[str]


def chosen(files: Files) -> tuple[object, ...]:
    return ("--model", files.model, "--provider", "cpu", "--threads", 1, "--size", 48, "--iterations", 1, *TAPS)


def refusal(capsys: Capture, *line: object) -> str:
    ended = run(capsys, *line)
    assert ended.status == 2, ended.err
    assert ended.err.startswith("error: ")
    assert ended.err.count("\n") == 1
    assert ended.err.removesuffix("\n").isprintable()
    return ended.err.removeprefix("error: ").removesuffix("\n")


def with_record(path: Path, text: str) -> Path:
    """Write a picture, or a .safetensors file, that holds a text as the program's record."""
    if path.suffix == ".png":
        info = PngImagePlugin.PngInfo()
        info.add_text("impasto", text)
        Image.new("RGB", (4, 4)).save(path, pnginfo=info)
    else:
        save_file({"a": np.zeros(1, np.float32)}, path, {"impasto": text})
    return path


@pytest.mark.parametrize("name", ["a.png", "a.safetensors"])
@pytest.mark.parametrize(
    "record",
    [
        '{"a":' + "[" * 900 + "]" * 900 + "}",
        '{"a":' * 50 + "1" + "}" * 50,
        '{"a": 1e999}',
        '{"a": NaN}',
        "[]",
        "3",
        "{",
    ],
    ids=range(7),
)
def test_show_refuses_a_record_that_no_run_writes(capsys: Capture, tmp_path: Path, name: str, record: str) -> None:
    message = refusal(capsys, "show", with_record(tmp_path / name, record))
    assert message.startswith((f"{tmp_path / name} holds no settings", "damaged or truncated file: "))


@pytest.mark.parametrize("name", ["a.png", "a.safetensors"])
def test_show_escapes_what_a_terminal_would_obey(capsys: Capture, tmp_path: Path, name: str) -> None:
    record: dict[str, Any] = {"kind": "style", "a\x1b[2J": "b\x07\r\nc", "d": {"e\u202e": ["\x9b31m", 2]}}
    path = with_record(tmp_path / name, json.dumps(record))
    shown = run(capsys, "show", path)
    assert (shown.status, shown.err) == (0, "")
    assert all(line.isprintable() for line in shown.out.splitlines())
    assert r"a\x1b[2J" in shown.out
    assert r"b\x07\r\nc" in shown.out
    assert r"e\u202e" in shown.out
    assert json.loads(run(capsys, "show", path, "--json").out) == record


NAMES = ["e\x1b[31mred\n.png", "b\udcff\udce9.png", "u\u2028\u0085.png", "x" * 246 + ".png"]


@pytest.mark.parametrize("name", NAMES, ids=["escape", "not utf-8", "separators", "250 bytes"])
def test_names_of_every_kind_are_read_written_and_printed(capsys: Capture, files: Files, name: str) -> None:
    (files.folder / name).write_bytes(files.content.read_bytes())
    (files.folder / "out").mkdir()
    result, report = files.folder / "out" / name, files.folder / "out" / "r.html"
    done = run(capsys, "transfer", files.folder / name, files.style, "-o", result, *chosen(files), "--report", report)
    assert done.status == 0, done.err
    assert result.is_file()
    assert report.stat().st_size > 1000
    assert all(line.isprintable() for line in (done.out + done.err).splitlines())
    missing = refusal(capsys, "transfer", f"{name}.none", files.style, "-o", result, *chosen(files))
    assert missing.endswith(("no such file", "the name is too long"))


def test_a_line_break_of_a_name_is_shown(capsys: Capture, files: Files) -> None:
    """Not as a blank: a name that is pasted from the line is then another one."""
    name = files.folder / "a\n  b.png"
    name.write_text("no image")
    shown = str(name).replace("\n", "\\n")
    out = ("-o", files.folder / "o.png", *chosen(files))
    assert refusal(capsys, "transfer", name, files.style, *out).startswith(f"cannot read {shown}: it is not an image")
    assert refusal(capsys, "transfer", f"{name}.none", files.style, *out) == f"cannot read {shown}.none: no such file"
    assert refusal(capsys, "show", name).startswith(f"cannot read {shown}: ")
    assert refusal(capsys, "transfer", files.content, files.style, *out, "--model", f"{name}.onnx").endswith(
        f"{shown}.onnx"
    )
    manifest = files.folder / "list.jsonl"
    manifest.write_text(json.dumps({"content": name.name, "style": "style.png", "output": "r\n.png"}))
    given = ("batch", manifest, "-o", files.folder / "out", "--model", files.model, "--provider", "cpu", "--quiet")
    ended = run(capsys, *given)
    assert (ended.status, ended.err.count("\n")) == (1, 1)
    assert ended.err.startswith(f"row 1 failed: cannot read {shown}: it is not an image")
    (planned, *_) = run(capsys, *given, "--dry-run").out.splitlines()
    assert planned.startswith(f"{files.folder}/out/r\\n.png: failed, cannot read {shown}: ")
    (row, *_) = (json.loads(line) for line in run(capsys, *given, "--json").out.splitlines())
    assert row["error"].startswith(f"cannot read {name}: ")


@pytest.mark.parametrize(
    "where", ["content", "style", "init", "manifest", "checkpoint", "saved style", "model", "show"]
)
@pytest.mark.parametrize("kind", ["pipe", "device", "folder", "long name"])
def test_what_is_no_file_is_refused_at_once(capsys: Capture, files: Files, where: str, kind: str) -> None:
    suffix = {"manifest": ".csv", "checkpoint": ".safetensors", "saved style": ".safetensors", "model": ".onnx"}
    path = files.folder / f"{'y' * 300 if kind == 'long name' else 'other'}{suffix.get(where, '.png')}"
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "device":
        path.symlink_to("/dev/zero")
    elif kind == "folder":
        path.mkdir()
    out = ("-o", files.folder / "o.png", *chosen(files))
    lines: dict[str, tuple[object, ...]] = {
        "content": ("transfer", path, files.style, *out),
        "style": ("transfer", files.content, path, *out),
        "init": ("transfer", files.content, files.style, *out, "--init", path, "--dry-run"),
        "manifest": ("batch", path, "-o", files.folder / "out"),
        "checkpoint": ("resume", path),
        "saved style": ("transfer", files.content, path, *out),
        "model": ("transfer", files.content, files.style, *out, "--model", path),
        "show": ("show", path),
    }
    message = refusal(capsys, *lines[where])
    why = {"pipe": "it is a pipe", "device": "it is a device", "folder": "it is a folder", "long name": "too long"}
    assert why[kind] in message
    assert not (files.folder / "o.png").exists()


@pytest.mark.parametrize("start", ["missing.png", "model", "text.png"])
def test_a_dry_run_checks_the_start_image(capsys: Capture, files: Files, start: str) -> None:
    (files.folder / "text.png").write_text("no picture")
    path = files.model if start == "model" else files.folder / start
    line = ("transfer", files.content, files.style, "-o", files.folder / "o.png", *chosen(files), "--init", path)
    assert refusal(capsys, *line, "--dry-run") == refusal(capsys, *line)


@pytest.mark.parametrize(
    "option",
    [
        ("--timeout-s", "inf"),
        ("--timeout-s", "nan"),
        ("--learning-rate", "inf"),
        ("--style-weight", "1e999"),
        ("--style-tap", "relu1_1=inf"),
        ("--seed", "9" * 400),
        ("--checkpoint-every", "inf"),
    ],
    ids=str,
)
def test_limits_are_finite(capsys: Capture, files: Files, option: tuple[str, str]) -> None:
    state = ("--checkpoint", files.folder / "k.safetensors") if option[0] == "--checkpoint-every" else ()
    line = ("transfer", files.content, files.style, "-o", files.folder / "o.png", *chosen(files), *option, *state)
    assert "bad " in refusal(capsys, *line)


def test_a_file_behind_a_folder_that_may_not_be_entered(
    capsys: Capture, files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    def forbid(path: Path, **_: object) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    assert 13 in OF_PATHS
    monkeypatch.setattr(Path, "stat", forbid)
    line = ("transfer", files.content, files.style, "-o", files.folder / "o.png", "--provider", "cpu")
    assert "permission denied" in refusal(capsys, *line)

"""The process of a command: closed and full streams, signals, and errors that nobody foresaw."""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from tests.engine.command_line import run
from tests.engine.conftest import TAPS, Files

PROGRAM = (sys.executable, "-c", "from impasto.engine.cli import main; main()")

TELLING = """
import contextlib
from impasto.engine.cli import process

original = process._raised_signals

@contextlib.contextmanager
def raised_signals(received):
    with original(received):
        print(flush=True)
        yield

process._raised_signals = raised_signals
process.main()
"""  # prints a line as soon as a signal is handled


def words(files: Files, *more: object) -> list[str]:
    chosen = ("--model", files.model, "--size", 0, "--provider", "cpu")
    line = ["transfer", files.content, files.style, "-o", files.folder / "out.png", *chosen, *TAPS, *more]
    return [str(word) for word in line]


def in_shell(files: Files, redirection: str, *more: object) -> subprocess.CompletedProcess[str]:
    """Run a transfer whose streams bash redirects; its own status is that of the transfer."""
    line = ["bash", "-c", f'"$@" {redirection}; exit "${{PIPESTATUS[0]}}"', "bash", *PROGRAM, *words(files, *more)]
    return subprocess.run(line, capture_output=True, text=True, timeout=120)


def size_px(path: Path) -> tuple[int, int]:
    with Image.open(path) as image:
        image.load()
        return image.size


@pytest.mark.parametrize(
    ("redirection", "status", "line"),
    [
        pytest.param("| true", 141, "", id="closed pipe"),
        pytest.param("| head -n1", 141, "", id="head"),
        pytest.param(
            "> /dev/full",
            1,
            "error: cannot write to stdout: no space left on the disk; everything else is done\n",
            id="full",
            marks=pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here"),
        ),
        pytest.param(">&-", 0, "", id="closed stdout"),
        pytest.param("2>&-", 0, "", id="closed stderr"),
        pytest.param("<&- >&- 2>&-", 0, "", id="all closed"),
    ],
)
def test_a_broken_stream_does_not_cost_the_picture(files: Files, redirection: str, status: int, line: str) -> None:
    ended = in_shell(files, redirection, "--iterations", 12, "--json")

    assert (ended.returncode, ended.stderr) == (status, line)
    assert size_px(files.folder / "out.png") == (64, 48)


@pytest.mark.parametrize(
    ("number", "ignored"),
    [
        pytest.param(signal.SIGINT, False, id="Ctrl-C"),
        pytest.param(signal.SIGINT, True, id="Ctrl-C, ignored, as a script's command with &"),
        pytest.param(signal.SIGTERM, False, id="SIGTERM"),
        pytest.param(signal.SIGTERM, True, id="SIGTERM, ignored"),
        pytest.param(signal.SIGHUP, False, id="SIGHUP"),
    ],
)
def test_a_signal_saves_the_current_image(files: Files, number: signal.Signals, ignored: bool) -> None:
    before = signal.signal(number, signal.SIG_IGN if ignored else signal.SIG_DFL)
    process = started(words(files, "--iterations", 10_000_000, "--json"))  # it inherits what is ignored
    signal.signal(number, before)
    assert process.stdout is not None
    process.stdout.readline()
    process.send_signal(number)
    out, err = process.communicate(timeout=60)

    assert (process.returncode, err) == (128 + number, "")
    assert json.loads(out.splitlines()[-1])["outcome"] == "cancelled"
    assert size_px(files.folder / "out.png") == (64, 48)


def test_a_file_beyond_the_limit_of_the_system_is_one_line_and_no_half_file(files: Files) -> None:
    """Without the limit's signal SIGXFSZ, which Python ignores, the write itself fails."""
    old = files.folder / "out.png"
    Image.new("RGB", (4, 4)).save(old)
    before = {path.name: path.read_bytes() for path in files.folder.iterdir() if path.is_file()}
    line = ["bash", "-c", 'ulimit -f 4; exec "$@"', "bash", *PROGRAM]
    line += words(files, "--iterations", 1, "--bits", 16, "--quiet")
    ended = subprocess.run(line, capture_output=True, text=True, timeout=120)

    assert (ended.returncode, ended.stdout) == (2, "")
    reason = "the file is larger than the limit of the system (ulimit -f)"
    assert ended.stderr == f"error: cannot write {old}: {reason}; make room, or give another folder\n"
    assert {path.name: path.read_bytes() for path in files.folder.iterdir() if path.is_file()} == before


def test_a_json_stream_beyond_the_limit_does_not_cost_the_picture(files: Files) -> None:
    told = files.folder / "told.jsonl"
    line = ["bash", "-c", f'ulimit -f 20; exec "$@" > {told}', "bash", *PROGRAM]
    ended = subprocess.run([*line, *words(files, "--iterations", 300, "--json")], capture_output=True, text=True)

    assert ended.returncode == 1
    assert ended.stderr.startswith("error: cannot write to stdout: the file is larger than the limit of the system")
    assert size_px(files.folder / "out.png") == (64, 48)
    assert told.stat().st_size == 20 << 10


def test_nohup_keeps_a_command_running(files: Files) -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    process = started(words(files, "--iterations", 10_000_000, "--json"))
    signal.signal(signal.SIGHUP, before)
    assert process.stdout is not None
    process.stdout.readline()
    process.send_signal(signal.SIGHUP)
    process.stdout.read(1 << 18)  # four times what a pipe holds, so some of it was written after the signal
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=60)

    assert (process.returncode, err) == (143, "")


@pytest.mark.parametrize("more", [(), ("--preview-as", "blocks"), ("--json",)], ids=["bar", "preview", "json"])
def test_a_terminal_that_is_closed_saves_the_current_image(files: Files, more: tuple[str, ...]) -> None:
    """The system sends SIGHUP, and the streams of the command lead nowhere from then on."""
    pty = pytest.importorskip("pty")
    ours, theirs = pty.openpty()
    script = f"import fcntl, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0)\n{PROGRAM[-1]}"
    line = [*PROGRAM[:-1], script, *words(files, "--iterations", 10_000_000, *more)]
    process = subprocess.Popen(line, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True)
    os.close(theirs)
    seen = b""
    while b"loss" not in seen:  # of the bar, and of every line of JSON
        seen += os.read(ours, 65536)
    os.close(ours)

    assert process.wait(60) == 129
    assert size_px(files.folder / "out.png") == (64, 48)


def test_sigterm_ends_a_batch_after_the_rows_that_are_finished(files: Files) -> None:
    manifest = files.folder / "rows.jsonl"
    rows = [
        {"content": "content.png", "style": "style.png", "output": f"{index}.png", "iterations": count}
        for index, count in enumerate((1, 10_000_000))
    ]
    manifest.write_text("".join(json.dumps(row) + "\n" for row in rows))
    settings = [word for value in ("content_taps=relu2_1", "style_taps=relu1_1", "size=0") for word in ("--set", value)]
    chosen = ["--model", files.model, "--provider", "cpu", "--batch", 1, "--json", *settings]
    process = started(["batch", manifest, "-o", files.folder / "results", *chosen])
    assert process.stdout is not None
    assert json.loads(process.stdout.readline())["status"] == "done"
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=60)

    assert process.returncode == 143
    assert size_px(files.folder / "results" / "0.png") == (64, 48)
    assert not list((files.folder / "results").glob("*.tmp"))


def test_a_signal_during_the_imports_ends_in_one_line(files: Files) -> None:
    seen = []
    for tenths in range(16):
        (files.folder / "out.png").unlink(missing_ok=True)
        process = started(words(files, "--iterations", 1, "--quiet"), ready=True)
        time.sleep(0.05 * tenths)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
        seen.append(process.returncode)
        assert process.returncode in (0, 130), err
        assert len(err.splitlines()) <= 1
        assert "Traceback" not in err
        if process.returncode == 0:  # the run was over before the signal
            break
    assert seen[0] == 130


def test_an_unforeseen_error_is_one_line_and_a_file(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr("impasto.engine.cli.app.run", failing(TypeError("two\nlines")))

    ended = run(capsys, "doctor")

    assert (ended.status, ended.out) == (1, "")
    (file,) = tmp_path.iterdir()
    assert ended.err.startswith("error: unexpected TypeError: two lines; this is a bug in impasto ")
    assert ended.err.endswith(f"please report it with the traceback, which is in {file}\n")
    assert "Traceback (most recent call last)" in file.read_text()


def test_too_little_memory_is_one_line(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("impasto.engine.cli.app.run", failing(MemoryError()))

    ended = run(capsys, "doctor")

    assert (ended.status, ended.out) == (2, "")
    assert ended.err == "error: there is not enough memory; use a smaller --size, or smaller images\n"


def failing(error: Exception) -> Callable[[], int]:
    def fail() -> int:
        raise error

    return fail


def started(line: list[object] | list[str], *, ready: bool = False) -> subprocess.Popen[str]:
    """Start the program; with `ready`, wait until it takes signals, which is before it imports anything large."""
    line = [*PROGRAM[:-1], TELLING if ready else PROGRAM[-1], *map(str, line)]
    process = subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    if ready:
        assert process.stdout is not None
        process.stdout.readline()
    return process

"""Drawing in the terminal: when, where, how, and next to the progress bar."""

import io
import itertools
import math
import os
import struct
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pytest

from impasto.engine import ImpastoError, Iteration, Picture, PrecisionChanged, Result, Settings, Started
from impasto.engine.watch.preview import Pace, Preview, detect, open_preview
from impasto.engine.watch.preview.place import Place, TerminalSize, place
from impasto.engine.watch.preview.terminals import chosen
from tests.engine.command_line import run
from tests.engine.conftest import TAPS, Files
from tests.terminal import Terminal


class Clock:
    """Seconds that pass when the test says so."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def iteration(level: float = 0.5, height: int = 30, width: int = 40) -> Iteration:
    return Iteration(1, 2, 1.0, {}, 1.0, lambda: np.full((height, width, 3), level, np.float32))


def result(level: float = 1.0) -> Result:
    pixels = np.full((30, 40, 3), level, np.float32)
    return Result(Picture(pixels, None, ""), 1.0, {}, {}, 1, 1, "cancelled", "", 1.0, 0.1, 0.5, Settings(), {})


def always() -> Pace:
    return Pace(share=math.inf, interval_s=0.0, first_cost_s=0.0)


def started() -> Started:
    return Started(30, 40, "m", "cpu", "fp32", "", 0.1)


@pytest.mark.parametrize("evaluation_s", [0.001, 0.02, 0.7])
@pytest.mark.parametrize("cost_s", [0.0005, 0.03, 0.05])
def test_drawing_stays_within_its_share(cost_s: float, evaluation_s: float) -> None:
    clock = Clock()
    pace = Pace(clock=clock)
    begun, turns = clock.now, 0
    for _ in range(int(120 / evaluation_s)):
        clock.now += evaluation_s
        if pace.due():
            with pace.turn():
                clock.now += cost_s
            turns += 1
            assert pace.spent_s <= 0.02 * (clock.now - begun) + 1e-9
            assert pace.spent_s == pytest.approx(turns * cost_s)
    allowed = min(120.0, 0.02 * 120 / cost_s)
    assert 0.6 * allowed <= turns <= 1.03 * allowed


def test_a_slow_terminal_is_drawn_to_less_often() -> None:
    clock = Clock()
    pace = Pace(clock=clock)
    times = []
    for _ in range(4000):
        clock.now += 0.1
        if pace.due():
            times.append(clock.now)
            with pace.turn():
                clock.now += 1.0
    gaps = np.diff(times)
    assert gaps.min() > 49
    assert pace.spent_s <= 0.02 * 400 + 1.0  # the first one could not be foreseen


def test_a_turn_that_fails_counts() -> None:
    clock = Clock()
    pace = Pace(clock=clock)

    def fail() -> None:
        with pace.turn():
            clock.now += 5
            raise OSError("closed")

    with pytest.raises(OSError, match="closed"):
        fail()
    assert pace.spent_s == pytest.approx(5)


@pytest.mark.parametrize(
    ("environ", "kind"),
    [
        ({"TERM": "xterm-kitty", "KITTY_WINDOW_ID": "1"}, "kitty"),
        ({"TERM": "xterm-kitty"}, "kitty"),  # by way of ssh
        ({"TERM": "xterm-ghostty"}, "kitty"),
        ({"TERM": "xterm-256color", "TERM_PROGRAM": "iTerm.app", "COLORTERM": "truecolor"}, "iterm"),
        ({"TERM": "xterm-256color", "TERM_PROGRAM": "WezTerm"}, "iterm"),
        ({"TERM": "foot"}, "sixel"),
        ({"TERM": "mlterm-256color"}, "sixel"),
        ({"TERM": "xterm-256color", "COLORTERM": "truecolor"}, "blocks"),
        ({"TERM": "xterm-256color", "TERM_PROGRAM": "vscode"}, "blocks"),
        ({"WT_SESSION": "x"}, "blocks"),
        ({"TERM": "tmux-256color", "TMUX": "socket", "KITTY_WINDOW_ID": "1"}, "blocks256"),
        ({"TERM": "screen-256color", "COLORTERM": "truecolor", "TERM_PROGRAM": "iTerm.app"}, "blocks"),
        ({"TERM": "xterm-256color", "TERM_PROGRAM": "Apple_Terminal"}, "blocks256"),
        ({"TERM": "xterm-256color"}, "blocks256"),
        ({"TERM": "xterm"}, None),
        ({"TERM": "linux"}, None),
        ({"TERM": "dumb", "COLORTERM": "truecolor"}, None),
        ({}, None),
    ],
)
def test_what_a_terminal_can_do_is_told_by_its_environment(environ: dict[str, str], kind: str | None) -> None:
    assert detect(environ) == kind
    assert chosen("auto", environ) == kind
    assert chosen("sixel", environ) == "sixel"


def test_an_unknown_way_is_refused(capsys: pytest.CaptureFixture[str], files: Files) -> None:
    output = files.folder / "out.png"
    ended = run(capsys, "transfer", files.content, files.style, "-o", output, "--preview-as", "ascii")
    assert (ended.status, output.exists()) == (2, False)
    assert ended.err == "error: unknown preview 'ascii': allowed are auto, kitty, iterm, sixel, blocks, blocks256\n"


@pytest.mark.parametrize(("height", "width"), [(300, 400), (400, 300), (64, 64), (1, 1000), (1000, 1), (4096, 4096)])
@pytest.mark.parametrize("terminal", [TerminalSize(80, 24), TerminalSize(200, 60, (9, 21)), TerminalSize(40, 60)])
def test_pictures_keep_their_proportions_and_fit(height: int, width: int, terminal: TerminalSize) -> None:
    where = place(height, width, terminal)
    assert where is not None
    assert where.columns < terminal.columns
    assert where.rows <= terminal.rows - 4
    assert where.width_px <= where.columns * terminal.cell_px[0]
    assert where.height_px <= where.rows * terminal.cell_px[1]
    assert max(where.width_px, where.height_px) <= 640
    if min(where.rows, where.columns) > 5:
        shape = where.columns * terminal.cell_px[0] / (where.rows * terminal.cell_px[1])
        assert shape == pytest.approx(width / height, rel=0.1)


def test_a_tiny_terminal_has_no_place() -> None:
    assert place(100, 100, TerminalSize(8, 24)) is None
    assert place(100, 100, TerminalSize(80, 7)) is None
    assert place(100, 100, TerminalSize(9, 8)) == Place(8, 4, 80, 80)


def test_pictures_are_drawn_over_each_other() -> None:
    stream, terminal = io.BytesIO(), Terminal(24, 80)
    preview = Preview("blocks", stream, lambda: TerminalSize(80, 24), pace=always())
    terminal.feed(b"said before\r\n" * 10)
    preview.take(started())
    for level in (0.2, 0.4):
        preview.take(iteration(level))
    assert preview.finish(result(1.0)) == ""
    terminal.feed(stream.getvalue().replace(b"\n", b"\r\n").replace(b"\r\r", b"\r"))
    terminal.feed(b"said after")
    lines = terminal.lines()
    assert lines.count("said before") == 3  # the others made room
    rows = [number for number, line in enumerate(lines) if "▀" in line]
    assert rows == list(range(3, 23))
    assert lines[23] == "said after"
    assert {cell.front for row in rows for cell in terminal.cells[row] if cell.text == "▀"} == {"2;255;255;255"}


def test_what_is_said_stays_and_the_next_picture_is_below_it() -> None:
    stream, terminal = io.BytesIO(), Terminal(60, 80)
    preview = Preview("blocks", stream, lambda: TerminalSize(80, 20), pace=always())
    for event in (started(), iteration(), iteration()):
        preview.take(event)
    stream.write(b"going on in fp32\r\n")
    preview.take(PrecisionChanged("fp16", "fp32", 1))
    preview.take(iteration())
    terminal.feed(stream.getvalue())
    lines = terminal.lines()
    assert [("▀" in line) for line in lines[:33]] == [True] * 16 + [False] + [True] * 16
    assert lines[16] == "going on in fp32"


def test_a_new_size_begins_anew() -> None:
    sizes = itertools.chain([TerminalSize(80, 24)] * 2, itertools.repeat(TerminalSize(60, 24)))
    stream = io.BytesIO()
    preview = Preview("blocks", stream, lambda: next(sizes), pace=always())
    ends = []
    for _ in range(4):
        preview.take(iteration())
        ends.append(stream.tell())
    drawn = [stream.getvalue()[start:end] for start, end in itertools.pairwise([0, *ends])]
    assert [part.startswith(b"\n") for part in drawn] == [True, False, True, False]


@pytest.mark.parametrize("kind", ["kitty", "iterm", "sixel"])
def test_graphics_are_drawn_in_one_place(kind: str) -> None:
    stream, terminal = io.BytesIO(), Terminal(24, 80)
    preview = Preview(kind, stream, lambda: TerminalSize(80, 24), pace=always())
    for _ in range(3):
        preview.take(iteration())
    terminal.feed(stream.getvalue())
    assert [row for row, _ in terminal.pictures] == [0, 0, 0]
    assert (terminal.row, terminal.column) == (20, 0)
    if kind == "kitty":
        assert len({text.split(",i=")[1].split(",")[0] for _, text in terminal.pictures}) == 1


def test_others_are_kept_away_while_drawing() -> None:
    log: list[str] = []

    class Stream(io.BytesIO):
        def write(self, data: object, /) -> int:
            log.append("draw")
            return 0

    @contextmanager
    def aside() -> Iterator[None]:
        log.append("away")
        yield
        log.append("back")

    Preview("blocks", Stream(), lambda: TerminalSize(80, 24), aside=aside, pace=always()).take(iteration())
    assert log == ["away", "draw", "back"]


def test_a_terminal_that_is_closed_ends_the_drawing_and_not_the_run() -> None:
    class Closed(io.BytesIO):
        attempts = 0

        def write(self, data: object, /) -> int:
            self.attempts += 1
            raise OSError(5, "Input/output error")

    stream = Closed()
    preview = Preview("blocks", stream, lambda: TerminalSize(80, 24), pace=always())
    preview.take(iteration())
    preview.take(iteration())
    preview.finish(result())
    assert stream.attempts == 1


def test_snapshots_are_made_only_to_be_drawn() -> None:
    clock, made = Clock(), []

    def snapshot() -> np.ndarray:
        made.append(clock.now)
        return np.zeros((8, 8, 3), np.float32)

    preview = Preview("blocks", io.BytesIO(), lambda: TerminalSize(80, 24), pace=Pace(clock=clock))
    for _ in range(1000):
        clock.now += 0.01
        preview.take(Iteration(1, 2, 1.0, {}, 1.0, snapshot))
    assert len(made) == 5  # seconds 5 to 9; the first waits until it is sure to be cheap enough
    assert made[0] - 1000 == pytest.approx(5.0, abs=0.02)


def test_without_a_terminal_it_says_why_and_goes_on(capsys: pytest.CaptureFixture[str], files: Files) -> None:
    output = files.folder / "out.png"
    chosen_ones = ("--model", files.model, "--size", 0, "--provider", "cpu", *TAPS, "--iterations", 1)
    ended = run(capsys, "transfer", files.content, files.style, "-o", output, *chosen_ones, "--preview")
    assert ended.status == 0
    assert "no preview: stderr is not a terminal\n" in ended.err
    assert output.exists()


def test_a_terminal_without_colours_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("COLORTERM", "TERM_PROGRAM", "TMUX", "KITTY_WINDOW_ID", "WT_SESSION"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "vt100")
    monkeypatch.setattr("sys.stderr", type("Tty", (), {"isatty": lambda self: True})())
    assert open_preview("auto") == (
        "the terminal (TERM=vt100) is not known to have 256 colours; --preview-as chooses one of its ways"
    )
    with pytest.raises(ImpastoError, match="unknown preview"):
        open_preview("ascii")


PTY_RUN = """
from impasto.engine.watch.preview import Pace
Pace.__init__.__defaults__ = (float("inf"), 0.0, 0.0, *Pace.__init__.__defaults__[3:])  # every iteration is drawn
from impasto.engine.cli import main
main()
"""


def in_a_terminal(arguments: list[object], rows: int, columns: int) -> tuple[int, bytes]:
    """Run the command line with all three streams on a terminal of that size; return status and output."""
    fcntl, pty, termios = (pytest.importorskip(name) for name in ("fcntl", "pty", "termios"))
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
    kept = {name: value for name, value in os.environ.items() if name not in ("TMUX", "KITTY_WINDOW_ID", "COLUMNS")}
    process = subprocess.Popen(
        [sys.executable, "-c", PTY_RUN, *map(str, arguments)],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env={**kept, "TERM": "xterm-256color", "COLORTERM": "truecolor"},
    )
    os.close(theirs)
    written = bytearray()
    with os.fdopen(ours, "rb", buffering=0) as stream:
        try:
            while part := stream.read(65536):
                written += part
        except OSError:  # Linux's way to say that the other end is closed
            pass
    return process.wait(60), bytes(written)


@pytest.mark.parametrize("rows", [24, 60])
def test_bar_and_picture_share_a_terminal(files: Files, rows: int) -> None:
    output = files.folder / "out.png"
    common = ("--model", files.model, "--size", 0, "--provider", "cpu", *TAPS, "--iterations", 30)
    command = ["transfer", files.content, files.style, "-o", output, *common, "--preview"]
    status, written = in_a_terminal(list(command), rows, 100)
    assert status == 0
    assert written.count(b"\x1b7") == 31  # one an iteration, and the result
    terminal = Terminal(rows, 100)
    terminal.feed(written)
    lines = terminal.lines()
    drawn = [number for number, line in enumerate(lines) if "▀" in line]
    assert drawn == list(range(drawn[0], drawn[0] + len(drawn)))  # one picture
    assert len(drawn) == (20 if rows == 24 else 37)
    after = " ".join(lines[drawn[-1] + 1 :])
    assert after.startswith(str(output)[:60])
    assert "all iterations of the budget are done" in after
    assert not any("evaluations/s" in line or "━" in line for line in lines)  # the bar is gone
    first, last = terminal.cells[drawn[0]][0], terminal.cells[drawn[-1]][0]
    assert first.front.startswith("2;")
    assert last.back.startswith("2;")


def test_the_bar_leaves_nothing_behind_where_graphics_stand(files: Files) -> None:
    """Text under a picture would show beside it, because graphics do not erase the rest of their lines."""
    common = ("--model", files.model, "--size", 0, "--provider", "cpu", *TAPS, "--iterations", 10)
    command = ["transfer", files.content, files.style, "-o", files.folder / "out.png", *common]
    status, written = in_a_terminal([*command, "--preview-as", "kitty"], 60, 100)
    assert status == 0
    terminal = Terminal(60, 100)
    terminal.feed(written)
    assert len([text for _, text in terminal.pictures if text.startswith("_Ga=T")]) == 11
    assert {row for row, _ in terminal.pictures} == {0}
    assert terminal.scrolled == 0
    lines = terminal.lines()
    assert [line for line in lines[:37] if line] == []
    assert lines[37].startswith(str(files.folder)[:60])


def test_json_and_a_picture_do_not_go_to_one_terminal(files: Files) -> None:
    command = ["transfer", files.content, files.style, "-o", files.folder / "out.png", "--preview", "--json"]
    status, written = in_a_terminal(list(command), 24, 100)
    assert status == 2
    assert written.startswith(b"error: --preview and --json both write to the terminal")

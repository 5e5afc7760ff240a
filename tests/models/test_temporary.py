"""Temporary files of killed processes: who removes them, and which files of living processes stay."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from impasto.models import temporary
from impasto.models.atomic import atomic_file, check_place, write_atomically

LEFTOVERS = ".impasto-*.tmp"
HOLD = """
import sys, time
from pathlib import Path
from impasto.models.atomic import atomic_file
with atomic_file(Path(sys.argv[1])) as part:
    part.write_bytes(b"half of the file")
    print("held", flush=True)
    sys.stdin.read()
"""
WRITE = """
import sys, time
from pathlib import Path
from impasto.models import temporary
from impasto.models.atomic import check_place, write_atomically
folder, number, count = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
print("ready", flush=True)
for turn in range(count):
    temporary._cleaned.clear()  # each turn is the first of a new process
    for target in (folder / "same.bin", folder / f"{number}.bin"):
        check_place(target)
        write_atomically(target, number.encode() * 200_000)
print("done", flush=True)
"""
posix = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no flock")


@pytest.fixture(autouse=True)
def every_call_is_the_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(temporary, "_cleaned", set())


@pytest.fixture
def holder(tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A process in the middle of writing `held.bin`."""
    command = [sys.executable, "-c", HOLD, str(tmp_path / "held.bin")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"held\n"
        yield process
        process.kill()


def leftovers(folder: Path) -> list[Path]:
    return list(folder.glob(LEFTOVERS))


@posix
@pytest.mark.parametrize("first", ["check", "write"])
def test_the_file_of_a_killed_process_is_removed_by_the_next(
    tmp_path: Path, holder: subprocess.Popen[bytes], first: str
) -> None:
    holder.kill()
    holder.wait()
    assert len(leftovers(tmp_path)) == 1
    if first == "check":
        check_place(tmp_path / "other.png")
    else:
        write_atomically(tmp_path / "other.png", b"x")
    assert leftovers(tmp_path) == []
    assert not (tmp_path / "held.bin").exists()


@posix
def test_the_file_of_a_living_process_stays(tmp_path: Path, holder: subprocess.Popen[bytes]) -> None:
    check_place(tmp_path / "other.png")
    write_atomically(tmp_path / "held.bin", b"meanwhile")
    assert len(leftovers(tmp_path)) == 1
    assert holder.stdin is not None
    holder.stdin.close()
    assert holder.wait(60) == 0
    assert (tmp_path / "held.bin").read_bytes() == b"half of the file"
    assert leftovers(tmp_path) == []


@posix
def test_the_files_of_this_process_stay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with atomic_file(tmp_path / "outer.bin") as part:
        part.write_bytes(b"outer")
        monkeypatch.setattr(temporary, "_cleaned", set())
        write_atomically(tmp_path / "inner.bin", b"inner")
        assert leftovers(tmp_path) == [part]
    assert (tmp_path / "outer.bin").read_bytes() == b"outer"


@posix
def test_a_file_that_its_writer_replaced_is_locked_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """safetensors writes to a file of its own and renames it."""
    chmod = Path.chmod

    def meanwhile(part: Path, mode: int) -> None:  # between the writer's end and the new name
        monkeypatch.setattr(temporary, "_cleaned", set())
        check_place(tmp_path / "other.png")
        chmod(part, mode)

    monkeypatch.setattr(Path, "chmod", meanwhile)
    with atomic_file(tmp_path / "a.bin") as part:
        (tmp_path / "own").write_bytes(b"x")
        (tmp_path / "own").replace(part)
    assert [path.name for path in tmp_path.iterdir()] == ["a.bin"]


@posix
def test_eight_processes_write_while_some_are_killed(tmp_path: Path) -> None:
    def start(number: int, turns: int) -> subprocess.Popen[str]:
        command = [sys.executable, "-c", WRITE, str(tmp_path), str(number), str(turns)]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        return process

    finishing = [start(number, 500) for number in range(4)]
    killed = [start(number, 10**6) for number in range(4, 8)]
    for process in killed:
        time.sleep(0.1)
        process.send_signal(signal.SIGKILL)
        process.communicate()
    for process in finishing:
        assert process.communicate(timeout=120) == ("done\n", "")
    write_atomically(tmp_path / "last.bin", b"")
    assert leftovers(tmp_path) == []
    for number in range(4):
        assert (tmp_path / f"{number}.bin").read_bytes() == str(number).encode() * 200_000
    same = (tmp_path / "same.bin").read_bytes()
    assert same == same[:1] * 200_000


def test_a_folder_is_searched_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    searched: list[Path] = []
    scandir = os.scandir
    monkeypatch.setattr(os, "scandir", lambda path: searched.append(path) or scandir(path))  # type: ignore[func-returns-value]
    for row in range(20):
        check_place(tmp_path / f"{row}.png")
        write_atomically(tmp_path / f"{row}.png", b"x")
    assert searched == [tmp_path]


@pytest.mark.parametrize(("age_days", "stays"), [(0.9, True), (1.1, False)])
def test_without_locks_age_decides(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, age_days: float, *, stays: bool
) -> None:
    if sys.platform != "win32":
        monkeypatch.setattr(temporary, "_lock", lambda descriptor: None)
    leftover = tmp_path / ".impasto-00000000-0000000000000000.tmp"
    leftover.write_bytes(b"half")
    then = time.time() - age_days * 24 * 3600
    os.utime(leftover, (then, then))
    write_atomically(tmp_path / "a.png", b"x")
    assert leftover.exists() is stays
    assert (tmp_path / "a.png").read_bytes() == b"x"


@posix
def test_only_plain_temporary_files_are_removed(tmp_path: Path) -> None:
    (tmp_path / "precious").write_bytes(b"x")
    kept = [tmp_path / name for name in (".impasto-folder.tmp", ".impasto-link.tmp", ".impasto", "a.tmp")]
    kept[0].mkdir()
    kept[1].symlink_to(tmp_path / "precious")
    kept[2].touch()
    kept[3].touch()
    read_only = tmp_path / ".impasto-read-only.tmp"
    read_only.touch(0o400)
    check_place(tmp_path / "a.png")
    assert all(path.is_symlink() or path.exists() for path in kept)
    assert (tmp_path / "precious").read_bytes() == b"x"
    assert not read_only.exists()


def test_a_file_that_another_process_takes_for_a_leftover_gets_a_new_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if sys.platform == "win32":
        pytest.skip("Windows has no flock")
    made: list[Path] = []
    is_at = temporary._is_at

    def gone_at_first(path: Path, descriptor: int) -> bool:
        made.append(path)
        if len(made) == 1:
            path.unlink()
        return is_at(path, descriptor)

    monkeypatch.setattr(temporary, "_is_at", gone_at_first)
    write_atomically(tmp_path / "a.png", b"x")
    assert len(set(made)) == 2
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]


def test_a_folder_that_vanishes(tmp_path: Path) -> None:
    temporary.remove_leftovers(tmp_path / "gone")
    folder = tmp_path / "results"
    folder.mkdir()
    check_place(folder / "a.png")
    folder.rmdir()
    write_atomically(folder / "a.png", b"x")
    assert (folder / "a.png").read_bytes() == b"x"


@posix
@pytest.mark.skipif(hasattr(os, "geteuid") and os.geteuid() == 0, reason="root may write everywhere")
def test_a_read_only_folder(tmp_path: Path) -> None:
    leftover = tmp_path / ".impasto-x.tmp"
    leftover.touch()
    tmp_path.chmod(0o500)
    try:
        temporary.remove_leftovers(tmp_path)
        assert leftover.exists()
    finally:
        tmp_path.chmod(0o700)

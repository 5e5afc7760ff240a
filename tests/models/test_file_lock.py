import subprocess
import sys
import threading
from pathlib import Path

from impasto.models.file_lock import file_lock

HOLD = """
import sys, time
from pathlib import Path
from impasto.models.file_lock import file_lock
with file_lock(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


def test_a_free_lock_is_had_at_once_and_again(tmp_path: Path) -> None:
    waits: list[str] = []
    for _ in range(2):
        with file_lock(tmp_path / "x.lock", lambda: waits.append("wait")):
            pass
    assert not waits


def test_the_lock_of_a_process_that_dies_is_free(tmp_path: Path) -> None:
    path = tmp_path / "x.lock"
    with subprocess.Popen([sys.executable, "-c", HOLD, path], stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        waits: list[str] = []

        def wait() -> None:
            waits.append("wait")
            holder.kill()

        with file_lock(path, wait):
            assert waits == ["wait"]


def test_threads_exclude_each_other(tmp_path: Path) -> None:
    path, inside, most = tmp_path / "x.lock", 0, 0
    counting = threading.Lock()

    def work() -> None:
        nonlocal inside, most
        with file_lock(path):
            with counting:
                inside += 1
                most = max(most, inside)
            threading.Event().wait(0.05)
            with counting:
                inside -= 1

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == 1

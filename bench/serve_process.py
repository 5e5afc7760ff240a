"""`impasto serve` as a process, for benchmarks and studies."""

import contextlib
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Self

from impasto.models.errors import ImpastoError

COMMAND = "from impasto.engine.cli import main; main()"
_START_S, _STOP_S, _POLL_S = 120.0, 30.0, 0.02


class ServeProcess:
    """A server that listens on a free port.

    Args:
        folder: of its data and its log.
        options: of the command.

    Attributes:
        url: of the server.
    """

    def __init__(self, folder: Path, *options: object) -> None:
        self.data, self._log = folder / "data", folder / "server.log"
        self._options = list(map(str, options))
        self._process: subprocess.Popen[bytes] | None = None
        self.url = ""

    @property
    def pid(self) -> int:
        """The number of the process; 0 without one."""
        return 0 if self._process is None else self._process.pid

    @property
    def resident_bytes(self) -> int:
        """The memory of the server's process, without its workers."""
        text = Path(f"/proc/{self.pid}/status").read_text(encoding="utf-8")
        found = re.search(r"VmRSS:\s+(\d+) kB", text)
        return 0 if found is None else int(found[1]) * 1024

    def start(self) -> None:
        """Start, and wait until requests are taken.

        Raises:
            ImpastoError: it does not start; the message is the server's.
        """
        words = [sys.executable, "-c", COMMAND, "serve", "--port", "0", "--data", str(self.data), *self._options]
        with self._log.open("wb") as log:
            process = self._process = subprocess.Popen(words, stdout=log, stderr=log)  # noqa: S603
        end_s = time.monotonic() + _START_S
        while time.monotonic() < end_s and process.poll() is None:
            if found := re.search(r"serving on (\S+);", self._log.read_text()):
                self.url = found[1]
                return
            time.sleep(_POLL_S)
        self.stop()
        said = self._log.read_text().strip().splitlines() or ["it said nothing"]
        raise ImpastoError(f"the server did not start: {said[-1].removeprefix('error: ')}")

    @property
    def workers(self) -> list[int]:
        """The numbers of the processes that the server has started."""
        found = set[int]()
        for task in Path(f"/proc/{self.pid}/task").iterdir():  # each thread lists the children that it made
            with contextlib.suppress(OSError):  # it has ended
                found.update(map(int, (task / "children").read_text().split()))
        return sorted(found)

    def kill(self) -> None:
        """End the server at once, without its workers."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def stop(self) -> None:
        """Stop, and wait for the end."""
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(_STOP_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.stop()

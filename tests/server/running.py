"""Servers for the tests: processes that can be killed, and an application without workers."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx

from impasto.client import Client
from impasto.server.config import EngineChoice, Limits, ServerConfig
from impasto.server.service import Service
from impasto.server.store.records import new_id
from impasto.server.work.protocol import Death, Home, Message
from tests.conftest import REPOSITORY

CONTENT, STYLE = (REPOSITORY / "examples" / name for name in ("harbour.jpg", "swirls.jpg"))
NETWORK = "vgg19-slim"
SMALL: dict[str, Any] = {"size": 48, "iterations": 6, "preset": ""}
"""Settings of the paper, because a preset may change."""


class RunningServer:
    """`impasto serve` as a process.

    Args:
        data: its folder.
        options: of the command.
    """

    def __init__(self, data: Path, *options: object) -> None:
        self.data, self._options = data, options
        self.url = ""
        self.process: subprocess.Popen[bytes] | None = None
        self._clients: list[Client] = []

    def start(self, timeout_s: float = 120.0) -> "RunningServer":
        program = "from impasto.engine.cli import main; main()"
        command = [sys.executable, "-c", program, "serve", "--port", "0", "--data", str(self.data)]
        self.data.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                [*command, "--model", NETWORK, *map(str, self._options)],
                stderr=log,
                env={**os.environ, "IMPASTO_NO_CACHE": "1"},
            )
        process = self.process
        wait_for(lambda: self._found() or process.poll() is not None, timeout_s, "the server")
        found = self._found()
        assert found, f"the server did not start: {self.log.read_text()}"
        self.url = found
        return self

    @property
    def log(self) -> Path:
        """What the server says."""
        return self.data.with_name(f"{self.data.name}.log")

    def _found(self) -> str | None:
        found = re.search(r"serving on (\S+);", self.log.read_text())
        return found and found[1]

    def client(self, **more: Any) -> Client:
        self._clients.append(Client(self.url, **more))
        return self._clients[-1]

    def http(self, **more: Any) -> httpx.Client:
        return httpx.Client(base_url=self.url, timeout=60, **more)

    @property
    def workers(self) -> list[int]:
        """The worker processes: the children that run `impasto.server.work.child`."""
        assert self.process is not None
        found = []
        for entry in Path("/proc").iterdir():
            if entry.name.isdecimal():
                try:
                    parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
                    command = (entry / "cmdline").read_bytes()
                except (OSError, ValueError):
                    continue
                if parent == self.process.pid and b"impasto.server.work.child" in command:
                    found.append(int(entry.name))
        return found

    def kill(self) -> None:
        assert self.process is not None
        self._close_clients()
        self.process.kill()
        self.process.wait()

    def stop(self, timeout_s: float = 30.0) -> int:
        """Stop with SIGTERM; return the status."""
        assert self.process is not None
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        self._close_clients()
        return self.process.wait(timeout_s)

    def _close_clients(self) -> None:
        while self._clients:
            self._clients.pop().close()

    def __enter__(self) -> "RunningServer":
        return self.start()

    def __exit__(self, *error: object) -> None:
        self.stop()


def problem(answer: httpx.Response, status: int) -> dict[str, Any]:
    """Return a refusal, after checking that it is what RFC 9457 describes, and tells nothing of the machine."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    found: dict[str, Any] = answer.json()
    assert {"type", "title", "status", "detail"} <= set(found) <= {"type", "title", "status", "detail", "allowed"}
    assert found["status"] == status
    for secret in ("/tmp", "incoming", "Traceback", 'File "'):  # noqa: S108
        assert secret not in answer.text
    return found


def wait_for(condition: Callable[[], Any], timeout_s: float = 60.0, what: str = "it") -> Any:
    """Return the first true value of a condition."""
    end_s = time.monotonic() + timeout_s
    while time.monotonic() < end_s:
        if found := condition():
            return found
        time.sleep(0.02)
    raise AssertionError(f"waited in vain for {what}")


class SilentHome:
    """A home whose worker takes everything and does nothing, until the test says what."""

    made: "list[SilentHome]"

    def __init__(self, setup: dict[str, Any]) -> None:
        self.setup, self.name = setup, new_id("silent")
        self.received: list[Message] = []
        self.is_alive = False

    def start(self, receive: Callable[[Message], None], lost: Callable[[Death], None]) -> None:
        self.receive, self.lost = receive, lost
        self.is_alive = True
        receive(Message("ready", {"slots": 1, "provider": "none"}))

    def send(self, message: Message) -> None:
        self.received.append(message)

    def kill(self) -> None:
        if self.is_alive:
            self.is_alive = False
            self.lost(Death("the worker was killed"))


def make_service(
    data: Path, limits: Limits | None = None, *, homes: Callable[[dict[str, Any]], Home] | None = None, **more: Any
) -> tuple[Service, list[SilentHome]]:
    """Return a service whose workers are silent, unless ``homes`` makes others, and its silent workers as they come."""
    silent: list[SilentHome] = []

    def make_home(setup: dict[str, Any]) -> SilentHome:
        silent.append(SilentHome(setup))
        return silent[-1]

    config = ServerConfig(data, engine=EngineChoice((NETWORK,), provider="cpu"), limits=limits or Limits(), **more)
    return Service(config, homes or make_home), silent


class App:
    """Requests to an application without a network."""

    def __init__(self, service: Service, **headers: str) -> None:
        import asyncio

        self._loop = asyncio.new_event_loop()
        self.service = service
        transport = httpx.ASGITransport(service.app, raise_app_exceptions=False)
        self._client = httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8000", headers=headers)

    def request(self, method: str, path: str, **more: Any) -> httpx.Response:
        return self._loop.run_until_complete(self._client.request(method, path, **more))

    def get(self, path: str, **more: Any) -> httpx.Response:
        return self.request("GET", path, **more)

    def post(self, path: str, **more: Any) -> httpx.Response:
        return self.request("POST", path, **more)

    def submit(self, settings: dict[str, Any] | None = None, **more: Any) -> httpx.Response:
        headers = more.pop("headers", {})
        files = {"content": CONTENT.read_bytes(), "style": STYLE.read_bytes(), **more.pop("files", {})}
        data = {"settings": json.dumps(settings or SMALL), **more}
        files = {name: value for name, value in files.items() if value is not None}
        return self.post("/v1/renders", data=data, files=files, headers=headers)

    def close(self) -> None:
        self._loop.run_until_complete(self._client.aclose())
        self._loop.close()

"""Watchers over a real socket: one that never reads is dropped, and costs the others and the memory nothing."""

import contextlib
import os
import socket
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from impasto.server.config import MIB, Limits
from impasto.server.service import Service
from impasto.server.store.records import Ending
from tests.server.running import make_service, wait_for
from tests.server.test_crashes import new_job

BYTES = 4096
COUNT = 32 * MIB // BYTES
"""Events of more bytes than the system's buffers of a connection hold, the limit, and `MOST_GROWTH` together."""

MOST_GROWTH = 12 * MIB


def resident_bytes() -> int:
    """Return the memory of this process."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    """A service with a socket, and without work."""
    found, _ = make_service(tmp_path / "data", Limits(watcher_s=600.0), port=0, host="127.0.0.1")
    ready = threading.Event()
    thread = threading.Thread(target=found.serve, args=(lambda url: ready.set(),))
    thread.start()
    assert ready.wait(30)
    yield found
    assert found.uvicorn is not None
    found.uvicorn.should_exit = True
    thread.join(30)


@pytest.mark.skipif(sys.platform != "linux", reason="the memory is read from /proc")
def test_a_watcher_that_never_reads_is_dropped_at_one_mebibyte(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    events, behind = service.journal.events, list[int]()
    bytes_after = events.bytes_after

    def measured(number: int, owner: str, job: str | None) -> int:
        found = bytes_after(number, owner, job)
        if job is None:  # the one that does not read follows all jobs
            behind.append(found)
        return found

    monkeypatch.setattr(events, "bytes_after", measured)
    job = service.journal.jobs.accept(new_job(), lambda connection: None)[0]
    with contextlib.suppress(AssertionError):
        wait_for(lambda: service.journal.jobs.find(job)["state"] == "running", 10)  # type: ignore[index]
    lazy = socket.socket()
    lazy.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    lazy.connect(service.address)
    host = f"{service.address[0]}:{service.address[1]}"
    lazy.sendall(f"GET /v1/events HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
    hub = wait_for(lambda: getattr(service.app.inner.state, "hub", None), what="the watcher")
    wait_for(lambda: hub.watchers == 1, what="the watcher")
    seen = [0]

    def read() -> None:
        with httpx.stream("GET", f"{service.url}/v1/renders/{job}/events", timeout=60) as answer:
            for line in answer.iter_lines():
                seen[0] += line.startswith("event: iteration")

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    wait_for(lambda: hub.watchers == 2, what="the second watcher")
    before = resident_bytes()
    for _ in range(COUNT // 64):
        for _ in range(64):
            events.progress(job, "local", "iteration", {"text": "x" * BYTES})
        events.flush()
    wait_for(lambda: hub.watchers == 1, 60, "the end of the one that does not read")
    assert behind[-1] > MIB, "it was dropped at the limit"
    assert all(count <= MIB for count in behind[:-1]), "and not later"
    wait_for(lambda: seen[0] == COUNT, 60, "all events at the other one")
    assert hub.watchers == 1
    assert resident_bytes() - before < MOST_GROWTH
    lazy.settimeout(10)
    received = bytearray()
    with contextlib.suppress(ConnectionResetError):
        while data := lazy.recv(1 << 16):
            received += data
    assert len(received) < COUNT * BYTES / 2, "what the system held for it"
    assert not received.endswith(b"0\r\n\r\n"), "the stream was broken off, and did not end"
    lazy.close()
    row = service.journal.jobs.find(job)
    assert row is not None
    service.journal.attempts.finish(job, row["token"], Ending("failed", "failed", "the end"))
    reader.join(30)

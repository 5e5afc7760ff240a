import hashlib
import shutil
import socket
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from impasto.models.download import DownloadError, Patience, download
from impasto.models.http_get import Pace
from impasto.models.sources import SOURCES
from tests.file_server import FileServer

CONTENT = np.random.default_rng(0).bytes(300_000)
SHA256 = hashlib.sha256(CONTENT).hexdigest()
QUICK = Patience(timeout_s=5.0, attempts=4, pause_s=0.01)


@pytest.fixture
def server() -> Iterator[FileServer]:
    with FileServer(CONTENT) as server:
        yield server


def get(server: FileServer, target: Path, sha256_prefix: str = SHA256[:8]) -> list[tuple[int, int | None]]:
    progress: list[tuple[int, int | None]] = []
    download(
        server.url,
        target,
        sha256_prefix=sha256_prefix,
        on_progress=lambda received, total: progress.append((received, total)),
        patience=QUICK,
    )
    return progress


def failure(server: FileServer, target: Path, sha256_prefix: str = SHA256[:8]) -> str:
    with pytest.raises(DownloadError) as caught:
        get(server, target, sha256_prefix)
    assert not target.exists()
    return str(caught.value)


def get_at(url: str, target: Path, patience: Patience = QUICK) -> str:
    """The error of a download from an address."""
    with pytest.raises(DownloadError) as caught:
        download(url, target, sha256_prefix=SHA256, patience=patience)
    assert not target.exists()
    assert "\n" not in str(caught.value)
    return str(caught.value)


def assert_whole(target: Path) -> None:
    assert target.read_bytes() == CONTENT
    assert list(target.parent.iterdir()) == [target]


def test_a_good_file(server: FileServer, tmp_path: Path) -> None:
    progress = get(server, tmp_path / "w.pth")
    assert_whole(tmp_path / "w.pth")
    assert server.requests == [None]
    assert progress[0] == (0, len(CONTENT))
    assert progress[-1] == (len(CONTENT), len(CONTENT))
    assert [received for received, _ in progress] == sorted(received for received, _ in progress)


def test_a_server_that_does_not_say_the_length(server: FileServer, tmp_path: Path) -> None:
    server.says_length = False
    assert get(server, tmp_path / "w.pth")[-1] == (len(CONTENT), None)
    assert_whole(tmp_path / "w.pth")


def test_a_wrong_hash_leaves_nothing(server: FileServer, tmp_path: Path) -> None:
    assert failure(server, tmp_path / "w.pth", "dcbb9e9d") == (
        f"wrong SHA-256: {server.url} has {SHA256}, expected one that begins with dcbb9e9d; "
        "the file is not the official one, so it was deleted"
    )
    assert list(tmp_path.iterdir()) == []


def test_cut_connections_are_resumed_in_one_call(server: FileServer, tmp_path: Path) -> None:
    server.cuts = [100_000, 0, 50_000]
    progress = get(server, tmp_path / "w.pth")
    assert_whole(tmp_path / "w.pth")
    assert server.requests == [None, "bytes=100000-", "bytes=100000-", "bytes=150000-"]
    assert progress[-1] == (len(CONTENT), len(CONTENT))


def test_a_cut_download_is_resumed_by_the_next_call(server: FileServer, tmp_path: Path) -> None:
    server.cuts = [120_000, 0, 0, 0]
    assert failure(server, tmp_path / "w.pth") == (
        f"download of {server.url} failed 4 times (120000 of 300000 bytes); "
        "0 MB are kept, run the command again to resume"
    )
    assert (tmp_path / "w.pth.part").read_bytes() == CONTENT[:120_000]
    server.requests.clear()
    get(server, tmp_path / "w.pth")
    assert_whole(tmp_path / "w.pth")
    assert server.requests == ["bytes=120000-"]


def test_a_server_without_ranges_starts_again(server: FileServer, tmp_path: Path) -> None:
    server.ranges = False
    server.cuts = [100_000]
    get(server, tmp_path / "w.pth")
    assert_whole(tmp_path / "w.pth")
    assert server.requests == [None, "bytes=100000-"]


def test_a_server_that_sends_another_range(server: FileServer, tmp_path: Path) -> None:
    server.wrong_range = True
    server.cuts = [100_000]
    get(server, tmp_path / "w.pth")
    assert_whole(tmp_path / "w.pth")
    assert server.requests == [None, "bytes=100000-", None]


@pytest.mark.parametrize("length", [len(CONTENT), len(CONTENT) + 5, 1000])
def test_a_part_of_another_file_does_not_block(server: FileServer, tmp_path: Path, length: int) -> None:
    (tmp_path / "w.pth.part").write_bytes(b"x" * length)
    get(server, tmp_path / "w.pth")
    assert_whole(tmp_path / "w.pth")


def test_a_part_that_is_whole_already(server: FileServer, tmp_path: Path) -> None:
    (tmp_path / "w.pth.part").write_bytes(CONTENT)
    get(server, tmp_path / "w.pth")
    assert_whole(tmp_path / "w.pth")
    assert server.requests == [f"bytes={len(CONTENT)}-"]


@pytest.mark.parametrize(("status", "reason"), [(404, "Not Found"), (403, "Forbidden")])
def test_a_refusal_is_final(server: FileServer, tmp_path: Path, status: int, reason: str) -> None:
    server.statuses = [status] * 9
    assert failure(server, tmp_path / "w.pth") == f"cannot download {server.url}: HTTP {status} {reason}"
    assert len(server.requests) == 1
    assert list(tmp_path.iterdir()) == []


def test_an_overloaded_server_is_asked_again(server: FileServer, tmp_path: Path) -> None:
    server.statuses = [503, 429]
    get(server, tmp_path / "w.pth")
    assert_whole(tmp_path / "w.pth")
    server.statuses = [503] * 9
    server.requests.clear()
    assert failure(server, tmp_path / "v.pth") == (
        f"download of {server.url} failed 4 times (HTTP 503 Service Unavailable); "
        "0 MB are kept, run the command again to resume"
    )
    assert len(server.requests) == 4


def test_a_silent_server_times_out(server: FileServer, tmp_path: Path) -> None:
    server.pause_s = 0.5
    with pytest.raises(DownloadError, match=r" failed 2 times \(timed out\); "):
        download(server.url, tmp_path / "w", sha256_prefix="", patience=Patience(0.1, 2, 0.01))


def test_nobody_listens(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}/w.pth"
        with pytest.raises(DownloadError) as caught:
            download(url, tmp_path / "w.pth", sha256_prefix="", patience=QUICK)
    assert str(caught.value) == f"cannot reach {url} (Connection refused)"


def test_no_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_names(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", no_names)
    with pytest.raises(DownloadError) as caught:
        download("https://example.invalid/w.pth", tmp_path / "w.pth", sha256_prefix="")
    assert str(caught.value) == ("cannot reach https://example.invalid/w.pth (its name is not found: no network?)")


def test_a_network_that_goes_away_and_comes_back(
    server: FileServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original, calls = socket.create_connection, []

    def flaky(*args: object, **kwargs: object) -> socket.socket:
        calls.append(args)
        if len(calls) == 2:
            raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")
        return original(*args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(socket, "create_connection", flaky)
    server.cuts = [100_000]
    get(server, tmp_path / "w.pth")
    assert_whole(tmp_path / "w.pth")
    assert server.requests == [None, "bytes=100000-"]


@pytest.mark.parametrize("url", ["", "file:///etc/hostname", "ftp://x/y", "weights.pth", "http:///x"])
def test_other_addresses_are_refused(tmp_path: Path, url: str) -> None:
    with pytest.raises(DownloadError) as caught:
        download(url, tmp_path / "w.pth", sha256_prefix="")
    assert str(caught.value) == f"bad address {url!r}: expected http://... or https://..."


def test_too_little_room_is_seen_before_the_transfer(
    server: FileServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.content = CONTENT * 10
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=1_200_000))
    assert failure(server, tmp_path / "w.pth") == (
        f"disk full: 3 MB are needed in {tmp_path}, 1 MB are free; "
        "make room, or set IMPASTO_CACHE to a folder with more"
    )
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")
def test_a_disk_that_fills_up_on_the_way(server: FileServer, tmp_path: Path) -> None:
    (tmp_path / "w.pth.part").symlink_to("/dev/full")
    assert failure(server, tmp_path / "w.pth").startswith(f"disk full: 0 MB are needed in {tmp_path}, ")
    assert list(tmp_path.iterdir()) == []
    get(server, tmp_path / "w.pth")
    assert_whole(tmp_path / "w.pth")


@pytest.mark.skipif(sys.platform == "win32", reason="a folder may stand in a file's place on POSIX only")
def test_a_part_that_cannot_be_written(server: FileServer, tmp_path: Path) -> None:
    (tmp_path / "w.pth.part").mkdir()
    text = failure(server, tmp_path / "w.pth")
    assert text == f"cannot download {server.url} to {tmp_path / 'w.pth.part'}: Is a directory"


@pytest.mark.parametrize("says_length", [True, False])
def test_more_bytes_than_the_file_has(server: FileServer, tmp_path: Path, *, says_length: bool) -> None:
    server.says_length = says_length
    with pytest.raises(DownloadError) as caught:
        download(server.url, tmp_path / "w.pth", sha256_prefix=SHA256, most_bytes=len(CONTENT) - 1, patience=QUICK)
    how = f"has {len(CONTENT)} bytes" if says_length else "does not end there"
    assert str(caught.value) == (
        f"too large: expected at most {len(CONTENT) - 1} bytes, {server.url} {how}; the file is not the official one"
    )
    assert len(server.requests) == 1
    assert list(tmp_path.iterdir()) == []
    download(server.url, tmp_path / "w.pth", sha256_prefix=SHA256, most_bytes=len(CONTENT), patience=QUICK)
    assert_whole(tmp_path / "w.pth")


def test_a_server_without_end_is_cut_off(server: FileServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    server.endless = True
    source = replace(SOURCES["vgg19"], sha256_prefix=SHA256, size_bytes=3_000_000)
    monkeypatch.setattr("impasto.models.sources.SOURCES", {"vgg19": source})
    assert failure(server, tmp_path / "w.pth", SHA256).startswith("too large: expected at most 3000000 bytes, ")
    monkeypatch.setattr("impasto.models.download.LARGEST_BYTES", 2_000_000)
    assert failure(server, tmp_path / "w.pth").startswith("too large: expected at most 2000000 bytes, ")
    assert len(server.requests) == 2
    assert list(tmp_path.iterdir()) == []


def test_a_part_larger_than_the_file_is_not_resumed(server: FileServer, tmp_path: Path) -> None:
    (tmp_path / "w.pth.part").write_bytes(b"x" * (len(CONTENT) + 1))
    download(server.url, tmp_path / "w.pth", sha256_prefix=SHA256, most_bytes=len(CONTENT), patience=QUICK)
    assert_whole(tmp_path / "w.pth")
    assert server.requests == [None]


SLOW = Patience(timeout_s=5.0, attempts=2, pause_s=0.01, pace=Pace(bytes_per_s=1000.0, window_s=0.3))


def test_a_server_that_trickles_is_left(server: FileServer, tmp_path: Path) -> None:
    server.trickle_s = 0.02
    text = get_at(server.url, tmp_path / "w.pth", SLOW)
    assert text == (
        f"download of {server.url} failed 2 times (less than 1000 bytes/s in 0.3 s); "
        "0 MB are kept, run the command again to resume"
    )
    kept = (tmp_path / "w.pth.part").read_bytes()
    assert kept
    assert CONTENT.startswith(kept)
    server.trickle_s = 0.0
    get(server, tmp_path / "w.pth")
    assert_whole(tmp_path / "w.pth")
    assert server.requests[-1] == f"bytes={len(kept)}-"


@pytest.mark.parametrize(
    "head", [b"", b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"]
)
def test_headers_that_trickle_are_left_as_well(tmp_path: Path, head: bytes) -> None:
    def trickle(connection: socket.socket) -> None:
        with connection, suppress(OSError):
            connection.sendall(head)
            while True:
                connection.sendall(b"1")
                time.sleep(0.02)

    with socket.create_server(("127.0.0.1", 0)) as listener, ThreadPoolExecutor(2) as threads:
        for _ in range(2):
            threads.submit(lambda: trickle(listener.accept()[0]))
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/w.pth"
        text = get_at(url, tmp_path / "w.pth", SLOW)
    assert " failed 2 times (less than 1000 bytes/s in 0.3 s); " in text
    assert list(tmp_path.iterdir()) == []


def test_a_brisk_server_passes_many_windows(server: FileServer, tmp_path: Path) -> None:
    server.content, server.trickle_s = CONTENT[:200], 0.002
    patience = replace(SLOW, attempts=1, pace=Pace(bytes_per_s=50.0, window_s=0.05))
    sha256 = hashlib.sha256(server.content).hexdigest()
    download(server.url, tmp_path / "w.pth", sha256_prefix=sha256, patience=patience)
    assert (tmp_path / "w.pth").read_bytes() == server.content

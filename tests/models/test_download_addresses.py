"""Which addresses a download takes, where it is led from there, and what it says of them: never a password."""

import base64
import socket
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from impasto.models.download import Patience, download
from tests.file_server import FileServer
from tests.models.test_download import CONTENT, QUICK, SHA256, assert_whole, get_at, server

__all__ = ["server"]  # a fixture


BAD_HOST = "its host is neither a name nor an IP address"
BAD_PORT = "its port is not a number from 1 to 65535"


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("http://[::1", BAD_HOST),
        ("http://[::1/w.pth", BAD_HOST),
        ("http://a..b/", BAD_HOST),
        (f"http://{'a' * 64}.org/", BAD_HOST),
        ("http://a%00b/", BAD_HOST),
        ("http://:80/", BAD_HOST),
        ("http://host:99999/", BAD_PORT),
        ("http://host:0/", BAD_PORT),
        ("http://host:http/", BAD_PORT),
        ("http://host/\0", "it has a space or a control character; write it as %XX"),
        ("http://host/a b", "it has a space or a control character; write it as %XX"),
        ("http://host/\r\nX: y", "it has a space or a control character; write it as %XX"),
        ("http://müller.de/", "it is not in ASCII; write its host in the form xn--... and its path with %XX"),
        ("http://host/\udc80", "it is not in ASCII; write its host in the form xn--... and its path with %XX"),
    ],
)
def test_malformed_addresses_are_refused_at_once(tmp_path: Path, url: str, why: str) -> None:
    (tmp_path / "w.pth.part").write_bytes(CONTENT[:1000])
    assert get_at(url, tmp_path / "w.pth", Patience(pause_s=1e6)) == f"bad address {url!r}: {why}"
    assert (tmp_path / "w.pth.part").read_bytes() == CONTENT[:1000]


@pytest.mark.parametrize(
    ("location", "why"),
    [
        ("http://[::1", f"'http://[::1': {BAD_HOST}"),
        ("//host:99999/", f"'http://host:99999/': {BAD_PORT}"),
        ("file:///etc/hostname", "'file:///etc/hostname': expected http://... or https://..."),
        ("ftp://user:secret@host/w", "'ftp://***@host/w': expected http://... or https://..."),
        ("http://user:secret@[::1", f"'http://***@[::1': {BAD_HOST}"),
    ],
)
def test_redirects_to_other_addresses_are_refused_at_once(
    server: FileServer, tmp_path: Path, location: str, why: str
) -> None:
    server.location = location
    text = get_at(server.url, tmp_path / "w.pth")
    assert text == f"cannot download: {server.url} redirects to a bad address {why}"
    assert len(server.requests) == 1
    assert list(tmp_path.iterdir()) == []


def test_redirects_lead_to_the_file_or_end(server: FileServer, tmp_path: Path) -> None:
    with FileServer(b"") as other:
        other.location = server.url
        download(other.url, tmp_path / "w.pth", sha256_prefix=SHA256, patience=QUICK)
        assert_whole(tmp_path / "w.pth")
        other.location = "/round/and/round"
        text = get_at(other.url, tmp_path / "v.pth")
    assert text == f"cannot download: {other.url} redirects more than 10 times"
    assert len(other.requests) == 1 + 11


def test_a_password_is_sent_and_never_shown(server: FileServer, tmp_path: Path) -> None:
    url = server.url.replace("//", "//anna:s%40cret@")
    download(url, tmp_path / "w.pth", sha256_prefix=SHA256, patience=QUICK)
    assert server.authorizations == ["Basic " + base64.b64encode(b"anna:s@cret").decode()]
    server.statuses = [403]
    assert get_at(url, tmp_path / "v.pth") == f"cannot download {server.url}: HTTP 403 Forbidden"
    server.content = b"other"
    assert get_at(url, tmp_path / "v.pth").startswith(f"wrong SHA-256: {server.url} has ")


def test_another_server_gets_no_password(server: FileServer, tmp_path: Path) -> None:
    with FileServer(b"") as first:
        first.location = server.url
        download(first.url.replace("//", "//anna:x@"), tmp_path / "w", sha256_prefix=SHA256, patience=QUICK)
        assert first.authorizations == ["Basic YW5uYTp4"]
    assert server.authorizations == [None]


@pytest.mark.parametrize(
    "url", ["http://anna:secret@host:pw/", "http://anna:se/cret@[::1", "ftp://anna:se@cret@host", "anna:secret@host"]
)
def test_a_password_in_a_malformed_address_is_not_shown(tmp_path: Path, url: str) -> None:
    text = get_at(url, tmp_path / "w.pth")
    assert "cret" not in text
    assert "anna" not in text
    assert "***@" in text


def test_the_texts_of_a_server_are_escaped(tmp_path: Path) -> None:
    def answer(connection: socket.socket) -> None:
        with connection:
            connection.recv(1000)
            connection.sendall(b"HTTP/1.1 404 \x1b[31mred\xff\r\nContent-Length: 0\r\n\r\n")

    with socket.create_server(("127.0.0.1", 0)) as listener, ThreadPoolExecutor(1) as threads:
        threads.submit(lambda: answer(listener.accept()[0]))
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/w.pth"
        assert get_at(url, tmp_path / "w.pth") == f"cannot download {url}: HTTP 404 \\x1b[31mred\\xff"


def test_a_malformed_proxy_is_one_line(server: FileServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://anna:secret@host:port")
    monkeypatch.delenv("no_proxy", raising=False)
    text = get_at(server.url, tmp_path / "w.pth")
    assert text == f"cannot download {server.url}: bad address of a proxy; see the variables http(s)_proxy"

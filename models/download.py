"""Download of one file over HTTP: it resumes, checks the SHA-256, and puts the file in place only when it is whole."""

import errno
import http.client
import shutil
import socket
import time
import urllib.error
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from impasto.models.address import Address, BadAddressError, parse_address
from impasto.models.checksum import sha256_of
from impasto.models.errors import ImpastoError
from impasto.models.http_get import LEAST_PACE, Pace, get
from impasto.models.sources import known_size
from impasto.models.version import VERSION

CHUNK_BYTES = 1 << 20
LARGEST_BYTES = 2_000_000_000  # of a file of unknown size: VGG-19 with its classifier in float64 has 1.15e9
SHA256_DIGITS = 64
SUCCESS = range(200, 300)
SHOWN_CHARACTERS = 100
TRANSIENT_STATUS = frozenset({408, 425, 429, 500, 502, 503, 504})
NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT})

ProgressFunction = Callable[[int, int | None], None]


class DownloadError(ImpastoError):
    """The download failed: a bad address, no network, no such file, a broken server, a wrong hash, a full disk."""


class _InterruptedError(Exception):
    """The transfer stopped early; another attempt may get the rest."""


class _UnreachableError(_InterruptedError):
    """No server answered. Another attempt makes sense only after one that got an answer."""


@dataclass(frozen=True)
class Patience:
    """How long to try.

    Attributes:
        timeout_s: for connecting, and for each read.
        attempts: requests in all; each continues where the last one stopped.
        pause_s: before the second attempt, twice as long before each further one, at most 30 s.
        pace: an attempt in which the server sends less ends.
    """

    timeout_s: float = 30.0
    attempts: int = 8
    pause_s: float = 1.0
    pace: Pace = LEAST_PACE


PATIENCE = Patience()


def download(
    url: str,
    target: Path,
    *,
    sha256_prefix: str,
    most_bytes: int | None = None,
    on_progress: ProgressFunction = lambda received, total: None,
    patience: Patience = PATIENCE,
) -> None:
    """Download a file. When all attempts fail, the bytes received are kept in `<target>.part`; the next call resumes.

    Two processes must not download to one target at the same time; `impasto.export.fetch` holds a lock.

    Args:
        url: http or https, with or without a user's name and password, which messages leave out.
        target: where the file goes, atomically, once its hash is right. Its folder must exist.
        sha256_prefix: hexadecimal, what the file's SHA-256 must begin with.
        most_bytes: a server that sends more is cut off. None is the file's size where `impasto.models.sources` knows
            it, and `LARGEST_BYTES` elsewhere.
        on_progress: called with the bytes received so far and the total, None where the server does not send it.
        patience: timeouts and attempts.

    Raises:
        DownloadError: see there. Nothing is left behind after a wrong hash, too many bytes, or on a full disk.
    """
    try:
        address = parse_address(url)
    except BadAddressError as error:
        raise DownloadError(str(error)) from error
    part = target.with_name(target.name + ".part")
    transfer = _Transfer(address, part, most_bytes or known_size(sha256_prefix) or LARGEST_BYTES, on_progress, patience)
    for _ in range(2 if part.exists() else 1):  # a part that was there may have been of another file
        transfer.finish()
        digest = sha256_of(part)
        if digest.startswith(sha256_prefix):
            part.replace(target)
            return
        part.unlink()
    beginning = "" if len(sha256_prefix) == SHA256_DIGITS else "one that begins with "
    raise DownloadError(
        f"wrong SHA-256: {address.url} has {digest}, expected {beginning}{sha256_prefix}; "
        "the file is not the official one, so it was deleted"
    )


@dataclass(frozen=True)
class _Transfer:
    """The bytes of one address into a partial file.

    Attributes:
        address: where they come from.
        part: the partial file.
        most_bytes: of the whole file.
        on_progress: see `download`.
        patience: see `download`.
    """

    address: Address
    part: Path
    most_bytes: int
    on_progress: ProgressFunction
    patience: Patience

    def finish(self) -> None:
        """Repeat requests until the part is whole.

        Raises:
            DownloadError: an error is final, or all attempts failed.
        """
        for attempt in range(self.patience.attempts):
            if attempt:
                time.sleep(min(self.patience.pause_s * 2 ** (attempt - 1), 30.0))
            try:
                return self._request()
            except _InterruptedError as error:
                if isinstance(error, _UnreachableError) and not attempt:
                    raise DownloadError(f"cannot reach {self.address.url} ({error})") from error
                reason = str(error)
        if not self._size():
            self.part.unlink(missing_ok=True)
        raise DownloadError(
            f"download of {self.address.url} failed {self.patience.attempts} times ({reason}); "
            f"{self._size() / 1e6:.0f} MB are kept, run the command again to resume"
        )

    def _request(self) -> None:
        """Request the bytes that are missing, and append the answer to the partial file."""
        if self._size() > self.most_bytes:
            self.part.unlink()  # it belongs to something else
        start = self._size()
        headers = {"User-Agent": f"impasto/{VERSION}", **({"Range": f"bytes={start}-"} if start else {})}
        try:
            with get(self.address, headers, self.patience.timeout_s, self.patience.pace) as response:
                if response.status in SUCCESS:
                    self._receive(response, _first_byte(response, self.part, start))
                else:
                    self._judge_status(response, start)
        except BadAddressError as error:
            raise DownloadError(f"cannot download: {error}") from error
        except urllib.error.URLError as error:
            raise _UnreachableError(_reason(error.reason)) from error
        except (ValueError, http.client.InvalidURL) as error:  # the address itself has been checked
            message = f"cannot download {self.address.url}: bad address of a proxy; see the variables http(s)_proxy"
            raise DownloadError(message) from error
        except (http.client.HTTPException, ConnectionError, TimeoutError) as error:
            raise _InterruptedError(_reason(error)) from error
        except OSError as error:
            raise DownloadError(f"cannot download {self.address.url} to {self.part}: {_reason(error)}") from error

    def _receive(self, response: http.client.HTTPResponse, start: int) -> None:
        """Append the body to the first `start` bytes of the part."""
        total = start + response.length if response.length is not None else None
        if total is not None and total > self.most_bytes:
            raise self._too_large(f"has {total} bytes")
        if total is not None and shutil.disk_usage(self.part.parent).free < total - start:
            raise _disk_full(self.part, total - start)
        received = start
        self.on_progress(received, total)
        try:
            with self.part.open("r+b" if start else "wb") as file:
                file.seek(start)
                while chunk := response.read1(CHUNK_BYTES):
                    received += len(chunk)
                    if received > self.most_bytes:
                        self.part.unlink()
                        raise self._too_large("does not end there")
                    file.write(chunk)
                    self.on_progress(received, total)
        except OSError as error:
            if error.errno not in NO_ROOM:
                raise
            self.part.unlink(missing_ok=True)
            raise _disk_full(self.part, total) from error
        if total is not None and received < total:
            raise _InterruptedError(f"{received} of {total} bytes")

    def _judge_status(self, response: http.client.HTTPResponse, start: int) -> None:
        """Return if the partial file turns out to be whole; raise otherwise."""
        if response.status == http.client.REQUESTED_RANGE_NOT_SATISFIABLE and start:
            if response.headers.get("Content-Range") == f"bytes */{start}":
                return
            self.part.unlink()  # longer than the file: it belongs to something else
            raise _InterruptedError("the partial file does not belong to this download")
        said = f"HTTP {response.status} {_printable(response.reason)}"
        if response.status in TRANSIENT_STATUS:
            raise _InterruptedError(said)
        raise DownloadError(f"cannot download {self.address.url}: {said}")

    def _size(self) -> int:
        return self.part.stat().st_size if self.part.exists() else 0

    def _too_large(self, how: str) -> DownloadError:
        return DownloadError(
            f"too large: expected at most {self.most_bytes} bytes, {self.address.url} {how}; "
            "the file is not the official one"
        )


def _first_byte(response: http.client.HTTPResponse, part: Path, start: int) -> int:
    """Return where in the file the body begins: a server may ignore the requested range."""
    if response.status != http.client.PARTIAL_CONTENT:
        return 0
    if not str(response.headers.get("Content-Range", "")).startswith(f"bytes {start}-"):
        part.unlink(missing_ok=True)
        raise _InterruptedError("the server sent a range that was not requested")
    return start


def _disk_full(part: Path, needed: int | None) -> DownloadError:
    wanted = f"{needed / 1e6:.0f} MB are needed" if needed is not None else "the file is larger"
    free = shutil.disk_usage(part.parent).free / 1e6
    return DownloadError(
        f"disk full: {wanted} in {part.parent}, {free:.0f} MB are free; "
        "make room, or set IMPASTO_CACHE to a folder with more"
    )


def _reason(error: object) -> str:
    if isinstance(error, socket.gaierror):
        return "its name is not found: no network?"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return _printable(str(error)) or type(error).__name__


def _printable(text: str) -> str:
    """Return the beginning of a server's text, its control characters escaped."""
    return text[:SHOWN_CHARACTERS].encode("unicode_escape").decode("ascii")

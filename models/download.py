"""Download of one file over HTTP: it resumes, checks the SHA-256, and puts the file in place only when it is whole."""

import errno
import http.client
import re
import shutil
import socket
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from impasto.models.checksum import sha256_of
from impasto.models.errors import ImpastoError
from impasto.models.version import VERSION

CHUNK_BYTES = 1 << 20
TRANSIENT_STATUS = frozenset({408, 425, 429, 500, 502, 503, 504})
NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT})

ProgressFunction = Callable[[int, int | None], None]


class DownloadError(ImpastoError):
    """The download failed: no network, no such file, a broken server, a wrong hash, a full disk."""


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
    """

    timeout_s: float = 30.0
    attempts: int = 8
    pause_s: float = 1.0


PATIENCE = Patience()


def download(
    url: str,
    target: Path,
    *,
    sha256_prefix: str,
    on_progress: ProgressFunction = lambda received, total: None,
    patience: Patience = PATIENCE,
) -> None:
    """Download a file. When all attempts fail, the bytes received are kept in `<target>.part`; the next call resumes.

    Two processes must not download to one target at the same time; `impasto.export.fetch` holds a lock.

    Args:
        url: http or https.
        target: where the file goes, atomically, once its hash is right. Its folder must exist.
        sha256_prefix: hexadecimal, what the file's SHA-256 must begin with.
        on_progress: called with the bytes received so far and the total, None where the server does not send it.
        patience: timeouts and attempts.

    Raises:
        DownloadError: see there. Nothing is left behind after a wrong hash or on a full disk.
    """
    if not re.match(r"https?://[^/\s]", url):
        raise DownloadError(f"bad address {url!r}: expected http://... or https://...")
    part = target.with_name(target.name + ".part")
    resumed = part.exists()
    _transfer_all(url, part, on_progress, patience)
    digest = sha256_of(part)
    if resumed and not digest.startswith(sha256_prefix):  # the part may have been of another file
        part.unlink()
        _transfer_all(url, part, on_progress, patience)
        digest = sha256_of(part)
    if not digest.startswith(sha256_prefix):
        part.unlink()
        raise DownloadError(
            f"wrong SHA-256: {url} has {digest}, expected one that begins with {sha256_prefix}; "
            "the file is not the official one, so it was deleted"
        )
    part.replace(target)


def _transfer_all(url: str, part: Path, on_progress: ProgressFunction, patience: Patience) -> None:
    """Repeat requests until the part is whole."""
    for attempt in range(patience.attempts):
        if attempt:
            time.sleep(min(patience.pause_s * 2 ** (attempt - 1), 30.0))
        try:
            return _transfer(url, part, on_progress, patience.timeout_s)
        except _UnreachableError as error:
            if not attempt:
                raise DownloadError(f"cannot reach {url} ({error})") from error
            reason = str(error)
        except _InterruptedError as error:
            reason = str(error)
    size = part.stat().st_size if part.exists() else 0
    raise DownloadError(
        f"download of {url} failed {patience.attempts} times ({reason}); "
        f"{size / 1e6:.0f} MB are kept, run the command again to resume"
    )


def _transfer(url: str, part: Path, on_progress: ProgressFunction, timeout_s: float) -> None:
    """Request the bytes that are missing, and append the answer to the partial file."""
    start = part.stat().st_size if part.exists() else 0
    request = urllib.request.Request(url, headers={"User-Agent": f"impasto/{VERSION}"})  # noqa: S310 (checked above)
    if start:
        request.add_header("Range", f"bytes={start}-")
    try:
        with urllib.request.urlopen(request, timeout=timeout_s) as response:  # noqa: S310 (checked above)
            _receive(response, part, _first_byte(response, part, start), on_progress)
    except urllib.error.HTTPError as error:
        with error:
            _judge_status(error, url, part, start)
    except urllib.error.URLError as error:
        raise _UnreachableError(_reason(error.reason)) from error
    except (http.client.HTTPException, ConnectionError, TimeoutError) as error:
        raise _InterruptedError(_reason(error)) from error
    except OSError as error:
        raise DownloadError(f"cannot download {url} to {part}: {_reason(error)}") from error


def _receive(response: http.client.HTTPResponse, part: Path, start: int, on_progress: ProgressFunction) -> None:
    """Append the body to the first `start` bytes of the part."""
    length = response.headers.get("Content-Length")
    total = start + int(length) if length is not None and length.isdecimal() else None
    if total is not None and shutil.disk_usage(part.parent).free < total - start:
        raise _disk_full(part, total - start)
    try:
        with part.open("r+b" if start else "wb") as file:
            file.seek(start)
            received = _copy(response, file, start, total, on_progress)
    except OSError as error:
        if error.errno not in NO_ROOM:
            raise
        part.unlink(missing_ok=True)
        raise _disk_full(part, total) from error
    if total is not None and received < total:
        raise _InterruptedError(f"{received} of {total} bytes")


def _copy(
    response: http.client.HTTPResponse, file: BinaryIO, start: int, total: int | None, on_progress: ProgressFunction
) -> int:
    """Return how long the file is afterwards."""
    received = start
    on_progress(received, total)
    while chunk := response.read1(CHUNK_BYTES):
        file.write(chunk)
        received += len(chunk)
        on_progress(received, total)
    return received


def _judge_status(error: urllib.error.HTTPError, url: str, part: Path, start: int) -> None:
    """Return if the partial file turns out to be whole; raise otherwise."""
    if error.code == http.client.REQUESTED_RANGE_NOT_SATISFIABLE and start:
        if error.headers.get("Content-Range") == f"bytes */{start}":
            return
        part.unlink()  # longer than the file: it belongs to something else
        raise _InterruptedError("the partial file does not belong to this download") from error
    if error.code in TRANSIENT_STATUS:
        raise _InterruptedError(f"HTTP {error.code} {error.reason}") from error
    raise DownloadError(f"cannot download {url}: HTTP {error.code} {error.reason}") from error


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
    return str(error) or type(error).__name__

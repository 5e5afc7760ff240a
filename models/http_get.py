"""HTTP requests that end: redirects are checked and counted, and a server that is too slow is an error."""

import functools
import http.client
import io
import socket
import time
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from impasto.models.address import Address, BadAddressError

REDIRECTS = frozenset({301, 302, 303, 307, 308})
MOST_REDIRECTS = 10


class SlowError(TimeoutError):
    """The server sends something, but less than it must."""


@dataclass(frozen=True)
class Pace:
    """The least that a server must send, of headers and body together.

    Attributes:
        bytes_per_s: mean over a window.
        window_s: time spent waiting for the server, s.
    """

    bytes_per_s: float
    window_s: float


LEAST_PACE = Pace(bytes_per_s=1000.0, window_s=30.0)


def get(address: Address, headers: Mapping[str, str], timeout_s: float, pace: Pace) -> http.client.HTTPResponse:
    """Request an address, follow redirects, and return the response, whose status may be any.

    Args:
        address: a redirect may lead to another one.
        headers: of the request.
        timeout_s: for connecting, and for each read.
        pace: reads of the response raise `SlowError` where the server sends less.

    Raises:
        BadAddressError: a redirect leads to an address that cannot be requested, or there are too many.
        OSError: as `urllib.request.OpenerDirector.open`, which also raises `http.client.HTTPException`.
        ValueError: the settings of a proxy are wrong.
    """
    opener = urllib.request.OpenerDirector()
    opener.add_handler(urllib.request.ProxyHandler())
    opener.add_handler(_PacedHandler(pace))
    opener.add_handler(urllib.request.UnknownHandler())
    start = address
    for _ in range(MOST_REDIRECTS + 1):
        own = {} if address.authorization is None else {"Authorization": address.authorization}
        request = urllib.request.Request(address.url, headers={**headers, **own})  # noqa: S310 (http or https)
        response: http.client.HTTPResponse = opener.open(request, timeout=timeout_s)
        location = response.headers.get("Location")
        if response.status not in REDIRECTS or not location:
            return response
        response.close()
        address = address.redirected(location)
    raise BadAddressError(f"{start.url} redirects more than {MOST_REDIRECTS} times")


class _PacedHandler(urllib.request.AbstractHTTPHandler):
    """Opens http and https addresses with responses that keep to a pace."""

    def __init__(self, pace: Pace) -> None:
        super().__init__()
        self._pace = pace

    def http_open(self, request: urllib.request.Request) -> http.client.HTTPResponse:
        return self.do_open(functools.partial(self._connection, http.client.HTTPConnection), request)

    def https_open(self, request: urllib.request.Request) -> http.client.HTTPResponse:
        return self.do_open(functools.partial(self._connection, http.client.HTTPSConnection), request)

    http_request = https_request = urllib.request.AbstractHTTPHandler.do_request_

    def _connection(self, kind: type[http.client.HTTPConnection], host: str, **how: Any) -> http.client.HTTPConnection:
        connection = kind(host, **how)
        connection.response_class = functools.partial(_PacedResponse, self._pace)  # type: ignore[assignment]
        return connection


class _PacedResponse(http.client.HTTPResponse):
    """A response all of whose reads, from the first header, go through a `_PacedReader`."""

    def __init__(self, pace: Pace, connection: socket.socket, *arguments: Any, **keywords: Any) -> None:
        super().__init__(connection, *arguments, **keywords)
        self.fp = io.BufferedReader(_PacedReader(self.fp.detach(), pace))


class _PacedReader(io.RawIOBase):
    """Reads from another stream; raises `SlowError` at the end of a window in which it gave too little."""

    def __init__(self, stream: io.RawIOBase, pace: Pace) -> None:
        self._stream, self._pace = stream, pace
        self._received, self._waited_s = 0, 0.0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        begun_s = time.monotonic()
        count: int | None = self._stream.readinto(buffer)
        self._waited_s += time.monotonic() - begun_s
        self._received += count or 0
        if count and self._waited_s >= self._pace.window_s:
            if self._received < self._pace.bytes_per_s * self._waited_s:
                raise SlowError(f"less than {self._pace.bytes_per_s:g} bytes/s in {self._pace.window_s:g} s")
            self._received, self._waited_s = 0, 0.0
        return count

    def close(self) -> None:
        self._stream.close()
        super().close()

"""An HTTP server on this machine that serves one file, well or badly, and keeps count."""

import threading
import time
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Self


class FileServer:
    """Serves `content` under every path.

    Attributes:
        content: the file.
        ranges: whether the Range header is honoured.
        cuts: the connection is closed after so many bytes of the body, one number per request, front first.
        statuses: answers instead of the file, one number per request, front first.
        wrong_range: whether an answer to a Range begins elsewhere than asked for.
        says_length: whether Content-Length is sent.
        pause_s: before the body.
        location: where every request is redirected; None serves the file.
        endless: whether the body is repeated until the client has gone; without Content-Length.
        trickle_s: pause before each single byte of the body; 0 sends the body as a whole.
        authorizations: the Authorization header of every request, None without one.
        gate: the body waits until it is set, as it is at first.
        requests: the Range header of every request, None without one.
    """

    def __init__(self, content: bytes) -> None:
        self.content = content
        self.ranges = True
        self.cuts: list[int] = []
        self.statuses: list[int] = []
        self.wrong_range = False
        self.says_length = True
        self.pause_s = 0.0
        self.gate = threading.Event()
        self.gate.set()
        self.location: str | None = None
        self.endless = False
        self.trickle_s = 0.0
        self.requests: list[str | None] = []
        self.authorizations: list[str | None] = []
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}/weights.pth"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                server._answer(self)

            def log_message(self, *args: object) -> None:
                pass

        return Handler

    def _answer(self, handler: BaseHTTPRequestHandler) -> None:
        wanted = handler.headers.get("Range")
        self.requests.append(wanted)
        self.authorizations.append(handler.headers.get("Authorization"))
        if self.location is not None:
            handler.send_response(302)
            handler.send_header("Location", self.location)
            handler.end_headers()
            return
        if self.statuses:
            handler.send_error(self.statuses.pop(0))
            return
        start = 0
        if wanted is not None and self.ranges:
            start = int(wanted.removeprefix("bytes=").removesuffix("-"))
            if start >= len(self.content):
                handler.send_response(416)
                handler.send_header("Content-Range", f"bytes */{len(self.content)}")
                handler.send_header("Content-Length", "0")
                handler.end_headers()
                return
            if self.wrong_range:
                start -= 1
                self.wrong_range = False
            handler.send_response(206)
            handler.send_header("Content-Range", f"bytes {start}-{len(self.content) - 1}/{len(self.content)}")
        else:
            handler.send_response(200)
        body = self.content[start:]
        if self.says_length and not self.endless:
            handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        time.sleep(self.pause_s)
        self.gate.wait(60)
        with suppress(ConnectionError):  # the client may go before the end
            self._send(handler, body[: self.cuts.pop(0)] if self.cuts else body)

    def _send(self, handler: BaseHTTPRequestHandler, body: bytes) -> None:
        if self.trickle_s:
            for position in range(len(body)):
                handler.wfile.write(body[position : position + 1])
                time.sleep(self.trickle_s)
            return
        handler.wfile.write(body)
        while self.endless:
            handler.wfile.write(body)

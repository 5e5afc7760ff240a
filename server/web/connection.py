"""The HTTP connections: uvicorn's, with a time limit for the head of a request."""

import asyncio
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol


def protocol_with(header_s: float) -> type[H11Protocol]:
    """Return a protocol that closes a connection whose request head takes longer than some seconds.

    uvicorn waits for ever. The requests of this protocol have their transport in the scope, as "impasto.transport".
    """

    class Connection(H11Protocol):
        """A connection."""

        def __init__(self, *arguments: Any, **more: Any) -> None:
            super().__init__(*arguments, **more)
            self._timer: asyncio.TimerHandle | None = None
            inner = self.app

            async def app(scope: Any, receive: Any, send: Any) -> None:
                scope["impasto.transport"] = self.transport
                await inner(scope, receive, send)

            self.app = app

        def connection_made(self, transport: Any) -> None:
            super().connection_made(transport)
            self._start_timer()

        def connection_lost(self, exc: Exception | None) -> None:
            self._stop_timer()
            super().connection_lost(exc)

        def data_received(self, data: bytes) -> None:
            if self._timer is None and self._is_before_head():
                self._start_timer()
            super().data_received(data)
            if not self._is_before_head():
                self._stop_timer()

        def _is_before_head(self) -> bool:
            return self.conn.their_state in (h11.IDLE, h11.SEND_RESPONSE)

        def _start_timer(self) -> None:
            self._timer = self.loop.call_later(header_s, self._end)

        def _stop_timer(self) -> None:
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None

        def _end(self) -> None:
            self._timer = None
            if not self.transport.is_closing():
                self.transport.abort()

    return Connection

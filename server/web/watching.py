"""Server-sent events: numbered, resumable, for any number of watchers, who cost nothing while they do not read."""

import asyncio
import contextlib
import json
import sqlite3
import time
from collections.abc import AsyncIterator
from typing import Annotated, Any

from fastapi import APIRouter, Header, Query, Request, Response

from impasto.server.store.events import Events
from impasto.server.store.records import ENDED
from impasto.server.web import schemas
from impasto.server.web.state import Caller, Server, State, owned

router = APIRouter(tags=["events"])

_ALIVE_S = 15.0
_CHECK_S = 1.0
_PAGE = 64
_EVENT = {
    "type": "object",
    "description": "one event; its data is JSON",
    "properties": {name: {"type": "string"} for name in ("id", "event", "data")},
    "required": ["id", "event", "data"],
}
_SSE: dict[int | str, dict[str, Any]] = {
    200: {"description": "events", "content": {"text/event-stream": {"schema": _EVENT}}}
}

LastEventId = Annotated[str | None, Header(pattern=r"^[0-9]{1,15}$", description="the latest number that was received")]
Wait = Annotated[
    float | None, Query(ge=0, le=3600, description="seconds after which the answer ends; without, it ends with the job")
]


class Hub:
    """Wakes the watchers of one event loop when the journal has new events.

    Args:
        events: of the journal.
    """

    def __init__(self, events: Events) -> None:
        self._loop = asyncio.get_running_loop()
        self._changed = asyncio.Event()
        self.watchers = 0
        events.listen(self._tell)

    def _tell(self) -> None:
        with contextlib.suppress(RuntimeError):  # the loop has ended
            self._loop.call_soon_threadsafe(self._wake)

    def _wake(self) -> None:
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()

    async def wait(self, timeout_s: float) -> None:
        """Wait for new events, or for a time."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._changed.wait(), timeout_s)


class EventStream(Response):
    """An answer that is an endless stream of events.

    It reads the journal as fast as the watcher reads the answer, so nothing piles up. A watcher that does not read is
    dropped after a time, or when it is too many bytes of events behind.
    """

    media_type = "text/event-stream"

    def __init__(self, server: State, hub: Hub, owner: str, job: str | None, after: int, wait_s: float | None) -> None:
        super().__init__(headers={"cache-control": "no-store", "x-accel-buffering": "no"})
        del self.headers["content-length"]
        self._server, self._hub, self._owner, self._job = server, hub, owner, job
        self._after = after
        self._end_s = None if wait_s is None else time.monotonic() + wait_s

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Send events until the watcher goes, the job has ended, or the server stops."""
        await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
        gone = asyncio.ensure_future(_gone(receive))
        self._hub.watchers += 1
        try:
            async for text in self._texts(gone):
                if not await self._sent(send, text):
                    transport = scope.get("impasto.transport")
                    if transport is not None:
                        transport.abort()
                    return
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        finally:
            self._hub.watchers -= 1
            gone.cancel()

    async def _sent(self, send: Any, text: str) -> bool:
        """Send a text; return False if the watcher has not taken it in time or is too far behind."""
        limits, begin_s = self._server.config.limits, time.monotonic()
        sending = asyncio.ensure_future(send({"type": "http.response.body", "body": text.encode(), "more_body": True}))
        while True:
            done, _ = await asyncio.wait({sending}, timeout=_CHECK_S)
            if done:
                sending.result()
                return True
            behind = self._server.journal.events.bytes_after(self._after, self._owner, self._job)
            if time.monotonic() - begin_s > limits.watcher_s or behind > limits.watcher_bytes:
                sending.cancel()
                return False

    async def _texts(self, gone: "asyncio.Future[None]") -> AsyncIterator[str]:
        yield "retry: 1000\n\n"
        alive_s = time.monotonic()
        while not gone.done() and not self._server.is_draining:
            ended = self._is_ended()  # before the events are read, of which the end is the last
            rows = self._server.journal.events.after(self._after, self._owner, self._job, _PAGE)
            if rows:
                self._after, alive_s = rows[-1]["number"], time.monotonic()
                yield "".join(map(_text, rows))
                continue
            now_s = time.monotonic()
            if ended or (self._end_s is not None and now_s >= self._end_s):
                return
            if now_s - alive_s > _ALIVE_S:
                alive_s = now_s
                yield ": still here\n\n"
            left_s = _ALIVE_S if self._end_s is None else max(0.0, self._end_s - now_s)
            await self._hub.wait(min(_CHECK_S, left_s))

    def _is_ended(self) -> bool:
        if self._job is None:
            return False
        row = self._server.journal.jobs.get(self._job, self._owner)
        return row is None or row["state"] in ENDED


def _text(row: sqlite3.Row) -> str:
    data = {"render": row["job"], **json.loads(row["data"])}
    return f"id: {row['number']}\nevent: {row['kind']}\ndata: {json.dumps(data)}\n\n"


async def _gone(receive: Any) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def _hub(server: State, request: Request) -> Hub:
    state = request.app.state
    if getattr(state, "hub", None) is None:
        state.hub = Hub(server.journal.events)
    found: Hub = state.hub
    return found


@router.get("/v1/renders/{job}/events", response_class=Response, responses={**_SSE, **schemas.refusals(404)})
async def render_events(
    server: Server, key: Caller, request: Request, job: str, wait: Wait = None, last_event_id: LastEventId = None
) -> Response:
    """Follow a job: every event from the first, or those after `Last-Event-ID`, until the job has ended."""
    owned(server, job, key)
    return EventStream(server, _hub(server, request), key.id, job, int(last_event_id or 0), wait)


@router.get("/v1/events", response_class=Response, responses={**_SSE, **schemas.refusals()})
async def all_events(
    server: Server, key: Caller, request: Request, wait: Wait = None, last_event_id: LastEventId = None
) -> Response:
    """Follow all jobs of the key in one stream: what comes from now on, or after `Last-Event-ID`."""
    after = server.journal.events.latest() if last_event_id is None else int(last_event_id)
    return EventStream(server, _hub(server, request), key.id, None, after, wait)

"""What the endpoints share."""

import asyncio
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, TypeVar

from fastapi import Depends, Request

from impasto.server.config import ServerConfig
from impasto.server.errors import not_found
from impasto.server.store.journal import Journal
from impasto.server.web.admission import Gate, Planner
from impasto.server.web.keys import Key, Keys
from impasto.server.work.predictor import Predictor
from impasto.server.work.supervisor import Supervisor

ValueT = TypeVar("ValueT")


@dataclass
class State:
    """The parts of a server.

    Attributes:
        pool: for what waits for the disk.
        converter: for the formats of results, one at a time.
        is_draining: whether the server is stopping and takes no more jobs.
    """

    config: ServerConfig
    journal: Journal
    supervisor: Supervisor
    planner: Planner
    predictor: Predictor
    keys: Keys
    gate: Gate
    pool: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(16, "disk"))
    converter: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(1, "format"))
    is_draining: bool = False

    @property
    def cache(self) -> Path:
        """Folder of results in formats that were asked for."""
        return self.journal.folder / "formats"

    async def run(self, function: Callable[..., ValueT], *arguments: object) -> ValueT:
        """Run what waits for the disk in another thread."""
        return await asyncio.get_running_loop().run_in_executor(self.pool, lambda: function(*arguments))


def _state(request: Request) -> State:
    found: State = request.app.state.server
    return found


def _key(request: Request) -> Key:
    found: Key = request.scope["state"]["key"]
    return found


Server = Annotated[State, Depends(_state)]
Caller = Annotated[Key, Depends(_key)]


def owned(server: State, job: str, key: Key) -> sqlite3.Row:
    """Return a job of a key.

    Raises:
        Problem: there is none.
    """
    row = server.journal.jobs.get(job, key.id)
    if row is None:
        raise not_found("render")
    return row

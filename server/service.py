"""A whole server: its parts are put together, started, drained and closed here."""

import asyncio
import contextlib
import json
import logging
import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import uvicorn

from impasto.models.errors import ImpastoError, reason
from impasto.server.config import ServerConfig
from impasto.server.store.journal import Journal
from impasto.server.web import schemas
from impasto.server.web.admission import Gate, Planner
from impasto.server.web.app import make_app
from impasto.server.web.connection import protocol_with
from impasto.server.web.keys import Keys
from impasto.server.web.state import State
from impasto.server.work.homes import Homes
from impasto.server.work.predictor import Predictor
from impasto.server.work.protocol import Home
from impasto.server.work.supervisor import Supervisor
from impasto.server.work.webhooks import Deliverer

log = logging.getLogger("impasto.server")

_MOST_CONNECTIONS = 1000
_LONGEST_HEAD = 32768
_LAST_ANSWERS_S = 1


class Service:
    """A server.

    Args:
        config: of the server.
        make_home: makes the home of a worker from the body of the message `SETUP`; by default, an actor of the Ray
            cluster or a local process.

    Raises:
        ImpastoError: the configuration is unsafe or wrong, or the data folder, the keys, a network or the Ray cluster
            cannot be used.
    """

    def __init__(self, config: ServerConfig, make_home: Callable[[dict[str, Any]], Home] | None = None) -> None:
        config.check()
        self.config = config
        keys, planner = Keys(config.keys), Planner(config.engine, elsewhere=config.ray is not None)
        self.homes = Homes(config, make_home)
        self.journal = Journal(config.data, config.retention)
        predictor = Predictor()
        self._learn(predictor)
        setup = {
            "models": {network.name: network.model for network in planner.networks.values()},
            "hashes": {network.name: network.sha256 for network in planner.networks.values()},
            "engine": config.engine.arguments(),
            "slots": config.engine.slots,
            "folder": str(self.journal.work),
            "checkpoint_evaluations": config.engine.checkpoint_evaluations,
            "checkpoint_s": 0.0 if config.ray is None else config.ray.checkpoint_s,
        }
        self.supervisor = Supervisor(
            config, self.journal, lambda: self.homes.make(setup), predictor, lambda: self.homes.count
        )
        gate = Gate(config.limits, predictor, lambda: len(self.supervisor.places))
        self.state = State(config, self.journal, self.supervisor, planner, predictor, keys, gate)
        self.app = make_app(self.state)
        self._deliverer = Deliverer(
            self.journal, config.webhooks, lambda row: {"event": "ended", "render": schemas.render_of(row, {})}
        )
        self.supervisor.reports.on_end = self.app.inner.state.metrics.end
        self.address = ("", 0)
        self.uvicorn: uvicorn.Server | None = None

    def serve(self, on_ready: Callable[[str], None] = lambda url: None) -> None:
        """Serve until SIGTERM or SIGINT, then drain.

        Args:
            on_ready: called with the server's URL when it takes requests.

        Raises:
            ImpastoError: the address cannot be bound.
        """
        with self._socket() as listener:
            self.supervisor.start()
            self._deliverer.start()
            config = uvicorn.Config(
                self.app,
                http=protocol_with(self.config.limits.header_s),
                ws="none",
                lifespan="off",
                log_level="warning",
                access_log=False,
                server_header=False,
                limit_concurrency=_MOST_CONNECTIONS,
                h11_max_incomplete_event_size=_LONGEST_HEAD,
                timeout_graceful_shutdown=_LAST_ANSWERS_S,
                proxy_headers=False,
            )
            server = self.uvicorn = _Uvicorn(config)
            try:
                with self._draining(server):
                    on_ready(self.url)
                    asyncio.run(server.serve(sockets=[listener]))
            finally:
                self.close()

    @property
    def url(self) -> str:
        """The server's URL."""
        host = f"[{self.address[0]}]" if ":" in self.address[0] else self.address[0]
        return f"http://{host}:{self.address[1]}"

    def close(self) -> None:
        """Save the states of running jobs, end the workers, and release the data folder."""
        self.state.is_draining = True
        self.supervisor.drain()
        self._deliverer.stop()
        self.supervisor.close()
        self.homes.close()
        self.state.pool.shutdown()
        self.state.converter.shutdown()
        self.journal.close()

    @contextlib.contextmanager
    def _draining(self, server: "_Uvicorn") -> Iterator[None]:
        """Stop at SIGTERM and SIGINT: refuse new jobs at once, and end the streams of events."""

        def stop(signum: int, frame: FrameType | None) -> None:
            log.info("stopping: running jobs save their states")
            self.state.is_draining = True
            server.should_exit = True

        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {number: signal.signal(number, stop) for number in (signal.SIGTERM, signal.SIGINT)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _socket(self) -> socket.socket:
        family = socket.AF_INET6 if ":" in self.config.host else socket.AF_INET
        listener = socket.socket(family, socket.SOCK_STREAM)
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind((self.config.host, self.config.port))
            listener.listen(512)
        except OSError as error:
            listener.close()
            self.journal.close()
            where = f"{self.config.host}:{self.config.port}"
            raise ImpastoError(f"cannot listen on {where}: {reason(error)}; give another --host or --port") from error
        self.address = listener.getsockname()[:2]
        return listener

    def _learn(self, predictor: Predictor) -> None:
        """Let the predictor learn from the latest jobs of earlier servers."""
        query = "SELECT network, summary FROM jobs WHERE state = 'done' AND summary IS NOT NULL ORDER BY ended_s DESC"
        for row in reversed(self.journal.database.rows(f"{query} LIMIT 50")):
            predictor.learn(row["network"], json.loads(row["summary"]))


class _Uvicorn(uvicorn.Server):
    """uvicorn without its handlers of signals: the service has its own."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Do nothing."""
        yield


def default_data() -> Path:
    """Return the folder of the data where none is given."""
    import platformdirs

    chosen = os.environ.get("IMPASTO_DATA")
    return Path(chosen) if chosen else Path(platformdirs.user_data_dir("impasto", appauthor=False)) / "server"

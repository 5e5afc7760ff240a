"""A worker: it has the engines, and runs what the server sends."""

import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from impasto.server.work.attempt import Attempt
from impasto.server.work.engines import Engines
from impasto.server.work.protocol import (
    BEAT,
    DRAIN,
    INFER,
    PRIORITY,
    READY,
    REPLY,
    RUN,
    STOP,
    STYLE,
    STYLED,
    Message,
)
from impasto.server.work.short import ShortWork

BEAT_S = 1.0


class Channel(Protocol):
    """The worker's end of the way to the server."""

    def send(self, message: Message) -> None:
        """Send a message."""

    def receive(self) -> Message:
        """Wait for a message."""


class Worker:
    """Runs jobs until the process ends.

    Args:
        channel: the way to the server.
        setup: the body of the server's first message.
    """

    def __init__(self, channel: Channel, setup: Mapping[str, Any]) -> None:
        self._channel, self._folder = channel, Path(setup["folder"])
        self._every = int(setup["checkpoint_evaluations"]), float(setup["checkpoint_s"])
        self._engines = Engines(setup["models"], setup["hashes"], setup["engine"], setup["slots"])
        self._short = ShortWork(self._engines, setup)
        self._lock = threading.Lock()
        self._attempts: dict[tuple[str, int], Attempt] = {}
        self._evaluations, self._latest_s = 0, time.monotonic()

    def serve(self) -> None:
        """Do what the server says, for ever."""
        self._channel.send(Message(READY, {"slots": self._engines.slots, "provider": self._engines.provider}))
        threading.Thread(target=self._beat, daemon=True).start()
        threading.Thread(target=self._do_short_work, daemon=True).start()
        while True:
            self._obey(self._channel.receive())

    def _obey(self, message: Message) -> None:
        body = message.body
        if message.kind == RUN:
            self._begin(body)
        elif message.kind in (STOP, PRIORITY):
            with self._lock:
                attempt = self._attempts.get((body["job"], body["token"]))
            if attempt is not None and message.kind == STOP:
                attempt.stop()
            elif attempt is not None:
                attempt.set_priority(body["priority"])
        elif message.kind == DRAIN:
            with self._lock:
                attempts = list(self._attempts.values())
            for attempt in attempts:
                attempt.give_back()
        elif message.kind in (STYLE, INFER):
            self._short.put(message)

    def _begin(self, body: Mapping[str, Any]) -> None:
        attempt = Attempt(body, self._folder, self._channel.send, self._count, *self._every)
        with self._lock:
            self._attempts[body["job"], body["token"]] = attempt
        threading.Thread(target=self._run, args=(attempt,), daemon=True).start()

    def _run(self, attempt: Attempt) -> None:
        try:
            attempt.run(lambda network: self._engines.get(network, for_jobs=True))
        finally:
            with self._lock:
                self._attempts.pop((attempt.job, attempt.token), None)

    def _count(self, evaluations: int) -> None:
        """Count evaluations; the engine's threads call this before each."""
        with self._lock:
            self._evaluations += evaluations
        self._latest_s = time.monotonic()

    def _beat(self) -> None:
        while True:
            with self._lock:
                running = len(self._attempts)
            if not running:
                self._latest_s = time.monotonic()
            age_s = time.monotonic() - self._latest_s
            self._channel.send(Message(BEAT, {"evaluations": self._evaluations, "age_s": age_s, "running": running}))
            time.sleep(BEAT_S)

    def _do_short_work(self) -> None:
        while True:
            message = self._short.get()
            if message.kind == STYLE:
                self._channel.send(Message(STYLED, self._short.style(message.body)))
            else:
                values, blobs = self._short.infer(message)
                self._channel.send(Message(REPLY, values, blobs))

"""A place for a worker: the worker that is there now, the jobs that it holds, and when it last made progress."""

import sqlite3
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from impasto.server.work.protocol import BEAT, READY, Death, Home, Message

LOWEST = -8
_OVERTAKERS = 2
"""Jobs of a higher priority that may run in addition to those of a full worker."""

_FIRST_DELAY_S, _LONGEST_DELAY_S, _GOOD_LIFE_S = 0.1, 30.0, 60.0


@dataclass(frozen=True)
class Held:
    """A job that a worker has."""

    token: int
    priority: int
    is_suspect: bool


class Place:
    """A place.

    Args:
        make_home: makes the home of the next worker.

    Attributes:
        running: the jobs that the worker has.
        restarts: how often a worker was started here after the first.
        evaluations: of all workers that were here.
    """

    def __init__(self, make_home: Callable[[], Home]) -> None:
        self._make_home = make_home
        self._lock = threading.Lock()
        self._home: Home | None = None
        self.running: dict[str, Held] = {}
        self.restarts, self.evaluations, self.slots, self.provider = -1, 0, 0, ""
        self._before = 0
        self._is_ready = False
        self._age_s = self._started_s = self._heard_s = 0.0
        self._delay_s, self._start_due_s = _FIRST_DELAY_S, 0.0

    @property
    def name(self) -> str:
        """The name of the worker that is here."""
        return "no worker" if self._home is None else self._home.name

    @property
    def home(self) -> Home | None:
        """The home of the worker that is here."""
        return self._home

    @property
    def has_home(self) -> bool:
        """Whether a worker is here."""
        return self._home is not None

    @property
    def may_start(self) -> bool:
        """Whether the time for the next worker has come: one that ends at once is not started without a pause."""
        return time.monotonic() >= self._start_due_s

    @property
    def is_ready(self) -> bool:
        """Whether the worker takes jobs."""
        return self._home is not None and self._is_ready

    def start(self, receive: Callable[[Message], None], lost: "Callable[[Place, Death], None]") -> None:
        """Start a worker. After one that could not be started, the next start waits as after one that has ended.

        Raises:
            OSError: the worker could not be started.
        """
        self.restarts += 1
        self._is_ready = False
        self._started_s = self._heard_s = time.monotonic()
        self._age_s = 0.0
        home = self._home = self._make_home()
        try:
            home.start(receive, lambda death: lost(self, death))
        except BaseException:
            self.lose()
            raise

    def send(self, message: Message) -> None:
        """Send a message to the worker, if one is here."""
        home = self._home
        if home is not None:
            home.send(message)

    def kill(self) -> None:
        """End the worker."""
        home = self._home
        if home is not None:
            home.kill()

    def takes_above(self) -> int | None:
        """Return the lowest priority of a job that the worker takes now; None if it takes none."""
        with self._lock:
            priorities = sorted((held.priority for held in self.running.values()), reverse=True)
            if not self.is_ready or any(held.is_suspect for held in self.running.values()):
                return None
        if len(priorities) < self.slots:
            return LOWEST
        if len(priorities) >= self.slots + _OVERTAKERS:
            return None
        return priorities[self.slots - 1] + 1

    def hold(self, row: sqlite3.Row) -> bool:
        """Record a job that was taken for the worker here; return False where that worker has ended meanwhile."""
        with self._lock:
            if row["worker"] != self.name:
                return False
            self.running[row["id"]] = Held(row["token"], row["priority"], row["killed"] > 0)
            return True

    def holds(self, body: Mapping[str, Any]) -> bool:
        """Return whether the worker has the job of a message, under the message's token."""
        held = self.running.get(str(body.get("job")))
        return held is not None and held.token == body.get("token")

    def release(self, job: str, token: int) -> None:
        """Record that the worker no longer has a job."""
        with self._lock:
            if job in self.running and self.running[job].token == token:
                del self.running[job]

    def take(self, message: Message) -> None:
        """Record what the worker says about itself."""
        self._heard_s = time.monotonic()
        if message.kind == READY:
            self.slots, self.provider = max(1, int(message.body["slots"])), str(message.body["provider"])
            self._is_ready = True
        elif message.kind == BEAT:
            self.evaluations = self._before + int(message.body["evaluations"])
            self._age_s = float(message.body["age_s"])

    def lose(self) -> dict[str, Held]:
        """Record the end of the worker. Return the jobs that it had."""
        with self._lock:
            running, self.running = self.running, {}
            self._home = None
        self._is_ready, self._before = False, self.evaluations
        if time.monotonic() - self._started_s > _GOOD_LIFE_S:
            self._delay_s = _FIRST_DELAY_S
        self._start_due_s = time.monotonic() + self._delay_s
        self._delay_s = min(2 * self._delay_s, _LONGEST_DELAY_S)
        return running

    def why_stuck(self, stuck_s: float) -> str | None:
        """Return why the worker makes no progress; None if it does."""
        if not self.is_ready:
            return "no worker is ready"
        silent_s = time.monotonic() - self._heard_s
        if silent_s > min(10.0, stuck_s):
            return f"the worker has said nothing for {silent_s:.0f} s"
        if self.running and self._age_s > stuck_s:
            return f"the latest evaluation was {self._age_s:.0f} s ago"
        return None

    def is_hung(self, silent_s: float, stuck_s: float) -> bool:
        """Return whether the worker is to be ended: it says nothing, or has not evaluated for too long."""
        if self._home is None:
            return False
        patience_s = silent_s if self._is_ready else stuck_s
        return time.monotonic() - self._heard_s > patience_s or (bool(self.running) and self._age_s > stuck_s)

"""The supervisor: it gives the jobs of the journal to workers, and starts a dead worker again."""

import contextlib
import json
import logging
import os
import shutil
import sqlite3
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any

from impasto.server.config import ServerConfig
from impasto.server.errors import Problem
from impasto.server.store.journal import Journal
from impasto.server.store.records import RUNNING
from impasto.server.work.mark import Mark
from impasto.server.work.place import Place
from impasto.server.work.predictor import Predictor
from impasto.server.work.protocol import CHECKPOINT, DRAIN, INFER, PRIORITY, RUN, STOP, STYLE, Death, Home, Message
from impasto.server.work.reports import Reports

log = logging.getLogger("impasto.server")

TICK_S = 0.25
_SWEEP_S, _COUNT_S = 60.0, 2.0
_SILENT_S = 30.0
_STUCK_TIMES = 10
_MOST_WAITING = 16


class Supervisor:
    """Gives jobs to workers. Its methods may be called from any thread.

    Args:
        config: of the server.
        journal: has the jobs.
        make_home: makes the home of a new worker.
        predictor: learns how long jobs take.
        count: returns how many workers there is room for now; places are added, and never removed.
    """

    def __init__(
        self,
        config: ServerConfig,
        journal: Journal,
        make_home: Callable[[], Home],
        predictor: Predictor,
        count: Callable[[], int],
    ) -> None:
        self._config, self._journal = config, journal
        self._make_home, self._count, self._count_due_s = make_home, count, 0.0
        self.places: list[Place] = []
        self._add_places()
        self.reports = Reports(journal, predictor)
        self._wake, self._closing = threading.Event(), False
        self._lock = threading.Lock()
        self._infers: dict[str, tuple[Place, Future[Message]]] = {}
        self._styles: dict[tuple[str, str], Place] = {}
        self._sweep_due_s = time.monotonic() + _SWEEP_S
        self._thread = threading.Thread(target=self._work, name="supervisor", daemon=True)

    def start(self) -> None:
        """Recover what a killed server left, and start the workers."""
        recovered = self._journal.attempts.recover()
        if recovered:
            log.info("%d jobs continue from their saved states", recovered)
        self._thread.start()

    def wake(self) -> None:
        """Look for work now."""
        self._wake.set()

    def stop(self, row: sqlite3.Row | None) -> None:
        """Tell the worker of a job that the journal wants it to stop."""
        if row is not None and row["state"] == RUNNING:
            self._send_to(row["id"], lambda token: Message(STOP, {"job": row["id"], "token": token}))
        self.wake()

    def set_priority(self, job: str, priority: int) -> None:
        """Tell the worker of a job about its new priority."""
        values = {"job": job, "priority": priority}
        self._send_to(job, lambda token: Message(PRIORITY, {**values, "token": token}))
        self.wake()

    def infer(self, message: Message) -> "Future[Message]":
        """Send short work to a worker, and promise its reply.

        Raises:
            Problem: no worker is ready, or too much short work waits.
        """
        with self._lock:
            ready = [place for place in self.places if place.is_ready]
            if not ready:
                raise Problem(503, "no-worker", "No worker is ready", "send the request again", retry_after_s=5)
            if len(self._infers) >= _MOST_WAITING:
                raise Problem(429, "busy", "Too many requests wait", "send the request again", retry_after_s=5)
            place = min(ready, key=lambda place: sum(other is place for other, _ in self._infers.values()))
            reply: Future[Message] = Future()
            self._infers[message.body["id"]] = (place, reply)
        place.send(Message(INFER, message.body, message.blobs))
        return reply

    @property
    def stuck(self) -> str | None:
        """Why no worker makes progress; None if one does."""
        reasons = [place.why_stuck(self._config.stuck_s) for place in self.places]
        return None if None in reasons else reasons[0]

    def drain(self) -> None:
        """Give out no more jobs, and let the running ones save their states. Return when they have, or time is over."""
        self._closing = True
        self.wake()
        end_s = time.monotonic() + self._config.drain_s
        for place in self.places:
            place.send(Message(DRAIN))
        while time.monotonic() < end_s and any(place.running for place in self.places):
            time.sleep(0.02)

    def close(self) -> None:
        """End the workers."""
        self._closing = True
        self.wake()
        if self._thread.is_alive():
            self._thread.join()
        for place in self.places:
            place.kill()

    def _add_places(self) -> None:
        """Make places for the workers that there is room for."""
        if time.monotonic() >= self._count_due_s:
            self._count_due_s = time.monotonic() + _COUNT_S
            for _ in range(self._count() - len(self.places)):
                self.places.append(Place(self._make_home))

    def _send_to(self, job: str, message: Callable[[int], Message]) -> None:
        for place in self.places:
            token = place.running.get(job)
            if token is not None:
                place.send(message(token.token))

    def _work(self) -> None:
        while not self._closing:
            self._wake.wait(TICK_S)
            self._wake.clear()
            try:
                self._tick()
            except Exception as error:  # a full disk, at worst: the next tick tries again
                log.warning("the supervisor could not work: %s: %s", type(error).__name__, error)
                time.sleep(TICK_S)

    def _tick(self) -> None:
        self.reports.settle_waiting()
        self._add_places()
        for job in self._journal.jobs.end_late():
            self._send_to(job, lambda token, job=job: Message(STOP, {"job": job, "token": token}))  # type: ignore[misc]
        for place in self.places:
            if self._closing:
                return
            if not place.has_home and place.may_start:
                place.start(lambda message, place=place: self._receive(place, message), self._lost)  # type: ignore[misc]
            elif place.is_hung(_SILENT_S, self._config.stuck_s * _STUCK_TIMES):
                log.warning("%s makes no progress; it is ended", place.name)
                place.kill()
            self._give_jobs(place)
        self._give_styles()
        if time.monotonic() >= self._sweep_due_s:
            self._journal.sweep()
            self._sweep_due_s = time.monotonic() + _SWEEP_S

    def _give_jobs(self, place: Place) -> None:
        while not self._closing and (above := place.takes_above()) is not None:
            row = self._journal.attempts.take(place.name, above=above, alone=not place.running)
            if row is None:
                return
            if not place.hold(row):
                self._journal.attempts.interrupt(row["id"], row["token"])
                return
            try:
                place.send(Message(RUN, self._spec(row)))
            except OSError as error:
                log.warning("job %s could not begin: %s", row["id"], type(error).__name__)
                place.release(row["id"], row["token"])
                self._journal.attempts.interrupt(row["id"], row["token"])
                return

    def _spec(self, row: sqlite3.Row) -> dict[str, Any]:
        """Return the body of the message that gives a job to a worker."""
        journal, files = self._journal, self._journal.files
        paths: dict[str, str | None] = {
            name: None if row[f"{name}_file"] is None else str(files.path(row[f"{name}_file"]))
            for name in ("content", "style")
        }
        if row["style_id"] is not None:
            style = journal.styles.get(row["style_id"], row["owner"])
            if style is not None and style["matrices_file"] is not None:
                paths["style"] = str(self._linked(style["matrices_file"], f"{row['id']}.style.safetensors"))
        start = self._start_of(row)
        paths["start"] = None if start is None else str(files.path(start))
        states = [str(path) for path in journal.checkpoints(row["id"]) if not path.name.endswith(".style.safetensors")]
        if row["state_file"] is not None:
            states.append(str(self._linked(row["state_file"], f"{row['id']}.0.safetensors")))
        plain = {name: row[name] for name in ("token", "network", "priority", "deadline_s")}
        return {
            **plain, **paths, "job": row["id"], "settings": json.loads(row["settings"]), "states": states,
            "stop": row["stop"] is not None,
            "begun": max([0, *map(Mark.read, journal.work.glob(f"{row['id']}.*.begun"))]),
        }  # fmt: skip

    def _start_of(self, row: sqlite3.Row) -> str | None:
        """Return the file that a job begins with: a job that ended before it had a picture passes on its own start."""
        seen = set()
        while row["start_file"] is None and row["start_job"] is not None and row["start_job"] not in seen:
            seen.add(row["start_job"])
            before = self._journal.jobs.get(row["start_job"], row["owner"])
            if before is None:
                return None
            if before["png_file"] is not None:
                return str(before["png_file"])
            row = before
        return None if row["start_file"] is None else str(row["start_file"])

    def _linked(self, file: str, name: str) -> Path:
        """Return another name of a file of the store, one that ends as the engine wants it."""
        path = self._journal.work / name
        path.unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            os.link(self._journal.files.path(file), path)
            os.utime(path, (0, 0))  # older than every state of a later attempt
            return path
        shutil.copyfile(self._journal.files.path(file), path)
        return path

    def _give_styles(self) -> None:
        ready = [place for place in self.places if place.is_ready]
        for row in self._journal.styles.pending() if ready else []:
            key = (row["owner"], row["id"])
            if key not in self._styles:
                self._styles[key] = ready[0]
                values = {"style": row["id"], "owner": row["owner"], "network": row["network"]}
                values |= {"settings": json.loads(row["settings"])}
                values |= {"image": str(self._journal.files.path(row["image_file"]))}
                values |= {"path": str(self._journal.work / f"style.{row['id']}.{row['owner']}.safetensors")}
                ready[0].send(Message(STYLE, values))

    def _receive(self, place: Place, message: Message) -> None:
        """Handle what a worker says; its own thread calls this."""
        body = message.body
        if message.kind == "reply":
            with self._lock:
                _, reply = self._infers.pop(str(body.get("id")), (None, None))
            if reply is not None:
                reply.set_result(message)
        elif message.kind == "styled":
            self.reports.styled(body)
            self._styles.pop((body["owner"], body["style"]), None)
            self.wake()
        elif message.kind in ("ready", "beat"):
            place.take(message)
            if message.kind == "ready":
                self.wake()
        elif message.kind != CHECKPOINT and place.holds(body):
            self.reports.take(message)
            if message.kind in ("finished", "interrupted"):
                place.release(body["job"], body["token"])
                self.wake()

    def _lost(self, place: Place, death: Death) -> None:
        """Handle the end of a worker."""
        running = place.lose()
        if not self._closing:
            log.warning("%s; %d of its jobs return to the queue", death.reason, len(running))
        with self._lock:
            lost = [key for key, (other, _) in self._infers.items() if other is place]
            replies = [self._infers.pop(key)[1] for key in lost]
        for reply in replies:
            problem = Problem(503, "worker-lost", "The worker ended", "send the request again", retry_after_s=2)
            reply.set_exception(problem)
        for key, other in list(self._styles.items()):
            if other is place:
                self._styles.pop(key, None)
        if not self._closing:
            for job, held in running.items():
                self.reports.lost(job, held.token, death)
        self.wake()

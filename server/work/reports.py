"""What becomes of the reports of workers: events, published results, and jobs that return to the queue."""

import json
import logging
import sqlite3
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from impasto.server.store.files import sha256_of
from impasto.server.store.journal import Journal
from impasto.server.store.records import CANCELLED, DONE, FAILED, Ending
from impasto.server.work.predictor import Predictor
from impasto.server.work.protocol import EVENT, FINISHED, INTERRUPTED, Death, Message

log = logging.getLogger("impasto.server")

RETRY_S = 2.0
_COLUMNS = ("result_file", "alpha_file", "png_file", "state_file", "preview_file")


class Reports:
    """Takes the reports of all workers. Its methods may be called from any thread.

    Args:
        journal: receives them.
        predictor: learns from the ends.

    Attributes:
        repeated: evaluations that were repeated after the death of a worker or of the server.
        on_seconds: called with the seconds of an evaluation.
        on_end: called with a job's row after its end.
    """

    def __init__(self, journal: Journal, predictor: Predictor) -> None:
        self._journal, self._predictor = journal, predictor
        self._lock = threading.Lock()
        self._waiting: list[Message] = []
        self._retry_s, self.repeated = 0.0, 0
        self._adopted: dict[tuple[str, int], dict[str, str]] = {}
        self._latest: dict[str, tuple[int, float]] = {}
        self.on_seconds: Callable[[float], None] = lambda seconds: None
        self.on_end: Callable[[sqlite3.Row], None] = lambda row: None

    def take(self, message: Message) -> None:
        """Handle a report about a job that the worker holds."""
        if message.kind == EVENT:
            self._event(message.body)
        else:
            try:
                self._settle(message)
            except (OSError, sqlite3.Error) as error:  # a full disk: the files are kept until there is room
                log.warning("the end of %s waits: %s", message.body["job"], type(error).__name__)
                with self._lock:
                    self._waiting.append(message)

    def settle_waiting(self) -> None:
        """Try again what did not fit onto the disk."""
        if not self._waiting or time.monotonic() < self._retry_s:
            return
        self._retry_s = time.monotonic() + RETRY_S
        with self._lock:
            waiting, self._waiting = self._waiting, []
        for message in waiting:
            self.take(message)

    def lost(self, job: str, token: int, death: Death) -> None:
        """Handle a job whose worker has died."""
        try:
            self._journal.events.flush()  # those of a job that does not run are dropped
            state = self._journal.attempts.lose(job, token, death.reason, blames=death.blames_jobs)
        except sqlite3.Error as error:
            log.warning("job %s waits for the disk: %s", job, type(error).__name__)
            message = Message("lost", {"job": job, "token": token, "death": death})
            with self._lock:
                self._waiting.append(message)
            return
        if state not in (None, "queued"):
            self._tell_end(job)

    def styled(self, body: Mapping[str, Any]) -> None:
        """Keep the matrices of a style."""
        with self._journal.files.pinned() as pin:
            file = None
            if body["path"] is not None:
                path = self._checked(body["path"])
                file = sha256_of(path)
                self._journal.files.pin(file)
                pin(file)
                self._journal.files.adopt(path, file)
            self._journal.styles.finish(body["style"], body["owner"], file, body["error"])

    def _event(self, body: Mapping[str, Any]) -> None:
        row = self._journal.jobs.find(body["job"])
        if row is None or row["token"] != body["token"]:
            return
        data = body["data"]
        if body["event"] == "iteration":
            self._journal.attempts.advance(
                row["id"], row["token"], int(data["iteration"]), int(data["evaluations"]), float(data["loss"])
            )
            self._measure(row["id"], int(data["evaluations"]), float(data["seconds"]))
        elif body["event"] == "running":
            self.repeated += int(data["repeated"])
        self._journal.events.progress(row["id"], row["owner"], str(body["event"]), dict(data))

    def _measure(self, job: str, evaluations: int, seconds: float) -> None:
        before = self._latest.get(job)
        self._latest[job] = (evaluations, seconds)
        if before is not None and evaluations > before[0]:
            self.on_seconds((seconds - before[1]) / (evaluations - before[0]))

    def _settle(self, message: Message) -> None:
        body = message.body
        job, token = str(body["job"]), int(body["token"])
        if message.kind == INTERRUPTED:
            self._journal.events.flush()
            self._journal.attempts.interrupt(job, token)
        elif message.kind == FINISHED:
            self._publish(job, token, body)
        else:
            self.lost(job, token, body["death"])

    def _publish(self, job: str, token: int, body: Mapping[str, Any]) -> None:
        """Publish a result, once. The files are on the disk before the journal names them."""
        self._journal.events.flush()
        files = self._adopt(job, token, body["files"])
        state = body["state"] if body["state"] in (DONE, CANCELLED, FAILED) else FAILED
        total = sum(self._journal.files.path(name).stat().st_size for name in files.values())
        ending = Ending(
            state, str(body["outcome"]), str(body["message"])[:2000], files, total, body["summary"], body["record"]
        )
        published = self._journal.attempts.finish(job, token, ending)
        self._journal.files.unpin(self._adopted.pop((job, token)).values())
        self._latest.pop(job, None)
        if published:
            self._journal.clear_work(job)
            self._tell_end(job)

    def _adopt(self, job: str, token: int, paths: Mapping[str, str]) -> dict[str, str]:
        """Move the files of a result into the store. After a failure, those that were moved stay pinned."""
        files = self._adopted.setdefault((job, token), {})
        for column, text in paths.items():
            path = self._checked(text)
            if column in _COLUMNS and column not in files and path.exists():
                name = sha256_of(path)
                self._journal.files.pin(name)
                files[column] = name
        for column, name in files.items():
            self._journal.files.adopt(self._checked(paths[column]), name, durable=column != "state_file")
        return files

    def _tell_end(self, job: str) -> None:
        row = self._journal.jobs.find(job)
        if row is not None:
            self.on_end(row)
            if row["summary"] is not None and row["state"] == DONE:
                self._predictor.learn(row["network"], json.loads(row["summary"]))

    def _checked(self, text: str) -> Path:
        """Return a path that a worker names; only files of the folder for work are taken."""
        path = Path(text)
        if path.parent != self._journal.work:
            raise ValueError("a worker named a file outside its folder")
        return path

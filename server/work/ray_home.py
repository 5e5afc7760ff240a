"""A home of a worker: an actor of a Ray cluster. Ray chooses its machine and tells of its death."""

import contextlib
import logging
import re
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from impasto.server.store.records import new_id
from impasto.server.work.baggage import pack, unpack
from impasto.server.work.mark import Mark
from impasto.server.work.protocol import CHECKPOINT, EVENT, FINISHED, INTERRUPTED, RUN, STYLED, Death, Message

log = logging.getLogger("impasto.server")

_MOST_STATES = 2
"""Saved states that travel with a job: the latest, and one more in case that it is damaged."""


class RayHome:
    """A home; see `impasto.server.work.protocol.Home`. Its actor dies with the server.

    Args:
        make_actor: makes the actor; Ray starts it where and when there is room.
        folder: of the server, for the files that messages name.
    """

    def __init__(self, make_actor: Callable[[], Any], folder: Path) -> None:
        self.name = new_id("w")
        self._make_actor, self._folder = make_actor, folder
        self._actor: Any = None
        self._is_lost = self._is_killed = False
        self._begun: dict[str, Mark] = {}

    @property
    def is_alive(self) -> bool:
        """Whether the actor is there, or will be."""
        return self._actor is not None and not self._is_lost

    def start(self, receive: Callable[[Message], None], lost: Callable[[Death], None]) -> None:
        """Ask Ray for the actor, and start a thread that reads what it says."""
        self._actor = self._make_actor()
        threading.Thread(target=self._read, args=(receive, lost), name=self.name, daemon=True).start()

    def send(self, message: Message) -> None:
        """Send a message with its files; it is lost if the actor has ended.

        Raises:
            OSError: a file cannot be read.
        """
        if message.kind == RUN:
            body = {**message.body, "states": list(message.body["states"])[:_MOST_STATES]}
            message = Message(message.kind, body, message.blobs)
        packed, files = pack(message)
        hear = self._actor.hear.options(concurrency_group="hear")
        hear.remote(packed.kind, dict(packed.body), packed.blobs, files)

    def kill(self) -> None:
        """End the actor at once, once: a function of Ray that is called after the end of Ray would start a cluster."""
        if self._actor is None or self._is_killed:
            return
        import ray

        self._is_killed = True
        with contextlib.suppress(ray.exceptions.RayError, ValueError):
            ray.kill(self._actor, no_restart=True)

    def _read(self, receive: Callable[[Message], None], lost: Callable[[Death], None]) -> None:
        import ray

        death = Death("the cluster has gone", blames_jobs=False)
        try:
            while True:
                say = self._actor.say.options(concurrency_group="say")
                for kind, body, blobs, files in ray.get(say.remote()):
                    self._take(Message(kind, body, blobs), files, receive)
        except ray.exceptions.RayError as error:
            death = cause_of(error)
        except OSError as error:  # the disk is full: the job is run again from its last state
            log.warning("a result could not be written: %s", type(error).__name__)
            death = Death("a worker's result could not be written", blames_jobs=False)
        finally:
            self._is_lost = True
            self.kill()  # an actor that failed in a call, or that cannot be reached, would keep its slot
            for mark in self._begun.values():
                mark.close()
            lost(death)

    def _take(self, message: Message, files: Mapping[str, bytes], receive: Callable[[Message], None]) -> None:
        """Write the files of a message, and pass the message on."""
        if files or message.kind in (FINISHED, STYLED):
            try:
                message = unpack(message, files, self._folder)
            except OSError as error:
                if message.kind not in (EVENT, CHECKPOINT):
                    raise
                log.warning("a state or a preview was not kept: %s", type(error).__name__)
        self._mark(message)
        receive(message)

    def _mark(self, message: Message) -> None:
        """Record how many evaluations an attempt has begun: its own mark dies with its machine."""
        job = str(message.body.get("job"))
        if message.kind == EVENT and message.body["event"] == "iteration":
            if job not in self._begun:
                self._begun[job] = Mark(self._folder / f"{job}.{message.body['token']}.begun")
            self._begun[job].value = int(message.body["data"]["evaluations"])
        elif message.kind in (FINISHED, INTERRUPTED) and job in self._begun:
            self._begun.pop(job).close()


def cause_of(error: Exception) -> Death:
    """Return why an actor has ended, from what Ray says.

    Of a process that was ended, Ray says so within a second. An actor that is unavailable is on a machine that does not
    answer; that the machine has died is known some 15 seconds later.
    """
    text = str(error)
    if found := re.search(r"ImpastoError: (.*)", text):
        return Death(f"the worker could not start: {found[1].strip()[:300]}")
    if re.search(r"node (has died|is dead|was terminated)|preempted", text):
        return Death("the worker's machine has left the cluster", blames_jobs=False)
    if "is unavailable" in text:
        return Death("the worker's machine does not answer", blames_jobs=False)
    return Death("the worker ended")

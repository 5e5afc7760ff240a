"""One attempt at a job, in a worker: its run, its progress, its saved states and its result."""

import contextlib
import errno
import logging
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from impasto.engine import (
    Engine,
    Event,
    Handle,
    ImpastoError,
    Iteration,
    Job,
    PrecisionChanged,
    Result,
    RunState,
    Settings,
    Started,
    load_checkpoint,
    save_checkpoint,
)
from impasto.engine.images import read_image
from impasto.server.work.mark import Mark
from impasto.server.work.plain_messages import without_paths
from impasto.server.work.protocol import CHECKPOINT, EVENT, FINISHED, INTERRUPTED, Message
from impasto.server.work.result_files import write_preview, write_result

log = logging.getLogger("impasto.server")

_PROGRESS_S, _DURABLE_S = 0.1, 10.0
_PREVIEW_SHARE, _PREVIEW_S = 0.02, 0.5
_DISK_RETRY_S, _DISK_PATIENCE_S = 2.0, 600.0
_FULL = (errno.ENOSPC, errno.EDQUOT)


class Attempt:
    """An attempt.

    Args:
        spec: the body of the message `RUN`.
        folder: for the files that the attempt leaves to the server.
        send: sends a message to the server.
        count: called before each evaluation, with the number of those since the last call.
        every: evaluations after which the state is saved.
        every_s: seconds that lie between two saved states at least.
    """

    def __init__(
        self,
        spec: Mapping[str, Any],
        folder: Path,
        send: Callable[[Message], None],
        count: Callable[[int], None],
        every: int,
        every_s: float = 0.0,
    ) -> None:
        self.job, self.token = str(spec["job"]), int(spec["token"])
        self._spec, self._send, self._count = spec, send, count
        self._every, self._every_s = every, every_s
        self._stem = folder / f"{self.job}.{self.token}"
        self._preview_path = folder / f"{self.job}.preview.jpg"
        self._stopped, self._given_back, self._is_late = bool(spec["stop"]), False, False
        # A job that has run before has shown a picture: stopped now, it ends with one, after its first iteration.
        self._lacks_picture = bool(spec["states"]) or int(spec["begun"]) > 0
        self._priority = int(spec["priority"])
        self._handle: Handle | None = None
        self._saved_at, self._saved_s, self._durable_s = 0, time.monotonic(), time.monotonic()
        self._begun = Mark(self._path("begun"))
        self._told_s = self._preview_due_s = 0.0

    def run(self, engine_of: Callable[[str], Engine]) -> None:
        """Run to the end, and report it."""
        try:
            engine = engine_of(self._spec["network"])
            job = self._job(engine)
            result = engine.run(job, on_handle=self._hold, on_event=self._take, cancel=self._is_to_stop)
            if self._given_back and result.outcome == "cancelled":
                self._return(result)
            else:
                self._publish(result)
        except ImpastoError as error:
            self._fail(self._plain(str(error)))
        except MemoryError:
            self._fail("there is not enough memory; use a smaller size, or smaller images")
        except Exception as error:
            log.exception("job %s failed", self.job)
            self._fail(f"unexpected {type(error).__name__}; the server's log has more")
        finally:
            self._begun.close()

    def stop(self) -> None:
        """End the run before its next evaluation, with the picture that it has."""
        self._stopped = True

    def give_back(self) -> None:
        """Save the state before the next evaluation, and let another worker continue."""
        self._given_back = True

    def set_priority(self, priority: int) -> None:
        """Change the job's share of the evaluations."""
        self._priority = priority
        if self._handle is not None:
            self._handle.priority = priority

    def _job(self, engine: Engine) -> Job:
        spec, settings = self._spec, Settings.from_dict(self._spec["settings"])
        for path in spec["states"]:
            with contextlib.suppress(ImpastoError):  # damaged by a power cut, or of another network: try an older one
                state, _ = load_checkpoint(path)
                job = engine.continued(state, _with_limits(state, settings))
                self._saved_at = self._begun.value = state.evaluations
                return Job(settings=job.settings, state=job.state, priority=self._priority, keep_state=True)
        start = None if spec["start"] is None else read_image(spec["start"], settings.size)
        return Job(spec["content"], spec["style"], settings, start, priority=self._priority, keep_state=True)

    def _hold(self, handle: Handle) -> None:
        self._handle = handle
        handle.priority = self._priority

    def _is_to_stop(self) -> bool:
        evaluations = 0 if self._handle is None else self._handle.evaluations
        self._count(max(0, evaluations - self._begun.value))
        self._begun.value = max(evaluations, self._begun.value)
        deadline_s = self._spec["deadline_s"]
        if deadline_s is not None and time.time() >= deadline_s:
            self._is_late = True
        return self._given_back or ((self._stopped or self._is_late) and not self._lacks_picture)

    def _take(self, event: Event) -> None:
        if isinstance(event, Iteration):
            self._lacks_picture = False
            is_due_s = time.monotonic() - self._saved_s >= self._every_s
            if is_due_s and event.evaluations - self._saved_at >= self._every:
                self._save(event)
            self._report(event)
            self._preview(event)
        elif isinstance(event, Started):
            values: dict[str, Any] = {"width": event.width, "height": event.height, "provider": event.provider}
            values |= {"precision": event.precision, "network": event.model, "evaluations": self._saved_at}
            repeated = max(0, int(self._spec["begun"]) - self._saved_at)
            self._tell("running", {**values, "repeated": repeated})
        elif isinstance(event, PrecisionChanged):
            self._tell("precision", {"before": event.before, "after": event.after, "iteration": event.iteration})

    def _report(self, event: Iteration) -> None:
        now = time.monotonic()
        if now - self._told_s >= _PROGRESS_S:
            self._told_s = now
            values = {name: getattr(event, name) for name in ("iteration", "evaluations", "loss", "seconds")}
            self._tell("iteration", {**values, "terms": dict(event.terms)})

    def _save(self, event: Iteration) -> None:
        """Save the state: always against a killed process, and every few seconds against a power cut as well."""
        durable = time.monotonic() - self._durable_s >= _DURABLE_S
        path = self._path(f"{'disk' if durable else 'live'}.safetensors")
        try:
            save_checkpoint(event.state(), path, durable=durable)
        except ImpastoError as error:
            log.warning("no state of %s was saved: %s", self.job, self._plain(str(error)))
            return
        self._saved_at, self._saved_s = event.evaluations, time.monotonic()
        if durable:
            self._durable_s = self._saved_s
        self._say(CHECKPOINT, {"state": path}, evaluations=event.evaluations)

    def _preview(self, event: Iteration) -> None:
        """Write the picture so far, in at most a fiftieth of the time."""
        begin_s = time.monotonic()
        if begin_s < self._preview_due_s:
            return
        with contextlib.suppress(OSError):  # a full disk
            write_preview(event.snapshot(), self._preview_path)
            self._tell("preview", {"iteration": event.iteration}, preview=self._preview_path)
        took_s = time.monotonic() - begin_s
        self._preview_due_s = begin_s + max(_PREVIEW_S, took_s / _PREVIEW_SHARE)

    def _return(self, result: Result) -> None:
        files = {}
        if result.state is not None:
            files["state"] = self._path("disk.safetensors")
            save_checkpoint(result.state, files["state"])
        self._say(INTERRUPTED, files)

    def _publish(self, result: Result) -> None:
        begin_s = time.monotonic()
        while True:
            try:
                files = write_result(result, self._stem)
                break
            except (OSError, ImpastoError) as error:
                cause = error if isinstance(error, OSError) else error.__cause__
                waited_s = time.monotonic() - begin_s
                if getattr(cause, "errno", None) not in _FULL or waited_s > _DISK_PATIENCE_S:
                    raise
                time.sleep(_DISK_RETRY_S)  # the picture is in memory until there is room
        outcome, message = result.outcome, result.message
        state = "done"
        if outcome == "cancelled":
            state = "done" if self._is_late else "cancelled"
            outcome = "deadline" if self._is_late else outcome
        record = {name: value for name, value in result.record().items() if name != "settings"}
        values = {"state": state, "outcome": outcome, "message": message, "summary": result.summary()}
        self._say(FINISHED, files, **values, record={**record, "settings": result.settings.as_dict()})

    def _path(self, ending: str) -> Path:
        return self._stem.with_name(f"{self._stem.name}.{ending}")

    def _fail(self, message: str) -> None:
        if self._given_back and (self._lacks_picture or not self._stopped):
            self._say(INTERRUPTED, {})
            return
        stopped = self._stopped or self._is_late
        state = "cancelled" if stopped else "failed"
        self._say(FINISHED, {}, state=state, outcome=state, message=message, summary=None, record=None)

    def _tell(self, event: str, data: dict[str, Any], **files: Path) -> None:
        self._say(EVENT, files, event=event, data=data)

    def _say(self, kind: str, files: Mapping[str, Path], **more: Any) -> None:
        named = {name: str(path) for name, path in files.items()}
        self._send(Message(kind, {"job": self.job, "token": self.token, "files": named, **more}))

    def _plain(self, message: str) -> str:
        """Return a message without the machine's paths, and with the client's names for its images."""
        return without_paths(message, {name: self._spec[name] for name in ("content", "style", "start")})


def _with_limits(state: RunState, settings: Settings) -> Settings:
    """Return a run's own settings with the limits that the job has now."""
    limits = {name: getattr(settings, name) for name in ("iterations", "evaluations", "timeout_s")}
    return Settings.from_dict({**state.settings.as_dict(), **limits})

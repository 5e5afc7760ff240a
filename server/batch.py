"""Many transfers on a Ray cluster: what `impasto batch --ray` runs them with.

A journal in a temporary folder has the jobs, and the supervisor of `impasto serve` gives them to the workers. So a
machine that leaves the cluster costs at most the work since the last saved state.
"""

import json
import sqlite3
import tempfile
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import numpy as np

from impasto.engine import Event, Finished, ImpastoError, Iteration, Job, Result
from impasto.engine.images import Picture
from impasto.engine.inputs.manifest import STARTS
from impasto.engine.inputs.scales import ScaleDone
from impasto.models.errors import reason
from impasto.server.config import EngineChoice, RayChoice, Retention, ServerConfig
from impasto.server.store.journal import Journal
from impasto.server.store.records import CANCEL, CANCELLED, ENDED, NewJob
from impasto.server.store.styles import NewStyle
from impasto.server.work.homes import Homes
from impasto.server.work.predictor import Predictor
from impasto.server.work.supervisor import Supervisor

_OWNER = "batch"
_LONG = 1 << 62
_POLL_S = 0.1
_SAVED_STYLE = ".safetensors"

OnJobEvent = Callable[[int, Job, Event], object]


class ClusterBatch:
    """Runs transfers on a cluster, in place of an engine.

    Args:
        address: of the cluster: HOST:PORT, or "auto".
        resources: that a worker takes, by Ray's names; none is what suits the cluster.
        network: name and hash of the network.
        engine: of the workers, with one model.

    Raises:
        ImpastoError: the cluster cannot be used, or no machine of it has room for a worker.
    """

    def __init__(
        self, address: str, resources: Mapping[str, float], network: tuple[str, str], engine: EngineChoice
    ) -> None:
        name, digest = network
        self._stack = ExitStack()
        folder = Path(self._stack.enter_context(tempfile.TemporaryDirectory(prefix="impasto-batch-")))
        choice = RayChoice(address, resources)
        config = ServerConfig(folder, engine=engine, ray=choice)
        kept = Retention(age_s=_LONG, total_bytes=_LONG, states_bytes=_LONG)
        try:
            homes = Homes(config)
            self._stack.callback(homes.close)
            assert homes.cluster is not None  # noqa: S101 - the configuration names one
            homes.cluster.check_room()
            self._journal = Journal(folder / "data", kept)
            self._stack.callback(self._journal.close)
        except BaseException:
            self._stack.close()
            raise
        setup = {
            "models": {name: engine.models[0]},
            "hashes": {name: digest},
            "engine": engine.arguments(),
            "slots": engine.slots,
            "folder": str(self._journal.work),
            "checkpoint_evaluations": engine.checkpoint_evaluations,
            "checkpoint_s": choice.checkpoint_s,
        }
        self._network = name
        self._supervisor = Supervisor(
            config, self._journal, lambda: homes.make(setup), Predictor(), lambda: homes.count
        )
        self._stack.callback(self._supervisor.close)
        self.description = homes.cluster.describe()

    def transfer_many(
        self, jobs: Iterable[Job], *, batch: int | None, on_event: OnJobEvent, cancel: Callable[[], bool]
    ) -> Iterator[Finished]:
        """Run transfers and yield each as soon as it has ended; see `Engine.transfer_many`.

        Args:
            jobs: each with two paths, of which the style may be a saved one, and settings.
            batch: not used here: the workers' slots are those of the engine's choice.
            on_event: called with a job's number, the job, and an `Iteration` without a snapshot.
            cancel: True ends all jobs with their latest images.
        """
        accepted = dict[str, _Accepted]()
        for index, job in enumerate(jobs):
            try:
                accepted[self._accept(job)] = _Accepted(index, job)
            except ImpastoError as error:
                yield Finished(index, job, None, error)
        changed = threading.Event()
        self._journal.events.listen(changed.set)
        self._supervisor.start()
        number, is_cancelled = 0, False
        while accepted:
            changed.wait(_POLL_S)
            changed.clear()
            if cancel() and not is_cancelled:
                is_cancelled = True
                self._stop(accepted)
            rows = self._journal.events.after(number, _OWNER)
            for row in rows:
                number = row["number"]
                found = accepted.get(row["job"])
                if found is not None and row["kind"] == "iteration":
                    on_event(found.index, found.job, _iteration(json.loads(row["data"])))
                elif found is not None and row["kind"] == "ended":
                    del accepted[row["job"]]
                    yield self._finished(row["job"], found)
            if rows:
                changed.set()

    def close(self) -> None:
        """End the workers, leave the cluster and remove the journal."""
        self._stack.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def _accept(self, job: Job) -> str:
        """Put a job with copies of its images into the journal; return its id there.

        Raises:
            ImpastoError: an image cannot be read.
        """
        settings = job.settings.as_dict()
        start = None if job.settings.init in STARTS else Path(job.settings.init)
        if start is not None:
            settings["init"] = STARTS[0]
        style, saved = Path(str(job.style)), None
        if style.suffix == _SAVED_STYLE:
            saved = self._keep(style)
            name = f"s_{saved}"
            new = NewStyle(name, _OWNER, style.name, self._network, settings, saved, 0)
            self._journal.styles.keep(new)
            self._journal.styles.finish(name, _OWNER, saved, None)
        accepted, _ = self._journal.jobs.accept(
            NewJob(
                owner=_OWNER, network=self._network, settings=settings, content_file=self._keep(Path(str(job.content))),
                style_file=self._keep(style) if saved is None else None,
                style_id=None if saved is None else f"s_{saved}",
                start_file=None if start is None else self._keep(start), start_job=None, supersedes=None, names={},
                tag=None, priority=0, deadline_s=None, bytes=0, pixels=0, predicted_s=1.0,
            ),
            lambda connection: None,
        )  # fmt: skip
        return accepted

    def _keep(self, path: Path) -> str:
        incoming = self._journal.files.incoming()
        try:
            with path.open("rb") as stream:
                while data := stream.read(1 << 20):
                    incoming.write(data)
            return incoming.keep()  # and it stays pinned
        except OSError as error:
            raise ImpastoError(f"cannot read {path}: {reason(error)}; give another image") from error
        finally:
            incoming.drop()

    def _stop(self, jobs: Iterable[str]) -> None:
        for job in list(jobs):
            self._supervisor.stop(self._journal.jobs.stop(job, _OWNER, CANCEL))

    def _finished(self, job: str, accepted: "_Accepted") -> Finished:
        """Return a job that has ended, with its picture if it has one."""
        row = self._journal.jobs.find(job)
        assert row is not None  # noqa: S101 - nothing erases it
        assert row["state"] in ENDED  # noqa: S101
        if row["result_file"] is None:
            error = None if row["state"] == CANCELLED else ImpastoError(str(row["message"]))
            return Finished(accepted.index, accepted.job, None, error)
        path = self._journal.files.path
        alpha = None if row["alpha_file"] is None else np.load(path(row["alpha_file"]), allow_pickle=False)
        pixels = np.load(path(row["result_file"]), allow_pickle=False)
        result = _result(Picture(pixels, alpha, "the result"), row, accepted.job)
        self._journal.jobs.erase(job, _OWNER)
        self._journal.forget(row)
        return Finished(accepted.index, accepted.job, result, None)


def on_cluster(
    address: str, resources: Mapping[str, float], network: tuple[str, str], *, model: str, slots: int, **engine: Any
) -> ClusterBatch:
    """Return what runs transfers on a cluster; see `ClusterBatch`.

    Args:
        address: of the cluster.
        resources: that a worker takes.
        network: name and hash of the network.
        model: as `Engine` takes it.
        slots: transfers that a worker runs at once; 0 is what suits its provider.
        engine: further arguments of `Engine`.
    """
    own = {name: engine.pop(name) for name in ("provider", "precision", "threads")}
    return ClusterBatch(address, resources, network, EngineChoice((model,), slots=slots, more=engine, **own))


@dataclass
class _Accepted:
    index: int
    job: Job = field(repr=False)


def _iteration(data: dict[str, Any]) -> Iteration:
    names = ("iteration", "evaluations", "loss", "terms", "seconds")
    return Iteration(**{name: data[name] for name in names}, snapshot=_no_snapshot)


def _no_snapshot() -> Any:
    raise ImpastoError("a run on another machine has no snapshots here")


def _result(picture: Picture, row: sqlite3.Row, job: Job) -> Result:
    """Return the result that a worker described."""
    summary, record = json.loads(row["summary"]), json.loads(row["record"])
    images = {name: Path(str(getattr(job, name))).name for name in ("content", "style") if name in record}
    own = ("settings", "loss", "terms", "iterations", "evaluations", "outcome", "scales")
    names = (
        "loss", "terms", "initial_terms", "iterations", "evaluations", "outcome", "seconds", "setup_s",
        "evaluations_s", "loop",
    )  # fmt: skip
    return Result(
        picture=picture,
        message=str(row["message"]),
        settings=job.settings,
        provenance={name: value for name, value in record.items() if name not in own} | images,
        scales=tuple(ScaleDone(**scale) for scale in summary.get("scales", ())),
        **{name: summary[name] for name in names},
    )

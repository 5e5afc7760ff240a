"""The configuration of a server."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from impasto.models.errors import ImpastoError

MIB, GIB, DAY_S = 1 << 20, 1 << 30, 86400.0


@dataclass(frozen=True)
class Limits:
    """What the server takes from clients.

    Attributes:
        queue_jobs: accepted jobs that have not ended.
        queue_bytes: bytes of the inputs of those jobs.
        queue_s: predicted seconds of those jobs.
        upload_bytes: bytes of one uploaded image.
        pixels: pixels of one uploaded image, by its header.
        iterations: of one job.
        submits: rate of requests that change something, by client, as `limits` writes rates.
        infer_pixels: pixels of an image of the inference protocol.
        infer_evaluations: of a render of the inference protocol.
        upload_s: seconds that an upload may take, and 1 more for each 16 KiB.
        header_s: seconds that the head of a request may take.
        watcher_s: seconds that a watcher may let the server wait before its connection is closed.
        watcher_bytes: bytes of events that a watcher may be behind before its connection is closed.
    """

    queue_jobs: int = 1000
    queue_bytes: int = 8 * GIB
    queue_s: float = 7 * DAY_S
    upload_bytes: int = 64 * MIB
    pixels: int = 64_000_000
    iterations: int = 10_000
    submits: str = "1200/minute"
    infer_pixels: int = 512 * 512
    infer_evaluations: int = 50
    upload_s: float = 20.0
    header_s: float = 10.0
    watcher_s: float = 20.0
    watcher_bytes: int = MIB


@dataclass(frozen=True)
class Retention:
    """How long ended jobs are kept.

    Attributes:
        age_s: seconds after the end of a job.
        total_bytes: bytes of all files; the oldest ended jobs are erased beyond it.
        states_bytes: bytes of the states that ended jobs can be resumed from; the oldest are erased beyond it.
        idempotency_s: seconds for which an `Idempotency-Key` is kept.
    """

    age_s: float = 7 * DAY_S
    total_bytes: float = 20 * GIB
    states_bytes: int = 2 * GIB
    idempotency_s: float = DAY_S


@dataclass(frozen=True)
class EngineChoice:
    """The engine that each worker opens, as `impasto.engine.Engine` takes it.

    Attributes:
        models: the networks that jobs may name; the first is the default.
        slots: jobs of one priority that a worker runs at once; 0 is 1 on a processor and 8 on a GPU.
        checkpoint_evaluations: evaluations after which the state of a job is saved.
        more: further arguments of `Engine`.
    """

    models: tuple[str, ...] = ("auto",)
    provider: str = "auto"
    precision: str = "auto"
    threads: int = 0
    slots: int = 0
    checkpoint_evaluations: int = 6
    more: Mapping[str, Any] = field(default_factory=dict)

    def arguments(self) -> dict[str, Any]:
        """Return the arguments of `Engine`, except the model."""
        return {"provider": self.provider, "precision": self.precision, "threads": self.threads, **self.more}


@dataclass(frozen=True)
class RayChoice:
    """The Ray cluster whose machines have the workers.

    Attributes:
        address: HOST:PORT of the cluster's head, or "auto" for the cluster of this machine.
        resources: what a worker takes of a machine, as Ray names it; nothing is one GPU where the cluster has GPUs,
            else the cores of the smallest machine.
        checkpoint_s: seconds that lie between two saved states at least, because a state travels to the server.
    """

    address: str
    resources: Mapping[str, float] = field(default_factory=dict)
    checkpoint_s: float = 5.0


@dataclass(frozen=True)
class Webhooks:
    """Whether and where the server reports the end of jobs.

    Attributes:
        hosts: names, or NAME:PORT, that a job may name as its receiver; none of them is no webhooks.
        secret: the key of the signatures.
        plain_http: whether http is allowed in place of https.
    """

    hosts: tuple[str, ...] = ()
    secret: bytes = b""
    plain_http: bool = False


@dataclass(frozen=True)
class ServerConfig:
    """Everything that `impasto serve` was started with.

    Attributes:
        data: folder of the journal and the files.
        workers: number of workers; 0 is one, or as many as the Ray cluster has room for.
        ray: the Ray cluster of the workers; None is processes of this machine.
        keys: file of the API keys; None is no keys, which only loopback allows.
        allowed_hosts: names by which clients may call the server, in addition to that of the address it binds.
        drain_s: seconds in which running jobs save their state when the server is stopped.
        stuck_s: seconds without an evaluation after which a worker counts as stuck.
    """

    data: Path
    host: str = "127.0.0.1"
    port: int = 8000
    workers: int = 0
    ray: RayChoice | None = None
    engine: EngineChoice = field(default_factory=EngineChoice)
    limits: Limits = field(default_factory=Limits)
    retention: Retention = field(default_factory=Retention)
    webhooks: Webhooks = field(default_factory=Webhooks)
    keys: Path | None = None
    allowed_hosts: tuple[str, ...] = ()
    drain_s: float = 8.0
    stuck_s: float = 120.0

    @property
    def is_loopback(self) -> bool:
        """Whether only programs on this machine can connect."""
        return self.host in ("localhost", "::1") or self.host.startswith("127.")

    def check(self) -> None:
        """Refuse what would be unsafe or cannot work.

        Raises:
            ImpastoError: that is so.
        """
        if not self.is_loopback and self.keys is None:
            raise ImpastoError(
                f"--host {self.host} lets other machines connect, which needs API keys: give --keys FILE, or "
                "--host 127.0.0.1"
            )
        if not 0 <= self.port <= 65535:
            raise ImpastoError(f"bad port {self.port}: allowed are 1 to 65535, and 0 for any free one")
        limits, kept = self.limits, self.retention
        for name, whole, least in (
            ("workers", self.workers, 0), ("slots", self.engine.slots, 0), ("max-queue", limits.queue_jobs, 1),
            ("max-upload", math.ceil(limits.upload_bytes / MIB), 1), ("max-pixels", limits.pixels, 1),
            ("max-iterations", limits.iterations, 1),
        ):  # fmt: skip
            if whole < least:
                raise ImpastoError(f"bad --{name} {whole}: allowed are whole numbers of {least} or more")
        checkpoint_s = 0.0 if self.ray is None else self.ray.checkpoint_s
        for name, value in (
            ("keep-days", kept.age_s / DAY_S), ("keep-gib", kept.total_bytes / GIB), ("checkpoint-s", checkpoint_s)
        ):  # fmt: skip
            if not (math.isfinite(value) and value >= 0):
                raise ImpastoError(f"bad --{name} {value:g}: allowed are numbers of 0 or more")
        if self.webhooks.hosts and len(self.webhooks.secret) < 16:
            raise ImpastoError("webhooks are signed: give --webhook-secret FILE with 16 bytes or more")

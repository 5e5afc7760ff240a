"""`/health` and `/metrics`."""

import sqlite3
import time
from collections.abc import Iterator
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse
from prometheus_client import CollectorRegistry, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from impasto.server.errors import Problem
from impasto.server.store.records import STATES
from impasto.server.web import schemas
from impasto.server.web.state import Server, State

router = APIRouter(tags=["health"])

_WAITS = (0.1, 0.5, 1, 5, 15, 60, 300, 900, 3600, 14400, 86400)
_EVALUATIONS = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30)
_CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class Metrics:
    """The metrics of a server, for Prometheus."""

    def __init__(self, server: State) -> None:
        self.registry = CollectorRegistry()
        self._server = server
        self._queue = self._histogram("impasto_queue_seconds", "Time from acceptance to the start of a job", _WAITS)
        self._service = self._histogram("impasto_service_seconds", "Time from the start of a job to its end", _WAITS)
        self._evaluation = self._histogram("impasto_evaluation_seconds", "Time between evaluations", _EVALUATIONS)
        self.registry.register(self)
        server.supervisor.reports.on_seconds = self._evaluation.observe

    def _histogram(self, name: str, text: str, buckets: tuple[float, ...]) -> Histogram:
        return Histogram(name, text, buckets=buckets, registry=self.registry)

    def end(self, row: sqlite3.Row) -> None:
        """Count a job that has ended."""
        if row["started_s"] is not None:
            self._queue.observe(row["started_s"] - row["accepted_s"])
            self._service.observe(row["ended_s"] - row["started_s"])

    def collect(self) -> Iterator[Metric]:
        """Yield what is read from the journal and the supervisor at the time of the request."""
        server, database = self._server, self._server.journal.database
        counts = {row[0]: row[1] for row in database.rows("SELECT state, count(*) FROM jobs GROUP BY state")}
        jobs = GaugeMetricFamily("impasto_jobs", "Jobs in the journal", labels=["state"])
        for state in STATES:
            jobs.add_metric([state], counts.get(state, 0))
        yield jobs
        oldest = database.row("SELECT min(queued_s) FROM jobs WHERE state = 'queued'")
        age_s = 0.0 if oldest is None or oldest[0] is None else time.time() - oldest[0]
        load = server.journal.jobs.load()
        places = server.supervisor.places
        running = sum(len(place.running) for place in places)
        slots = sum(place.slots for place in places if place.is_ready)
        for name, text, value in (
            ("impasto_queue_depth", "Jobs that wait", counts.get("queued", 0)),
            ("impasto_queue_oldest_seconds", "Age of the job that has waited longest", age_s),
            ("impasto_queue_predicted_seconds", "Predicted time of the jobs that have not ended", load["seconds"]),
            ("impasto_workers_ready", "Workers that take jobs", sum(place.is_ready for place in places)),
            ("impasto_slots", "Jobs that the workers run at once", slots),
            ("impasto_batch_occupancy", "Jobs under way for each slot", running / slots if slots else 0.0),
            ("impasto_files_bytes", "Bytes of the files, as of the latest sweep", server.journal.bytes_kept),
        ):
            yield GaugeMetricFamily(name, text, value=value)
        for name, text, total in (
            ("impasto_evaluations", "Runs of loss and gradient", sum(place.evaluations for place in places)),
            ("impasto_evaluations_repeated", "Those after a crash", server.supervisor.reports.repeated),
            ("impasto_worker_restarts", "Workers that were started again", sum(max(p.restarts, 0) for p in places)),
        ):
            yield CounterMetricFamily(name, text, value=total)


@router.get("/health/live", response_model=schemas.Health)
async def live() -> dict[str, str]:
    """Return 200 while the server answers."""
    return {"status": "live"}


@router.get("/health/ready", response_model=schemas.Health, responses=schemas.refusals(503))
async def ready(server: Server) -> Response:
    """Return 200 while the server takes jobs and a worker makes progress."""
    stuck = "the server is stopping" if server.is_draining else server.supervisor.stuck
    if stuck is not None:
        raise Problem(503, "not-ready", "The server is not ready", stuck, retry_after_s=5)
    return JSONResponse({"status": "ready"})


@router.get(
    "/metrics",
    response_class=Response,
    responses={
        200: {"description": "metrics", "content": {"text/plain": {"schema": {"type": "string"}}}},
        **schemas.refusals(),
    },
)
async def metrics(server: Server, request: Request) -> Response:
    """Return the metrics in Prometheus' text format."""
    found: Any = request.app.state.metrics
    return Response(await server.run(generate_latest, found.registry), headers={"content-type": _CONTENT_TYPE})

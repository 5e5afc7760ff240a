"""The plan of a batch, made without running it."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from impasto.engine.compile.memory import format_need
from impasto.engine.inputs.manifest import Row
from impasto.engine.jobs.engine import Engine
from impasto.engine.jobs.job import Job
from impasto.engine.jobs.manifest_run import FAILED, SKIPPED
from impasto.engine.jobs.plan import Plan
from impasto.models.errors import ImpastoError

TO_DO = "to do"


@dataclass(frozen=True)
class RowPlan:
    """A row that has not been run.

    Attributes:
        row: the row of the manifest.
        status: `TO_DO`; `SKIPPED` if its result exists already; `FAILED` if it cannot begin.
        plan: the plan of its run, with the memory of all places of its evaluation; None unless the status is `TO_DO`.
        error: why it cannot begin; None if it can.
    """

    row: Row
    status: str
    plan: Plan | None = None
    error: ImpastoError | None = None

    def as_dict(self) -> dict[str, Any]:
        """Return the row as plain values for JSON."""
        values: dict[str, Any] = {"status": self.status}
        if self.plan is not None:
            values |= {"batch": self.plan.places, **self.plan.as_dict()}
        return values | ({"error": str(self.error)} if self.error is not None else {})

    def describe(self) -> str:
        """Return the row as a readable line."""
        if self.plan is None:
            return f"{self.row.output}: {self.status}" + (f", {self.error}" if self.error is not None else "")
        scene, settings = self.plan.scene, self.plan.settings
        run = f"{scene.width}x{scene.height} px, {settings.optimizer}, {settings.iterations} iterations"
        return f"{self.row.output}: {self.status}, {run}"


def plan_rows(engine: Engine, rows: Sequence[Row], finished: Sequence[Row], *, batch: int | None) -> list[RowPlan]:
    """Return the plan of every row, in the order of the rows.

    Args:
        engine: the engine that will run the rows.
        rows: the rows of a manifest.
        finished: the rows whose results exist already.
        batch: as for `Engine.transfer_many`.

    Raises:
        ImpastoError: the batch is out of range.
    """
    left = [row for row in rows if row not in finished]
    plans = engine.plan_many([Job(row.content, row.style, row.settings) for row in left], batch=batch)
    found = {row.number: plan for row, plan in zip(left, plans, strict=True)}
    return [_row_plan(row, found.get(row.number)) for row in rows]


def conclusion(plans: Sequence[RowPlan]) -> tuple[dict[str, int | None], str]:
    """Return the number of rows of each status and the memory of the largest row, as values and as two lines."""
    counts: dict[str, int | None] = dict.fromkeys((TO_DO, SKIPPED, FAILED), 0)
    counts |= Counter(item.status for item in plans)
    lines = [", ".join(f"{count} {status}" for status, count in counts.items())]
    largest = max((item for item in plans if item.plan), key=_bytes, default=None)
    if largest is not None and largest.plan is not None:
        plan = largest.plan
        together = f", {plan.places} at once" if plan.places > 1 else ""
        what = f", for {plan.scene.width}x{plan.scene.height} px{together}"
        lines.append(f"memory: {format_need(plan.memory.total, plan.free_bytes, what)}")
    return {**counts, "memory_bytes": _bytes(largest) if largest else None}, "\n".join(lines)


def _bytes(item: RowPlan) -> int:
    return item.plan.memory.total if item.plan is not None else 0


def _row_plan(row: Row, plan: Plan | ImpastoError | None) -> RowPlan:
    if plan is None:
        return RowPlan(row, SKIPPED)
    if isinstance(plan, ImpastoError):
        return RowPlan(row, FAILED, error=plan)
    return RowPlan(row, TO_DO, plan)

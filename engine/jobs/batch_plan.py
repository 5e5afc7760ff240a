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
from impasto.engine.jobs.plan import Plan, describe_time
from impasto.models.errors import ImpastoError

TO_DO = "to do"


@dataclass(frozen=True)
class RowPlan:
    """A row that has not been run.

    Attributes:
        row: the row of the manifest.
        plan: the plan of its run, with the memory of all places of its evaluation; or the error that keeps it from
            starting; None if its result exists already.
    """

    row: Row
    plan: Plan | ImpastoError | None

    @property
    def status(self) -> str:
        """`TO_DO`; `SKIPPED` if the result exists already; `FAILED` if the row cannot begin."""
        return TO_DO if isinstance(self.plan, Plan) else SKIPPED if self.plan is None else FAILED

    def as_dict(self) -> dict[str, Any]:
        """Return the row as plain values for JSON."""
        values: dict[str, Any] = {"status": self.status}
        if isinstance(self.plan, Plan):
            return {**values, "batch": self.plan.places, **self.plan.as_dict()}
        return values if self.plan is None else {**values, "error": str(self.plan)}

    def describe(self) -> str:
        """Return the row as a readable line."""
        line, plan = f"{self.row.output}: {self.status}", self.plan
        if isinstance(plan, Plan):
            run = f"{plan.settings.optimizer}, {plan.settings.iterations} iterations"
            return f"{line}, {plan.scene.width}x{plan.scene.height} px, {run}"
        return line if plan is None else f"{line}, {plan}"


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
    done = {row.number for row in finished}
    left = [row for row in rows if row.number not in done]
    plans = engine.plan_many([Job(row.content, row.style, row.settings) for row in left], batch=batch)
    found = {row.number: plan for row, plan in zip(left, plans, strict=True)}
    return [RowPlan(row, found.get(row.number)) for row in rows]


def conclusion(plans: Sequence[RowPlan]) -> tuple[dict[str, float | None], str]:
    """Return the rows of each status, their expected time one by one, and the memory of the largest row.

    They are returned as values and as lines.
    """
    counts: dict[str, float | None] = dict.fromkeys((TO_DO, SKIPPED, FAILED), 0)
    counts |= Counter(item.status for item in plans)
    lines = [", ".join(f"{count} {status}" for status, count in counts.items())]
    to_do = [item.plan for item in plans if isinstance(item.plan, Plan)]
    if not to_do:
        return {**counts, "expected_s": None, "memory_bytes": None}, "\n".join(lines)
    times = [plan.expected_s for plan in to_do]
    expected_s = None if None in times else sum(filter(None, times))
    lines.append(f"time: {describe_time(expected_s)}")
    plan = max(to_do, key=lambda plan: plan.memory.total)
    together = f", {plan.places} at once" if plan.places > 1 else ""
    what = f", for {plan.scene.width}x{plan.scene.height} px{together}"
    lines.append(f"memory: {format_need(plan.memory.total, plan.free_bytes, what)}")
    return {**counts, "expected_s": expected_s, "memory_bytes": plan.memory.total}, "\n".join(lines)

"""Plans of runs: their sizes, settings and memory, without running them."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from textwrap import indent
from typing import Any

from impasto.engine.compile.graph_spec import BatchKey
from impasto.engine.compile.memory import MemoryEstimate, format_bytes, format_need
from impasto.engine.images import Picture
from impasto.engine.inputs.pictures import Painting, read_pictures
from impasto.engine.inputs.saved_style import SavedStyle
from impasto.engine.jobs.job import Job
from impasto.engine.jobs.workshop import Workshop
from impasto.engine.runtime.providers import Provider
from impasto.engine.settings import Settings
from impasto.models.errors import ImpastoError


@dataclass(frozen=True)
class Plan:
    """A run that has not begun.

    Attributes:
        scene: the content image, at the size of the result.
        painting: the style image, at its own size, or the saved style.
        model: the network's name.
        provider: the provider of the run.
        settings: the settings of the run.
        memory: estimate of the memory that the run takes.
        free_bytes: free memory; None if that is not known.
        places: jobs in one evaluation; `memory` covers all of them.
    """

    scene: Picture
    painting: Painting
    model: str
    provider: Provider
    settings: Settings
    memory: MemoryEstimate
    free_bytes: int | None
    places: int = 1

    @property
    def fits(self) -> bool | None:
        """Whether the run fits into the free memory; None if that is not known."""
        return None if self.free_bytes is None else self.memory.total <= self.free_bytes

    def as_dict(self) -> dict[str, Any]:
        """Return it as plain values for JSON."""
        return {
            "width": self.scene.width,
            "height": self.scene.height,
            "style": self._style(),
            "model": self.model,
            "provider": self.provider.name,
            "precision": self.provider.precision,
            "settings": self.settings.as_dict(),
            "memory_bytes": {**asdict(self.memory), "total": self.memory.total},
            "free_bytes": self.free_bytes,
            "fits": self.fits,
        }

    def describe(self) -> str:
        """Return it as lines for people."""
        settings, memory = self.settings, self.memory
        limit = "" if settings.evaluations is None else f", {settings.evaluations} evaluations at most"
        rows = {
            "result": f"{self.scene.width}x{self.scene.height} px",
            "style": self._style(),
            "model": self.model,
            "runs on": f"{self.provider.name}, {self.provider.precision}",
            "run": f"{settings.optimizer}, history {settings.history}, {settings.iterations} iterations{limit}",
            "memory": format_need(memory.total, self.free_bytes),
            "  of it": ", ".join(f"{name} {format_bytes(size)}" for name, size in asdict(memory).items() if size),
        }
        width = max(map(len, rows))
        return "\n".join(f"{name:<{width}}  {value}" for name, value in rows.items())

    def _style(self) -> str:
        """Describe the style image, the saved style, or its absence."""
        if isinstance(self.painting, SavedStyle):
            return f"{self.painting.name}, saved"
        return f"{self.painting.width}x{self.painting.height} px" if self.settings.active_style_taps else "none"


@dataclass(frozen=True)
class RefinedPlan:
    """The plan of a run on one network and of its refinement on another network.

    Attributes:
        draft: the plan of the first run.
        refinement: the plan of the second run, whose settings have their own limits.
    """

    draft: Plan
    refinement: Plan

    @property
    def larger(self) -> Plan:
        """The run that takes more memory; the two are never in memory together."""
        return max(self.draft, self.refinement, key=lambda plan: plan.memory.total)

    def as_dict(self) -> dict[str, Any]:
        """Return both plans and the memory of the whole as plain values for JSON."""
        whole = {name: self.larger.as_dict()[name] for name in ("memory_bytes", "free_bytes", "fits")}
        return {"draft": self.draft.as_dict(), "refinement": self.refinement.as_dict(), **whole}

    def describe(self) -> str:
        """Return it as lines for people."""
        parts = [
            f"{name}\n{indent(plan.describe(), '  ')}"
            for name, plan in (("draft", self.draft), ("refinement", self.refinement))
        ]
        both = format_need(self.larger.memory.total, None, ", one after the other")
        return "\n".join([*parts, f"both    {both}"])


def plan_jobs(workshop: Workshop, jobs: Sequence[Job], most: int, *, batch_is_given: bool) -> list[Plan | ImpastoError]:
    """Return the plan of each job, or the error that keeps it from starting.

    Args:
        workshop: the workshop of the engine that will run the jobs.
        jobs: in order.
        most: maximum number of jobs in one evaluation.
        batch_is_given: whether the caller chose that number. If not, the plan has no more jobs than fit into memory.
    """
    found = [_alone(workshop, job) for job in jobs]
    alike = Counter(item[1] for item in found if isinstance(item, tuple))
    return [
        _shared(workshop, *item, min(most, alike[item[1]]), batch_is_given) if isinstance(item, tuple) else item
        for item in found
    ]


def _alone(workshop: Workshop, job: Job) -> tuple[Plan, BatchKey] | ImpastoError:
    settings, compiler = job.settings, workshop.compiler
    try:
        scene, painting = read_pictures(job.content, job.style, settings)
        key = compiler.batch_key(settings, scene, from_noise=settings.init == "noise")
        needed, free = compiler.memory.estimate(key.spec, settings, painting), compiler.memory.free()
    except ImpastoError as error:
        return error
    return Plan(scene, painting, workshop.network.name, workshop.provider, settings, needed, free), key


def _shared(workshop: Workshop, plan: Plan, key: BatchKey, places: int, batch_is_given: bool) -> Plan:
    """Return a plan with the memory of all jobs that share its evaluations."""
    memory, settings, painting = workshop.compiler.memory, plan.settings, plan.painting
    if not batch_is_given:
        places = memory.places_that_fit(key.spec, settings, painting, places)
    if places == 1:
        return plan
    needed = memory.estimate(replace(key.spec, batch=places), settings, painting)
    return replace(plan, memory=needed, places=places)

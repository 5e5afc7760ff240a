"""Plans of runs: their sizes, settings and memory, without running them."""

import os
from collections import Counter
from collections.abc import Hashable, Sequence
from dataclasses import asdict, dataclass, replace
from textwrap import indent
from typing import Any

from impasto.engine.compile.graph_spec import BatchKey
from impasto.engine.compile.memory import MemoryEstimate, format_bytes, format_need
from impasto.engine.inputs.saved_style import SavedStyle
from impasto.engine.inputs.scales import Scale, scales_of
from impasto.engine.inputs.sizes import Outline
from impasto.engine.jobs.job import BatchLimit, Job, measure_job
from impasto.engine.jobs.workshop import Workshop
from impasto.engine.runtime.providers import Provider
from impasto.engine.settings import Settings
from impasto.models.errors import ImpastoError


@dataclass(frozen=True)
class Plan:
    """A run that has not begun.

    Attributes:
        scene: the size of the result, and the content image's name.
        painting: the size that the style image has in the run, and its name; or the saved style.
        model: the network's name.
        provider: the provider of the run.
        settings: the settings of the run.
        memory: estimate of the memory that the run takes.
        free_bytes: free memory; None if that is not known.
        scales: the sizes from coarse to fine, and the iterations of each; the last one has the size of the result.
        iteration_s: expected seconds of an iteration at each scale; None where no such run was timed on this machine.
        places: jobs in one evaluation; `memory` covers all of them.
    """

    scene: Outline
    painting: Outline | SavedStyle
    model: str
    provider: Provider
    settings: Settings
    memory: MemoryEstimate
    free_bytes: int | None
    scales: tuple[Scale, ...]
    iteration_s: tuple[float | None, ...]
    places: int = 1

    @property
    def fits(self) -> bool | None:
        """Whether the run fits into the free memory; None if that is not known."""
        return None if self.free_bytes is None else self.memory.total <= self.free_bytes

    @property
    def expected_s(self) -> float | None:
        """Expected seconds of all iterations of one job that runs alone; None if they are not known."""
        total = 0.0
        for scale, seconds in zip(self.scales, self.iteration_s, strict=True):
            if seconds is None:
                return None
            total += scale.iterations * seconds
        limit = self.settings.evaluations
        if limit is not None and self.settings.iterations:
            total *= min(limit / self.settings.iterations, 1.0)
        return total if self.settings.timeout_s is None else min(total, self.settings.timeout_s)

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
            "expected_s": self.expected_s,
            "scales": [{name: getattr(scale, name) for name in _OF_A_SCALE} for scale in self.scales],
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
            "look": describe_look(settings),
            "run": f"{describe_optimiser(settings)}, {settings.iterations} iterations{limit}, from {settings.init}",
            **self._described_scales(),
            "time": describe_time(self.expected_s),
            "memory": format_need(memory.total, self.free_bytes),
            "  of it": ", ".join(f"{name} {format_bytes(size)}" for name, size in asdict(memory).items() if size),
        }
        width = max(map(len, rows))
        return "\n".join(f"{name:<{width}}  {value}" for name, value in rows.items())

    def _described_scales(self) -> dict[str, str]:
        """Describe the scales, if there are several."""
        if len(self.scales) == 1:
            return {}
        sizes = ", ".join(f"{scale.width}x{scale.height} px ({scale.iterations})" for scale in self.scales)
        return {"scales": f"{sizes}; in brackets the iterations of each"}

    def _style(self) -> str:
        """Describe the style image, the saved style, or its absence."""
        if isinstance(self.painting, SavedStyle):
            return f"{self.painting.name}, saved"
        return f"{self.painting.width}x{self.painting.height} px" if self.settings.active_style_taps else "none"


def describe_time(seconds: float | None) -> str:
    """Return an expected time, without opening sessions and reading files."""
    if seconds is None:
        return "not known: no such run was timed on this machine yet"
    minutes, rest = divmod(round(seconds), 60)
    shown = f"{seconds:.1f} s" if seconds < 10 else f"{minutes} min {rest} s" if minutes else f"{rest} s"
    return f"about {shown}, by the times of earlier runs on this machine"


def describe_look(settings: Settings) -> str:
    """Return the settings that shape the picture: preset, style loss, weighting and weights."""
    content = f"alpha {settings.content_weight:g}" if settings.strength is None else f"strength {settings.strength:g}"
    named = [f"preset {settings.preset}"] if settings.preset else []
    smooth = f"TV {settings.tv_weight:g}" if settings.smoothness is None else f"smoothness {settings.smoothness:g}"
    weights = [content, f"beta {settings.style_weight:g}", smooth]
    return ", ".join(
        [*named, settings.style_loss, f"weighting {settings.weighting}", *weights, f"{settings.pool} pooling"]
    )


def describe_optimiser(settings: Settings) -> str:
    """Return the optimiser with its own number."""
    if settings.optimizer == "adam":
        return f"adam, steps of {settings.learning_rate:g} grey levels"
    return f"{settings.optimizer}, history {settings.history}"


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


_Planned = tuple[Plan, BatchKey] | ImpastoError
_OF_A_SCALE = ("width", "height", "iterations")
_UNPLANNED = ("seed", "iterations", "evaluations", "timeout_s")
"""Settings that change neither the sizes nor the memory of a run."""


def plan_jobs(workshop: Workshop, jobs: Sequence[Job], limit: BatchLimit) -> list[Plan | ImpastoError]:
    """Return the plan of each job, or the error that keeps it from starting.

    The headers of the images are read, no pixels. Of jobs with the same files and settings only the first is planned;
    the others have its plan with their own seed and limits.
    """
    known: dict[Hashable, _Planned] = {}
    keys = [_equal_jobs(job) for job in jobs]
    free = workshop.compiler.memory.free()
    for key, job in zip(keys, jobs, strict=True):
        if key not in known:
            known[key] = _alone(workshop, job, free)
    found = [known[key] for key in keys]
    alike = Counter(item[1] for item in found if isinstance(item, tuple))
    plans = {
        key: _shared(workshop, *item, alike[item[1]], limit) if isinstance(item, tuple) else item
        for key, item in known.items()
    }
    return [_with_settings(workshop, plans[key], job.settings) for key, job in zip(keys, jobs, strict=True)]


def _equal_jobs(job: Job) -> Hashable:
    """Return a key that jobs with the same plan share, if their images are files; otherwise the job's own."""
    sources = (job.content, job.style)
    if (
        job.start is not None
        or job.state is not None
        or not all(isinstance(item, str | os.PathLike) for item in sources)
    ):
        return id(job)
    settings = tuple(value for name, value in vars(job.settings).items() if name not in _UNPLANNED)
    return (*map(str, sources), *settings)


def _with_settings(workshop: Workshop, plan: Plan | ImpastoError, settings: Settings) -> Plan | ImpastoError:
    if not isinstance(plan, Plan):
        return plan
    if settings == plan.settings:
        return plan
    scales = scales_of(settings, plan.scene.height, plan.scene.width)
    return replace(plan, settings=settings, scales=scales, iteration_s=_times(workshop, settings, scales))


def _alone(workshop: Workshop, job: Job, free: int | None) -> _Planned:
    settings, compiler = job.settings, workshop.compiler
    try:
        found = measure_job(job)
        key = compiler.batch_key(settings, found.scene, from_noise=found.from_noise)
        needed = compiler.memory.estimate(key.spec, settings, found.painting)
    except ImpastoError as error:
        return error
    model, provider = workshop.network.name, workshop.provider
    times = _times(workshop, settings, found.scales)
    return Plan(found.scene, found.painting, model, provider, settings, needed, free, found.scales, times), key


def _times(workshop: Workshop, settings: Settings, scales: Sequence[Scale]) -> tuple[float | None, ...]:
    """Return the expected seconds of an iteration at each scale."""
    compiler = workshop.compiler
    specs = (compiler.spec(settings, Outline(scale.height, scale.width, "")) for scale in scales)
    return tuple(compiler.times.expected_s(spec, settings.optimizer) for spec in specs)


def _shared(workshop: Workshop, plan: Plan, key: BatchKey, alike: int, limit: BatchLimit) -> Plan:
    """Return a plan with the memory of all jobs that share its evaluations."""
    memory, settings, painting = workshop.compiler.memory, plan.settings, plan.painting
    places = min(limit.most, alike)
    if not limit.is_given:
        places = memory.places_that_fit(key.spec, settings, painting, places)
    if places == 1:
        return plan
    needed = memory.estimate(replace(key.spec, batch=places), settings, painting)
    return replace(plan, memory=needed, places=places)

"""The steps of `impasto.bench.gpu`: checks, benchmarks and the comparison, and what comes of them."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cache, partial
from pathlib import Path
from typing import Any

from impasto.bench import cold_start, comparison, evaluation, record, throughput, transfer
from impasto.bench.conditions import conditions
from impasto.bench.gpu import checks, loop
from impasto.bench.gpu.page import page
from impasto.bench.sampling import Effort, Watch
from impasto.bench.scenarios import OFFLINE
from impasto.bench.series import Series
from impasto.bench.subject import GPU_PROVIDERS, Subject
from impasto.engine.runtime import providers
from impasto.engine.runtime.providers import cuda
from impasto.models.atomic import write_atomically
from impasto.models.errors import ImpastoError

PARTS = ("checks", "evaluation", "loop", "transfer", "throughput", "cold-start", "compare")
OPTIONS = ("nhwc", "uncaptured", "heuristic")
SIZES_PX, BATCHES = (256, 512, 1024), (1, 4, 8)


@dataclass(frozen=True)
class Plan:
    """What is run.

    Attributes:
        subjects: a provider and a precision each.
        sizes: of the pictures, px.
        batches: pictures in one evaluation.
        effort: of each measurement.
        evaluations: of a whole transfer.
        against: PyTorch's variants; none is all.
        parts: of `PARTS`.
    """

    subjects: tuple[Subject, ...]
    sizes: tuple[int, ...] = SIZES_PX
    batches: tuple[int, ...] = BATCHES
    effort: Effort = field(default_factory=lambda: Effort(duration_s=5.0, warm_up=10))
    evaluations: int = 500
    against: tuple[str, ...] = ()
    parts: tuple[str, ...] = PARTS


@dataclass
class Findings:
    """What came out so far.

    Attributes:
        steps: name, whether it worked, and what it found or why it failed.
        series: of all benchmarks, each with the name of its own.
        ratios: to PyTorch.
        absent: of PyTorch's ways those that did not run.
    """

    steps: list[dict[str, Any]] = field(default_factory=list)
    series: list[tuple[str, Series]] = field(default_factory=list)
    ratios: list[dict[str, Any]] = field(default_factory=list)
    absent: list[dict[str, Any]] = field(default_factory=list)


Step = tuple[str, Callable[[Findings], dict[str, Any] | None]]
Benchmark = tuple[str, str, Callable[[Findings], None]]
"""Its part; the provider, the precision and the batch; and what adds its series to the findings."""


def steps(plan: Plan) -> Iterator[Step]:
    """Yield what is to be done, in order: a name, and what does it."""
    if "checks" in plan.parts:
        yield from _checks(plan)
    for subject in plan.subjects:
        for size in plan.sizes:
            for part, name, work in _benchmarks(plan, replace(subject, sizes=(size,))):
                if part in plan.parts:
                    yield f"{part}, {name}, {size} px", work
    if "compare" in plan.parts:
        yield from ((f"compare, {size} px", _comparison(plan, size)) for size in plan.sizes)


def run(plan: Plan, folder: Path, say: Callable[[str], None]) -> bool:
    """Do every step, write both files after each, and return whether all worked.

    Raises:
        ImpastoError: the files cannot be written.
    """
    before = conditions(plan.subjects[0].threads)
    findings = Findings()
    for name, work in steps(plan):
        say(name)
        step: dict[str, Any] = {"step": name, "ok": True}
        try:
            step["found"] = work(findings)
        except Exception as error:  # whatever a driver or a library says: the other steps are worth having
            kind = "" if isinstance(error, ImpastoError) else f"{type(error).__name__}: "
            step |= {"ok": False, "why": f"{kind}{' '.join(str(error).split())}"}
            say(f"  failed: {step['why']}")
        findings.steps.append(step)
        _write(plan, findings, before, folder)
    return all(step["ok"] for step in findings.steps)


def found_subjects(base: Subject, names: Sequence[str] = ()) -> tuple[Subject, ...]:
    """Return a subject for every provider of NVIDIA's that works here, in each of its precisions.

    Args:
        base: everything else about them.
        names: of the precisions; none is all.

    Raises:
        ImpastoError: none works; why.
    """
    working = [item for item in providers.availability(build_engines=True) if item.name in GPU_PROVIDERS]
    found = [
        replace(base, provider=item.name, precision=precision)
        for item in working
        if item.works
        for precision in providers.supported(item.name)
        if not names or precision in names
    ]
    if not found:
        reasons = "; ".join(f"{item.name}: {item.reason}" for item in working if not item.works)
        raise ImpastoError(f"nothing to run on a GPU here ({reasons}); --smoke tries the steps on the CPU provider")
    return tuple(found)


def _checks(plan: Plan) -> Iterator[Step]:
    size = plan.sizes[0]
    expected = cache(partial(checks.reference, plan.subjects[0], size))
    for subject in plan.subjects:
        where = f"{subject.label()}, {size} px"
        yield f"parity, {where}", _checking(checks.parity, subject, size, expected)
        for batch in plan.batches:
            check = _checking(checks.placement, replace(subject, batch=batch), size)
            yield f"placement, {where}, batch {batch}", check
        yield f"replay, {where}", _checking(checks.replay, subject, size)
        yield f"batched loop, {where}", _checking(loop.batched_loop, subject, size)
        yield f"bytes to the host, {where}", _checking(loop.host_bytes, subject, size)
        for variant in variants(subject):
            where = f"{variant.label()}, {size} px"
            yield f"parity, {where}", _checking(checks.parity, variant, size, expected)
            yield f"replay, {where}", _checking(checks.replay, variant, size)


def _checking(check: Callable[..., dict[str, Any]], *arguments: object) -> Callable[[Findings], dict[str, Any]]:
    return lambda _: check(*arguments)


def variants(subject: Subject) -> tuple[Subject, ...]:
    """Return the subject with each option of CUDA that may be faster or slower; channels last do not go with bf16."""
    if subject.provider != cuda.NAME:
        return ()
    options = [option for option in OPTIONS if option != "nhwc" or subject.precision != "bf16"]
    return tuple(replace(subject, provider=f"{cuda.NAME},{option}") for option in options)


def _benchmarks(plan: Plan, subject: Subject) -> Iterator[Benchmark]:
    """Yield each benchmark of one subject at one size."""
    once = replace(plan.effort, least=1)
    load = throughput.Load(evaluations=max(1, plan.evaluations // 5))
    many = [replace(subject, batch=batch) for batch in plan.batches]
    for batched in many:
        yield _adding("evaluation", _evaluations, batched, plan.effort)
    yield _adding("loop", loop.measure, subject, plan.effort)
    whole = partial(transfer.measure, evaluations=plan.evaluations)
    for batched in many:
        yield _adding("transfer", whole, batched, once)
    for variant in variants(subject):
        yield _adding("evaluation", _evaluations, variant, plan.effort)
        yield _adding("loop", loop.measure, variant, plan.effort)
        yield _adding("transfer", whole, variant, once)
    yield _adding("throughput", partial(throughput.measure, load=load), subject, plan.effort)
    offline = replace(load, names=(OFFLINE,))
    for batched in many:
        if batched.batch > 1:
            yield _adding("throughput", partial(throughput.measure, load=offline), batched, plan.effort)
    yield _adding("cold-start", cold_start.measure, subject, once)


def _evaluations(subject: Subject, effort: Effort, watch: Watch) -> Iterator[Series]:
    return evaluation.measure([subject], effort, watch)


def _adding(part: str, measure: Callable[..., Iterator[Series]], subject: Subject, effort: Effort) -> Benchmark:
    variant = isinstance(subject.provider, str) and "," in subject.provider

    def work(findings: Findings) -> None:
        for item in measure(subject, effort, watch=Watch()):
            name = item.name.replace(cuda.NAME, str(subject.provider), 1) if variant else item.name
            findings.series.append((part, replace(item, name=name)))

    batch = f", batch {subject.batch}" if subject.batch > 1 else ""
    return part, f"{subject.label()}{batch}", work


def _comparison(plan: Plan, size: int) -> Callable[[Findings], None]:
    def work(findings: Findings) -> None:
        subject = replace(plan.subjects[0], sizes=(size,))
        ways = {(item.provider, item.precision) for item in plan.subjects if isinstance(item.provider, str)}
        field_ = comparison.Field(subject, ways=tuple(sorted(ways)), against=plan.against, evaluations=plan.evaluations)
        verdicts = comparison.Verdicts(findings.ratios, findings.absent)
        for item in comparison.measure(field_, plan.effort, Watch(), verdicts):
            findings.series.append(("compare", item))

    return work


def _write(plan: Plan, findings: Findings, before: dict[str, Any], folder: Path) -> None:
    asked = {"sizes_px": list(plan.sizes), "batches": list(plan.batches), "evaluations": plan.evaluations}
    asked |= {"ways": [subject.label() for subject in plan.subjects], "parts": list(plan.parts)}
    asked |= {"duration_s": plan.effort.duration_s, "subject": plan.subjects[0].as_dict()}
    made = record.make(
        "gpu",
        "checks and all benchmarks on one machine",
        conditions=before,
        asked=asked,
        series=[replace(item, facts={"benchmark": name, **item.facts}) for name, item in findings.series],
        steps=findings.steps,
        ratios=findings.ratios,
        absent=findings.absent,
    )
    record.write(folder / "gpu.json", made)
    write_atomically(folder / "gpu.md", page(made).encode())

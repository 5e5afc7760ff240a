"""This project beside PyTorch: the same objective, weights, pictures and start, in turn in one process.

Two things are measured. First, seconds for one evaluation of loss and gradient at the start, round by round, so that a
change of the machine's speed meets all; the ratio is taken round by round. Then whole descents, step by step in turn,
and the seconds until an image has the loss that `torch.optim.LBFGS` reaches in eager float32 (`impasto.bench.race`).
The project's pixels are unbounded here, because `torch.optim.LBFGS` knows no bounds: held within 0..1, the project
would solve another problem. Of a batch, evaluations are measured and nothing else.
"""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from impasto.bench.contenders.contender import Contender, Evaluating
from impasto.bench.contenders.entries import Absent, Way, own_entries, possible, rival_entries
from impasto.bench.contenders.variants import BASELINE, choose
from impasto.bench.race import Course, Finish, race
from impasto.bench.sampling import REST_ON_CPU_S, Effort, Watch, interleaved
from impasto.bench.series import Series, spread
from impasto.bench.subject import GPU_PROVIDERS, Subject
from impasto.models.errors import ImpastoError

if TYPE_CHECKING:
    from impasto.bench.contenders.torch_rival import TorchRival


@dataclass(frozen=True)
class Field:
    """Who takes part.

    Attributes:
        subject: what is measured; its provider and precision are replaced by those below, and its pixels are unbounded.
        ways: of the project; of those that a provider lacks it is said that they did not run, as long as one is left.
        against: names of `impasto.bench.contenders.variants`; none is all that can run.
        evaluations: of the baseline's descent; 0 leaves the descents out.

    Raises:
        ImpastoError: a value is out of range, or PyTorch's side cannot follow the objective.
    """

    subject: Subject
    ways: tuple[Way, ...] = (("auto", "auto"),)
    against: tuple[str, ...] = ()
    evaluations: int = 200

    def __post_init__(self) -> None:
        object.__setattr__(self, "subject", _unbounded(self.subject))
        if self.evaluations < 0:
            raise ImpastoError(f"bad --evaluations {self.evaluations}: allowed are 0 (no descents) and more")
        if self.evaluations and self.subject.batch > 1:
            raise ImpastoError(
                f"bad --evaluations {self.evaluations} with --batch {self.subject.batch}: descents are of one picture; "
                "give --evaluations 0, which compares single evaluations of the batch"
            )
        choose(self.against, gpu=True)

    def as_dict(self) -> dict[str, object]:
        """Return what was asked for, beside the subject, as plain values for JSON."""
        ways = [list(way) for way in self.ways]
        return {"ways": ways, "against": list(self.against), "evaluations": self.evaluations}


def _unbounded(subject: Subject) -> Subject:
    """Return the subject as it is compared, or refuse an objective that has what PyTorch's side lacks."""
    settings = subject.settings
    lacking = {
        f"--weighting {settings.weighting}": settings.weighting != "paper" and "knows the paper's equations alone",
        f"--style-loss {settings.style_loss}": settings.style_loss != "gram"
        and "knows the paper's Gram matrices alone",
        f"--padding {settings.padding}": settings.padding != "zero" and "pads with zeros alone",
        "--seamless": settings.seamless and "cannot wrap its paddings",
        f"--tv-weight {settings.tv_weight:g}": settings.tv_weight and "has no total variation",
    }
    for option, lack in lacking.items():
        if lack:
            raise ImpastoError(f"compare cannot take {option}: PyTorch's side {lack}; leave the option out")
    return replace(subject, settings=replace(settings, bounded=False))


@dataclass(frozen=True)
class Verdicts:
    """What follows from the series: the ratios between them, and who could not take part, with the reason."""

    ratios: list[dict[str, Any]] = field(default_factory=list)
    absent: list[dict[str, Any]] = field(default_factory=list)


def measure(field: Field, effort: Effort, watch: Watch, verdicts: Verdicts) -> Iterator[Series]:
    """Yield the series of each size, and add to the verdicts.

    Raises:
        ImpastoError: PyTorch is missing, a rival or a provider does not work here, or the network has operators that
            the rivals lack.
    """
    try:
        import torch  # noqa: F401 - only whether it is there
    except ImportError:
        raise ImpastoError("compare needs PyTorch, which is not installed: pip install torch") from None
    ways, lacking = possible(field.ways, build_engines=field.subject.build_engines)
    for size in field.subject.sizes:
        if watch.stopped():
            return
        with ExitStack() as stack:
            series, ratios, absent = _at_size(field, ways, size, effort, watch, stack)
        if series:
            verdicts.ratios.extend(ratios)
            verdicts.absent.extend({**item, "size_px": size} for item in (*lacking, *absent))
            yield from series


def _at_size(
    field: Field, ways: Sequence[Way], size: int, effort: Effort, watch: Watch, stack: ExitStack
) -> tuple[list[Series], list[dict[str, Any]], list[Absent]]:
    """Return series, ratios, and who could not take part; no series where it was stopped before there was one."""
    import torch

    watch.stage(f"{size} px, setting up", 1)
    own = own_entries(field.subject, ways, size, stack)
    gpu = torch.cuda.is_available() and any(contender.facts["provider"] in GPU_PROVIDERS for contender in own)
    variants, device = choose(field.against, gpu=gpu), "cuda" if gpu else "cpu"
    baseline, rivals, absent = rival_entries(field.subject, variants, size, own[0], watch, stack, device)
    everyone: list[Evaluating] = [baseline, *rivals, *own]
    watch.stage(f"{size} px, one evaluation of each in turn", 1)
    for contender in everyone:
        for _ in range(effort.warm_up):
            contender.evaluate()
    rest_s = 0.0 if gpu else REST_ON_CPU_S
    runs = {contender.name: contender.evaluate for contender in everyone}
    samples = interleaved(runs, effort, watch, rest_s=rest_s)
    if not samples[baseline.name]:
        return [], [], []
    batch = field.subject.batch
    series = [_evaluations(contender, size, samples[contender.name], baseline, batch) for contender in everyone]
    finishes: dict[str, Finish] = {}
    if field.evaluations and not watch.stopped():
        watch.stage(f"{size} px, descents in turn", field.evaluations)
        racers = [contender for contender in everyone if isinstance(contender, Contender)]
        courses, found, loss = race(racers, baseline.loss_of, field.evaluations, rest_s=rest_s, watch=watch)
        finishes = dict(zip(runs, found, strict=bool(found)))  # none if it was stopped on the way
        series += [
            _descent(course, size, finishes.get(course.contender.name), loss) for course in courses if course.curve
        ]
    ratios = [_ratio(mine, other, samples, finishes, size) for mine in own for other in (baseline, *rivals)]
    return series, ratios, absent


def _evaluations(contender: Evaluating, size: int, samples: list[float], baseline: "TorchRival", batch: int) -> Series:
    """Return the series of single evaluations, with the distance to the baseline's loss and gradient."""
    loss, expected = contender.evaluate(), baseline.evaluate()
    gradient, true = contender.gradient(), baseline.gradient()
    norms = float(np.linalg.norm(gradient)) * float(np.linalg.norm(true))
    difference = {
        "loss": abs(loss / expected - 1),
        "gradient": float(np.linalg.norm(gradient - true) / np.linalg.norm(true)),
        "gradient_cosine": float(np.dot(gradient, true)) / norms,
    }
    facts = {**contender.facts, "setup_s": contender.setup_s, f"difference_to_{BASELINE}": difference}
    return Series(contender.name, "evaluation", size, samples, batch, loss / batch, facts=facts)


def _descent(course: Course, size: int, finish: Finish | None, target: float) -> Series:
    """Return the series of a descent; its samples are the steps. One that was stopped has the loss it says itself."""
    contender = course.contender
    reached = finish.reached if finish else None
    facts = {
        **contender.facts,
        "setup_s": contender.setup_s,
        "seconds": course.seconds,
        "target_loss": target if finish else None,
        "evaluations_to_target": reached.evaluations if reached else None,
        "seconds_to_target": reached.seconds if reached else None,
        "evaluations_in_all": contender.evaluations,
    }
    loss = finish.loss if finish else course.curve[-1].loss
    return Series(contender.name, "step", size, course.samples_s, 1, loss, course.curve, facts)


def _ratio(
    mine: Evaluating, other: Evaluating, samples: dict[str, list[float]], finishes: dict[str, Finish], size: int
) -> dict[str, Any]:
    """Return by how much one is faster than the other, per evaluation and to equal loss."""
    rounds = [b / a for a, b in zip(samples[mine.name], samples[other.name], strict=True)]
    ratio: dict[str, Any] = {
        "size_px": size,
        "impasto": mine.name,
        "rival": other.name,
        "per_evaluation": spread(rounds),
        "to_equal_loss": None,
        "to_equal_loss_with_set_up": None,
    }
    a, b = (finishes[name].reached if name in finishes else None for name in (mine.name, other.name))
    if a is not None and b is not None:
        ratio["to_equal_loss"] = b.seconds / a.seconds
        ratio["to_equal_loss_with_set_up"] = (b.seconds + other.setup_s) / (a.seconds + mine.setup_s)
    return ratio

"""What must hold on a GPU before any time counts: right values, on the provider, with no node left to the CPU."""

import dataclasses
from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from impasto.bench.subject import Subject
from impasto.engine.compile.optimiser_settings import PIXEL_RANGE
from impasto.engine.device.placement import OnDevice
from impasto.engine.device.step_form import step_form
from impasto.engine.inputs.pictures import read_pictures
from impasto.engine.jobs.checking import compare
from impasto.engine.jobs.engine import Engine, workshop_of
from impasto.engine.optimisers.lbfgs import LbfgsSettings
from impasto.engine.result import Evaluation
from impasto.engine.runtime.lowering import lower
from impasto.engine.runtime.providers import Provider, step_provider
from impasto.engine.runtime.providers.provider import nodes_elsewhere
from impasto.engine.runtime.session import quiet_options
from impasto.export.objective import build_objective, build_targets
from impasto.export.optimiser import build_step
from impasto.export.serialised import whole
from impasto.models.errors import ImpastoError

if TYPE_CHECKING:
    import onnx_ir as ir

_REPEATS = 3  # a captured graph is replayed from the second run on
_REPLAYED = 1e-5  # relative difference of a loss to itself; reductions on a GPU have no fixed order


class CheckError(ImpastoError):
    """Something does not hold."""


def reference(subject: Subject, side_px: int) -> Evaluation:
    """Return one evaluation at the content image in float32 on the CPU provider."""
    content, style = subject.pictures(side_px)
    with Engine(subject.model, provider="cpu", precision="fp32", threads=subject.threads) as engine:
        return engine.evaluate(content, content, style, subject.settings)


def parity(subject: Subject, side_px: int, expected: Callable[[], Evaluation]) -> dict[str, Any]:
    """Compare loss, terms and gradient with what `reference` gives, as `impasto check` does.

    Raises:
        CheckError: they are too far off.
    """
    content, style = subject.pictures(side_px)
    with subject.open() as engine:
        found = engine.evaluate(content, content, style, subject.settings)
        check = compare(engine.provider.name, engine.provider.precision, found, expected())
    if check.complaints:
        raise CheckError("; ".join(check.complaints))
    return {
        "loss_error": check.loss_error,
        "largest_term_error": max(check.term_errors.values()),
        "gradient_error": check.gradient_error,
        "gradient_cosine": check.gradient_cosine,
    }


def placement(subject: Subject, side_px: int) -> dict[str, Any]:
    """Compile objective, targets and the optimiser's step, and ask the sessions where their nodes are.

    Raises:
        CheckError: a session is not the provider's, or a node of it runs elsewhere.
    """
    content, style = subject.pictures(side_px)
    with subject.open() as engine:
        provider = engine.provider
        scene, _ = read_pictures(content, style, subject.settings)
        form = dataclasses.replace(workshop_of(engine).compiler.spec(subject.settings, scene), batch=subject.batch)
        network = engine.network.model
    values = dataclasses.asdict(form)
    objective = build_objective(network, **values)
    del values["tv"], values["tv_norm"]
    targets = build_targets(network, **values)
    on_device = OnDevice(
        session=None,  # type: ignore[arg-type]  # the step's form does not depend on it
        provider=provider,
        threads=subject.threads,
        terms=tuple(term.name for term in objective.terms),
        coefficients=np.zeros((subject.batch, len(objective.terms)), np.float32),
        scaled=provider.precision == "fp16",
        every=1,
        demanded=True,
    )
    shape = (3, side_px, side_px)
    step = build_step(step_form(LbfgsSettings(image_shape=shape, bounds=PIXEL_RANGE), shape, on_device))
    graphs = {
        "objective": (provider, lower(objective.model, provider)),
        "targets": (provider.uncaptured() or provider, lower(targets, provider)),
        "step": (step_provider(provider), step.model),
    }
    return {name: _nodes(name, *graph, subject.threads) for name, graph in graphs.items()}


def _nodes(name: str, provider: Provider, model: "ir.Model", threads: int) -> str:
    """Return the provider of every node of a graph."""
    session = provider.open(whole(model), quiet_options(), threads)
    used = session.get_providers()
    if used[0] != provider.ort_name:
        raise CheckError(f"the session of the {name} runs on {', '.join(used)} and not on {provider.ort_name}")
    elsewhere = nodes_elsewhere(session, provider.ort_name) if len(used) > 1 else []
    if elsewhere:
        raise CheckError(f"of the {name}, not on {provider.ort_name}: {dict(Counter(elsewhere))}")
    return provider.ort_name


def replay(subject: Subject, side_px: int) -> dict[str, Any]:
    """Evaluate several times on one session, moving the image in between, and come back to the start.

    Raises:
        CheckError: the loss at the start is not the same again, or does not change where the image does.
    """
    content, style = subject.pictures(side_px)
    with subject.open() as engine:
        objective, x = engine.objective(content, style, subject.settings)
        first = objective(x).loss
        moved = [objective(np.clip(x + np.float32(0.01 * (n + 1)), 0, 1)).loss for n in range(_REPEATS)]
        again = objective(x).loss
    if len({first, *moved}) != _REPEATS + 1:
        raise CheckError(f"the loss does not follow the image: {first:g}, then {moved}")
    if not abs(again / first - 1) <= _REPLAYED:
        raise CheckError(f"the loss at the same image was {first:g} and then {again:g}")
    return {"difference_to_itself": abs(again / first - 1)}

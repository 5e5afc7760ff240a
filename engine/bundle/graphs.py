"""The graphs of a bundle, and how the manifest describes them."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx_ir as ir
from onnx_ir.passes import common

from impasto.engine.bundle.sizes import ScalePlan
from impasto.engine.compile.graph_spec import GraphSpec
from impasto.engine.compile.network import Network
from impasto.engine.compile.optimiser_settings import adam_settings, lbfgs_settings
from impasto.engine.compile.sessions import OBJECTIVE, TARGETS, build
from impasto.engine.device.step_form import adam_form, lbfgs_form
from impasto.engine.runtime.lowering import lower
from impasto.engine.runtime.precision import PRECISIONS
from impasto.engine.runtime.providers.provider import CPU_ORT_NAME, Provider
from impasto.export.bundle import EVALUATIONS, PICTURE, free_size, with_picture
from impasto.export.optimiser import NEXT, StepGraph, build_adam_step, build_step
from impasto.export.terms import GRADIENT, IMAGE, LOSS, TERMS, WEIGHTS, Term
from impasto.models.errors import ImpastoError

LOG_ROWS = 10
"""Steps that a program on a GPU may let pass before it reads the log."""

PROVIDERS = {
    "any": Provider("any", CPU_ORT_NAME),
    "cpu": Provider("cpu", CPU_ORT_NAME),
    "cuda": Provider("cuda", "CUDAExecutionProvider", device="cuda", typed=True),
}
"""What the graphs of a bundle are rewritten for; "any" is for all that run standard operators in float32."""
_PRECISIONS = {"any": ("fp32",), "cpu": ("fp32",), "cuda": ("fp32", "fp16", "bf16")}

_MEANINGS: dict[str, tuple[str, list[float] | None]] = {
    IMAGE: ("pixels, RGB, sRGB encoding", [0.0, 1.0]),
    PICTURE: ("pixels, RGB, sRGB encoding, levels", [0, 255]),
    WEIGHTS: ("weight of each term, as `results` has them", None),
    LOSS: ("weighted sum of the terms, no unit", None),
    TERMS: ("weighted terms, no unit", None),
    GRADIENT: ("derivative of the loss by `image`, 1", None),
    EVALUATIONS: ("number of evaluations in this run", None),
    "limit": ("maximum number of iterations", [0.0, 1e300]),
    "coefficients": ("weight of each term, without the factor that float16 needs", None),
    "content": ("activations of the tap, of the content image", None),
    "gram": ("Gram matrix of the tap over its number of positions, of the style image", None),
    "covariance": ("covariance matrix of the tap's channels, of the style image", None),
    "mean": ("mean of the tap's channels, of the style image", None),
    "root": ("root B of the covariance matrix B B^T, of the style image", None),
}


@dataclass(frozen=True)
class SizeGraphs:
    """The graphs of one size.

    Attributes:
        objective: loss, terms and gradient.
        step: a step of the optimiser, with the output `picture`.
        terms: of the objective.
    """

    objective: ir.Model
    step: StepGraph
    terms: tuple[Term, ...]


def provider_for(name: str, precision: str) -> Provider:
    """Return the provider that graphs are rewritten for, which need not be on this machine.

    Raises:
        ImpastoError: an unknown name, or a precision that it does not have.
    """
    if name not in PROVIDERS:
        raise ImpastoError(f"no bundle for --provider {name}: allowed are {', '.join(PROVIDERS)}")
    precision = "fp32" if precision == "auto" else precision
    if precision not in _PRECISIONS[name]:
        raise ImpastoError(
            f"no bundle for --provider {name} in --precision {precision}: allowed are {', '.join(_PRECISIONS[name])}"
        )
    plain = PROVIDERS[name]
    return Provider(plain.name, plain.ort_name, precision, device=plain.device, typed=plain.typed)


def graphs_of(network: Network, spec: GraphSpec, plan: ScalePlan, provider: Provider) -> SizeGraphs:
    """Return the graphs of one size."""
    objective, terms = build(network, OBJECTIVE, spec)
    shape = (3, spec.height, spec.width)
    settings, scaled = plan.settings, provider.precision == "fp16"
    shared: dict[str, Any] = {"batch": 1, "terms": len(terms), "log_rows": LOG_ROWS, "scaled": scaled}
    if settings.optimizer == "adam":
        step = build_adam_step(adam_form(adam_settings(settings), shape, **shared))
    else:
        noise = PRECISIONS[provider.precision].loss_noise
        from_noise = settings.init == "noise"
        step = build_step(lbfgs_form(lbfgs_settings(settings, shape, noise, from_noise=from_noise), shape, **shared))
    with_picture(step.model, f"x{NEXT}", (1, *shape))
    objective = lower(objective, provider)
    common.RemoveUnusedNodesPass()(objective)
    return SizeGraphs(objective, step, terms)


def targets_of(network: Network, spec: GraphSpec, provider: Provider) -> ir.Model:
    """Return the graph of an image's targets, for images of any size."""
    model, _ = build(network, TARGETS, spec.without_tv())
    model = lower(model, provider)
    free_size(model)
    return model


def ports(values: Any) -> list[dict[str, Any]]:
    """Return inputs or outputs of a graph for the manifest."""
    return [_port(value) for value in values]


def describe_state(step: StepGraph) -> list[dict[str, Any]]:
    """Return the state of a step for the manifest: what it holds before the first evaluation."""
    found = []
    for buffer in step.state:
        flat = buffer.initial.reshape(-1)
        initial: Any = "image" if buffer.name in ("x", "trial") else flat.tolist() if np.any(flat) else 0
        found.append(
            {
                "name": buffer.name,
                "next": buffer.name + NEXT,
                "dtype": str(buffer.initial.dtype),
                "shape": list(buffer.initial.shape),
                "initial": initial,
                "in_place": buffer.in_place,
            }
        )
    return found


def _port(value: ir.Value) -> dict[str, Any]:
    if value.name is None or value.shape is None or value.dtype is None:
        raise ImpastoError(f"cannot describe {value.name}: it has no type or shape; use a features model as described")
    kind = value.name if value.name in _MEANINGS else value.name.partition("_")[0]
    unit, limits = _MEANINGS.get(kind, ("state of the optimiser", None))
    shape = [size if isinstance(size, int) else size.value for size in value.shape]
    return {
        "name": value.name,
        "dtype": str(value.dtype.numpy()),
        "shape": shape,
        "unit": unit,
        "range": limits,
    }

"""How far a provider and a precision are from float32 on the CPU provider, for one's own network and images."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from impasto.engine.images import Source
from impasto.engine.render import Engine
from impasto.engine.result import Evaluation
from impasto.engine.settings import Settings

# What an optimiser bears: a loss known within its line search's noise, a direction that is still downhill.
LARGEST_LOSS_ERROR: Mapping[str, float] = {"fp32": 1e-4, "tf32": 5e-3, "fp16": 1e-2, "bf16": 2e-2}
LEAST_COSINE: Mapping[str, float] = {"fp32": 0.9999, "tf32": 0.995, "fp16": 0.99, "bf16": 0.95}


@dataclass(frozen=True)
class Check:
    """One evaluation, compared.

    Attributes:
        provider: that was checked.
        precision: that was checked.
        loss: in float32 on the CPU provider.
        loss_error: relative, of the total.
        term_errors: of each term, in shares of the total loss.
        gradient_error: |g - g32| / |g32|, Euclidean norms.
        gradient_cosine: of the angle between the gradients.
        evaluation_s: seconds of one evaluation, the first; by provider and precision that were checked.
        reference_s: likewise of the reference.
    """

    provider: str
    precision: str
    loss: float
    loss_error: float
    term_errors: Mapping[str, float]
    gradient_error: float
    gradient_cosine: float
    evaluation_s: float
    reference_s: float

    @property
    def complaints(self) -> tuple[str, ...]:
        """What is too far off, one clause each; empty where all is well."""
        found = []
        if not np.isfinite([self.loss_error, self.gradient_error]).all():
            found.append("values are not finite")
        if self.loss_error > LARGEST_LOSS_ERROR[self.precision]:
            found.append(f"the loss is off by {self.loss_error:.1e}, more than {LARGEST_LOSS_ERROR[self.precision]:g}")
        if self.gradient_cosine < LEAST_COSINE[self.precision]:
            least = LEAST_COSINE[self.precision]
            found.append(f"the gradient's cosine is {self.gradient_cosine:.4f}, less than {least:g}")
        return tuple(found)


def check(
    model: str | Path,
    image: Source,
    content: Source,
    style: Source,
    settings: Settings,
    *,
    provider: str = "auto",
    precision: str = "auto",
    threads: int = 0,
    build_engines: bool = False,
) -> Check:
    """Evaluate one image on a provider, and in float32 on the CPU provider, and compare.

    Targets are computed on each side in its own way, as in a run.

    Args:
        model: as for `Engine`.
        image: where to evaluate.
        content: the content image.
        style: the style image.
        settings: as for `Engine.evaluate`.
        provider: as for `Engine`.
        precision: as for `Engine`.
        threads: as for `Engine`.
        build_engines: as for `Engine`.

    Raises:
        ImpastoError: as `Engine` and `Engine.evaluate`.
    """
    with Engine(model, provider=provider, precision=precision, threads=threads, build_engines=build_engines) as engine:
        name, numbers = engine.provider.name, engine.provider.precision
        found = engine.evaluate(image, content, style, settings)
    with Engine(model, provider="cpu", precision="fp32", threads=threads) as engine:
        reference = engine.evaluate(image, content, style, settings)
    return compare(name, numbers, found, reference)


def compare(provider: str, precision: str, found: Evaluation, reference: Evaluation) -> Check:
    """Return how far one evaluation is from another.

    Args:
        provider: that the first ran on.
        precision: that it ran in.
        found: the first.
        reference: the second, taken for true.
    """
    g, g32 = (np.asarray(item.gradient, np.float64).reshape(-1) for item in (found, reference))
    length, true_length = float(np.linalg.norm(g)), float(np.linalg.norm(g32))
    scale = abs(reference.loss) or 1.0
    return Check(
        provider=provider,
        precision=precision,
        loss=reference.loss,
        loss_error=abs(found.loss - reference.loss) / scale,
        term_errors={name: abs(found.terms[name] - value) / scale for name, value in reference.terms.items()},
        gradient_error=float(np.linalg.norm(g - g32)) / (true_length or 1.0),
        gradient_cosine=float(g @ g32) / (length * true_length)
        if length and true_length
        else float(length == true_length),
        evaluation_s=found.evaluation_s,
        reference_s=reference.evaluation_s,
    )

"""Comparison of a provider and a precision with float32 on the CPU provider, for the user's network and images."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from impasto.engine.images import Source
from impasto.engine.inputs.pictures import Style
from impasto.engine.inputs.saved_style import SavedStyle, is_saved_style
from impasto.engine.jobs.engine import Engine
from impasto.engine.result import Evaluation
from impasto.engine.settings import Settings

REFERENCE = "cpu,plain"
"""What counts as exact: ONNX Runtime's own kernels, so that our operators are not compared with themselves."""


@dataclass(frozen=True)
class Limits:
    """The largest errors that pass the check.

    Attributes:
        loss: relative error of the total.
        term: error of each term, relative to the term itself.
        gradient: |g - g32| / |g32|.
        cosine: smallest cosine of the angle between the gradients.
    """

    loss: float
    term: float
    gradient: float
    cosine: float


# Up to three times the largest error that bench/results/narrowing.json has of each precision, at the start and near the
# end of a run: bf16 is OpenVINO's own; bf16-typed and fp16 are the graph's types; tf32, whose mantissa is float16's, is
# float16 throughout. In fp32 terms are within 1e-5 and gradients within 4e-4 of float64 (docs/measurements.md).
LIMITS: Mapping[str, Limits] = {
    "fp32": Limits(loss=1e-5, term=1e-4, gradient=2e-3, cosine=0.99999),
    "tf32": Limits(loss=1e-3, term=3e-3, gradient=0.2, cosine=0.995),
    "fp16": Limits(loss=3e-4, term=1e-3, gradient=0.06, cosine=0.9994),
    "bf16": Limits(loss=1e-2, term=4e-2, gradient=0.8, cosine=0.75),
    "bf16-typed": Limits(loss=7e-3, term=7e-3, gradient=0.2, cosine=0.99),
}


@dataclass(frozen=True)
class Check:
    """One evaluation, compared.

    Attributes:
        provider: the provider that was checked.
        precision: the precision that was checked.
        loss: the total in float32 on the CPU provider.
        terms: the weighted terms in float32 on the CPU provider.
        loss_error: relative error of the total.
        term_errors: error of each term, relative to that term; relative to the loss if the term is 0.
        gradient_error: |g - g32| / |g32|, Euclidean norms.
        gradient_cosine: cosine of the angle between the gradients.
        evaluation_s: seconds of the first evaluation, on the provider that was checked.
        reference_s: seconds of the first evaluation in float32 on the CPU provider.
    """

    provider: str
    precision: str
    loss: float
    terms: Mapping[str, float]
    loss_error: float
    term_errors: Mapping[str, float]
    gradient_error: float
    gradient_cosine: float
    evaluation_s: float
    reference_s: float

    @property
    def complaints(self) -> tuple[str, ...]:
        """The errors that are too large, one clause each; empty if all pass."""
        limits = LIMITS[self.precision]
        errors = {"loss": self.loss_error, **self.term_errors, "gradient": self.gradient_error}
        allowed = {"loss": limits.loss, "gradient": limits.gradient}
        if not np.isfinite([*errors.values(), self.gradient_cosine]).all():
            return ("values are not finite",)
        found = [
            f"{name} is off by {error:.2g}, more than {allowed.get(name, limits.term):g}"
            for name, error in errors.items()
            if error > allowed.get(name, limits.term)
        ]
        if self.gradient_cosine < limits.cosine:
            found.append(f"the gradient's cosine is {self.gradient_cosine:.4f}, less than {limits.cosine:g}")
        return tuple(found)


def check(
    model: str | Path,
    image: Source,
    content: Source,
    style: Style,
    settings: Settings,
    *,
    provider: str = "auto",
    precision: str = "auto",
    threads: int = 0,
    build_engines: bool = False,
    checks_memory: bool = True,
    tell: Callable[[str], None] | None = None,
) -> Check:
    """Evaluate one image on a provider, and in float32 with `REFERENCE`, and compare.

    Each provider computes its own targets, as in a run. A saved style has the same targets on both.

    Args:
        model: as for `Engine`.
        image: the image to evaluate.
        content: the content image.
        style: the style image, or a saved style in the precision that is checked.
        settings: as for `Engine.evaluate`.
        provider: as for `Engine`.
        precision: as for `Engine`.
        threads: as for `Engine`.
        build_engines: as for `Engine`.
        checks_memory: as for `Engine`.
        tell: called with a sentence on the network that "auto" chose and then on the provider; "" if it was named.

    Raises:
        ImpastoError: as `Engine` and `Engine.evaluate`.
    """
    painting = SavedStyle.read(style) if is_saved_style(style) else style
    opened = partial(Engine, model, threads=threads, checks_memory=checks_memory)
    with opened(provider=provider, precision=precision, build_engines=build_engines) as engine:
        for choice in (engine.network.choice, engine.provider.choice):
            if tell is not None:
                tell(choice)
        name, numbers = engine.provider.name, engine.provider.precision
        found = engine.evaluate(image, content, painting, settings)
    if isinstance(painting, SavedStyle):
        painting = painting.taken_for("fp32")
    with opened(provider=REFERENCE, precision="fp32") as engine:
        reference = engine.evaluate(image, content, painting, settings)
    return compare(name, numbers, found, reference)


def compare(provider: str, precision: str, found: Evaluation, reference: Evaluation) -> Check:
    """Return the errors of one evaluation against another.

    Args:
        provider: the provider of the first evaluation.
        precision: the precision of the first evaluation.
        found: the first evaluation.
        reference: the second evaluation, which counts as exact.
    """
    g, g32 = (np.asarray(item.gradient, np.float64).reshape(-1) for item in (found, reference))
    length, true_length = float(np.linalg.norm(g)), float(np.linalg.norm(g32))
    product = length * true_length
    scale = abs(reference.loss) or 1.0
    return Check(
        provider=provider,
        precision=precision,
        loss=reference.loss,
        terms=dict(reference.terms),
        loss_error=abs(found.loss - reference.loss) / scale,
        term_errors={
            name: abs(found.terms[name] - value) / (abs(value) or scale) for name, value in reference.terms.items()
        },
        gradient_error=float(np.linalg.norm(g - g32)) / (true_length or 1.0),
        gradient_cosine=float(g @ g32) / product if product else float(length == true_length),
        evaluation_s=found.evaluation_s,
        reference_s=reference.evaluation_s,
    )

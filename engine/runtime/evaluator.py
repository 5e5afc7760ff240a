"""A session as a function of several images: each sample has targets, weights and a loss of its own."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from impasto.engine.optimisers.solution import Score, Vector
from impasto.engine.runtime.loss_scaling import MOST_ATTEMPTS, LossScale
from impasto.engine.runtime.session import Session
from impasto.export.terms import GRADIENT, IMAGE, LOSS, TERMS, WEIGHTS, Term
from impasto.models.errors import ImpastoError


@dataclass(frozen=True)
class Contents:
    """What a sample holds, to be put into another one.

    Attributes:
        targets: copies of one sample, [1, ...], by the names of the graph's target inputs.
        coefficients: of the terms, in their order.
        scale: the factor that was found for float16's cotangents; None if there is none.
    """

    targets: Mapping[str, np.ndarray]
    coefficients: np.ndarray
    scale: LossScale | None


class Evaluator:
    """Loss and gradient of so many images at once; no sample's results depend on another.

    It takes over a session; its samples are empty, which costs as much as full ones.

    Attributes:
        session: of the objective graph.
        terms: of that graph, in the order of its columns.
        scaled: whether there is float16 inside, whose cotangents need a factor.
        coefficients: of the terms, [N, T].
    """

    def __init__(self, session: Session, terms: Sequence[Term], *, scaled: bool) -> None:
        self.session, self.terms, self.scaled = session, terms, scaled
        self.coefficients = np.zeros(session.inputs[WEIGHTS].shape, np.float32)
        self._scales = [LossScale() for _ in self.coefficients] if scaled else []

    def load(self, sample: int, targets: Mapping[str, np.ndarray], coefficients: Sequence[float]) -> None:
        """Give a sample, from 0 to N - 1, its targets and weights as `Contents` describes them.

        Raises:
            ImpastoError: a target has another shape, as that of a saved style may, which a file holds for any network.
        """
        for name, value in targets.items():
            batch = self.session.inputs[name]
            if value.shape[1:] != batch.shape[1:]:
                given, wanted = (" x ".join(map(str, shape[1:])) for shape in (value.shape, batch.shape))
                raise ImpastoError(
                    f"the saved style is not of this network: {name} is {given}, and the network's is {wanted}; "
                    "make it with `impasto style save` again"
                )
            batch[sample] = value[0]
            self.session.set(name, batch)
        with np.errstate(over="ignore"):  # an infinite weight makes an infinite loss, which is refused
            self.coefficients[sample] = coefficients
        self.session.set(WEIGHTS, self.coefficients)
        if self._scales:
            self._scales[sample] = LossScale()

    def take_out(self, sample: int) -> Contents:
        """Return a copy of what a sample holds."""
        targets = {
            name: batch[sample : sample + 1].copy()
            for name, batch in self.session.inputs.items()
            if name not in (IMAGE, WEIGHTS)
        }
        scale = self._scales[sample] if self._scales else None
        return Contents(targets, self.coefficients[sample].copy(), scale)

    def put_in(self, sample: int, contents: Contents) -> None:
        """Let a sample hold what `take_out` returned, of this evaluator or another one of the same graph."""
        self.load(sample, contents.targets, contents.coefficients.tolist())
        if contents.scale is not None:
            self._scales[sample] = contents.scale

    def __call__(self, images: Mapping[int, Vector]) -> dict[int, Score]:
        """Evaluate the samples given; the others keep their last image.

        Args:
            images: flat float32 vectors of 3 H W values in 0..1, by sample.
        """
        batch = self.session.inputs[IMAGE]
        for sample, x in images.items():
            batch[sample] = x.reshape(batch.shape[1:])
        self.session.set(IMAGE, batch)
        outputs = self._run_scaled(images) if self._scales else self.session.run()
        return {sample: self._score(outputs, sample) for sample in images}

    def _score(self, outputs: Mapping[str, np.ndarray], sample: int) -> Score:
        values = outputs[TERMS][sample].tolist()
        terms = {term.name: value for term, value in zip(self.terms, values, strict=True)}
        return Score(float(outputs[LOSS][sample]), outputs[GRADIENT][sample].reshape(-1), terms)

    def _run_scaled(self, samples: Iterable[int]) -> Mapping[str, np.ndarray]:
        """Run with weights multiplied, as often as it takes to find every factor, and return the results divided."""
        for _ in range(MOST_ATTEMPTS):
            factors = np.array([scale.factor for scale in self._scales], np.float32)
            self.session.set(WEIGHTS, self.coefficients * factors[:, None])
            outputs = self.session.run()
            again = [self._scales[sample].settle(_largest(outputs, sample)) for sample in samples]
            if not any(again):
                break
        for name in (LOSS, TERMS, GRADIENT):
            values = outputs[name]
            values /= factors.reshape(-1, *[1] * (values.ndim - 1))
        return outputs


def _largest(outputs: Mapping[str, np.ndarray], sample: int) -> float:
    """Return the largest magnitude in a sample's gradient, infinite where its loss is not finite."""
    gradient = outputs[GRADIENT][sample]
    return max(float(gradient.max()), -float(gradient.min())) if np.isfinite(outputs[LOSS][sample]) else math.inf

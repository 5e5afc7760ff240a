"""This project's evaluation of several images at once, each with targets of its own."""

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from impasto.bench.clock import Clock
from impasto.bench.subject import engine_facts, engine_name
from impasto.engine.evaluator import Score
from impasto.engine.preparation import initial_image, read_pictures

if TYPE_CHECKING:
    from impasto.engine.render import Engine
    from impasto.engine.settings import Settings

Pair = tuple[np.ndarray, np.ndarray]
"""Content and style, uint8 H x W x 3."""


class Batch:
    """Loss and gradient at the starts of so many transfers of one size.

    Attributes:
        starts: their images, flat, planes of R, G and B, 0..1.
    """

    def __init__(self, engine: "Engine", settings: "Settings", pairs: Sequence[Pair]) -> None:
        """Compile, and load every place of the batch; valid until the engine is asked for anything else."""
        read = [read_pictures(content, style, settings) for content, style in pairs]
        form = dataclasses.replace(engine.compiler.form(settings, read[0][0]), batch=len(pairs))
        self._evaluator = engine.compiler.evaluator(form)
        for sample, (scene, painting) in enumerate(read):
            engine.compiler.load(self._evaluator, sample, settings, scene, painting)
        self.starts = {sample: initial_image(settings, *pictures) for sample, pictures in enumerate(read)}

    def __call__(self) -> list[Score]:
        """Evaluate once; the results are on the host, so that the device has finished."""
        return list(self._evaluator(self.starts).values())


class OwnBatch:
    """A batch in a comparison; `impasto.bench.contender.Evaluating` says what its attributes mean."""

    def __init__(
        self, engine: "Engine", pairs: Sequence[Pair], settings: "Settings", *, begin_s: float, clock: Clock
    ) -> None:
        """Compile, and evaluate once.

        Args:
            engine: closed by `close`.
            pairs: one for each place of the batch.
            settings: of all of them.
            begin_s: when the engine was asked for.
            clock: for the set-up.
        """
        self.name, self.facts = engine_name(engine, len(pairs)), engine_facts(engine, len(pairs))
        self.features = engine.network.model
        self._engine = engine
        self._batch = Batch(engine, settings, pairs)
        self.start = np.concatenate(list(self._batch.starts.values()))
        self.evaluate()
        self.setup_s = clock.now() - begin_s

    def evaluate(self) -> float:
        """Evaluate all, and return the sum of the losses."""
        self._scores = self._batch()
        return sum(score.loss for score in self._scores)

    def gradient(self) -> np.ndarray:
        """Return the latest gradient."""
        return np.concatenate([score.gradient for score in self._scores])

    def close(self) -> None:
        """Close the engine."""
        self._engine.close()

"""This project's evaluation of several images at once, each with targets of its own."""

from collections.abc import Iterable
from itertools import chain
from typing import TYPE_CHECKING

import numpy as np

from impasto.bench.clock import Clock
from impasto.bench.fitting import checked_form
from impasto.bench.subject import engine_facts, engine_name
from impasto.engine.inputs.pictures import initial_image, read_pictures
from impasto.engine.optimisers.outcome import Vector
from impasto.engine.runtime.evaluator import Score

if TYPE_CHECKING:
    from impasto.engine.jobs.engine import Engine
    from impasto.engine.settings import Settings

Pair = tuple[np.ndarray, np.ndarray]
"""Content and style, uint8 H x W x 3."""


class Batch:
    """Loss and gradient at the starts of so many transfers of one size.

    Attributes:
        starts: their images, flat, planes of R, G and B, 0..1.
    """

    def __init__(self, engine: "Engine", settings: "Settings", pairs: Iterable[Pair], batch: int) -> None:
        """Compile, and load every place of the batch; valid until the engine is asked for anything else.

        Args:
            engine: whose evaluations.
            settings: of all of them.
            pairs: one for each place, taken one by one: all at once they take gigabytes where they are large.
            batch: how many there are.

        Raises:
            ImpastoError: the batch does not fit into memory; nothing is compiled then.
        """
        read = (read_pictures(content, style, settings) for content, style in pairs)
        first = next(read)
        form = checked_form(engine, settings, *first, batch)
        self._evaluator = engine.compiler.evaluator(form)
        self.starts: dict[int, Vector] = {}
        for sample, (scene, painting) in enumerate(chain((first,), read)):
            engine.compiler.load(self._evaluator, sample, settings, scene, painting)
            self.starts[sample] = initial_image(settings, scene, painting)

    def __call__(self) -> list[Score]:
        """Evaluate once; the results are on the host, so that the device has finished."""
        return list(self._evaluator(self.starts).values())


class OwnBatch:
    """A batch in a comparison; `impasto.bench.contender.Evaluating` says what its attributes mean."""

    def __init__(
        self,
        engine: "Engine",
        pairs: Iterable[Pair],
        settings: "Settings",
        batch: int,
        *,
        begin_s: float,
        clock: Clock,
    ) -> None:
        """Compile, and evaluate once.

        Args:
            engine: closed by `close`.
            pairs: one for each place of the batch.
            settings: of all of them.
            batch: how many there are.
            begin_s: when the engine was asked for.
            clock: for the set-up.
        """
        self.name, self.facts = engine_name(engine, batch), engine_facts(engine, batch)
        self.features = engine.network.model
        self._engine = engine
        self._batch = Batch(engine, settings, pairs, batch)
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

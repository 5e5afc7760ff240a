"""This project as a contender: an engine's evaluations, of one picture or of several, and its optimiser."""

import math
import time
from itertools import chain
from typing import TYPE_CHECKING

import numpy as np

from impasto.bench.fitting import checked_form
from impasto.bench.sampling import timed
from impasto.bench.subject import Subject, engine_facts, engine_name
from impasto.engine.inputs.pictures import initial_image, read_pictures
from impasto.engine.jobs.descent import Descent
from impasto.engine.optimisers.solution import Vector
from impasto.engine.optimisers.solution import Score

if TYPE_CHECKING:
    from impasto.engine.jobs.engine import Engine


class OwnBatch:
    """Loss and gradient at the starts of so many transfers of one size, each with targets of its own.

    Attributes:
        name: as `impasto.bench.contenders.contender.Evaluating` has it, and so on.
        facts: as there.
        setup_s: as there.
        start: the images, one after the other: flat planes of R, G and B, 0..1.
        features: the network's model.
        first_s: of the first evaluation.
        scores: of the latest evaluation, one for each image.
    """

    def __init__(self, engine: "Engine", subject: Subject, size_px: int, *, begin_s: float) -> None:
        """Compile, load every place of the batch, and evaluate once.

        Args:
            engine: which is asked for nothing else from now on.
            subject: whose pictures and settings. The pictures are drawn or read one by one: all at once they take
                gigabytes where they are large.
            size_px: side of the pictures.
            begin_s: when the engine was asked for, by `time.perf_counter`.

        Raises:
            ImpastoError: the batch does not fit into memory; nothing is compiled then.
        """
        self.name, self.facts = engine_name(engine, subject.batch), engine_facts(engine, subject.batch)
        self.features = engine.network.model
        read = (read_pictures(content, style, subject.settings) for content, style in subject.pairs(size_px))
        first = next(read)
        self._evaluator = engine.compiler.evaluator(checked_form(engine, subject.settings, *first, subject.batch))
        self._starts: dict[int, Vector] = {}
        for sample, (scene, painting) in enumerate(chain((first,), read)):
            engine.compiler.load(self._evaluator, sample, subject.settings, scene, painting)
            self._starts[sample] = initial_image(subject.settings, scene, painting)
        self.start = np.concatenate(list(self._starts.values()))
        self.scores: list[Score] = []
        self.first_s = timed(self.evaluate)
        self.setup_s = time.perf_counter() - begin_s

    def evaluate(self) -> float:
        """Evaluate all, and return the sum of the losses; they are on the host, so that the device has finished."""
        self.scores = list(self._evaluator(self._starts).values())
        return sum(score.loss for score in self.scores)

    def gradient(self) -> np.ndarray:
        """Return the latest gradient."""
        return np.concatenate([score.gradient for score in self.scores])


class OwnContender:
    """The engine's objective of one picture, and its optimiser.

    Attributes:
        name: as `impasto.bench.contenders.contender.Contender` has it, and so on.
        start: the image: flat planes of R, G and B, 0..1.
        features: the network's model.
    """

    def __init__(self, engine: "Engine", subject: Subject, size_px: int, *, begin_s: float) -> None:
        """Compile, and evaluate once.

        Args:
            engine: it reports every evaluation, so that each image is that of its own step.
            subject: whose pictures and settings; the limits of these do not count.
            size_px: side of the pictures.
            begin_s: when the engine was asked for, by `time.perf_counter`.
        """
        self.name = engine_name(engine)
        self.facts = {**engine_facts(engine), "bounded": subject.settings.bounded}
        self.evaluations, self.loss, self.finished = 0, math.nan, False
        self.features = engine.network.model
        self._objective, self.start = engine.objective(*subject.pictures(size_px), subject.settings)
        noise = engine.provider.numbers.loss_noise
        self._descent = Descent(self._objective, noise, self.start, subject.settings)
        self._steps = iter(self._descent)
        self.evaluate()
        self.setup_s = time.perf_counter() - begin_s

    def evaluate(self) -> float:
        """Evaluate at the start; the session copies the results to the host, so that the device has finished."""
        loss, self._gradient = self._objective(self.start)
        return loss

    def gradient(self) -> np.ndarray:
        """Return the latest gradient."""
        return self._gradient

    def step(self) -> None:
        """Go on to the next accepted image."""
        step = next(self._steps, None)
        self.finished = step is None
        if step is not None:
            self.evaluations, self.loss = step.evaluations, step.loss
            self.facts["loop"] = self._descent.loop

    def image(self) -> Vector:
        """Return where the optimiser is."""
        return (self.start if self._descent.last is None else self._descent.last.x).copy()

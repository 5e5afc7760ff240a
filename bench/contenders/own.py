"""This project as a contender: an engine's evaluations, of one picture or of several, and its optimiser."""

import math
import time
from dataclasses import replace
from itertools import chain

import numpy as np

from impasto.bench.fitting import checked_spec
from impasto.bench.sampling import timed
from impasto.bench.subject import Subject, engine_facts, engine_name
from impasto.engine.events import Iteration, Started
from impasto.engine.inputs.pictures import as_vector, initial_image, read_pictures
from impasto.engine.jobs.engine import Engine, workshop_of
from impasto.engine.optimisers.solution import Score, Vector


class OwnBatch:
    """Loss and gradient at the starts of so many transfers of one size, each with targets of its own.

    `impasto.bench.contenders.contender.Evaluating` says what the other attributes mean.

    Attributes:
        start: the images, one after the other: flat planes of R, G and B, 0..1.
        features: the network's model.
        first_s: of the first evaluation.
        scores: of the latest evaluation, one for each image.
    """

    def __init__(self, engine: Engine, subject: Subject, size_px: int, *, begin_s: float) -> None:
        """Compile, load every place of the batch, and evaluate once.

        The pictures are drawn or read one by one: all at once they take gigabytes where they are large. The set-up
        began at ``begin_s``, by `time.perf_counter`.

        Raises:
            ImpastoError: the batch does not fit into memory; nothing is compiled then.
        """
        self.name, self.facts = engine_name(engine, subject.batch), engine_facts(engine, subject.batch)
        self.features = engine.network.model
        read = (read_pictures(content, style, subject.settings) for content, style in subject.pairs(size_px))
        first = next(read)
        compiler = workshop_of(engine).compiler
        # No curvature pairs: adam's few vectors are what the pictures and their starts take on the host.
        without_optimiser = replace(subject.settings, optimizer="adam")
        spec = checked_spec(engine, without_optimiser, *first, subject.batch)
        self._evaluator, targets = compiler.open_with_targets(spec, subject.settings, *first)
        self._starts: dict[int, Vector] = {}
        for sample, (scene, painting) in enumerate(chain((first,), read)):
            if sample:
                targets = compiler.targets(subject.settings, scene, painting)
            compiler.load(self._evaluator, sample, subject.settings, targets)
            self._starts[sample] = initial_image(subject.settings, scene, painting)
        compiler.put_back(spec, self._evaluator)  # for the contender's optimiser, which begins later
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


class OwnContender(OwnBatch):
    """The engine's objective of one picture, and its optimiser.

    `impasto.bench.contenders.contender.Contender` says what the other attributes mean.
    """

    def __init__(self, engine: Engine, subject: Subject, size_px: int, *, begin_s: float) -> None:
        """Compile, and evaluate once; the limits in the subject's settings do not count.

        The engine reports every evaluation, so that each image is that of its own step.

        Raises:
            ImpastoError: the run does not fit into memory; nothing is compiled then.
        """
        pictures = subject.pictures(size_px)
        engine.check(*pictures, subject.settings)
        super().__init__(engine, subject, size_px, begin_s=begin_s)
        self.facts["bounded"] = subject.settings.bounded
        self.evaluations, self.loss, self.finished = 0, math.nan, False
        self._events = engine.steps(*pictures, subject.settings)
        self._last: Iteration | None = None

    def step(self) -> None:
        """Go on to the next accepted image."""
        for event in self._events:
            if isinstance(event, Started):
                self.facts["loop"] = event.loop
            if isinstance(event, Iteration):
                self.evaluations, self.loss, self._last = event.evaluations, event.loss, event
                return
        self.finished = True

    def image(self) -> Vector:
        """Return where the optimiser is."""
        return self.start if self._last is None else as_vector(self._last.snapshot())

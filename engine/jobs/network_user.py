"""The uses of an engine that need its network for themselves: plans, checks and single evaluations."""

import dataclasses
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from impasto.engine import setting_checks as checks
from impasto.engine.compile.compiler import Compiler
from impasto.engine.compile.memory import MemoryEstimate
from impasto.engine.compile.network import Network
from impasto.engine.compile.objective import Objective
from impasto.engine.compile.optimiser_settings import GREY_LEVEL
from impasto.engine.images import Picture, Source
from impasto.engine.inputs.pictures import (
    Painting,
    Style,
    as_pixels,
    as_vector,
    initial_image,
    read_pictures,
    read_scored,
    read_style,
)
from impasto.engine.inputs.prepared import measure
from impasto.engine.inputs.saved_style import SavedStyle, check_style_output
from impasto.engine.inputs.scales import saved_sizes
from impasto.engine.inputs.sizes import Outline, measure_pictures, measure_style
from impasto.engine.jobs.job import BatchLimit, Job, each_job, given_settings
from impasto.engine.jobs.plan import Plan, plan_jobs
from impasto.engine.jobs.scheduler import Scheduler
from impasto.engine.jobs.workshop import Workshop
from impasto.engine.optimisers.solution import Score, Vector
from impasto.engine.result import Evaluation
from impasto.engine.runtime import providers
from impasto.engine.settings import Settings
from impasto.models.checksum import sha256_of
from impasto.models.errors import ImpastoError

GPU_BATCH, LARGEST_BATCH = 4, 64


class NetworkUser:
    """The methods of `Engine` that raise ImpastoError while jobs are running.

    Args:
        workshop: has the network, the provider and the compiler.
        concurrency: maximum number of single jobs or batches that run at the same time.
    """

    def __init__(self, workshop: Workshop, concurrency: int) -> None:
        self._workshop = workshop
        self._scheduler = Scheduler(workshop, concurrency)

    @property
    def provider(self) -> providers.Provider:
        """The provider in use; it changes when the engine changes to a safer precision."""
        return self._workshop.provider

    @property
    def network(self) -> Network:
        """The network in use."""
        return self._workshop.network

    def plan(self, content: Source | None, style: Style | None, settings: Settings | None = None) -> Plan:
        """Return the plan of a transfer and an estimate of its memory, without running it."""
        (found,) = self.plan_many([Job(content, style, given_settings(settings))])
        if isinstance(found, ImpastoError):
            raise found
        return found

    def plan_many(self, jobs: Iterable[Job], *, batch: int | None = None) -> list[Plan | ImpastoError]:
        """Return the plan of each job of a `transfer_many`, or the error that keeps the job from starting."""
        limit = self._limit(batch)
        with self._scheduler.exclusive():
            return plan_jobs(self._workshop, list(each_job(jobs)), limit)

    def check(self, content: Source | None, style: Style | None, settings: Settings | None = None) -> None:
        """Check the arguments of a transfer as `transfer` does before it computes.

        Raises:
            ImpastoError: the run does not fit into memory.
        """
        settings = given_settings(settings)
        with self._scheduler.exclusive():
            scene, painting = measure(content, style, settings)
            compiler = self._workshop.compiler
            compiler.check_memory(compiler.spec(settings, scene), settings, painting)

    def warm_up(
        self, content: Source | None, style: Style | None, settings: Settings | None = None, *, batch: int = 1
    ) -> Score:
        """Compile the graphs for runs of this size and batch, and evaluate the content image once."""
        places = self._places(batch)
        with self._pictures(content, style, settings, places) as (compiler, settings, scene, painting):
            spec = dataclasses.replace(compiler.spec(settings, scene), batch=places)
            evaluator = compiler.open(spec)
            compiler.load(evaluator, 0, settings, compiler.targets(settings, scene, painting))
            score = evaluator({0: as_vector(scene.pixels)})[0]
            compiler.put_back(spec, evaluator)
            return score

    def evaluate(
        self, image: Source, content: Source | None, style: Style | None, settings: Settings | None = None
    ) -> Evaluation:
        """Compute the loss of an image and its gradient.

        Args:
            image: the image to evaluate; a `.npy` file is H x W x 3, 0..255.
            content: the content image.
            style: the style image.
            settings: size, weights, taps and pooling are used; size 0 keeps the sizes of all three images.

        Raises:
            ImpastoError: with size 0, the image and the content image differ in size.
        """
        with self._pictures(content, style, settings) as (compiler, settings, scene, painting):
            scored = read_scored(image, scene, settings)
            objective = compiler.objective(settings, scene, painting)
            score = objective(as_vector(scored.pixels))
            per_pixel = as_pixels(score.gradient, scene.height, scene.width) * GREY_LEVEL
            return Evaluation(score.loss, score.terms, per_pixel, objective.seconds)

    def objective(
        self, content: Source | None, style: Style | None, settings: Settings | None = None
    ) -> tuple[Objective, Vector]:
        """Return the function that `transfer` minimises and its start image, for use with other optimisers.

        The function belongs to the engine. It expires when the engine is used for something else, and then raises
        ImpastoError.

        Returns:
            The function, from a flat float32 vector (planes of R, G and B, 0..1) to its `Score`; and the start image as
            such a vector.
        """
        with self._pictures(content, style, settings) as (compiler, settings, scene, painting):
            x = initial_image(settings, scene, painting)
            return compiler.objective(settings, scene, painting, self._scheduler.exclusive), x

    def save_style(self, style: Source, output: str | Path, settings: Settings | None = None) -> SavedStyle:
        """Save the targets of a style image to a file. Runs take the file in place of the image, with the same result.

        `plan_style` estimates the memory that this takes.

        Args:
            style: the style image.
            output: path of the file, .safetensors.
            settings: style taps, pooling and seamlessness are used; so is style_size, or size if style_size is None.
                `scales` is the number of scales that the file is for; 0 is as many as a result of the image's size has.

        Returns:
            The saved style, as it is in the file.

        Raises:
            ImpastoError: the file cannot be written.
        """
        settings = given_settings(settings)
        check_style_output(checks.path("output", output))
        with self._scheduler.exclusive():
            compiler = self._workshop.compiler
            compiler.memory.check_style(compiler.style_spec(settings, measure_style(style, settings)))
            digest = sha256_of(Path(style)) if isinstance(style, str | os.PathLike) else None
            picture = read_style(style, settings)
            sizes = saved_sizes(settings, picture.height, picture.width)
            saved = compiler.saved_style(settings, [picture.resized(*size) for size in sizes], digest)
        saved.save(output)
        return saved

    def plan_style(self, style: Source, settings: Settings | None = None) -> tuple[Outline, MemoryEstimate]:
        """Return the size that the style image has in `save_style`, and an estimate of the memory that it takes."""
        settings = given_settings(settings)
        painting = measure_style(style, settings)
        with self._scheduler.exclusive():
            compiler = self._workshop.compiler
            return painting, compiler.memory.of_style(compiler.style_spec(settings, painting))

    def release(self) -> None:
        """Free the memory of the session that the engine keeps; the next run compiles again."""
        with self._scheduler.exclusive():
            self._workshop.compiler.release_idle()

    def _limit(self, batch: int | None) -> BatchLimit:
        return BatchLimit(self._places(batch), is_given=batch is not None)

    def _places(self, batch: int | None) -> int:
        """Return the maximum number of jobs that share an evaluation."""
        if batch is None:
            return 1 if self.provider.on_host else GPU_BATCH
        batch = checks.whole("batch", batch)
        if not 1 <= batch <= LARGEST_BATCH:
            raise ImpastoError(f"bad batch {batch}: allowed are 1 to {LARGEST_BATCH} jobs per evaluation")
        return batch

    @contextmanager
    def _pictures(
        self, content: Source | None, style: Style | None, settings: Settings | None, places: int = 1
    ) -> Iterator[tuple[Compiler, Settings, Picture, Painting]]:
        """Read the images of a run, and lend the compiler while no jobs run. Memory is checked before."""
        settings = given_settings(settings)
        with self._scheduler.exclusive():
            scene, painting = measure_pictures(content, style, settings)
            compiler = self._workshop.compiler
            spec = dataclasses.replace(compiler.spec(settings, scene), batch=places)
            compiler.check_memory(spec, settings, painting)
            yield compiler, settings, *read_pictures(content, style, settings)

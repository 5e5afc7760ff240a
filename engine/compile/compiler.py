"""The compiler builds and compiles the graphs of a run, and computes and loads its targets."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from functools import partial

import numpy as np

from impasto.engine.compile.evaluation_times import EvaluationTimes
from impasto.engine.compile.graph_spec import BatchKey, GraphSpec
from impasto.engine.compile.memory_check import MemoryCheck
from impasto.engine.compile.network import Network
from impasto.engine.compile.objective import Objective
from impasto.engine.compile.optimiser_settings import lbfgs_settings
from impasto.engine.compile.sessions import OBJECTIVE, SessionSource
from impasto.engine.compile.targets import Targets, prepare_targets
from impasto.engine.compile.term_factors import term_factors
from impasto.engine.device.placement import LoopPlacement, OnDevice
from impasto.engine.images import Picture
from impasto.engine.inputs.pictures import Painting
from impasto.engine.inputs.saved_style import SavedStyle
from impasto.engine.inputs.sizes import Sized, Weighed
from impasto.engine.inputs.style_form import StyleOrigin
from impasto.engine.runtime.evaluator import Evaluator
from impasto.engine.runtime.providers import Provider
from impasto.engine.runtime.session import Session
from impasto.engine.settings import Settings
from impasto.export.terms import GRAM, SQUARED, Term
from impasto.export.weightings import conversion, target_power


class Compiler:
    """Makes evaluators for one network on one provider. It keeps the latest idle session for another run of its spec.

    Its methods describe a run by its `settings`; its `scene`, which is the content image at the size of the result; and
    its `painting`, which is the style image at its own size, or a saved style. The pixels of an image without terms are
    not used, and outlines do where only sizes matter. Every method that takes a run raises ImpastoError if the network
    lacks a tap.

    Args:
        network: the network of the graphs.
        provider: the provider that runs them.
        threads: number of CPU threads; 0 is one per core.
        after: precisions that the engine has left for a safer one; styles saved in them are accepted, too.
        placement: where optimisers run; None is the provider's default.
        checks_memory: whether runs that do not fit into memory are refused.

    Attributes:
        provider: the provider of all sessions.
        memory: estimates the memory of runs.
        times: predicts the time of runs from earlier ones.
        precisions: the precisions of saved styles that runs accept.
    """

    def __init__(
        self,
        network: Network,
        provider: Provider,
        threads: int,
        *,
        after: Sequence[str] = (),
        placement: LoopPlacement | None = None,
        checks_memory: bool = True,
    ) -> None:
        self.provider = provider
        self.precisions = (*after, provider.precision)
        self._network, self._threads = network, threads
        self._placement = placement or LoopPlacement()
        self._source = SessionSource(network, provider, threads)
        self._idle: tuple[GraphSpec, Evaluator] | None = None
        self._lent: Objective | None = None  # it uses the idle session
        self.memory = MemoryCheck(self._source, self._placement, enabled=checks_memory)
        self.times = EvaluationTimes(network, provider, threads)

    def spec(self, settings: Settings, scene: Sized) -> GraphSpec:
        """Return the specification of a run's graph; terms of weight 0 are left out."""
        content_taps, style_taps = (
            tuple(self._network.find_tap(tap.name) for tap in taps)
            for taps in (settings.active_content_taps, settings.active_style_taps)
        )
        return GraphSpec(
            content_taps=content_taps,
            style_taps=style_taps,
            height=scene.height,
            width=scene.width,
            pool=settings.pool,
            seamless=settings.seamless,
            padding="zero" if settings.seamless else settings.padding,
            style_loss=settings.style_loss if style_taps else GRAM,
            tv=settings.smooths,
            tv_norm=settings.tv_norm if settings.smooths else SQUARED,
        )

    def batch_key(self, settings: Settings, scene: Sized, *, from_noise: bool) -> BatchKey:
        """Return the batch key of a run. Runs with the same key can be evaluated together."""
        spec = self.spec(settings, scene)
        if not self._placement.may_be_on_device(settings.optimizer, self.provider):
            return BatchKey(spec)
        return BatchKey(spec, lbfgs_settings(settings, (3, spec.height, spec.width), 0.0, from_noise=from_noise))

    def open(self, spec: GraphSpec) -> Evaluator:
        """Return an evaluator with empty samples, one for each image of the spec's batch.

        The caller gives it back with `put_back`, or closes its session.

        Raises:
            ImpastoError: the image is too small, or the session does not run on the provider.
        """
        if self._idle is not None and self._idle[0] == spec:
            self._expire()
            session, terms = self._idle[1].session, self._idle[1].terms
            self._idle = None
        else:
            self.release_idle()
            session, terms = self._source.open(OBJECTIVE, spec)
        return self._evaluator(session, terms)

    def open_apart(self, spec: GraphSpec) -> Evaluator:
        """Return an evaluator as `open` does, without touching the idle session. A background thread may call this.

        Raises:
            ImpastoError: as for `open`.
        """
        return self._evaluator(*self._source.open(OBJECTIVE, spec))

    @property
    def opens_ahead(self) -> bool:
        """Whether sessions may be opened while others run; no other thread may allocate while a GPU captures."""
        return self.provider.uncaptured() is None

    def _evaluator(self, session: Session, terms: Sequence[Term]) -> Evaluator:
        return Evaluator(session, terms, scaled=self.provider.precision == "fp16")

    def open_with_targets(
        self, spec: GraphSpec, settings: Settings, scene: Picture, painting: Painting
    ) -> tuple[Evaluator, Targets]:
        """Compile an evaluator of a spec while the targets of its first run are computed.

        Raises:
            ImpastoError: as for `open` and `targets`.
        """
        own = self.spec(settings, scene)
        prepare_style = self._prepare_style(own, painting)
        with ThreadPoolExecutor(1) as background:
            style = background.submit(prepare_style)
            compiling = background.submit(self.open, spec)
            try:
                content = prepare_targets(self._source, own.content_targets(), scene)()
                targets = {**content, **style.result()()}  # neither is changed: both may be on their way to the cache
            except Exception:
                self.put_back(spec, compiling.result())
                raise
            return compiling.result(), targets

    def targets(self, settings: Settings, scene: Picture, painting: Painting) -> Targets:
        """Return the targets of a run by the names of the graph's inputs.

        Raises:
            ImpastoError: an image is too small, or a saved style belongs to other settings.
        """
        spec = self.spec(settings, scene)
        prepare_style = self._prepare_style(spec, painting)
        return {**prepare_targets(self._source, spec.content_targets(), scene)(), **prepare_style()()}

    def load(self, evaluator: Evaluator, sample: int, settings: Settings, targets: Mapping[str, np.ndarray]) -> str:
        """Load targets and weights into a sample. Return a sentence that gives the weights in the paper's terms."""
        self._source.keep()
        terms = evaluator.terms
        powers = {
            term.name: target_power(term, *(targets[name][0] for name in term.targets))
            for term in terms
            if term.targets
        }
        factors = term_factors(terms, settings, self._network, powers)
        evaluator.load(sample, targets, factors)
        return conversion(terms, factors)

    def objective(
        self,
        settings: Settings,
        scene: Picture,
        painting: Painting,
        borrow: Callable[[], AbstractContextManager[None]] = nullcontext,
    ) -> Objective:
        """Return the objective of a run as a function; it expires when its session is used again or closed.

        Args:
            settings: settings of the run.
            scene: the content image.
            painting: the style image.
            borrow: as for `Objective`.

        Raises:
            ImpastoError: as for `open_with_targets`.
        """
        spec = self.spec(settings, scene)
        evaluator, targets = self.open_with_targets(spec, settings, scene, painting)
        self.load(evaluator, 0, settings, targets)
        self.put_back(spec, evaluator)
        self._lent = Objective(evaluator, (3, spec.height, spec.width), borrow)
        return self._lent

    def check_memory(self, spec: GraphSpec, settings: Settings, painting: Weighed) -> None:
        """Check that a run fits into memory. If necessary, close the idle session of an earlier run first.

        Raises:
            ImpastoError: the run does not fit, or an image is too small.
        """
        kept = self._idle is not None and self._idle[0] == spec
        if kept and self.memory.has_room(spec, settings, painting, own_optimiser=True):
            return
        self.release_idle()  # the run may fit without it; the next session would close it anyway
        self.memory.check(spec, settings, painting)

    def on_device(self, evaluator: Evaluator) -> OnDevice | None:
        """Return the inputs of a loop on the device for an evaluator from `open`, as `LoopPlacement.on_device` does."""
        return self._placement.on_device(evaluator, self.provider, self._threads)

    def style_spec(self, settings: Settings, painting: Sized) -> GraphSpec:
        """Return the specification of the graph that computes the targets of a style image."""
        return self.spec(dataclasses.replace(settings, content_weight=0.0, strength=None), painting).without_tv()

    def saved_style(self, settings: Settings, paintings: Sequence[Picture], image_sha256: str | None) -> SavedStyle:
        """Return the targets of a style image, for runs with its taps, style loss, pooling, padding and seamlessness.

        Args:
            settings: of the runs.
            paintings: the style image at each scale, first at its final size.
            image_sha256: hash of the image's file; None if it has no file.

        Raises:
            ImpastoError: the image is too small.
        """
        painting, *coarser = paintings
        spec = self.style_spec(settings, painting)
        grams = [self._prepare_style(self.style_spec(settings, one), one)()() for one in paintings]
        origin = StyleOrigin(
            model=self._network.name,
            model_sha256=self._network.sha256,
            taps=spec.style_taps,
            pool=spec.pool,
            seamless=spec.seamless,
            padding=spec.padding,
            style_loss=spec.style_loss,
            precision=self.provider.precision,
            height=painting.height,
            width=painting.width,
            image=painting.name,
            image_sha256=image_sha256,
            coarser=tuple((one.height, one.width) for one in coarser),
        )
        return SavedStyle(grams[0], origin, painting.name, tuple(grams[1:]))

    def put_back(self, spec: GraphSpec, evaluator: Evaluator) -> None:
        """Take back an evaluator that is no longer used, and keep its session for another run of its spec."""
        if self._idle is not None and self._idle[1].session is not evaluator.session:
            self.release_idle()
        self._idle = spec, evaluator

    def release_idle(self) -> None:
        """Free the memory of the idle session."""
        self._expire()
        if self._idle is not None:
            self._idle[1].session.close()
        self._idle = None

    def _expire(self) -> None:
        """End the objective that uses the idle session."""
        if self._lent is not None:
            self._lent.expired = True
        self._lent = None

    def close(self) -> None:
        """Free the memory of the idle session, and wait until the cache is written."""
        self.release_idle()
        self._source.finish()

    def _prepare_style(self, spec: GraphSpec, painting: Painting) -> Callable[[], Callable[[], Targets]]:
        """Return a function that compiles the targets' graph and returns a function that computes them.

        A saved style is checked at once.
        """
        if isinstance(painting, SavedStyle):
            found = painting.targets(
                spec.style_taps,
                model_sha256=self._network.sha256,
                precisions=self.precisions,
                pool=spec.pool,
                seamless=spec.seamless,
                padding=spec.padding,
                style_loss=spec.style_loss,
            )
            return lambda: lambda: found
        return partial(prepare_targets, self._source, spec.style_targets(painting.height, painting.width), painting)

"""From a network and settings to an objective that can be called: graphs built, compiled, and fed with targets."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numpy as np

from impasto.engine.compile import memory
from impasto.engine.compile.graph_spec import Form
from impasto.engine.compile.memory import Demand, MemoryEstimate, Overhead
from impasto.engine.compile.network import Network
from impasto.engine.compile.sessions import OBJECTIVE, TARGETS, Opened, SessionSource
from impasto.engine.compile.targets import Targets, TargetSource
from impasto.engine.device.objective import Objective, OnDevice
from impasto.engine.device.placement import Looping
from impasto.engine.images import Picture
from impasto.engine.inputs.pictures import Painting
from impasto.engine.inputs.saved_style import SavedStyle, StyleOrigin
from impasto.engine.jobs.batch_key import Kind
from impasto.engine.jobs.descent import lbfgs_settings
from impasto.engine.runtime.evaluator import Evaluator
from impasto.engine.runtime.providers import Provider
from impasto.engine.settings import Settings
from impasto.export.weightings import coefficients, conversion, target_power


class Compiler:
    """Makes objectives for one network on one provider, and keeps the latest session for runs of the same form.

    Attributes:
        precisions: of saved styles that will do.
    """

    def __init__(
        self,
        network: Network,
        provider: Provider,
        threads: int,
        *,
        after: Sequence[str] = (),
        looping: Looping | None = None,
        checks_memory: bool = True,
    ) -> None:
        """Take over what stays the same from run to run; nothing is compiled yet.

        Args:
            network: whose objectives.
            provider: where they run.
            threads: of the CPU; 0 is one per core.
            after: precisions that were given up; styles saved in them will do as well.
            looping: where optimisers run; None is what suits the provider.
            checks_memory: whether runs that do not fit are refused.
        """
        self.precisions = (*after, provider.precision)
        self._network = network
        self._provider = provider
        self._threads = threads
        self._looping = looping or Looping()
        self._checks_memory = checks_memory
        self._source = SessionSource(network, provider, threads)
        self._targets = TargetSource(self._source, threads)
        self._kept: tuple[Form, Opened] | None = None

    def form(self, settings: Settings, scene: Picture) -> Form:
        """Return what a run needs of the graph; terms of weight 0 are left out.

        Args:
            settings: of the run.
            scene: the content image, at the size of the result.

        Raises:
            ImpastoError: the network lacks a tap.
        """
        return Form(
            content_taps=tuple(self._network.find_tap(tap.name) for tap in settings.active_content_taps),
            style_taps=tuple(self._network.find_tap(tap.name) for tap in settings.active_style_taps),
            height=scene.height,
            width=scene.width,
            pool=settings.pool,
            seamless=settings.seamless,
            tv=bool(settings.tv_weight),
        )

    def objective(self, settings: Settings, scene: Picture, painting: Painting) -> tuple[Objective, str]:
        """Return the objective of a run, and its weights in the paper's own terms.

        The objective is compiled while the targets are computed.

        Args:
            settings: of the run.
            scene: the content image, at the size of the result; its pixels count where there are content terms.
            painting: the style image, at its own size; likewise with style terms.

        Raises:
            ImpastoError: the network lacks a tap, or an image is too small for it.
        """
        form = self.form(settings, scene)
        self.check_memory(form, settings, painting)
        prepare_style = self._prepare_style(form, painting)
        with ThreadPoolExecutor(1) as background:
            style = background.submit(prepare_style)
            compiling = background.submit(self.evaluator, form)
            content = self._prepare_content(form, scene)()
            targets = {**content, **style.result()()}  # neither is changed: both may be on their way to the cache
            evaluator = compiling.result()
        weights = self._load(evaluator, 0, settings, targets)
        image_shape = (3, form.height, form.width)
        return Objective(lambda x: evaluator({0: x})[0], image_shape, self.on_device(evaluator)), weights

    def on_device(self, evaluator: Evaluator) -> OnDevice | None:
        """Return what a loop on the device needs; None where the host is to run the optimiser.

        Args:
            evaluator: from `evaluator`, with what is loaded so far.

        Raises:
            ImpastoError: the device is asked for by name, and has memory of its own that cannot be shared.
        """
        return self._looping.on_device(evaluator, self._provider, self._threads)

    def kind(self, settings: Settings, scene: Picture, *, from_noise: bool) -> Kind:
        """Return what runs that are evaluated at once have in common.

        Args:
            settings: of one of them.
            scene: its content image, at the size of the result.
            from_noise: whether it starts from noise.

        Raises:
            ImpastoError: the network lacks a tap.
        """
        form = self.form(settings, scene)
        if not self._looping.may_be_on_device(settings.optimizer, self._provider):
            return Kind(form)
        return Kind(form, lbfgs_settings(settings, (3, form.height, form.width), 0.0, from_noise=from_noise))

    def memory(self, form: Form, settings: Settings, painting: Painting) -> MemoryEstimate:
        """Return what a run takes at its peak.

        Args:
            form: of the run.
            settings: of the run.
            painting: the style image, at the size that it is to have, or what was saved of it.

        Raises:
            ImpastoError: an image is too small.
        """
        return self._memory(self._source, form, settings, painting)

    def free_memory(self) -> int | None:
        """Return the bytes that are free where the provider computes; None where that, or what it takes, is unknown."""
        if self._provider.device == "cpu":
            return memory.available()
        return self._provider.free_memory()

    def check_memory(self, form: Form, settings: Settings, painting: Painting) -> None:
        """Refuse a run that does not fit into what is free.

        Args:
            form: of the run.
            settings: of the run.
            painting: as for `memory`.

        Raises:
            ImpastoError: it does not fit; or an image is too small.
        """
        kept = self._kept is not None and self._kept[0] == form
        if kept and self._fits_beside(form, settings, painting, optimiser=not self._in_host_memory(settings)):
            return
        self._release()  # it may fit without what an earlier run left; the next session would do that anyway
        free = self.free_memory() if self._checks_memory else None
        if free is not None:
            needed = self._memory(self._source, form, settings, painting)
            narrower = partial(self._narrower, form, settings, painting)
            kind = "memory" if self._provider.device == "cpu" else "GPU memory"
            memory.check(needed, _demand(form, settings), free, narrower, kind=kind)

    def has_room(self, form: Form, settings: Settings, painting: Painting, *, shared: bool) -> bool:
        """Return whether a run fits beside others in an evaluation that is going on.

        Args:
            form: of the run by itself.
            settings: of the run.
            painting: as for `memory`.
            shared: whether its optimiser is there as well, in a loop of several.

        Raises:
            ImpastoError: an image is too small.
        """
        own = not shared and self._provider.device == "cpu"
        return self._fits_beside(form, settings, painting, optimiser=own)

    def places_that_fit(self, form: Form, settings: Settings, painting: Painting, most: int) -> int:
        """Return how many runs of a form fit into an evaluation, at least 1 and at most as many as given.

        Args:
            form: of one run.
            settings: of one of them, as is the style image.
            painting: as for `memory`.
            most: how many there are to be.

        Raises:
            ImpastoError: an image is too small.
        """
        free = self.free_memory() if self._checks_memory and most > 1 else None
        for places in range(most, 1, -1):
            several = dataclasses.replace(form, batch=places)
            if free is None or self._memory(self._source, several, settings, painting).total <= free:
                return places
        return 1

    def _narrower(self, form: Form, settings: Settings, painting: Painting) -> tuple[str, MemoryEstimate] | None:
        """Return float16 and what a run takes in it, if that is narrower than what the provider runs in."""
        if not self._provider.typed or self._provider.precision in ("fp16", "bf16"):
            return None
        source = SessionSource(self._network, dataclasses.replace(self._provider, precision="fp16"), self._threads)
        return "fp16", self._memory(source, form, settings, painting)

    def _memory(self, source: SessionSource, form: Form, settings: Settings, painting: Painting) -> MemoryEstimate:
        needed = memory.estimate(source.memory(OBJECTIVE, form), _demand(form, settings), self._overhead)
        if self._in_host_memory(settings):
            needed = dataclasses.replace(needed, optimiser=0)
        if isinstance(painting, SavedStyle) or painting.height * painting.width <= form.height * form.width:
            return needed  # targets have no way back: they take less than an objective of the size
        return self._with_style(source, needed, form, painting)

    def _with_style(
        self, source: SessionSource, needed: MemoryEstimate, form: Form, painting: Painting
    ) -> MemoryEstimate:
        if isinstance(painting, SavedStyle) or not form.style_taps:
            return needed
        style = Form((), form.style_taps, painting.height, painting.width, form.pool, form.seamless)
        return memory.with_style(needed, source.memory(TARGETS, style), self._overhead)

    def _fits_beside(self, form: Form, settings: Settings, painting: Painting, *, optimiser: bool) -> bool:
        """Return whether a run's targets of a style, and its optimiser, fit beside its session."""
        free = self.free_memory() if self._checks_memory else None
        if free is None:
            return True
        needed = MemoryEstimate(0, 0, 0, 0, optimiser=_demand(form, settings).optimiser_bytes if optimiser else 0)
        return self._with_style(self._source, needed, form, painting).total <= free

    def _in_host_memory(self, settings: Settings) -> bool:
        """Return whether a run's optimiser is elsewhere than its evaluations."""
        return self._provider.device != "cpu" and not self._looping.may_be_on_device(settings.optimizer, self._provider)

    @property
    def _overhead(self) -> Overhead:
        return memory.ON_CPU if self._provider.device == "cpu" else memory.ON_GPU

    def evaluator(self, form: Form) -> Evaluator:
        """Return loss and gradient of as many images as the form's batch has; its samples are empty.

        It is valid until the next one, or the next objective, is asked for.

        Raises:
            ImpastoError: the image is too small, or the session does not run on the provider.
        """
        opened = self._compile(form)
        return Evaluator(opened.session, opened.terms, scaled=self._provider.precision == "fp16")

    def load(self, evaluator: Evaluator, sample: int, settings: Settings, scene: Picture, painting: Painting) -> str:
        """Compute a run's targets and give them to a sample, with the run's weights; return those in the paper's terms.

        Args:
            evaluator: of the run's form, but for the batch.
            sample: of it.
            settings: as for `objective`, as are the next two.
            scene: the content image.
            painting: the style image.

        Raises:
            ImpastoError: an image is too small for the network.
        """
        form = self.form(settings, scene)
        prepare_style = self._prepare_style(form, painting)
        targets = {**self._prepare_content(form, scene)(), **prepare_style()()}
        return self._load(evaluator, sample, settings, targets)

    def style_memory(self, settings: Settings, painting: Picture) -> MemoryEstimate:
        """Return what `saved_style` takes at its peak.

        Args:
            settings: as for `saved_style`.
            painting: likewise.

        Raises:
            ImpastoError: the network lacks a tap, or the image is too small for it.
        """
        return self._style_memory(self._style_form(settings, painting))

    def saved_style(self, settings: Settings, painting: Picture, image_sha256: str | None) -> SavedStyle:
        """Return the targets of a style image, for runs with these taps and pooling.

        Args:
            settings: of these, style taps, pooling and seamlessness.
            painting: at the size that it is to have.
            image_sha256: of its file; None where it is none.

        Raises:
            ImpastoError: the network lacks a tap, the image is too small for it, or it does not fit into memory.
        """
        form = self._style_form(settings, painting)
        self._check_style_memory(form)
        grams = self._prepare_style(form, painting)()()
        origin = StyleOrigin(
            model=self._network.name,
            model_sha256=self._network.sha256,
            taps=form.style_taps,
            pool=form.pool,
            seamless=form.seamless,
            precision=self._provider.precision,
            height=painting.height,
            width=painting.width,
            image=painting.name,
            image_sha256=image_sha256,
        )
        return SavedStyle(grams, origin, painting.name)

    def close(self) -> None:
        """Give the session's memory back, and wait for what is being kept for the next run."""
        self._release()
        self._source.finish()

    def _style_form(self, settings: Settings, painting: Picture) -> Form:
        return dataclasses.replace(self.form(dataclasses.replace(settings, content_weight=0.0), painting), tv=False)

    def _style_memory(self, form: Form) -> MemoryEstimate:
        return memory.estimate(self._source.memory(TARGETS, form), Demand(form.height, form.width, 0, optimizer=""))

    def _check_style_memory(self, form: Form) -> None:
        if self._checks_memory and self._provider.device == "cpu":
            memory.check(self._style_memory(form), Demand(form.height, form.width, 0, optimizer=""), memory.available())

    def _prepare_content(self, form: Form, scene: Picture) -> Callable[[], Targets]:
        return self._targets.prepare(scene, form.content_taps, (), pool=form.pool, seamless=form.seamless)

    def _prepare_style(self, form: Form, painting: Painting) -> Callable[[], Callable[[], Targets]]:
        """Return what compiles, and then what computes, the targets of a style; a saved one is checked at once."""
        if isinstance(painting, SavedStyle):
            found = painting.targets(
                form.style_taps,
                model_sha256=self._network.sha256,
                precisions=self.precisions,
                pool=form.pool,
                seamless=form.seamless,
            )
            return lambda: lambda: found
        return partial(self._targets.prepare, painting, (), form.style_taps, pool=form.pool, seamless=form.seamless)

    def _load(self, evaluator: Evaluator, sample: int, settings: Settings, targets: Mapping[str, np.ndarray]) -> str:
        """Give a sample its targets and weights; return the weights in the paper's own terms."""
        self._source.keep()
        terms = evaluator.terms
        powers = {term.name: target_power(term, targets[term.target][0]) for term in terms if term.target is not None}
        factors = coefficients(
            terms,
            settings.weighting,
            content_weight=settings.content_weight or 0.0,
            style_weight=settings.style_weight or 0.0,
            tv_weight=settings.tv_weight or 0.0,
            layer_weights=self._layer_weights(settings),
            powers=powers,
        )
        evaluator.load(sample, targets, factors)
        return conversion(terms, factors)

    def _release(self) -> None:
        if self._kept is not None:
            self._kept[1].session.close()
        self._kept = None

    def _layer_weights(self, settings: Settings) -> dict[str, float | None]:
        """Return the layer weights by term name."""
        kinds = (("content", settings.active_content_taps), ("style", settings.active_style_taps))
        return {f"{kind}_{self._network.find_tap(tap.name)}": tap.weight for kind, taps in kinds for tap in taps}

    def _compile(self, form: Form) -> Opened:
        """Return the session of that form, the kept one if it is."""
        if self._kept is None or self._kept[0] != form:
            self._release()
            self._kept = form, self._source.open(OBJECTIVE, form)
        return self._kept[1]


def _demand(form: Form, settings: Settings) -> Demand:
    return Demand(form.height, form.width, settings.history, settings.optimizer, form.batch)

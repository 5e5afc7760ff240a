"""Check that runs fit into the free memory."""

import dataclasses
from functools import partial

from impasto.engine.compile import memory
from impasto.engine.compile.graph_spec import GraphSpec
from impasto.engine.compile.memory import Demand, MemoryEstimate
from impasto.engine.compile.sessions import OBJECTIVE, TARGETS, SessionSource
from impasto.engine.device.placement import LoopPlacement
from impasto.engine.inputs.saved_style import SavedStyle
from impasto.engine.inputs.sizes import Weighed
from impasto.engine.settings import Settings


class MemoryCheck:
    """Estimates the memory of runs of one network on one provider, and compares it with the free memory.

    The methods describe a run by its spec, its settings and its style image at its final size; a saved style takes no
    memory. `reserved` is the number of bytes that other runs will still allocate. Every method that takes a run raises
    ImpastoError if an image of the run is too small.

    Args:
        source: estimates the memory of graphs.
        placement: where optimisers run.
        enabled: whether runs are refused; False allows every run.
    """

    def __init__(self, source: SessionSource, placement: LoopPlacement, *, enabled: bool) -> None:
        self._source, self._provider = source, source.provider
        self._placement, self._enabled = placement, enabled
        self._overhead = memory.ON_CPU if source.provider.on_host else memory.ON_GPU

    def estimate(self, spec: GraphSpec, settings: Settings, painting: Weighed) -> MemoryEstimate:
        """Return the memory that a run takes at its peak."""
        needed = memory.estimate(self._source.memory(OBJECTIVE, spec), _demand(spec, settings), self._overhead)
        if self._optimiser_is_elsewhere(settings):
            needed = dataclasses.replace(needed, optimiser=0)
        if isinstance(painting, SavedStyle) or painting.height * painting.width <= spec.height * spec.width:
            return needed  # targets have no way back: they take less than an objective of the size
        return self._with_style(needed, spec, painting)

    def free(self) -> int | None:
        """Return the free bytes of the provider's memory; None if they or the needs of a run there are not known."""
        return memory.available() if self._provider.on_host else self._provider.free_memory()

    def check(self, spec: GraphSpec, settings: Settings, painting: Weighed) -> None:
        """Check that a run fits.

        Raises:
            ImpastoError: the run does not fit.
        """
        free = self._known_free()
        if free is not None:
            needed = self.estimate(spec, settings, painting)
            narrower = partial(self._narrower, spec, settings, painting)
            kind = "memory" if self._provider.on_host else "GPU memory"
            memory.check(needed, _demand(spec, settings), free, narrower, kind=kind)

    def fits(self, spec: GraphSpec, settings: Settings, painting: Weighed, reserved: int = 0) -> bool:
        """Return whether a run fits next to the runs that have allocated their memory."""
        free = self._known_free()
        return free is None or self.estimate(spec, settings, painting).total + reserved <= free

    def has_room(
        self, spec: GraphSpec, settings: Settings, painting: Weighed, *, own_optimiser: bool, reserved: int = 0
    ) -> bool:
        """Return whether a run can join an existing session: whether its style's targets and its optimiser fit.

        A run that joins a loop on the device needs no optimiser of its own.
        """
        free = self._known_free()
        if free is None:
            return True
        needed = MemoryEstimate(0, 0, 0, 0, optimiser=self.of_optimiser(spec, settings) if own_optimiser else 0)
        return self._with_style(needed, spec, painting).total + reserved <= free

    def of_optimiser(self, spec: GraphSpec, settings: Settings) -> int:
        """Return the bytes of a run's optimiser; 0 if it is not in the provider's memory."""
        return 0 if self._optimiser_is_elsewhere(settings) else _demand(spec, settings).optimiser_bytes

    def places_that_fit(
        self, spec: GraphSpec, settings: Settings, painting: Weighed, most: int, reserved: int = 0
    ) -> int:
        """Return how many runs of this kind fit into one evaluation, at least 1 and at most `most`."""
        fitting = (
            places
            for places in range(most, 1, -1)
            if self.fits(dataclasses.replace(spec, batch=places), settings, painting, reserved)
        )
        return next(fitting, 1)

    def of_style(self, spec: GraphSpec) -> MemoryEstimate:
        """Return the memory that the targets of a style image take at their peak."""
        return memory.estimate(self._source.memory(TARGETS, spec), _style_demand(spec))

    def check_style(self, spec: GraphSpec) -> None:
        """Check that the targets of a style image fit.

        Raises:
            ImpastoError: the targets do not fit.
        """
        if self._enabled and self._provider.on_host:
            memory.check(self.of_style(spec), _style_demand(spec), memory.available())

    def _known_free(self) -> int | None:
        return self.free() if self._enabled else None

    def _narrower(self, spec: GraphSpec, settings: Settings, painting: Weighed) -> tuple[str, MemoryEstimate] | None:
        """Return float16 and the memory of a run in it, if the provider's precision is wider; otherwise None."""
        if not self._provider.typed or self._provider.precision in ("fp16", "bf16"):
            return None
        provider = dataclasses.replace(self._provider, precision="fp16")
        source = SessionSource(self._source.network, provider, self._source.threads)
        return "fp16", MemoryCheck(source, self._placement, enabled=True).estimate(spec, settings, painting)

    def _with_style(self, needed: MemoryEstimate, spec: GraphSpec, painting: Weighed) -> MemoryEstimate:
        if isinstance(painting, SavedStyle) or not spec.style_taps:
            return needed
        targets = self._source.memory(TARGETS, spec.style_targets(painting.height, painting.width))
        return memory.with_style(needed, targets, self._overhead)

    def _optimiser_is_elsewhere(self, settings: Settings) -> bool:
        """Return whether a run's optimiser and its evaluations are in different memories."""
        on_device = self._placement.may_be_on_device(settings.optimizer, self._provider)
        return not self._provider.on_host and not on_device


def _demand(spec: GraphSpec, settings: Settings) -> Demand:
    averaged = settings.average > 0
    return Demand(spec.height, spec.width, settings.history, settings.optimizer, spec.batch, averaged)


def _style_demand(spec: GraphSpec) -> Demand:
    return Demand(spec.height, spec.width, 0, optimizer="")

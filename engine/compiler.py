"""From a network and settings to an objective that can be called: graphs built, compiled, and fed with targets."""

from concurrent.futures import ThreadPoolExecutor
from functools import partial

from impasto.engine.form import Form
from impasto.engine.images import Picture
from impasto.engine.loss_scaling import LossScale
from impasto.engine.network import Network
from impasto.engine.objective import Objective
from impasto.engine.providers import Provider
from impasto.engine.session_source import OBJECTIVE, Opened, SessionSource
from impasto.engine.settings import Settings
from impasto.engine.target_source import TargetSource
from impasto.export.taps import find_tap
from impasto.export.weightings import coefficients, conversion, target_power


class Compiler:
    """Makes objectives for one network on one provider, and keeps the latest session for runs of the same form."""

    def __init__(self, network: Network, provider: Provider, threads: int) -> None:
        """Take over what stays the same from run to run; nothing is compiled yet."""
        self._taps = network.facts.taps
        self._provider = provider
        self._source = SessionSource(network, provider, threads)
        self._targets = TargetSource(self._source, threads)
        self._kept: tuple[Form, Opened] | None = None

    def objective(self, settings: Settings, scene: Picture, painting: Picture) -> tuple[Objective, str]:
        """Return the objective of a run, and its weights in the paper's own terms.

        The objective is compiled while the targets are computed.

        Args:
            settings: of the run.
            scene: the content image, at the size of the result; its pixels count where there are content terms.
            painting: the style image, at its own size; likewise with style terms.

        Raises:
            ImpastoError: the network lacks a tap, or an image is too small for it.
        """
        form = self._form(settings, scene)
        prepare = partial(self._targets.prepare, pool=form.pool, seamless=form.seamless)
        with ThreadPoolExecutor(1) as background:
            style = background.submit(prepare, painting, (), form.style_taps)
            compiling = background.submit(self._compile, form)
            content = prepare(scene, form.content_taps, ())()
            targets = {**content, **style.result()()}  # neither is changed: both may be on their way to the cache
            compiled = compiling.result()
        self._source.keep()
        powers = {
            term.name: target_power(term, targets[term.target][0]) for term in compiled.terms if term.target is not None
        }
        factors = coefficients(
            compiled.terms,
            settings.weighting,
            content_weight=settings.content_weight or 0.0,
            style_weight=settings.style_weight or 0.0,
            tv_weight=settings.tv_weight or 0.0,
            layer_weights=self._layer_weights(settings),
            powers=powers,
        )
        scale = LossScale() if self._provider.precision == "fp16" else None
        objective = Objective(compiled.session, compiled.terms, targets, factors, scale=scale)
        return objective, conversion(compiled.terms, factors)

    def close(self) -> None:
        """Give the session's memory back, and wait for what is being kept for the next run."""
        self._release()
        self._source.finish()

    def _release(self) -> None:
        if self._kept is not None:
            self._kept[1].session.close()
        self._kept = None

    def _form(self, settings: Settings, scene: Picture) -> Form:
        """Return what the run needs of the graph; terms of weight 0 are left out."""
        return Form(
            content_taps=tuple(find_tap(self._taps, tap.name) for tap in settings.active_content_taps),
            style_taps=tuple(find_tap(self._taps, tap.name) for tap in settings.active_style_taps),
            height=scene.height,
            width=scene.width,
            pool=settings.pool,
            seamless=settings.seamless,
            tv=bool(settings.tv_weight),
        )

    def _layer_weights(self, settings: Settings) -> dict[str, float | None]:
        """Return the layer weights by term name."""
        kinds = (("content", settings.active_content_taps), ("style", settings.active_style_taps))
        return {f"{kind}_{find_tap(self._taps, tap.name)}": tap.weight for kind, taps in kinds for tap in taps}

    def _compile(self, form: Form) -> Opened:
        """Return the session of that form, the kept one if it is."""
        if self._kept is None or self._kept[0] != form:
            self._release()
            self._kept = form, self._source.open(OBJECTIVE, form)
        return self._kept[1]

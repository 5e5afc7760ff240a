"""From a network and settings to an objective that can be called: graphs built, compiled, and fed with targets."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from impasto.engine.graph import Graph
from impasto.engine.images import Picture
from impasto.engine.network import Network
from impasto.engine.objective import Objective
from impasto.engine.preparation import as_vector
from impasto.engine.providers import Provider
from impasto.engine.providers.provider import CPU_ORT_NAME
from impasto.engine.session import Session
from impasto.engine.settings import Settings
from impasto.export.objective import build_objective, build_targets
from impasto.export.serialised import whole, without_weights
from impasto.export.tap_graph import available_taps
from impasto.export.taps import find_tap
from impasto.export.terms import IMAGE, Term
from impasto.export.weightings import coefficients, conversion


@dataclass(frozen=True)
class Form:
    """What decides an objective graph: runs of one form share a session."""

    content_taps: tuple[str, ...]
    style_taps: tuple[str, ...]
    tv: bool
    height: int
    width: int
    pool: str


@dataclass(frozen=True)
class _Compiled:
    form: Form
    session: Session
    terms: tuple[Term, ...]


class Compiler:
    """Makes objectives for one network on one provider, and keeps the latest session for runs of the same form."""

    def __init__(self, network: Network, provider: Provider, threads: int) -> None:
        """Take over what stays the same from run to run; nothing is compiled yet."""
        self._network = network
        self._provider = provider
        self._threads = threads
        self._kept: _Compiled | None = None

    def objective(self, settings: Settings, scene: Picture, painting: Picture) -> tuple[Objective, str]:
        """Return the objective of a run, and its weights in the paper's own terms.

        The objective is compiled while the targets are computed.

        Args:
            settings: of the run.
            scene: the content image, at the size of the result.
            painting: the style image, at its own size.

        Raises:
            ImpastoError: the network lacks a tap, or an image is too small for it.
        """
        form = self._form(settings, scene)
        with ThreadPoolExecutor(1) as background:
            compiling = background.submit(self._compile, form)
            targets = self._targets(form.content_taps, (), scene, form.pool)
            targets |= self._targets((), form.style_taps, painting, form.pool)
            compiled = compiling.result()
        factors = coefficients(
            compiled.terms,
            settings.weighting,
            content_weight=settings.content_weight or 0.0,
            style_weight=settings.style_weight or 0.0,
            tv_weight=settings.tv_weight or 0.0,
            layer_weights=self._layer_weights(settings),
        )
        objective = Objective(compiled.session, compiled.terms, targets, factors)
        return objective, conversion(compiled.terms, factors)

    def close(self) -> None:
        """Give the session's memory back."""
        if self._kept is not None:
            self._kept.session.close()
        self._kept = None

    def _form(self, settings: Settings, scene: Picture) -> Form:
        """Return what the run needs of the graph; terms of weight 0 are left out."""
        available = available_taps(self._network.model)
        return Form(
            content_taps=tuple(find_tap(available, tap.name) for tap in settings.active_content_taps),
            style_taps=tuple(find_tap(available, tap.name) for tap in settings.active_style_taps),
            tv=bool(settings.tv_weight),
            height=scene.height,
            width=scene.width,
            pool=settings.pool,
        )

    def _layer_weights(self, settings: Settings) -> dict[str, float | None]:
        """Return the layer weights by term name."""
        available = available_taps(self._network.model)
        kinds = (("content", settings.active_content_taps), ("style", settings.active_style_taps))
        return {f"{kind}_{find_tap(available, tap.name)}": tap.weight for kind, taps in kinds for tap in taps}

    def _compile(self, form: Form) -> _Compiled:
        """Return the session of that form, the kept one if it is."""
        if self._kept is None or self._kept.form != form:
            self.close()
            graph = build_objective(
                self._network.model,
                content_taps=form.content_taps,
                style_taps=form.style_taps,
                tv=form.tv,
                height=form.height,
                width=form.width,
                pool=form.pool,
            )
            self._kept = _Compiled(form, Session(self._graph(graph.model), self._provider, self._threads), graph.terms)
        return self._kept

    def _targets(
        self, content_taps: tuple[str, ...], style_taps: tuple[str, ...], picture: Picture, pool: str
    ) -> dict[str, np.ndarray]:
        """Compute the features and Gram matrices of one picture, by the names of the objective's inputs."""
        if not content_taps and not style_taps:
            return {}
        model = build_targets(
            self._network.model,
            content_taps=content_taps,
            style_taps=style_taps,
            height=picture.height,
            width=picture.width,
            pool=pool,
        )
        with Session(self._graph(model), self._provider, self._threads) as session:
            session.set(IMAGE, as_vector(picture.pixels).reshape(session.inputs[IMAGE].shape))
            return dict(session.run())

    def _graph(self, model: ir.Model) -> Graph:
        """Return a model in the form that sessions are made of; the CPU's take the weights without a copy."""
        if self._provider.ort_name == CPU_ORT_NAME:
            return Graph(*without_weights(model))
        return Graph(whole(model))

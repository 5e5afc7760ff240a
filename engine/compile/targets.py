"""The targets of pictures: from earlier runs, or newly computed and left for the next run."""

import hashlib
import os
from collections.abc import Callable
from functools import partial

import numpy as np

from impasto.engine.cache import targets
from impasto.engine.cache.store import key_of
from impasto.engine.compile.graph_spec import GraphSpec
from impasto.engine.compile.sessions import TARGETS, SessionSource
from impasto.engine.images import Picture
from impasto.engine.inputs.pictures import as_vector
from impasto.engine.runtime.session import Session
from impasto.export.terms import IMAGE

Targets = dict[str, np.ndarray]


class TargetSource:
    """Computes features and Gram matrices, or finds those of the same pixels."""

    def __init__(self, sessions: SessionSource) -> None:
        """Take over what is the same for all pictures."""
        self._sessions = sessions

    def prepare(self, picture: Picture, spec: GraphSpec) -> Callable[[], Targets]:
        """Return what gives the targets of one picture, once, by the names of the objective's inputs.

        Graphs are compiled now, and run when it is called.

        Args:
            picture: at the size that it is to have.
            spec: of the graph, from `GraphSpec.content_targets` or `style_targets`.
        """
        if not spec.content_taps and not spec.style_taps:
            return dict
        key = self._key(spec, picture)
        found = targets.find(key) if key else None
        if found is not None:
            return partial(dict, found)
        return partial(self._compute, self._sessions.open(TARGETS, spec).session, picture, key)

    def _compute(self, opened: Session, picture: Picture, key: str | None) -> Targets:
        """Run a session and close it."""
        with opened as session:
            session.set(IMAGE, as_vector(picture.pixels).reshape(session.inputs[IMAGE].shape))
            found = dict(session.run())
        if key:
            self._sessions.later(partial(targets.put, key, found))
        return found

    def _key(self, spec: GraphSpec, picture: Picture) -> str | None:
        graph = self._sessions.key(TARGETS, spec)
        if graph is None:
            return None
        pixels = hashlib.sha256(np.ascontiguousarray(picture.pixels).data).hexdigest()
        return key_of(graph, pixels, self._sessions.threads or os.cpu_count() or 1)  # which may decide the last bits

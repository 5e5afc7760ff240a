"""The targets of pictures. They come from the cache, or are computed and then kept in the cache."""

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
from impasto.export.square_root import with_roots
from impasto.export.terms import IMAGE, MOMENTS

Targets = dict[str, np.ndarray]


def prepare_targets(source: SessionSource, spec: GraphSpec, picture: Picture) -> Callable[[], Targets]:
    """Return a function that returns the targets of one picture, by the names of the objective's inputs. Call it once.

    If the cache has the targets of the same pixels, it returns those. Otherwise the graph is compiled now, and the
    function runs it. The spec is from `GraphSpec.content_targets` or `style_targets`; the picture has its final size.
    """
    if not spec.content_taps and not spec.style_taps:
        return dict
    key = _key(source, spec, picture)
    found = targets.find(key) if key else None
    if found is not None:
        return partial(dict, found)
    opened, _ = source.open(TARGETS, spec)

    def compute() -> Targets:
        with opened as session:
            session.set(IMAGE, as_vector(picture.pixels).reshape(session.inputs[IMAGE].shape))
            computed = dict(session.run())
        if spec.style_loss == MOMENTS:
            computed = with_roots(computed)
        if key:
            source.later(partial(targets.put, key, computed))
        return computed

    return compute


def _key(source: SessionSource, spec: GraphSpec, picture: Picture) -> str | None:
    graph = source.key(TARGETS, spec)
    if graph is None:
        return None
    pixels = hashlib.sha256(np.ascontiguousarray(picture.pixels).data).hexdigest()
    return key_of(graph, pixels, source.threads or os.cpu_count() or 1)  # which may decide the last bits

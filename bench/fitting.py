"""Whether what is to be measured fits into memory: asked before anything is compiled, refused with what would fit."""

from dataclasses import replace

import numpy as np

from impasto.engine.compile.graph_spec import GraphSpec
from impasto.engine.images import Picture
from impasto.engine.inputs.pictures import Painting, read_pictures
from impasto.engine.jobs.engine import Engine, workshop_of
from impasto.engine.settings import Settings


def checked_spec(engine: Engine, settings: Settings, scene: Picture, painting: Painting, batch: int) -> GraphSpec:
    """Return the graph's spec for so many transfers at once, scene and painting being those of one.

    Raises:
        ImpastoError: they do not fit.
    """
    compiler = workshop_of(engine).compiler
    spec = replace(compiler.spec(settings, scene), batch=batch)
    compiler.check_memory(spec, settings, painting)
    return spec


def check_transfers(engine: Engine, settings: Settings, pictures: tuple[np.ndarray, np.ndarray], batch: int) -> None:
    """Refuse so many transfers at once before their pictures are read, which takes memory of its own.

    One alone the engine checks itself. ``pictures`` are content and style of one, uint8 H x W x 3.

    Raises:
        ImpastoError: they do not fit.
    """
    if batch > 1:
        checked_spec(engine, settings, *read_pictures(*pictures, settings), batch)

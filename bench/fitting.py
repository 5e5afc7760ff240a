"""Whether what is to be measured fits into memory: asked before anything is compiled, refused with what would fit."""

from dataclasses import replace
from typing import TYPE_CHECKING

from impasto.engine.inputs.pictures import read_pictures
from impasto.engine.jobs.engine import workshop_of

if TYPE_CHECKING:
    import numpy as np

    from impasto.engine.compile.graph_spec import GraphSpec
    from impasto.engine.images import Picture
    from impasto.engine.inputs.pictures import Painting
    from impasto.engine.jobs.engine import Engine
    from impasto.engine.settings import Settings


def checked_spec(
    engine: "Engine", settings: "Settings", scene: "Picture", painting: "Painting", batch: int
) -> "GraphSpec":
    """Return the graph's spec for evaluations of so many pictures (scene and painting of one), without an optimiser.

    Raises:
        ImpastoError: they do not fit.
    """
    compiler = workshop_of(engine).compiler
    spec = replace(compiler.spec(settings, scene), batch=batch)
    # No curvature pairs: adam's few vectors are what the pictures and their starts take on the host.
    compiler.check_memory(spec, replace(settings, optimizer="adam"), painting)
    return spec


def check_transfers(
    engine: "Engine", settings: "Settings", pictures: "tuple[np.ndarray, np.ndarray]", batch: int
) -> None:
    """Refuse so many transfers at once before their pictures are read, which takes memory of its own.

    One alone the engine checks itself. ``pictures`` are content and style of one, uint8 H x W x 3.

    Raises:
        ImpastoError: they do not fit.
    """
    if batch > 1:
        scene, painting = read_pictures(*pictures, settings)
        compiler = workshop_of(engine).compiler
        compiler.check_memory(replace(compiler.spec(settings, scene), batch=batch), settings, painting)

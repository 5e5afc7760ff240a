"""Whether what is to be measured fits into memory: asked before anything is compiled, refused with what would fit."""

from dataclasses import replace
from typing import TYPE_CHECKING

from impasto.engine.compile import memory
from impasto.engine.compile.memory import Demand
from impasto.engine.inputs.pictures import read_pictures
from impasto.export.graph_memory import graph_memory

if TYPE_CHECKING:
    import numpy as np
    import onnx_ir as ir

    from impasto.engine.compile.graph_spec import Form
    from impasto.engine.images import Picture
    from impasto.engine.inputs.pictures import Painting
    from impasto.engine.jobs.engine import Engine
    from impasto.engine.settings import Settings


def checked_form(engine: "Engine", settings: "Settings", scene: "Picture", painting: "Painting", batch: int) -> "Form":
    """Return the form of evaluations of so many pictures, without an optimiser.

    Args:
        engine: whose evaluations.
        settings: of all of them.
        scene: the content image of one.
        painting: its style image.
        batch: pictures in one evaluation.

    Raises:
        ImpastoError: they do not fit.
    """
    form = replace(engine.compiler.form(settings, scene), batch=batch)
    # No curvature pairs: adam's few vectors are what the pictures and their starts take on the host.
    engine.compiler.check_memory(form, replace(settings, optimizer="adam"), painting)
    return form


def check_transfers(
    engine: "Engine", settings: "Settings", pictures: "tuple[np.ndarray, np.ndarray]", batch: int
) -> None:
    """Refuse so many transfers at once before their pictures are read, which takes memory of its own.

    Args:
        engine: whose transfers; one alone it checks itself.
        settings: of all of them.
        pictures: content and style of one, uint8 H x W x 3.
        batch: transfers at once.

    Raises:
        ImpastoError: they do not fit.
    """
    if batch > 1:
        scene, painting = read_pictures(*pictures, settings)
        form = replace(engine.compiler.form(settings, scene), batch=batch)
        engine.compiler.check_memory(form, settings, painting)


def check_graph(model: "ir.Model", side_px: int) -> None:
    """Refuse a graph that is opened without an engine on the CPU.

    Args:
        model: with static shapes.
        side_px: of its square image, px.

    Raises:
        ImpastoError: it does not fit.
    """
    demand = Demand(side_px, side_px, 0, optimizer="")
    memory.check(memory.estimate(graph_memory(model), demand), demand, memory.available())

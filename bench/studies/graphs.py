"""The default transfer's graph, opened without an engine."""

from typing import TYPE_CHECKING

import numpy as np

from impasto.engine.compile import memory
from impasto.engine.compile.memory import Demand
from impasto.engine.compile.network import load_network
from impasto.engine.settings import CONTENT_TAPS, STYLE_TAPS
from impasto.export.graph_memory import graph_memory
from impasto.export.objective import build_objective

if TYPE_CHECKING:
    import onnx_ir as ir

    from impasto.engine.runtime.session import Session


def default_objective(model: str, side_px: int) -> "ir.Model":
    """Return the objective of a network's name or file on a square image, not lowered."""
    network = load_network(model).model
    return build_objective(
        network, content_taps=CONTENT_TAPS, style_taps=STYLE_TAPS, height=side_px, width=side_px, pool="avg"
    ).model


def check_graph(model: "ir.Model", side_px: int) -> None:
    """Refuse a graph on the CPU that does not fit into memory.

    Args:
        model: with static shapes.
        side_px: of its square image.

    Raises:
        ImpastoError: it does not fit.
    """
    demand = Demand(side_px, side_px, 0, optimizer="")
    memory.check(memory.estimate(graph_memory(model), demand), demand, memory.available())


def fill(session: "Session") -> None:
    """Set every input to noise, the same for the same inputs."""
    rng = np.random.default_rng(0)
    for name, array in sorted(session.inputs.items()):
        session.set(name, np.asarray(rng.random(array.shape, np.float32)))

"""Estimates of the memory that a run takes, and the refusal of runs that do not fit.

`impasto.export.graph_memory` computes the memory of the activations from the graph. The runtime takes more: it holds
weights several times while it builds a graph, and its arena rounds up. This overhead was measured on the CPU provider
(bench/results/memory-cpu.json). On GPUs it was not measured, so their estimates leave out the kernels' workspaces.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from impasto.engine.runtime.machine import meminfo
from impasto.models.errors import ImpastoError

if TYPE_CHECKING:
    from impasto.export.graph_memory import GraphMemory

_FLOAT32 = 4
_SMALLEST_SIDE_PX = 64
_CGROUPS = (
    ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current"),
    ("/sys/fs/cgroup/memory/memory.limit_in_bytes", "/sys/fs/cgroup/memory/memory.usage_in_bytes"),
)


@dataclass(frozen=True)
class Overhead:
    """The memory that is taken beyond a graph's own bytes.

    Attributes:
        process: bytes of Python, its libraries and the runtime before anything is loaded.
        weights: bytes taken for each byte of the graph's weights.
        activations: bytes taken for each byte of the activations that one evaluation holds at the same time.
    """

    process: int
    weights: float
    activations: float


ON_CPU = Overhead(process=200 << 20, weights=3.2, activations=1.1)
ON_GPU = Overhead(process=0, weights=1.0, activations=1.0)


@dataclass(frozen=True)
class MemoryEstimate:
    """Bytes that a run takes at its peak, part by part.

    Attributes:
        process: Python, libraries and the runtime.
        network: weights, while the graph is built.
        activations: the activations that one evaluation holds at the same time.
        images: inputs and outputs of the graph: images, gradients, targets.
        optimiser: curvature pairs and vectors.
        style: additional bytes for the targets of a style image that is larger than the result.
    """

    process: int
    network: int
    activations: int
    images: int
    optimiser: int
    style: int = 0

    @property
    def total(self) -> int:
        """The sum of all parts."""
        return self.process + self.network + self.activations + self.images + self.optimiser + self.style


@dataclass(frozen=True)
class Demand:
    """The properties of a run that decide its memory, apart from its graph.

    Attributes:
        height: height of the image, px.
        width: width of the image, px.
        history: number of curvature pairs.
        optimizer: as `Settings.optimizer`; "" if only targets are computed.
        batch: images in one evaluation.
        averaged: whether the iterates of adam are averaged.
    """

    height: int
    width: int
    history: int
    optimizer: str = "lbfgs"
    batch: int = 1
    averaged: bool = False

    @property
    def vectors(self) -> int:
        """Number of float32 vectors of the image's size that an optimiser holds, including its start and its result."""
        if self.optimizer in ("", "adam"):
            return 6 + self.averaged if self.optimizer else 1
        return 2 * self.history + 1 + 6 + (3 if self.optimizer == "lbfgs" else 0)

    @property
    def optimiser_bytes(self) -> int:
        """Bytes of the optimisers of all images."""
        return self.batch * self.vectors * 3 * self.height * self.width * _FLOAT32


def estimate(graph: "GraphMemory", demand: Demand, overhead: Overhead = ON_CPU) -> MemoryEstimate:
    """Return an estimate of a run's memory from that of its lowered objective graph and the provider's overhead."""
    return MemoryEstimate(
        process=overhead.process,
        network=round(overhead.weights * graph.weights) + graph.transformed,
        activations=round(overhead.activations * graph.activations),
        images=graph.bound,
        optimiser=demand.optimiser_bytes,
    )


def with_style(needed: MemoryEstimate, targets: "GraphMemory", overhead: Overhead = ON_CPU) -> MemoryEstimate:
    """Add the memory of the graph that computes the style targets, for a style image that is larger than the result."""
    before = round(overhead.activations * targets.activations) + targets.bound
    return replace(needed, style=max(before - needed.activations - needed.images - needed.optimiser, 0))


def available() -> int | None:
    """Return the bytes that this process may still take without swapping; None if the system does not report them."""
    found = [meminfo().get("MemAvailable"), *(_cgroup(Path(limit), Path(used)) for limit, used in _CGROUPS)]
    known = [value for value in found if value is not None]
    return min(known) if known else None


def check(
    needed: MemoryEstimate,
    demand: Demand,
    free: int | None,
    narrower: Callable[[], tuple[str, MemoryEstimate] | None] = lambda: None,
    *,
    kind: str = "memory",
) -> None:
    """Raise ImpastoError if a run needs more memory than is free. The message names sizes that fit.

    Args:
        needed: estimate of the run.
        demand: demand of the run.
        free: free bytes; None if that is not known, which is no reason to refuse.
        narrower: returns another precision and the estimate of the run in it.
        kind: name of the memory, for the message.
    """
    if free is None or needed.total <= free:
        return
    offers = fitting(needed, demand, free)
    other = narrower()
    if other is not None and other[1].total <= free:
        offers.append(f"--precision {other[0]}")
    size = f"{demand.width}x{demand.height} px" + (f", batch {demand.batch}" if demand.batch > 1 else "")
    history = f", history {demand.history}" if demand.optimizer else ""
    raise ImpastoError(
        f"not enough {kind}: this run ({size}{history}) takes about {format_bytes(needed.total)} and "
        f"{format_bytes(free)} are free; {' or '.join(offers) or 'no smaller size'} would fit"
    )


def fitting(needed: MemoryEstimate, demand: Demand, free: int) -> list[str]:
    """Return the options of which each alone makes the run fit."""
    offers = []
    fixed = needed.process + needed.network
    growing = needed.total - fixed
    if needed.style and needed.total - needed.style <= free:
        return ["a smaller --style-size"]
    if demand.batch > 1:
        fits = math.floor((free - fixed) / (growing / demand.batch))
        if fits >= 1:
            offers.append(f"--batch {fits}")
    side = max(demand.height, demand.width)
    smaller = math.floor(side * math.sqrt(max(free - fixed, 0) / growing)) // 16 * 16
    if smaller >= _SMALLEST_SIDE_PX:
        offers.append(f"--size {smaller}")
    pair = demand.batch * 2 * 3 * demand.height * demand.width * _FLOAT32
    history = demand.history - math.ceil((needed.total - free) / pair)
    if demand.optimizer not in ("", "adam") and needed.optimiser and history >= 1:
        offers.append(f"--history {history}")
    return offers


def format_bytes(size: int) -> str:
    """Write a number of bytes as GiB or MiB."""
    return f"{size / 2**30:.1f} GiB" if size >= 2**30 else f"{size / 2**20:.0f} MiB"


def format_need(needed: int, free: int | None, what: str = "") -> str:
    """Write how many bytes are needed, what for, as ", for 64x48 px", and how many are free; None is not known."""
    return f"about {format_bytes(needed)} at most{what}" + ("" if free is None else f"; {format_bytes(free)} are free")


def _cgroup(limit: Path, used: Path) -> int | None:
    """Return what a container may still take; what it keeps of files can be given up, and is not known apart."""
    try:
        most = limit.read_text(encoding="ascii").strip()
        values = dict(line.split() for line in (limit.parent / "memory.stat").read_text(encoding="ascii").splitlines())
        files = int(values.get("inactive_file", 0)) + int(values.get("active_file", 0))
        return max(int(most) - int(used.read_text(encoding="ascii")) + files, 0)
    except (OSError, ValueError):
        return None  # no such file, or "max"

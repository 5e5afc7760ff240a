"""What is measured: a network on a provider, with an objective, on two square pictures."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from impasto.bench import pictures
from impasto.engine.settings import SEAMLESS_STEP_PX, Settings
from impasto.export.taps import SMALLEST_SIDE_PX
from impasto.models.errors import ImpastoError

if TYPE_CHECKING:
    from impasto.engine.jobs.engine import Engine
    from impasto.engine.result import Result
    from impasto.engine.runtime.providers import Provider

GPU_PROVIDERS = ("cuda", "tensorrt")
SIZES_PX = (256, 512)
LARGEST_PX = 4096
LARGEST_BATCH = 64


@dataclass(frozen=True)
class Subject:
    """What is measured.

    Attributes:
        model, provider, precision, threads, build_engines, loop: as `Engine` takes them.
        batch: pictures in one evaluation.
        sizes: sides of the square pictures, px.
        content: a file; None is the drawn scene.
        style: a file; None is drawn noise.
        settings: of the objective and the optimiser; their size stays 0, because the pictures have theirs.

    Raises:
        ImpastoError: a size, the batch or the loop is out of range, a size is given twice, or a picture cannot be read.
    """

    model: str = "auto"
    provider: "str | Provider" = "auto"
    precision: str = "auto"
    threads: int = 0
    build_engines: bool = False
    loop: str = "auto"
    batch: int = 1
    sizes: tuple[int, ...] = SIZES_PX
    content: Path | None = None
    style: Path | None = None
    settings: Settings = field(default_factory=lambda: Settings(size=0))

    def __post_init__(self) -> None:
        if not 1 <= self.batch <= LARGEST_BATCH:
            raise ImpastoError(f"bad --batch {self.batch}: allowed are 1 to {LARGEST_BATCH} pictures in one evaluation")
        for size in self.sizes:
            if not SMALLEST_SIDE_PX <= size <= LARGEST_PX:
                raise ImpastoError(f"bad --size {size}: allowed are {SMALLEST_SIDE_PX} to {LARGEST_PX} px")
            if self.sizes.count(size) > 1:
                raise ImpastoError(f"--size {size} is given twice: give each size once")
            if self.settings.seamless and size % SEAMLESS_STEP_PX:
                raise ImpastoError(f"bad --size {size} with --seamless: allowed are multiples of {SEAMLESS_STEP_PX} px")
        if self.loop != "auto":
            from impasto.engine.device.placement import LoopPlacement  # loads the runtime, which --help does without

            LoopPlacement(self.loop)
        for path in (self.content, self.style):
            if path is not None:
                pictures.square(path, SMALLEST_SIDE_PX)

    def open(self, report_every: int | None = None) -> "Engine":
        """Return an engine, which the caller closes.

        Args:
            report_every: as `Engine` takes it.
        """
        from impasto.engine.jobs.engine import Engine

        return Engine(
            self.model,
            provider=self.provider,
            precision=self.precision,
            threads=self.threads,
            build_engines=self.build_engines,
            loop=self.loop,
            report_every=report_every,
        )

    def pictures(self, side_px: int) -> tuple[np.ndarray, np.ndarray]:
        """Return content and style at side x side px, uint8 H x W x 3."""
        content = pictures.square(self.content, side_px) if self.content else pictures.drawn_content(side_px)
        style = pictures.square(self.style, side_px) if self.style else pictures.drawn_style(side_px)
        return content, style

    def pairs(self, side_px: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Return content and style for each place of the batch: the same pictures, rolled sideways to other ones.

        They are drawn or read now, and rolled one by one.
        """
        content, style = self.pictures(side_px)
        steps = (number * side_px // self.batch for number in range(self.batch))
        return ((np.roll(content, step, axis=1), np.roll(style, step, axis=1)) for step in steps)

    def label(self) -> str:
        """Say provider and precision."""
        return f"{self._provider_name()} {self.precision}"

    def as_dict(self) -> dict[str, Any]:
        """Return what was asked for as plain values for JSON."""
        return {
            "model": self.model,
            "provider": self._provider_name(),
            "precision": self.precision,
            "threads": self.threads,
            "loop": self.loop,
            "batch": self.batch,
            "sizes_px": list(self.sizes),
            "content": self.content.name if self.content else pictures.DRAWN,
            "style": self.style.name if self.style else pictures.DRAWN,
            "settings": self.settings.as_dict(),
        }

    def _provider_name(self) -> str:
        return self.provider if isinstance(self.provider, str) else self.provider.name


def engine_name(engine: "Engine", batch: int = 1) -> str:
    """Return what a series of an engine is called: `impasto cpu fp32`, or `impasto cuda fp16 batch 4`."""
    captured = " captured" if engine.provider.options.get("enable_cuda_graph") == "1" else ""
    name = f"impasto {engine.provider.name} {engine.provider.precision}{captured}"
    return f"{name} batch {batch}" if batch > 1 else name


def engine_facts(engine: "Engine", batch: int = 1) -> dict[str, Any]:
    """Return what ran: network, provider, precision, pictures in one evaluation."""
    return {
        "batch": batch,
        "provider": engine.provider.name,
        "precision": engine.provider.precision,
        "network": engine.network.name,
        "network_sha256": engine.network.sha256,
    }


def loop_facts(subject: Subject, result: "Result") -> dict[str, Any]:
    """Return where the optimiser was asked to run, and where a run of it did."""
    return {"loop_asked": subject.loop, "loop": result.loop}

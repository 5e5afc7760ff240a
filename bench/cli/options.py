"""The options that all benchmarks take, and what they come to."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from impasto.bench.sampling import Effort
from impasto.bench.subject import LARGEST_PX, SIZES_PX, Subject
from impasto.engine.cli.declare import LOOK, MAIN, OPTIMISER, OUTPUT, Command, option, takes
from impasto.engine.cli.options import Options
from impasto.export.taps import SMALLEST_SIDE_PX


@dataclass(frozen=True)
class Common:
    """What the shared options come to.

    Attributes:
        subject: what is measured.
        effort: how much.
        json: the file; None is none.
        quiet: no progress.
    """

    subject: Subject
    effort: Effort
    json: Path | None
    quiet: bool


@dataclass(frozen=True)
class BenchOptions(Options):
    """The options of `impasto transfer` that benchmarks have, and their own."""

    content: Path | None = option(None, "The content image, made square. (default: a drawn one)")
    style: Path | None = option(None, "The style image, made square. (default: a drawn one)")
    sizes: list[int] | None = option(
        None,
        f"Side of the square pictures, {SMALLEST_SIDE_PX} to {LARGEST_PX} px, repeatable. "
        f"(default: {' '.join(map(str, SIZES_PX))})",
        MAIN,
        "--size",
    )
    batch: int = option(1, "Pictures in one evaluation.")
    init: str = option("content", "Start from content, noise or style.", OPTIMISER)
    duration: float = option(Effort.duration_s, "Seconds for each thing that is measured.")
    warm_up: int = option(Effort.warm_up, "Evaluations before anything counts.")
    json: Path | None = option(None, "Write conditions and every sample here: .json", OUTPUT)

    def common(self, least: int = Effort.least) -> Common:
        """Return what the options come to, with so many samples at least.

        Raises:
            ImpastoError: a value is out of range, a picture cannot be read, or the file cannot be written.
        """
        from impasto.bench import record

        names = ("model", "provider", "precision", "threads", "build_engines", "loop", "batch", "content", "style")
        given = {name: getattr(self, name) for name in names}
        subject = Subject(**given, sizes=tuple(self.sizes or SIZES_PX), settings=self.settings(size=0))
        if self.json is not None:
            record.check_place(self.json)
        return Common(subject, Effort(self.duration, self.warm_up, least), self.json, self.quiet)


SHARED = (
    "content", "style", "model", "sizes", "batch", "duration", "warm_up",
    "content_weight", LOOK, "init", "optimizer", "history",
    "json", "quiet",
    "provider", "precision", "threads", "loop", "build_engines",
)  # fmt: skip


def takes_shared(*without: str) -> Callable[[Command], Command]:
    """Return a decorator that gives a command the shared options but for some."""
    return takes(*(name for name in SHARED if name not in without))

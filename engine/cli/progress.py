"""What a person sees while a run goes on: a bar with the loss terms, the speed and the time left."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import TracebackType
from typing import Self

from rich import progress
from rich.console import Console

from impasto.engine.events import Event, Iteration, Started


class Progress:
    """A progress bar on stderr; nothing where stderr is not a terminal, or when it is told to be quiet."""

    def __init__(self, iterations: int, *, hidden: bool) -> None:
        """Make a bar of so many iterations."""
        console = Console(stderr=True)
        self._bar = progress.Progress(
            progress.TextColumn("{task.completed}/{task.total}"),
            progress.BarColumn(bar_width=24),
            progress.TextColumn("{task.fields[loss]}"),
            progress.TextColumn("{task.fields[rate]}"),
            progress.TimeRemainingColumn(compact=True),
            console=console,
            disable=hidden or not console.is_terminal,
            transient=True,
        )
        self._task = self._bar.add_task("", total=iterations, loss="preparing", rate="")
        self._setup_s = 0.0
        self._evaluations = self._before = 0

    def show(self, event: Event) -> None:
        """Take over one event."""
        if isinstance(event, Started):
            self._setup_s, self._before = event.setup_s, self._evaluations  # a refinement begins anew
            self._bar.update(self._task, loss="first evaluation")
        elif isinstance(event, Iteration):
            self._evaluations = event.evaluations
            rate = (event.evaluations - self._before) / max(event.seconds - self._setup_s, 1e-9)
            self._bar.update(
                self._task,
                completed=event.iteration,
                loss=f"loss {event.loss:.4g} ({grouped(event.terms)})",
                rate=f"{rate:.2f} evaluations/s",
            )

    @contextmanager
    def aside(self) -> Iterator[None]:
        """Take the bar off the terminal while something else is written there, and put it back below that."""
        if self._bar.disable:
            yield
            return
        self._bar.stop()
        try:
            yield
        finally:
            self._bar.start()

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()


def grouped(terms: Mapping[str, float]) -> str:
    """Say the terms by kind: ``content 1.2e+05, style 3.4e+06``."""
    kinds: dict[str, float] = {}
    for name, value in terms.items():
        kind = name.partition("_")[0]
        kinds[kind] = kinds.get(kind, 0.0) + value
    return ", ".join(f"{kind} {value:.3g}" for kind, value in kinds.items())

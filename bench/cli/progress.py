"""What a person sees while a benchmark runs: the stage and how far it is."""

from collections.abc import Sequence

from rich.progress import TaskProgressColumn, TimeElapsedColumn

from impasto.bench.sampling import Watch
from impasto.engine.cli.progress import Bars


class Progress(Bars, Watch):
    """A watch with a bar on stderr, or a line per stage where stderr is no terminal."""

    def __init__(self, interrupted: Sequence[int], *, quiet: bool) -> None:
        """Show nothing where ``quiet``; ``interrupted`` is no longer empty after a Ctrl-C."""
        super().__init__("{task.description}", TaskProgressColumn(), TimeElapsedColumn(), hidden=quiet)
        self._interrupted, self._quiet = interrupted, quiet
        self._task = self.add_task("")

    def stage(self, text: str, total: float) -> None:
        """Begin a stage."""
        self.reset(self._task, total=total, description=text)
        if self.disable and not self._quiet:
            self.console.print(text, markup=False, highlight=False, soft_wrap=True)

    def done(self, amount: float) -> None:
        """Move the bar."""
        self.update(self._task, completed=amount)

    def stopped(self) -> bool:
        """Return whether there was a Ctrl-C."""
        return bool(self._interrupted)

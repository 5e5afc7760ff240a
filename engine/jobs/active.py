"""A job under way."""

from dataclasses import dataclass, field

from impasto.engine.inputs.prepared import Prepared
from impasto.engine.jobs.handle import Handle
from impasto.engine.jobs.run import Run
from impasto.engine.runtime.evaluator import Contents
from impasto.engine.runtime.providers import Provider


@dataclass(eq=False)
class Active:
    """A job under way.

    Attributes:
        handle: whom to tell.
        prepared: its images.
        run: its minimisation.
        provider: that it is evaluated on.
        turns: when its next evaluation is due: 1 / weight after its latest one. Who has least is next.
        sample: of its group's evaluator that holds its targets; None where none does at the moment.
        contents: its targets while no sample holds them.
    """

    handle: Handle
    prepared: Prepared
    run: Run
    provider: Provider
    turns: float
    sample: int | None = None
    contents: Contents | None = field(default=None, repr=False)

    @property
    def weight(self) -> float:
        """The job's share of the evaluations, relative to one of priority 0."""
        return 2.0**self.handle.job.priority

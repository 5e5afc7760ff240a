"""A running job."""

from dataclasses import dataclass, field

from impasto.engine.compile.graph_spec import GraphSpec
from impasto.engine.inputs.prepared import Prepared
from impasto.engine.jobs.handle import Handle
from impasto.engine.jobs.run import Run
from impasto.engine.runtime.evaluator import Contents
from impasto.engine.runtime.providers import Provider


@dataclass(eq=False)
class Active:
    """A running job.

    Attributes:
        handle: receives the job's events and its end.
        prepared: the job's images at its present scale.
        run: the job's minimisation at its present scale.
        provider: evaluates the job.
        largest: specification of the job's graph at its last scale.
        turns: virtual time of the next evaluation. Each evaluation adds 1 / weight. The job with the lowest value is
            evaluated next.
        sample: index of the sample of the group's evaluator that holds the job's targets; None while no sample does.
        contents: the job's targets while no sample holds them.
    """

    handle: Handle
    prepared: Prepared
    run: Run
    provider: Provider
    largest: GraphSpec
    turns: float
    sample: int | None = None
    contents: Contents | None = field(default=None, repr=False)

    @property
    def weight(self) -> float:
        """The job's share of the evaluations, relative to one of priority 0."""
        return 2.0**self.handle.priority

"""Batches beside single runs."""

from collections.abc import Sequence

import pytest

from impasto.engine import Engine, Job


def assert_batches_match_single_runs(engine: Engine, jobs: Sequence[Job]) -> None:
    """Check that jobs that run two in an evaluation, where they can, end at the losses of runs of their own."""
    together = {item.index: item.result for item in engine.transfer_many(jobs, batch=2)}
    for index, job in enumerate(jobs):
        alone, found = engine.transfer(job.content, job.style, job.settings), together[index]
        assert found is not None
        assert found.loss == pytest.approx(alone.loss, rel=1e-4)

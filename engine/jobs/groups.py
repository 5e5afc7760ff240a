"""The groups of running jobs, and the room for more."""

import dataclasses
from collections.abc import Iterator, Sequence

from impasto.engine.compile.graph_spec import BatchKey
from impasto.engine.compile.targets import Targets
from impasto.engine.inputs.prepared import Prepared
from impasto.engine.jobs.group import Group
from impasto.engine.jobs.queue import Queued
from impasto.engine.jobs.workshop import Workshop
from impasto.models.errors import ImpastoError


class Groups:
    """Opens and closes groups, and finds the one that a job can join, within the concurrency and the memory."""

    def __init__(self, workshop: Workshop, concurrency: int) -> None:
        """Begin without groups.

        Args:
            workshop: makes evaluators.
            concurrency: maximum number of single jobs and batches that run at the same time.
        """
        self._workshop, self._concurrency = workshop, concurrency
        self._groups: list[Group] = []

    def __iter__(self) -> Iterator[Group]:
        return iter(self._groups)

    @property
    def are_full(self) -> bool:
        """Whether as many single jobs and batches run as may run at the same time."""
        units = (len(group.members) if group.takes_turns else bool(group.members) for group in self._groups)
        return sum(units) >= self._concurrency

    @property
    def are_empty(self) -> bool:
        """Whether no job is running."""
        return not any(group.members for group in self._groups)

    @property
    def admit_nobody(self) -> bool:
        """Whether no job at all can begin."""
        return self.are_full and not any(group.is_open for group in self._groups)

    def have_room_for_another(self, item: Queued, key: BatchKey) -> bool:
        """Return whether a job can have a group of its own.

        Raises:
            ImpastoError: an image is too small.
        """
        if self.are_full:
            return False
        memory = self._workshop.compiler.memory
        return self.are_empty or memory.fits(key.spec, item.settings, item.weighed, self._pending_bytes())

    def place_for(self, item: Queued, key: BatchKey) -> Group | None:
        """Return a group that a job can join; None if there is none. A full group may grow to make a place."""
        full = self.are_full
        for group in self._groups:
            if (group.key, group.asked_most) != (key, item.most) or (full and not group.is_open):
                continue
            if (group.has_place or self._try_to_grow(group, item)) and self._has_room(group, item):
                return group
        return None

    def _has_room(self, group: Group, item: Queued) -> bool:
        """Return whether a job's memory fits next to the running jobs.

        The jobs that a group was opened for need no check: their memory was checked together.
        """
        return item.handle in group.weighed or self._workshop.compiler.memory.has_room(
            group.key.spec,
            item.settings,
            item.weighed,
            own_optimiser=group.loop is None,
            reserved=self._pending_bytes(),
        )

    def _try_to_grow(self, group: Group, item: Queued) -> bool:
        """Grow a full group if that is worth the compilation and fits into memory. Return whether it has a place."""
        if group.takes_turns or not group.may_grow:
            return False
        larger = dataclasses.replace(group.key.spec, batch=group.next_size)
        if self._workshop.compiler.memory.fits(larger, item.settings, item.weighed, self._pending_bytes()):
            group.grow()
        return group.has_place

    def _pending_bytes(self) -> int:
        """Return the bytes that groups will allocate at their first evaluation, which is still to come."""
        memory = self._workshop.compiler.memory
        promised = 0
        for group in self._groups:
            runs = [] if group.evaluated else [member.prepared for member in group.members]
            promised += sum(memory.estimate(group.spec, run.settings, run.painting).total for run in runs[:1])
            if group.takes_turns:  # otherwise the estimate of the first member covers all samples
                promised += sum(memory.of_optimiser(group.spec, run.settings) for run in runs[1:])
        return promised

    def open(self, together: Sequence[Queued], key: BatchKey, prepared: Prepared) -> tuple[Group, Targets]:
        """Open a group for a job and for the queued jobs that can join it at once.

        Args:
            together: the job, and the others.
            key: of all of them.
            prepared: the images of the first job.

        Returns:
            The group, and the targets of the first job.

        Raises:
            ImpastoError: the evaluator, the first job's targets or a demanded loop on the device cannot be made.
        """
        compiler, item = self._workshop.compiler, together[0]
        wanted = places = len(together)
        if not (self.are_empty and item.batch_is_given):
            fit, promised = compiler.memory.places_that_fit, self._pending_bytes()
            places = min(fit(key.spec, one.settings, one.weighed, wanted, promised) for one in together)
        spec = dataclasses.replace(key.spec, batch=places)
        evaluator, targets = compiler.open_with_targets(spec, prepared.settings, prepared.scene, prepared.painting)
        try:
            group = Group(compiler, key, evaluator, places=places, asked_most=item.most)
        except ImpastoError:
            compiler.put_back(spec, evaluator)
            raise
        if places < wanted:
            group.most = places  # memory has no room for more
        group.weighed = {one.handle for one in together}
        self._groups.append(group)
        return group, targets

    def close_empty(self) -> None:
        """Close the groups that have no members."""
        for group in [group for group in self._groups if not group.members]:
            self._groups.remove(group)
            group.close()

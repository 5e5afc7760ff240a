"""The groups of running jobs, and the room for more."""

import dataclasses
from collections.abc import Iterator, Sequence

from impasto.engine.compile.graph_spec import BatchKey, GraphSpec
from impasto.engine.compile.targets import Targets
from impasto.engine.inputs.prepared import Prepared
from impasto.engine.inputs.scaling import Whole
from impasto.engine.inputs.sizes import outline_of
from impasto.engine.jobs.active import Active
from impasto.engine.jobs.group import Group
from impasto.engine.jobs.handle import Handle
from impasto.engine.jobs.queue import Queued
from impasto.engine.jobs.workshop import Workshop
from impasto.engine.runtime.evaluator import Evaluator
from impasto.models.errors import ImpastoError


class Groups:
    """Opens and closes groups, and finds the one that a job can join, within the concurrency and the memory.

    Args:
        workshop: makes evaluators.
        concurrency: maximum number of single jobs and batches that run at the same time.
    """

    def __init__(self, workshop: Workshop, concurrency: int) -> None:
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

    def expect(self, handle: Handle) -> bool:
        """Return whether a group was opened for this job, too."""
        return any(handle in group.weighed for group in self._groups)

    def have_room_for_another(self, item: Queued, key: BatchKey) -> bool:
        """Return whether a job can have a group of its own.

        Raises:
            ImpastoError: an image is too small.
        """
        if self.are_full:
            return False
        memory = self._workshop.compiler.memory
        return self.are_empty or memory.fits(item.needs(), item.settings, item.weighed, self._pending_bytes())

    def have_room_for_next(self, item: Queued, key: BatchKey, places: int) -> bool:
        """Return whether a running job can have a group of its own at its next scale, in the memory that is free now.

        If no other job runs, it can: the memory of its largest scale was checked when it began.
        """
        memory, spec = self._workshop.compiler.memory, dataclasses.replace(key.spec, batch=places)
        return self.are_empty or memory.fits(spec, item.settings, item.weighed, self._unallocated_bytes())

    def have_room_ahead(self, largest: GraphSpec, whole: Whole) -> bool:
        """Return whether a job's next session can be opened while its present one is in use.

        The memory of the largest scale counts, because that of the next one is not known without its graph.
        """
        memory = self._workshop.compiler.memory
        return memory.fits(largest, whole.settings, outline_of(whole.painting), self._unallocated_bytes())

    def place_for(self, item: Queued, key: BatchKey, *, running: bool = False) -> Group | None:
        """Return a group that a job can join; None if there is none. A full group may grow to make a place.

        Args:
            item: the job.
            key: its batch key.
            running: whether the job runs already and only changes its scale, so that it adds no job.
        """
        full = self.are_full and not running
        for group in self._groups:
            if (group.key, group.asked_most) != (key, item.limit.most) or (full and not group.is_open):
                continue
            if (group.has_place or self._try_to_grow(group, item)) and self._has_room(group, item):
                return group
        return None

    def _has_room(self, group: Group, item: Queued) -> bool:
        """Return whether a job's memory fits next to the running jobs.

        The jobs that a group was opened for need no check: their memory was checked together.
        """
        if item.handle in group.weighed:
            return True
        memory, reserved = self._workshop.compiler.memory, self._pending_bytes()
        if item.has_scales and all(member.largest != item.largest for member in group.members):
            return memory.fits(item.needs(), item.settings, item.weighed, reserved)
        return memory.has_room(
            item.needs(), item.settings, item.weighed, own_optimiser=group.loop is None, reserved=reserved
        )

    def _try_to_grow(self, group: Group, item: Queued) -> bool:
        """Grow a full group if that is worth the compilation and fits into memory. Return whether it has a place."""
        if group.takes_turns or not group.may_grow:
            return False
        larger = item.needs(group.next_size)
        if self._workshop.compiler.memory.fits(larger, item.settings, item.weighed, self._pending_bytes()):
            group.grow()
        return group.has_place

    def _pending_bytes(self) -> int:
        """Return the bytes that running jobs will still allocate: at first evaluations, and at their largest scales."""
        return self._unallocated_bytes() + self._bytes_of_later_scales()

    def _bytes_of_later_scales(self) -> int:
        """Return the bytes of the largest scales of the jobs that are still at a smaller one.

        Jobs of one size share a session there. What they hold now is not subtracted, so this is more than they add.
        """
        memory, promised = self._workshop.compiler.memory, 0
        for group in self._groups:
            later: dict[GraphSpec, list[Active]] = {}
            for member in group.members:
                if member.largest != group.key.spec:
                    later.setdefault(member.largest, []).append(member)
            for spec, members in later.items():
                largest = dataclasses.replace(spec, batch=1 if group.takes_turns else len(members))
                whole = members[0].prepared.whole
                promised += memory.estimate(largest, whole.settings, whole.painting).total
                if group.takes_turns:
                    promised += sum(memory.of_optimiser(spec, member.prepared.settings) for member in members[1:])
        return promised

    def _unallocated_bytes(self) -> int:
        """Return the bytes that groups will allocate at their first evaluation, which is still to come."""
        memory, promised = self._workshop.compiler.memory, 0
        for group in self._groups:
            runs = [] if group.evaluated else [member.prepared for member in group.members]
            promised += sum(memory.estimate(group.spec, run.settings, run.painting).total for run in runs[:1])
            if group.takes_turns:  # otherwise the estimate of the first member covers all samples
                promised += sum(memory.of_optimiser(group.spec, run.settings) for run in runs[1:])
        return promised

    def open(self, together: Sequence[Queued], key: BatchKey, prepared: Prepared) -> tuple[Group, Targets]:
        """Open a group for jobs that can join it at once, and return it with the targets of the first job.

        Raises:
            ImpastoError: the evaluator, the first job's targets or a demanded loop on the device cannot be made.
        """
        compiler, item = self._workshop.compiler, together[0]
        wanted = places = len(together)
        if not (self.are_empty and item.limit.is_given):
            fit, promised = compiler.memory.places_that_fit, self._pending_bytes()
            places = min(fit(one.needs(), one.settings, one.weighed, wanted, promised) for one in together)
        spec = dataclasses.replace(key.spec, batch=places)
        evaluator, targets = compiler.open_with_targets(spec, prepared.settings, prepared.scene, prepared.painting)
        group = self._added(key, spec, evaluator, item.limit.most)
        if places < wanted:
            group.most = places  # memory has no room for more
        group.weighed = {one.handle for one in together}
        return group, targets

    def open_next(
        self, item: Queued, key: BatchKey, prepared: Prepared, places: int, ready: Evaluator | None
    ) -> tuple[Group, Targets | None]:
        """Open a group for a running job at its next scale.

        Args:
            item: the job.
            key: its batch key there.
            prepared: its images there.
            places: samples of the group, if it is not open yet.
            ready: an evaluator that is open already; None opens one.

        Returns:
            The group, and the job's targets unless the evaluator was ready.

        Raises:
            ImpastoError: as for `open`.
        """
        compiler, targets = self._workshop.compiler, None
        if ready is not None:
            compiler.release_idle()
            spec = dataclasses.replace(key.spec, batch=len(ready.coefficients))
        else:
            spec = dataclasses.replace(key.spec, batch=places)
            ready, targets = compiler.open_with_targets(spec, prepared.settings, prepared.scene, prepared.painting)
        return self._added(key, spec, ready, item.limit.most), targets

    def _added(self, key: BatchKey, spec: GraphSpec, evaluator: Evaluator, asked_most: int) -> Group:
        try:
            group = Group(self._workshop.compiler, key, evaluator, places=spec.batch, asked_most=asked_most)
        except ImpastoError:
            self._workshop.compiler.put_back(spec, evaluator)
            raise
        self._groups.append(group)
        return group

    def close_empty(self) -> None:
        """Close the groups that have no members."""
        for group in [group for group in self._groups if not group.members]:
            self._groups.remove(group)
            group.close()

"""The way of a job from one scale to the next."""

import dataclasses
import time
from collections.abc import Iterable
from dataclasses import dataclass

from impasto.engine.compile.targets import Targets
from impasto.engine.inputs.prepared import Prepared, prepare_again
from impasto.engine.inputs.run_state import RunState
from impasto.engine.inputs.sizes import outline_of
from impasto.engine.jobs.active import Active
from impasto.engine.jobs.ahead import Ahead
from impasto.engine.jobs.group import Group
from impasto.engine.jobs.groups import Groups
from impasto.engine.jobs.handle import Handle
from impasto.engine.jobs.queue import Queued
from impasto.engine.jobs.workshop import Workshop


@dataclass(frozen=True, eq=False)
class Leaving:
    """A job that has left the group of its scale, and has not entered one of the next scale.

    Attributes:
        active: the job.
        together: the jobs of its batch that go the same way, itself included.
    """

    active: Active
    together: frozenset[Handle]


@dataclass(frozen=True, eq=False)
class Entry:
    """A job at its next scale.

    Attributes:
        prepared: its images there.
        state: what its run continues from.
        group: the group that it joins.
        targets: its targets, if they have been computed.
    """

    prepared: Prepared
    state: RunState
    group: Group
    targets: Targets | None


class NextScales:
    """The jobs between two scales, and what is made ready for them. All methods belong to the engine's thread.

    Args:
        workshop: makes evaluators.
        groups: the groups that jobs can join.

    Attributes:
        leaving: the jobs between two scales, in the order in which they ended the scale before.
    """

    def __init__(self, workshop: Workshop, groups: Groups) -> None:
        self._workshop, self._groups = workshop, groups
        self._ahead = Ahead()
        self.leaving: list[Leaving] = []

    def add(self, active: Active, group: Group) -> None:
        """Add a job that is through with its scale; it has not left its group yet."""
        together = {member.handle for member in _alike(active, group)} if not group.takes_turns else {active.handle}
        self.leaving.append(Leaving(active, frozenset(together)))

    def make_ready(self, members: Iterable[Active], group: Group) -> None:
        """Begin to make the next scales of a group's members ready, if memory has room for them next to this scale."""
        compiler = self._workshop.compiler
        for member in members if compiler.opens_ahead and group.evaluated else ():
            whole = member.prepared.whole
            if whole.is_last or member.run.ended or self._ahead.has(member.handle):
                continue
            places = 1 if group.takes_turns else len(_alike(member, group))
            largest = dataclasses.replace(member.largest, batch=places)
            if self._groups.have_room_ahead(largest, whole):
                scale = whole.next().scale
                spec = dataclasses.replace(group.spec, height=scale.height, width=scale.width, batch=places)
                self._ahead.begin(compiler, member.handle, whole.next(), spec)

    def must_wait(self, leaving: Leaving) -> bool:
        """Return whether a job's next session or targets are still being made."""
        return not self._ahead.is_ready(leaving.active.handle)

    def enter(self, leaving: Leaving) -> Entry | None:
        """Find or open a group for a job at its next scale; return None if there is no room next to the running jobs.

        Raises:
            ImpastoError: a group cannot be opened.
        """
        active, workshop, now_s = leaving.active, self._workshop, time.perf_counter()
        handle, whole = active.handle, active.prepared.whole
        state = active.run.next_state()
        prepared = prepare_again(state, whole.settings, workshop.provider.precision, called_s=now_s)
        key = workshop.compiler.batch_key(prepared.settings, prepared.scene, from_noise=prepared.from_noise)
        item = Queued(handle, handle.limit, 0, key, active.largest, outline_of(whole.painting), prepared)
        group, found = self._groups.place_for(item, key, running=True), None
        if group is None:
            ready = self._ahead.take_session(key.spec)
            if ready is None and not self._groups.have_room_for_next(item, key, len(leaving.together)):
                return None
            group, found = self._groups.open_next(item, key, prepared, len(leaving.together), ready)
            group.weighed = leaving.together
        targets = self._ahead.take_targets(handle) or found
        self._ahead.drop(handle)
        return Entry(prepared, state, group, targets)

    def drop(self, leaving: Leaving) -> None:
        """Remove a job that cannot go on."""
        if leaving in self.leaving:
            self.leaving.remove(leaving)

    def forget(self, handle: Handle) -> None:
        """Make nothing ready for a job that has ended."""
        self._ahead.drop(handle)

    def close(self) -> None:
        """Close what was made ready, and wait until nothing is being made."""
        self._ahead.close()


def _alike(active: Active, group: Group) -> list[Active]:
    """Return the members of a group that go to the same sizes as one of them."""
    return [member for member in group.members if member.largest == active.largest]

"""`--refine` of `impasto transfer`: which networks, what is said of them, and what is left where the second fails."""

from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from impasto.engine.cli.job import say
from impasto.engine.events import OnEvent
from impasto.engine.settings import Settings
from impasto.engine.watch.words import one_line
from impasto.models.preprocess import Preprocess
from impasto.models.store import EMBEDDED, FULL, list_networks

if TYPE_CHECKING:
    from impasto.engine.cli.job import Job
    from impasto.engine.compile.network import Network
    from impasto.engine.jobs.engine import Engine
    from impasto.engine.jobs.plan import Plan, RefinedPlan
    from impasto.engine.result import Result

UNREFINED = 1


class Refining:
    """A draft on one network, finished by `vgg19`; the draft alone where that is not there.

    Attributes:
        draft: the engine of the first run, or of the only one.
        steps: iterations that the refinement adds at most.
    """

    def __init__(
        self, opened: ExitStack, open_engine: Callable[[str], "Engine"], model: str, evaluations: int, job: "Job"
    ) -> None:
        """Open both engines.

        Args:
            opened: closes them.
            open_engine: makes one by the network's name.
            model: of the draft; "auto" is the network in the package.
            evaluations: of the full network at most, 1 or more.
            job: what it is for.

        Raises:
            ImpastoError: as `Engine`.
        """
        self.draft = opened.enter_context(open_engine(EMBEDDED if model == "auto" else model))
        self._full = opened.enter_context(open_engine(FULL)) if FULL in list_networks() else None
        self._evaluations = evaluations
        self.steps = evaluations if self._full else 0
        self._job = job
        self._failure = ""

    def remarks(self, settings: Settings) -> list[str]:
        """Say what is to run on what, and where the two networks weigh content and style differently."""
        ours = self.draft.network
        if self._full is None:
            how = f"`impasto weights fetch {FULL}` gets it"
            return [f"network {ours.name} alone, no refinement: {FULL} is not there; {how}"]
        return [
            f"network {ours.name}, then {self._evaluations} evaluations of {FULL}",
            _imbalance(ours, self._full.network, settings),
        ]

    def plan(self, content: Path, style: Path, settings: Settings) -> "Plan | RefinedPlan":
        """Say what would be done.

        Raises:
            ImpastoError: as `plan_refined`.
        """
        from impasto.engine.jobs.refinement import plan_refined

        if self._full is None:
            return self.draft.plan(content, style, settings)
        return plan_refined(self.draft, self._full, content, style, settings, evaluations=self._evaluations)

    def transfer(
        self, content: Path, style: Path, settings: Settings, *, on_event: OnEvent, cancel: Callable[[], bool]
    ) -> "Result":
        """Run both; where the second cannot go on, the draft is the result.

        Raises:
            ImpastoError: as `transfer_refined`, but for a second run that fails.
        """
        from impasto.engine.jobs.refinement import RefinementError, transfer_refined

        if self._full is None:
            return self.draft.transfer(content, style, settings, on_event=on_event, cancel=cancel)
        try:
            result = transfer_refined(
                self.draft,
                self._full,
                content,
                style,
                settings,
                evaluations=self._evaluations,
                on_event=on_event,
                cancel=cancel,
            )
        except RefinementError as error:
            self._failure = one_line(error)
            return error.draft
        if "refine" not in result.provenance and not cancel():
            with self._job.aside():
                self._job.say("no refinement: the deadline passed in the draft")
        return result

    def conclude(self) -> None:
        """Say what failed after the draft was written.

        Raises:
            typer.Exit: something did.
        """
        if self._failure:
            say(f"error: no refinement: {self._failure}; the draft was written")
            raise typer.Exit(UNREFINED)


def _imbalance(draft: "Network", full: "Network", settings: Settings) -> str:
    """Say that equal weights are another balance in the second network, where they are; else nothing."""
    said = [network.metadata.get("preprocess") for network in (draft, full)]
    ours, theirs = (Preprocess.from_json(text) if text else None for text in said)
    if settings.weighting == "calibrated" or ours is None or theirs is None or ours == theirs:
        return ""
    return (
        f"{full.name} takes {theirs} and {draft.name} {ours}: alpha and beta weigh differently in the two; "
        f"take --weighting calibrated, or `impasto weights import` the Oxford weights as {full.name}"
    )

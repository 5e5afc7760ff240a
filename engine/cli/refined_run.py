"""`impasto transfer --refine`: a draft on one network, finished by `vgg19`; the draft alone where that is missing."""

from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from impasto.engine.cli.single_run import SingleRun
from impasto.engine.cli.terminal import interruptible, say
from impasto.engine.settings import Settings
from impasto.models.errors import one_line
from impasto.models.preprocess import Preprocess
from impasto.models.store import EMBEDDED, FULL, list_networks

if TYPE_CHECKING:
    from impasto.engine.jobs.engine import Engine
    from impasto.engine.jobs.plan import RefinedPlan
    from impasto.engine.result import Result

UNREFINED = 1
"""Exit status where the draft was written and its refinement failed."""


def start_refined(run: SingleRun, evaluations: int) -> None:
    """Run a draft and its refinement, or print what they would do.

    Args:
        run: what to do.
        evaluations: of the full network at most, 1 or more.

    Raises:
        ImpastoError: as `SingleRun.start`.
        typer.Exit: after Ctrl-C, or where the draft was written and its refinement failed.
    """
    options, refinement = run.options, None
    with interruptible() as interrupted, ExitStack() as opened:
        draft = opened.enter_context(run.open_engine(EMBEDDED if options.model == "auto" else options.model))
        if FULL in list_networks():
            refinement = Refinement(run, draft, opened.enter_context(run.open_engine(FULL)), evaluations)
            remarks = [f"network {draft.network.name}, then {evaluations} evaluations of {FULL}", refinement.imbalance]
        else:
            how = f"`impasto weights fetch {FULL}` gets it"
            remarks = [f"network {draft.network.name} alone, no refinement: {FULL} is not there; {how}"]
        if options.dry_run:
            for remark in remarks:
                options.say(remark)
            run.show((refinement or draft).plan(*run.images, run.settings))
            return
        render = partial((refinement or draft).transfer, *run.images, run.settings)
        run.run(draft, render, interrupted, remarks)
    if refinement and refinement.failure:
        say(f"error: no refinement: {refinement.failure}; the draft was written")
        raise typer.Exit(UNREFINED)


class Refinement:
    """A run on two networks.

    Attributes:
        failure: why the second network could not continue; empty where it did.
    """

    def __init__(self, run: SingleRun, draft: "Engine", full: "Engine", evaluations: int) -> None:
        """Expect so many more evaluations than the draft's."""
        self._run, self._draft, self._full, self._evaluations = run, draft, full, evaluations
        self.failure = ""
        run.progress.expect_more(evaluations)

    @property
    def imbalance(self) -> str:
        """A line on networks that weigh content and style differently; empty where they do not."""
        draft, full = self._draft.network, self._full.network
        said = [network.metadata.get("preprocess") for network in (draft, full)]
        ours, theirs = (Preprocess.from_json(text) if text else None for text in said)
        if self._run.settings.weighting == "calibrated" or ours is None or theirs is None or ours == theirs:
            return ""
        return (
            f"{full.name} takes {theirs} and {draft.name} {ours}: alpha and beta weigh differently in the two; "
            f"take --weighting calibrated, or `impasto weights import` the Oxford weights as {full.name}"
        )

    def plan(self, content: Path | None, style: Path | None, settings: Settings) -> "RefinedPlan":
        """Return what both runs would do, as `plan_refined`."""
        from impasto.engine.jobs.refinement import plan_refined

        return plan_refined(self._draft, self._full, content, style, settings, evaluations=self._evaluations)

    def transfer(self, content: Path | None, style: Path | None, settings: Settings, **calls: Any) -> "Result":
        """Run both, as `transfer_refined`; where the second network cannot continue, the draft is the result."""
        from impasto.engine.jobs.refinement import RefinementError, transfer_refined

        both = (self._draft, self._full)
        try:
            result = transfer_refined(*both, content, style, settings, evaluations=self._evaluations, **calls)
        except RefinementError as error:
            self.failure = one_line(error)
            return error.draft
        if "refine" not in result.provenance and not calls["cancel"]():
            with self._run.progress.aside():
                self._run.options.say("no refinement: the deadline passed in the draft")
        return result

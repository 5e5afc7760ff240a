"""`impasto transfer --refine`: make a draft on one network and finish it on `vgg19`, if that is installed."""

from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from typing import Any

import typer

from impasto.engine.cli.single_run import SingleRun
from impasto.engine.cli.terminal import interruptible, say
from impasto.engine.compile.network import Network
from impasto.engine.jobs.plan import Plan, RefinedPlan
from impasto.engine.jobs.refinement import RefinementError, plan_refined, transfer_refined
from impasto.engine.result import Result
from impasto.engine.settings import Settings
from impasto.models.errors import one_line
from impasto.models.preprocess import Preprocess
from impasto.models.store import EMBEDDED, FULL, list_networks

UNREFINED = 1
"""Exit status if the draft was written but its refinement failed."""


def start_refined(run: SingleRun, evaluations: int) -> None:
    """Run a draft and its refinement, or print their plan.

    Args:
        run: the run of the command.
        evaluations: maximum number of evaluations of the full network, 1 or more.

    Raises:
        ImpastoError: as for `SingleRun.start`.
        typer.Exit: after Ctrl-C, or if the draft was written but its refinement failed.
    """
    options, failures = run.options, list[str]()
    with interruptible() as interrupted, ExitStack() as opened:
        draft = opened.enter_context(options.engine(model=EMBEDDED if options.model == "auto" else options.model))
        plan: Callable[..., Plan | RefinedPlan] = draft.plan
        render: Callable[..., Result] = draft.transfer
        if FULL in list_networks():
            full = opened.enter_context(options.engine(model=FULL))
            run.progress.expect_more(evaluations)
            plan = partial(plan_refined, draft, full, evaluations=evaluations)
            render = partial(_transfer_refined, run, failures, draft, full, evaluations=evaluations)
            remarks = [f"network {draft.network.name}, then {evaluations} evaluations of {FULL}"]
            remarks += [_imbalance(run.settings, draft.network, full.network)]
        else:
            how = f"`impasto weights fetch {FULL}` gets it"
            remarks = [f"network {draft.network.name} alone, no refinement: {FULL} is not there; {how}"]
        if options.dry_run:
            for remark in remarks:
                options.say(remark)
            run.show(plan(*run.images, run.settings))
            return
        run.run(draft, partial(render, *run.images, run.settings), interrupted, remarks)
    if failures:
        say(f"error: no refinement: {failures[0]}; the draft was written")
        raise typer.Exit(UNREFINED)


def _imbalance(settings: Settings, draft: Network, full: Network) -> str:
    """Return a warning if the networks weigh content and style differently; empty if they do not."""
    said = [network.metadata.get("preprocess") for network in (draft, full)]
    ours, theirs = (Preprocess.from_json(text) if text else None for text in said)
    if settings.weighting == "calibrated" or ours is None or theirs is None or ours == theirs:
        return ""
    return (
        f"{full.name} takes {theirs} and {draft.name} {ours}: alpha and beta weigh differently in the two; "
        f"take --weighting calibrated, or `impasto weights import` the Oxford weights as {full.name}"
    )


def _transfer_refined(run: SingleRun, failures: list[str], *given: Any, **calls: Any) -> Result:
    """Run both as `transfer_refined` does. If the second network fails to continue, return the draft."""
    try:
        result = transfer_refined(*given, **calls)
    except RefinementError as error:
        failures.append(one_line(error))
        return error.draft
    if "refine" not in result.provenance and not calls["cancel"]():
        with run.progress.aside():
            run.options.say("no refinement: the deadline passed in the draft")
    return result

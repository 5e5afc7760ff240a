"""A draft on one network, finished by another: `transfer_refined`, and `--refine` of the command line."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir
import pytest

from impasto.engine import (
    Engine,
    Event,
    ImpastoError,
    Iteration,
    RefinementError,
    Result,
    Settings,
    Started,
    transfer_refined,
)
from impasto.engine.cli.progress import Progress
from impasto.engine.compile import memory
from impasto.engine.images import read_metadata
from impasto.engine.jobs.refinement import plan_refined
from impasto.models.preprocess import OXFORD, TORCHVISION
from impasto.models.store import network_file
from tests.engine.command_line import Ended, run
from tests.engine.conftest import Files
from tests.small_network import VGG_WIDTHS, WIDTHS, features_model

Capture = pytest.CaptureFixture[str]
SETTINGS = Settings(size=0, iterations=2, content_taps=("relu2_1",), style_taps=("relu1_1", "relu3_1"))


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("IMPASTO_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def model(seed: int = 0, *, broken: bool = False, **said: str) -> ir.Model:
    """A small network of VGG-19's form; what it computes is not finite if it is broken."""
    made = features_model(seed, VGG_WIDTHS)
    made.metadata_props.update(said)
    if broken:
        bias = made.graph.initializers["relu1_1.bias"]
        assert bias.const_value is not None
        bias.const_value = ir.tensor(np.full_like(bias.const_value.numpy(), np.nan), name=bias.name)
    return made


def put(made: ir.Model, name: str = "vgg19") -> Path:
    path = network_file(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    ir.save(made, path)
    return path


def transfer(capsys: Capture, files: Files, *more: object) -> Ended:
    few = ("--size", 0, "--iterations", 2, "--provider", "cpu", "--threads", 1)
    return run(capsys, "transfer", files.content, files.style, "-o", files.folder / "o.png", *few, *more)


def refined(files: Files, full: Engine, **more: Any) -> Result:
    with Engine(files.model, provider="cpu", threads=1) as draft:
        return transfer_refined(draft, full, files.content, files.style, SETTINGS, **{"evaluations": 3, **more})


def lines(ended: Ended) -> list[dict[str, Any]]:
    return [json.loads(line) for line in ended.out.splitlines()]


def test_it_goes_on_from_the_draft_and_counts_on(files: Files) -> None:
    events: list[Event] = []
    with Engine("vgg19-slim", provider="cpu", threads=1) as full:
        result = refined(files, full, on_event=events.append)
    begun = [event for event in events if isinstance(event, Started)]
    steps = [event for event in events if isinstance(event, Iteration)]
    assert [event.model for event in begun] == ["small", "vgg19-slim"]
    assert [event.iteration for event in steps] == list(range(1, result.iterations + 1))
    assert sorted(event.seconds for event in steps) == [event.seconds for event in steps]
    assert begun[1].setup_s > steps[1].seconds
    assert steps[-1].seconds <= result.seconds
    draft = result.provenance["draft"]
    assert (draft["model"], draft["iterations"], draft["evaluations"]) == ("small", 2, steps[1].evaluations)
    assert draft["evaluations"] < result.evaluations <= draft["evaluations"] + 3
    assert (result.provenance["model"], result.provenance["refine"]) == ("vgg19-slim", 3)
    assert result.settings == SETTINGS
    assert result.initial_terms == {}


def test_the_rate_on_the_bar_is_that_of_the_network_at_work() -> None:
    bar = Progress(9, hidden=True)

    def rate(setup_s: float, evaluations: int, seconds: float) -> str:
        bar.show(Started(32, 32, "a", "cpu", "fp32", "", setup_s))
        bar.show(Iteration(1, evaluations, 1.0, {}, seconds, lambda: np.zeros(())))
        return str(bar._bar.tasks[0].fields["rate"])

    assert rate(1.0, 20, 3.0) == "10.00 evaluations/s"
    assert rate(5.0, 24, 7.0) == "2.00 evaluations/s"


def test_it_starts_from_the_drafts_own_pixels(files: Files) -> None:
    with Engine(files.model, provider="cpu") as draft, Engine("vgg19-slim", provider="cpu") as full:
        first = draft.transfer(files.content, files.style, SETTINGS)
        second = full.transfer(files.content, files.style, Settings(size=0, iterations=0), start=first.picture)
    np.testing.assert_array_equal(second.picture.pixels, first.picture.pixels)


def test_json_says_whose_losses_they_are(capsys: Capture, files: Files) -> None:
    put(model())
    *steps, summary = lines(transfer(capsys, files, "--refine", 3, "--json"))
    assert [line["model"] for line in steps] == ["vgg19-slim"] * 2 + ["vgg19"] * (len(steps) - 2)
    assert (summary["model"], summary["refine"], summary["initial_terms"]) == ("vgg19", 3, {})
    assert summary["draft"]["model"] == "vgg19-slim"
    assert summary["evaluations"] == steps[-1]["evaluations"] <= summary["draft"]["evaluations"] + 3


def test_a_file_says_what_it_takes_to_make_it_again(capsys: Capture, files: Files) -> None:
    put(model())
    ended = transfer(capsys, files, "--refine", 3)
    assert ended.err.splitlines()[0] == "network vgg19-slim, then 3 evaluations of vgg19"
    record = read_metadata(files.folder / "o.png")
    assert (record["model"], record["refine"], record["settings"]["iterations"]) == ("vgg19", 3, 2)
    assert (record["draft"]["model"], record["draft"]["iterations"]) == ("vgg19-slim", 2)
    shown = run(capsys, "show", files.folder / "o.png").out.splitlines()
    assert "  refine           3" in shown


def test_a_run_that_is_not_refined_says_nothing_of_it(capsys: Capture, files: Files) -> None:
    *_, summary = lines(transfer(capsys, files, "--json"))
    assert {"refine", "draft"}.isdisjoint(summary)
    assert sum(summary["initial_terms"].values()) > summary["loss"]


def test_without_the_full_network_the_draft_is_the_result(capsys: Capture, files: Files) -> None:
    ended = transfer(capsys, files, "--refine", 3)
    assert ended.status == 0
    assert ended.err.splitlines()[0] == (
        "network vgg19-slim alone, no refinement: vgg19 is not there; `impasto weights fetch vgg19` gets it"
    )
    assert " with vgg19-slim on " in ended.out


def test_a_draft_that_takes_all_the_time_is_the_result(capsys: Capture, files: Files) -> None:
    put(model())
    ended = transfer(capsys, files, "--refine", 3, "--iterations", 100_000, "--timeout-s", 3)
    assert ended.status == 0
    assert ended.err.splitlines()[-1] == "no refinement: the deadline passed in the draft"
    assert " with vgg19-slim on " in ended.out
    assert "refine" not in read_metadata(files.folder / "o.png")


def test_a_cancelled_draft_is_the_result(files: Files) -> None:
    steps: list[Event] = []
    with Engine("vgg19-slim", provider="cpu") as full:
        result = refined(files, full, on_event=steps.append, cancel=lambda: len(steps) > 1)
    assert (result.outcome, result.provenance["model"]) == ("cancelled", "small")


def test_cancelling_while_the_second_network_is_made_ready_leaves_the_draft(files: Files) -> None:
    begun: list[str] = []
    with Engine("vgg19-slim", provider="cpu") as full:
        result = refined(
            files,
            full,
            on_event=lambda event: begun.append(event.model) if isinstance(event, Started) else None,
            cancel=lambda: len(begun) > 1,
        )
    assert (result.iterations, result.provenance["model"]) == (2, "small")


def test_where_the_second_network_fails_the_draft_is_kept(files: Files) -> None:
    put(model(broken=True))
    with Engine("vgg19", provider="cpu") as full, pytest.raises(RefinementError, match="not finite") as caught:
        refined(files, full)
    assert caught.value.draft.provenance["model"] == "small"
    assert caught.value.draft.iterations == 2


def test_where_the_second_network_fails_the_draft_is_written(capsys: Capture, files: Files) -> None:
    put(model(broken=True))
    ended = transfer(capsys, files, "--refine", 3)
    assert ended.status == 1
    assert ended.err.splitlines()[-1].startswith("error: no refinement: ")
    assert ended.err.splitlines()[-1].endswith("; the draft was written")
    assert " with vgg19-slim on " in ended.out
    assert read_metadata(files.folder / "o.png")["model"] == "vgg19-slim"


def refused(capsys: Capture, files: Files, *more: object) -> str:
    """The line of a run that is refused before its draft."""
    ended = transfer(capsys, files, "--refine", 3, "--json", *more)
    assert (ended.status, ended.out) == (2, "")
    assert not (files.folder / "o.png").exists()
    return ended.err.removeprefix("error: ").removesuffix("\n")


def test_a_saved_style_is_refused_before_the_draft(capsys: Capture, files: Files) -> None:
    put(model())
    saved = files.folder / "s.safetensors"
    run(capsys, "style", "save", files.style, "-o", saved, "--model", "vgg19-slim", "--provider", "cpu", "--size", 48)
    assert saved.is_file()
    ended = run(capsys, "transfer", files.content, saved, "-o", files.folder / "o.png", "--refine", 3)
    assert ended.status == 2
    assert ended.err == "error: a saved style belongs to one network, and a refinement has two; give the image\n"
    assert not (files.folder / "o.png").exists()


def test_a_tap_that_the_second_network_lacks_is_refused_before_the_draft(capsys: Capture, files: Files) -> None:
    put(features_model(widths=WIDTHS))
    assert refused(capsys, files) == ("tap 'relu4_2' lies beyond the end of vgg19: it has relu1_1, relu2_1, relu3_1")


def test_what_does_not_fit_into_memory_is_refused_before_the_draft(
    files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun: list[Event] = []
    with Engine(files.model, provider="cpu") as draft, Engine("vgg19-slim", provider="cpu") as full:
        plan = plan_refined(draft, full, files.content, files.style, SETTINGS, evaluations=3)
        assert plan.larger is plan.refinement
        between = (plan.draft.memory.total + plan.refinement.memory.total) // 2
        monkeypatch.setattr(memory, "available", lambda: between)
        draft.transfer(files.content, files.style, SETTINGS)
        with pytest.raises(ImpastoError, match="not enough memory"):
            refined(files, full, on_event=begun.append)
    assert begun == []


def test_a_second_network_that_cannot_be_read_is_refused_before_the_draft(capsys: Capture, files: Files) -> None:
    put(model()).write_bytes(b"nothing")
    assert refused(capsys, files).startswith("not an ONNX model: ")


@pytest.mark.parametrize("evaluations", [0, -1])
def test_it_takes_an_evaluation(files: Files, evaluations: int) -> None:
    with Engine("vgg19-slim") as full, pytest.raises(ImpastoError, match=f"bad refine {evaluations}: allowed"):
        refined(files, full, evaluations=evaluations)


def test_the_full_network_needs_no_refinement(capsys: Capture, files: Files) -> None:
    put(model())
    assert refused(capsys, files, "--model", "vgg19") == (
        "nothing to refine: the draft would be on vgg19; draft on a smaller one, or do not refine"
    )


def test_the_same_network_under_another_name_needs_none_either(capsys: Capture, files: Files) -> None:
    put(model())
    other = files.folder / "other.onnx"
    ir.save(model(), other)
    assert refused(capsys, files, "--model", other) == (
        "nothing to refine: the draft would be on other, which is the same network as vgg19; "
        "draft on a smaller one, or do not refine"
    )


def test_networks_made_of_the_same_weights_are_the_same(capsys: Capture, files: Files) -> None:
    put(model(weights_sha256="abc", impasto_version="1"))
    other = files.folder / "other.onnx"
    ir.save(model(weights_sha256="abc", impasto_version="2"), other)
    assert "the same network as vgg19" in refused(capsys, files, "--model", other)
    ir.save(model(1, weights_sha256="abd"), other)
    assert transfer(capsys, files, "--refine", 3, "--model", other).status == 0


def test_a_dry_run_shows_both_runs_and_the_larger_memory(capsys: Capture, files: Files) -> None:
    put(model())
    (plan,) = lines(transfer(capsys, files, "--refine", 3, "--dry-run", "--json"))
    draft, refinement = plan["draft"], plan["refinement"]
    assert (draft["model"], draft["settings"]["iterations"], draft["settings"]["evaluations"]) == (
        "vgg19-slim",
        2,
        None,
    )
    assert (refinement["model"], refinement["settings"]["iterations"]) == ("vgg19", 3)
    assert refinement["settings"]["evaluations"] == 3
    totals = [item["memory_bytes"]["total"] for item in (draft, refinement)]
    assert totals[0] != totals[1]
    assert plan["memory_bytes"]["total"] == max(totals)
    assert plan["fits"] is True
    ended = transfer(capsys, files, "--refine", 3, "--dry-run")
    assert ended.err == "network vgg19-slim, then 3 evaluations of vgg19\n"
    told = ended.out.splitlines()
    assert [line for line in told if not line.startswith((" ", "both"))] == ["draft", "refinement"]
    assert told[-1].startswith("both    about ")
    assert not (files.folder / "o.png").exists()


def test_a_network_with_other_preprocessing_weighs_differently(capsys: Capture, files: Files) -> None:
    put(model(preprocess=TORCHVISION.to_json()))
    said = transfer(capsys, files, "--refine", 3).err.splitlines()[1]
    assert said == (
        "vgg19 takes (x - (0.485, 0.456, 0.406)) / (0.229, 0.224, 0.225) and vgg19-slim "
        "255 x - (123.68, 116.779, 103.939): alpha and beta weigh differently in the two; "
        "take --weighting calibrated, or `impasto weights import` the Oxford weights as vgg19"
    )
    assert "weigh differently" not in transfer(capsys, files, "--refine", 3, "--weighting", "calibrated").err


@pytest.mark.parametrize("said", [{"preprocess": OXFORD.to_json()}, {}])
def test_one_with_the_same_or_an_unknown_one_does_not(capsys: Capture, files: Files, said: dict[str, Any]) -> None:
    put(model(**said))
    assert "weigh differently" not in transfer(capsys, files, "--refine", 3).err

"""What a run is said to take, what there is, what would fit, and what commands do with it."""

import dataclasses
import json
from pathlib import Path

import pytest

from impasto.engine import Engine, ImpastoError, Settings
from impasto.engine.cache.store import DISABLE_VARIABLE
from impasto.engine.compile import memory
from impasto.engine.compile.compiler import Compiler
from impasto.engine.compile.memory import Demand, MemoryEstimate
from impasto.export.graph_memory import GraphMemory
from tests.engine.command_line import run
from tests.engine.conftest import TAPS, Files

MIB = 1 << 20
SETTINGS = Settings(
    size=0, content_taps=("relu2_1",), style_taps=("relu1_1", "relu3_1"), content_weight=1e-5, iterations=2
)
DEMAND = Demand(height=512, width=512, history=10)
NEEDED = MemoryEstimate(process=200 * MIB, network=100 * MIB, activations=600 * MIB, images=6 * MIB, optimiser=90 * MIB)


@pytest.fixture
def little(monkeypatch: pytest.MonkeyPatch) -> None:
    """Next to nothing is free."""
    monkeypatch.setattr(memory, "available", lambda: 205 * MIB)


def transfer(files: Files, *more: object) -> list[object]:
    chosen = ("-o", files.folder / "out.png", "--model", files.model, "--size", 0, "--provider", "cpu")
    return ["transfer", files.content, files.style, *chosen, "--iterations", 2, *TAPS, *more]


def test_the_parts_are_those_of_the_total() -> None:
    assert NEEDED.total == 996 * MIB


def test_the_optimiser_holds_two_vectors_a_pair() -> None:
    image = 3 * 512 * 512 * 4
    few, many = (memory.estimate(GraphMemory(0, 0, 0), Demand(512, 512, history)) for history in (10, 40))
    assert many.optimiser - few.optimiser == 2 * 30 * image
    adam = memory.estimate(GraphMemory(0, 0, 0), Demand(512, 512, 40, "adam"))
    assert adam.optimiser < few.optimiser
    averaged = memory.estimate(GraphMemory(0, 0, 0), Demand(512, 512, 40, "adam", averaged=True))
    assert averaged.optimiser - adam.optimiser == image
    batch = memory.estimate(GraphMemory(0, 0, 0), Demand(512, 512, 10, batch=3))
    assert batch.optimiser == 3 * few.optimiser


def test_enough_and_unknown_are_no_reason_to_refuse() -> None:
    memory.check(NEEDED, DEMAND, NEEDED.total)
    memory.check(NEEDED, DEMAND, None)


def test_nothing_that_was_not_measured_is_added_for_a_gpu() -> None:
    graph = GraphMemory(weights=100 * MIB, activations=200 * MIB, bound=10 * MIB)
    needed = memory.estimate(graph, Demand(512, 512, 10), memory.ON_GPU)
    assert (needed.process, needed.network, needed.activations) == (0, 100 * MIB, 200 * MIB)
    assert needed.total < memory.estimate(graph, Demand(512, 512, 10)).total


def test_transformed_weights_are_kept_once_whatever_the_overhead() -> None:
    """They are made when the session opens, and no part of the graph that is built, parsed and copied."""
    plain, ours = GraphMemory(0, 100 * MIB, 0), GraphMemory(0, 100 * MIB, 0, transformed=400 * MIB)
    demand = Demand(512, 512, 10)
    assert memory.estimate(ours, demand).total == memory.estimate(plain, demand).total + 400 * MIB


def test_another_precision_is_offered_where_it_would_fit() -> None:
    half = dataclasses.replace(NEEDED, activations=NEEDED.activations // 2)
    with pytest.raises(ImpastoError, match=r"^not enough GPU memory: .*--history 5 or --precision fp16 would fit$"):
        memory.check(NEEDED, DEMAND, 970 * MIB, lambda: ("fp16", half), kind="GPU memory")
    with pytest.raises(ImpastoError, match=r"--history 5 would fit$"):
        memory.check(NEEDED, DEMAND, 970 * MIB, lambda: ("fp16", NEEDED))


def test_a_refusal_says_what_is_missing_and_what_would_fit() -> None:
    with pytest.raises(ImpastoError) as caught:
        memory.check(NEEDED, DEMAND, 970 * MIB)
    assert str(caught.value) == (
        "not enough memory: this run (512x512 px, history 10) takes about 996 MiB and 970 MiB are free; "
        "--size 496 or --history 5 would fit"
    )


@pytest.mark.parametrize("free", [320, 400, 600, 900, 990])
def test_what_is_offered_fits(free: int) -> None:
    """Area, history and batch scale their parts."""
    demand = Demand(512, 512, 10, batch=4)
    offers = memory.fitting(NEEDED, demand, free * MIB)
    fixed, growing = 300 * MIB, 696 * MIB
    assert offers
    for offer in offers:
        option, value = offer.split()
        number = int(value)
        if option == "--batch":
            assert fixed + growing * number / 4 <= free * MIB
        elif option == "--size":
            assert fixed + growing * (number / 512) ** 2 <= free * MIB
        else:
            pairs = 4 * 2 * (10 - number) * 3 * 512 * 512 * 4
            assert NEEDED.total - pairs <= free * MIB


def test_where_nothing_would_fit_nothing_is_offered() -> None:
    with pytest.raises(ImpastoError, match=r"no smaller size would fit$"):
        memory.check(NEEDED, DEMAND, 299 * MIB)


def test_adam_is_offered_no_shorter_history() -> None:
    assert memory.fitting(NEEDED, Demand(512, 512, 10, "adam"), 970 * MIB) == ["--size 496"]


def test_a_larger_style_image_counts_as_far_as_it_takes_more() -> None:
    same = memory.with_style(NEEDED, GraphMemory(activations=100 * MIB, weights=0, bound=0))
    assert same == NEEDED
    more = memory.with_style(NEEDED, GraphMemory(activations=1000 * MIB, weights=0, bound=10 * MIB))
    assert more.total == pytest.approx((200 + 100 + 1.1 * 1000 + 10) * MIB, abs=2)
    assert memory.fitting(more, DEMAND, 1100 * MIB) == ["a smaller --style-size"]


@pytest.mark.parametrize(
    ("size", "words"), [(0, "0 MiB"), (MIB, "1 MiB"), (1023 * MIB, "1023 MiB"), (1536 * MIB, "1.5 GiB")]
)
def test_formatted_sizes(size: int, words: str) -> None:
    assert memory.format_bytes(size) == words


def test_a_container_counts_what_it_may_and_not_the_files_it_could_drop(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    limit, used = tmp_path / "memory.max", tmp_path / "memory.current"
    monkeypatch.setattr(memory, "_CGROUPS", ((str(limit), str(used)),))
    used.write_text(f"{300 * MIB}\n", encoding="ascii")
    (tmp_path / "memory.stat").write_text(
        f"anon {250 * MIB}\ninactive_file {30 * MIB}\nactive_file {10 * MIB}\n", encoding="ascii"
    )
    limit.write_text(f"{500 * MIB}\n", encoding="ascii")
    assert memory.available() == 240 * MIB
    limit.write_text("max\n", encoding="ascii")
    outside = memory.available()
    assert outside is None or outside > 240 * MIB


def test_no_system_files_mean_not_known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "_CGROUPS", ((str(tmp_path / "no"), str(tmp_path / "such")),))
    monkeypatch.setattr(memory, "meminfo", dict)
    assert memory.available() is None


def test_a_dry_run_says_all_and_writes_nothing(capsys: pytest.CaptureFixture[str], files: Files) -> None:
    ended = run(capsys, *transfer(files, "--dry-run", "--json", "--history", 7))
    plan = json.loads(ended.out)
    assert ended.status == 0
    assert (plan["width"], plan["height"], plan["model"], plan["provider"]) == (64, 48, "small", "cpu")
    assert plan["settings"]["history"] == 7
    parts = dict(plan["memory_bytes"])
    assert parts.pop("total") == sum(parts.values())
    assert plan["fits"] is True
    assert sorted(path.name for path in files.folder.iterdir()) == ["content.png", "small.onnx", "style.png"]


def test_a_dry_run_for_people(capsys: pytest.CaptureFixture[str], files: Files) -> None:
    ended = run(capsys, *transfer(files, "--dry-run"))
    lines = dict(line.split("  ", 1) for line in ended.out.splitlines() if not line.startswith(" "))
    assert lines["result"].strip() == "64x48 px"
    assert lines["runs on"].strip() == "cpu, fp32"
    assert " at most; " in lines["memory"]


def test_a_run_that_does_not_fit_is_refused_and_may_be_forced(
    capsys: pytest.CaptureFixture[str], files: Files, little: None
) -> None:
    output = files.folder / "out.png"
    refused = run(capsys, *transfer(files, "--history", 100))
    assert refused.status == 2
    assert refused.err.count("\n") == 1
    assert "error: not enough memory: this run (64x48 px, history 100) takes about " in refused.err
    assert not output.exists()
    forced = run(capsys, *transfer(files, "--history", 100, "--ignore-memory"))
    assert forced.status == 0
    assert output.is_file()


def test_a_reconstruction_has_both_options(capsys: pytest.CaptureFixture[str], files: Files, little: None) -> None:
    options = ("--model", files.model, "--provider", "cpu", "--size", 0, "--tap", "relu2_1", "--history", 100)
    command = ("reconstruct", "content", files.content, "-o", files.folder / "out.png", *options)
    assert "not enough memory" in run(capsys, *command).err
    told = run(capsys, *command, "--dry-run")
    assert told.status == 0
    assert "style" in told.out
    assert run(capsys, *command, "--ignore-memory", "--iterations", 1).status == 0


def test_a_batch_row_that_does_not_fit_fails_alone_in_one_line(
    capsys: pytest.CaptureFixture[str], files: Files, little: None
) -> None:
    manifest = files.folder / "jobs.csv"
    taps = "content_taps=relu2_1", "style_taps=relu1_1 relu3_1"
    manifest.write_text("content,style,history\ncontent.png,style.png,100\n", encoding="utf-8")
    command = ("batch", manifest, "-o", files.folder / "out", "--model", files.model, "--provider", "cpu")
    more = [part for setting in (*taps, "size=0", "iterations=2") for part in ("--set", setting)]
    refused = run(capsys, *command, *more)
    assert refused.status == 1
    assert "not enough memory" in refused.err
    assert run(capsys, *command, *more, "--ignore-memory").status == 0


def test_of_the_second_run_of_a_form_only_what_comes_on_top_is_weighed(
    files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The session's memory is taken already; the optimiser's is not, and it may not fit in either way."""
    with Engine(files.model, provider="cpu", threads=1) as engine:
        engine.transfer(files.content, files.style, SETTINGS)
        monkeypatch.setattr(memory, "available", lambda: 5 * MIB)
        engine.transfer(files.content, files.style, SETTINGS)
        with pytest.raises(ImpastoError, match=r"^not enough memory: .*history 90\) takes"):
            engine.transfer(files.content, files.style, dataclasses.replace(SETTINGS, history=90))


def test_what_fits_only_without_what_an_earlier_run_left_runs(files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    with Engine(files.model, provider="cpu", threads=1) as engine:
        longer = dataclasses.replace(SETTINGS, history=90)
        engine.transfer(files.content, files.style, SETTINGS)
        enough = engine.plan(files.content, files.style, longer).memory.total
        monkeypatch.setattr(memory, "available", lambda: 5 * MIB if engine._workshop.compiler._idle else enough)
        engine.transfer(files.content, files.style, longer)


def test_a_plan_is_the_same_from_the_cache(
    files: Files, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    monkeypatch.setenv("IMPASTO_CACHE", str(tmp_path_factory.mktemp("cache")))
    monkeypatch.delenv(DISABLE_VARIABLE)
    with Engine(files.model, provider="cpu", threads=1) as engine:
        first = engine.plan(files.content, files.style, SETTINGS).memory
        engine.transfer(files.content, files.style, SETTINGS)
    monkeypatch.setattr("impasto.engine.compile.sessions.graph_memory", None)
    with Engine(files.model, provider="cpu", threads=1) as engine:
        assert engine.plan(files.content, files.style, SETTINGS).memory == first


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_graphs_of_other_providers_can_be_weighed(files: Files, precision: str) -> None:
    """The GPU's is the neutral graph, in types of its own; what is free there is not known."""
    with Engine(files.model, provider="cpu", threads=1) as engine:
        workshop = engine._workshop
        workshop.provider = dataclasses.replace(
            engine.provider, name="cuda", device="cuda", precision=precision, typed=True
        )
        workshop.compiler = Compiler(engine.network, engine.provider, 1)
        plan = engine.plan(files.content, files.style, SETTINGS)
    assert plan.memory.activations > 0
    assert plan.fits is None

"""`impasto batch` as a user runs it."""

import json
import signal
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from impasto.engine import Engine, Event, Iteration
from impasto.engine.images import read_metadata
from impasto.engine.inputs.manifest import Row
from tests.engine.command_line import Ended, run
from tests.engine.conftest import Files

HEADER = "content,style,output,iterations,seed,size\n"
TAPS = ("--set", "content_taps=relu2_1", "--set", "style_taps=relu1_1 relu3_1")


def batch(capsys: pytest.CaptureFixture[str], files: Files, rows: str, *more: object) -> Ended:
    manifest = files.folder / "list.csv"
    manifest.write_text(HEADER + rows)
    chosen = ("--model", files.model, "--provider", "cpu", "--threads", 1, *TAPS)
    return run(capsys, "batch", manifest, "-o", files.folder / "out", *chosen, *more)


def lines(ended: Ended) -> list[dict[str, object]]:
    return [json.loads(line) for line in ended.out.splitlines()]


def outputs(files: Files) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (files.folder / "out").iterdir()}


THREE = "content.png,style.png,,2,0,48\ncontent.png,style.png,b.webp,3,1,48\nstyle.png,content.png,,2,0,0\n"


def test_rows_become_pictures_and_a_summary(capsys: pytest.CaptureFixture[str], files: Files) -> None:
    ended = batch(capsys, files, THREE, "--batch", 2)
    assert (ended.status, ended.err) == (0, "")
    *done, summary = ended.out.splitlines()
    assert set(outputs(files)) == {"content-style.png", "b.webp", "style-content.png"}
    assert sorted(line.split(": ")[0] for line in done) == sorted(str(files.folder / "out" / n) for n in outputs(files))
    assert all("iterations, loss " in line for line in done)
    assert summary.startswith("3 done, 0 skipped, 0 failed in ")
    record = read_metadata(files.folder / "out" / "b.webp")
    assert (record["settings"]["seed"], record["settings"]["iterations"], record["bits"]) == (1, 3, 8)
    assert len(record["content_sha256"]) == len(record["style_sha256"]) == 64


def test_json_is_a_line_per_row_and_a_summary(capsys: pytest.CaptureFixture[str], files: Files) -> None:
    *rows, summary = lines(batch(capsys, files, THREE, "--json"))
    assert [row["row"] for row in rows] == [2, 3, 4]
    assert {row["status"] for row in rows} == {"done"}
    assert {"loss", "terms", "iterations", "evaluations", "content", "style", "output"} <= set(rows[0])
    assert {name: summary[name] for name in ("done", "skipped", "failed")} == {"done": 3, "skipped": 0, "failed": 0}


def test_what_is_finished_is_skipped_and_what_has_changed_is_made_again(
    capsys: pytest.CaptureFixture[str], files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    batch(capsys, files, THREE)
    before = outputs(files)
    with monkeypatch.context() as patch:
        patch.setattr(Engine, "transfer_many", lambda self, jobs, **more: iter(list(jobs)[:0]))
        *rows, summary = lines(batch(capsys, files, THREE, "--json"))
    assert [row["status"] for row in rows] == ["skipped"] * 3
    assert summary["skipped"] == 3
    (files.folder / "out" / "b.webp").unlink()
    changed = THREE.replace("2,0,48", "3,0,48", 1)
    *rows, summary = lines(batch(capsys, files, changed, "--json"))
    assert {row["output"]: row["status"] for row in rows} == {
        str(files.folder / "out" / "content-style.png"): "done",
        str(files.folder / "out" / "b.webp"): "done",
        str(files.folder / "out" / "style-content.png"): "skipped",
    }
    after = outputs(files)
    assert after["b.webp"] == before["b.webp"]
    assert after["content-style.png"] != before["content-style.png"]
    *_, summary = lines(batch(capsys, files, changed, "--json", "--force"))
    assert summary["done"] == 3
    assert outputs(files) == after


def test_another_image_of_the_same_name_is_another_picture(capsys: pytest.CaptureFixture[str], files: Files) -> None:
    one = "content.png,style.png,,2,0,48\n"
    batch(capsys, files, one)
    pixels = np.asarray(Image.open(files.style)).copy()
    pixels[0, 0] ^= 1
    Image.fromarray(pixels).save(files.style)
    assert lines(batch(capsys, files, one, "--json"))[-1]["done"] == 1
    assert lines(batch(capsys, files, one, "--json"))[-1]["skipped"] == 1
    assert lines(batch(capsys, files, one, "--json", "--bits", 16))[-1]["done"] == 1


@pytest.mark.parametrize("together", [1, 3])
def test_a_row_that_fails_stops_no_other(capsys: pytest.CaptureFixture[str], files: Files, together: int) -> None:
    (files.folder / "broken.png").write_bytes(files.content.read_bytes()[:100])
    rows = "missing.png,style.png,,2,0,48\nbroken.png,style.png,,2,0,48\n" + THREE
    ended = batch(capsys, files, rows, "--batch", together)
    assert ended.status == 1
    errors = ended.err.splitlines()
    assert [line.split(":")[0] for line in errors] == ["row 2 failed", "row 3 failed"]
    assert "missing.png" in errors[0]
    assert ended.out.splitlines()[-1].startswith("3 done, 0 skipped, 2 failed in ")
    assert set(outputs(files)) == {"content-style.png", "b.webp", "style-content.png"}
    *told, summary = lines(batch(capsys, files, rows, "--json"))
    assert {row["row"]: row["status"] for row in told} == {
        2: "failed",
        3: "failed",
        4: "skipped",
        5: "skipped",
        6: "skipped",
    }
    assert [str(row["error"]).count("\n") for row in told if row["status"] == "failed"] == [0, 0]
    assert summary["failed"] == 2


def test_quiet_says_errors_only(capsys: pytest.CaptureFixture[str], files: Files) -> None:
    ended = batch(capsys, files, "missing.png,style.png,,2,0,48\n" + THREE, "--quiet")
    assert (ended.status, ended.out, len(ended.err.splitlines())) == (1, "", 1)


@pytest.mark.parametrize(
    ("rows", "more", "expected"),
    [
        ("content.png,style.png,,2,0,huge\n", (), "row 3, column size: bad size 'huge': expected a whole number"),
        ("content.png,style.png,a.bmp,2,0,48\n", (), "row 3, column output: cannot write "),
        ("content.png,style.png,a.jpg,2,0,48\n", ("--bits", 16), "row 3, column output: cannot write "),
    ],
)
def test_a_bad_manifest_runs_nothing(
    capsys: pytest.CaptureFixture[str], files: Files, rows: str, more: tuple[object, ...], expected: str
) -> None:
    ended = batch(capsys, files, THREE.splitlines()[0] + "\n" + rows, *more)
    assert (ended.status, ended.out) == (2, "")
    assert ended.err.startswith(f"error: {files.folder / 'list.csv'}, {expected}")
    assert ended.err.count("\n") == 1
    assert not list((files.folder / "out").glob("*.png"))


def test_a_bad_batch_is_one_line(capsys: pytest.CaptureFixture[str], files: Files) -> None:
    ended = batch(capsys, files, THREE, "--batch", 0)
    assert (ended.status, ended.err) == (2, "error: bad batch 0: allowed are 1 to 64 jobs per evaluation\n")


def interrupt_at(monkeypatch: pytest.MonkeyPatch, row: int, iteration: int) -> None:
    """Press Ctrl-C at an iteration of a row, which is numbered as a spreadsheet does."""
    from impasto.engine.cli.progress import BatchProgress

    flag: list[int] = []
    show = BatchProgress.show

    def watched(self: BatchProgress, shown: Row, event: Event) -> None:
        show(self, shown, event)
        if isinstance(event, Iteration) and (shown.number, event.iteration) == (row, iteration):
            flag.append(signal.SIGINT)

    monkeypatch.setattr("impasto.engine.cli.batch.interruptible", lambda: nullcontext(flag))
    monkeypatch.setattr(BatchProgress, "show", watched)


LONG = THREE.replace("b.webp,3,", "b.webp,40,")


@pytest.mark.parametrize("name", ["b.webp", "b.png", "b.jpg", "b.tif"])
def test_ctrl_c_saves_the_picture_so_far_which_is_made_again(
    capsys: pytest.CaptureFixture[str], files: Files, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    rows = LONG.replace("b.webp", name)
    with monkeypatch.context() as patch:
        interrupt_at(patch, row=3, iteration=2)
        ended = batch(capsys, files, rows)
    assert ended.status == 130
    folder = files.folder / "out"
    assert ended.err == f"{folder}: interrupted; rows that are not finished: 2; the same command makes them\n"
    _, unfinished, summary = ended.out.splitlines()
    assert unfinished.startswith(f"{folder / name}: unfinished, 48x36 px, 2 iterations, loss ")
    assert unfinished.endswith("; it was cancelled")
    assert summary.startswith("1 done, 0 skipped, 0 failed, 1 unfinished in ")
    assert set(outputs(files)) == {"content-style.png", name}
    record = read_metadata(folder / name)
    assert (record["outcome"], record["iterations"], record["settings"]["iterations"]) == ("cancelled", 2, 40)
    with Image.open(folder / name) as picture:
        picture.load()
        assert picture.size == (48, 36)
    so_far = outputs(files)[name]

    *told, counts = lines(batch(capsys, files, rows, "--json"))
    assert [row["status"] for row in told] == ["skipped", "done", "done"]
    assert {key: counts[key] for key in ("done", "skipped", "failed", "unfinished")} == {
        "done": 2, "skipped": 1, "failed": 0, "unfinished": 0,
    }  # fmt: skip
    assert outputs(files)[name] != so_far
    assert read_metadata(folder / name)["outcome"] != "cancelled"
    assert lines(batch(capsys, files, rows, "--json"))[-1]["skipped"] == 3


def test_ctrl_c_saves_every_row_under_way(
    capsys: pytest.CaptureFixture[str], files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = "content.png,style.png,,40,0,48\n"
    with monkeypatch.context() as patch:
        interrupt_at(patch, row=3, iteration=2)
        ended = batch(capsys, files, one * 3, "--batch", 2, "--json")
    assert ended.status == 130
    *told, summary = lines(ended)
    assert sorted((row["row"], row["status"], row["outcome"]) for row in told) == [
        (2, "unfinished", "cancelled"),
        (3, "unfinished", "cancelled"),
    ]
    assert summary["unfinished"] == 2
    assert set(outputs(files)) == {"content-style.png", "content-style-2.png"}
    planned = lines(batch(capsys, files, one * 3, "--json", "--dry-run"))[:-1]
    assert [row["status"] for row in planned] == ["to do"] * 3


def test_a_picture_so_far_does_not_replace_a_finished_result(
    capsys: pytest.CaptureFixture[str], files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    batch(capsys, files, LONG)
    before = outputs(files)
    with monkeypatch.context() as patch:
        interrupt_at(patch, row=3, iteration=2)
        ended = batch(capsys, files, LONG, "--force", "--json")
    assert (ended.status, lines(ended)[-1]["unfinished"]) == (130, 0)
    assert outputs(files) == before
    changed = LONG.replace("b.webp,40,", "b.webp,41,")
    with monkeypatch.context() as patch:
        interrupt_at(patch, row=3, iteration=2)
        assert lines(batch(capsys, files, changed, "--json"))[-1]["unfinished"] == 1
    assert outputs(files)["b.webp"] != before["b.webp"]  # which was of other settings


def test_nothing_is_written_before_the_first_evaluation(
    capsys: pytest.CaptureFixture[str], files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("impasto.engine.cli.batch.interruptible", lambda: nullcontext([signal.SIGINT]))
    ended = batch(capsys, files, LONG)
    assert (ended.status, outputs(files)) == (130, {})
    assert ended.out.startswith("0 done, 0 skipped, 0 failed in ")


def test_the_bar_counts_rows_and_iterations(files: Files, tmp_path: Path) -> None:
    from impasto.engine.cli.progress import BatchProgress
    from impasto.engine.events import Iteration, PrecisionChanged
    from impasto.engine.inputs.manifest import read_manifest

    (tmp_path / "l.csv").write_text(HEADER + THREE)
    rows = read_manifest(tmp_path / "l.csv", tmp_path)
    said: list[str] = []
    bar = BatchProgress(7, 3, hidden=True, say=said.append)
    with bar:
        for iteration in (1, 2):
            bar.show(rows[1], Iteration(iteration, 2, 1.0, {}, 1.0, lambda: np.zeros(3)))
        (task,) = bar.tasks
        assert (task.completed, task.fields["ended"]) == (2, 0)
        bar.end(rows[1])
        assert (task.completed, task.fields["ended"]) == (3, 1)
        assert said == []
        bar.show(rows[2], PrecisionChanged("fp16", "bf16", 7))
    assert said == ["row 4: values in fp16 are not finite; continuing from iteration 7 in bf16"]


def test_a_dry_run_says_what_would_be_done_and_writes_nothing(
    capsys: pytest.CaptureFixture[str], files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = "content.png,style.png,,2,0,48\n"
    rows = f"{one}content.png,style.png,sub/b.webp,3,1,64\nmissing.png,style.png,,2,0,48\n"
    with monkeypatch.context() as patch:
        patch.setattr(Engine, "transfer_many", None)
        ended = batch(capsys, files, rows, "--dry-run", "--batch", 2)
        assert (ended.status, ended.err) == (0, "")
        assert not (files.folder / "out").exists()
        first, second, third, counts, time, memory = ended.out.splitlines()
        assert first == f"{files.folder / 'out' / 'content-style.png'}: to do, 48x36 px, lbfgs, 2 iterations"
        assert second.endswith("b.webp: to do, 64x48 px, lbfgs, 3 iterations")
        assert third.startswith(f"{files.folder / 'out' / 'missing-style.png'}: failed, ")
        assert counts == "2 to do, 0 skipped, 1 failed"
        assert time == "time: not known: no such run was timed on this machine yet"
        assert memory.startswith("memory: about ")
        assert ", for 64x48 px; " in memory
    batch(capsys, files, one)
    before = outputs(files)
    *told, summary = lines(batch(capsys, files, rows, "--dry-run", "--json"))
    assert [row["status"] for row in told] == ["skipped", "to do", "failed"]
    assert (summary["to do"], summary["skipped"], summary["failed"]) == (1, 1, 1)
    assert summary["memory_bytes"] == told[1]["memory_bytes"]["total"]  # type: ignore[index]
    assert outputs(files) == before


def test_a_dry_run_counts_the_memory_of_all_places(capsys: pytest.CaptureFixture[str], files: Files) -> None:
    alike = "".join(f"content.png,style.png,{number}.png,2,{number},48\n" for number in range(3))
    single, pair = (
        lines(batch(capsys, files, alike, "--dry-run", "--json", "--batch", places))[0] for places in (1, 2)
    )
    assert (single["batch"], pair["batch"]) == (1, 2)
    for part in ("activations", "optimiser"):
        assert 1.5 < pair["memory_bytes"][part] / single["memory_bytes"][part] < 2.5  # type: ignore[index]


def test_a_dry_run_refuses_what_a_run_would(capsys: pytest.CaptureFixture[str], files: Files) -> None:
    ended = batch(capsys, files, "content.png,style.png,a.bmp,2,0,48\n", "--dry-run")
    assert (ended.status, ended.out) == (2, "")
    assert "row 2, column output: cannot write " in ended.err
    assert batch(capsys, files, THREE, "--dry-run", "--batch", 0).status == 2

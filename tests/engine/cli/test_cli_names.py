"""Names that are no text, and names as long as the file system allows: they work, or it is one line of ASCII."""

import json
import os
from pathlib import Path

import pytest
from PIL import Image

from tests.engine.command_line import run
from tests.engine.conftest import TAPS, Files

ODD = os.fsdecode(b"caf\xe9\xff")
LONGEST = "a" * 251
SMALL = ("--provider", "cpu", "--quiet", "--json")


@pytest.fixture(params=[ODD, LONGEST], ids=["no text", "long"])
def stem(request: pytest.FixtureRequest, files: Files) -> str:
    name: str = request.param
    (files.folder / f"{name}.png").write_bytes(files.content.read_bytes())
    return name


def common(files: Files) -> tuple[object, ...]:
    return ("--model", files.model, *SMALL, *TAPS, "--iterations", 2, "--size", 64)


def is_ascii_json(text: str) -> bool:
    return text.isascii() and all(json.loads(line) is not None for line in text.splitlines())


def test_a_run_reads_and_writes_such_names(files: Files, stem: str, capsys: pytest.CaptureFixture[str]) -> None:
    image, output = files.folder / f"{stem}.png", files.folder / "results" / f"{stem}.png"
    output.parent.mkdir()
    extra = ("--report", output.parent / "x.html", "--checkpoint", output.parent / "x.safetensors")
    ended = run(capsys, "transfer", image, files.style, "-o", output, "--init", image, *extra, *common(files))
    assert (ended.status, ended.err) == (0, "")
    assert is_ascii_json(ended.out)
    with Image.open(output) as painted:
        assert painted.size == (64, 48)
    ended = run(capsys, "resume", output.parent / "x.safetensors", "--iterations", 3, "--json", "--quiet")
    assert (ended.status, ended.err, is_ascii_json(ended.out)) == (0, "", True)
    ended = run(capsys, "show", output, "--json")
    assert (ended.status, ended.err, ended.out.isascii()) == (0, "", True)
    (output.parent / "x.html").read_text("utf-8")


def test_a_list_has_such_names(files: Files, stem: str, capsys: pytest.CaptureFixture[str]) -> None:
    manifest = files.folder / "list.jsonl"
    rows = ({"content": f"{stem}.png", "style": "style.png"}, {"content": "content.png", "style": f"{stem}.png"})
    manifest.write_text("\n".join(map(json.dumps, rows)))
    taps = ("--set", "content_taps=relu2_1", "--set", "style_taps=relu1_1", "--set", "iterations=1")
    given = ("batch", manifest, "-o", files.folder / ODD, "--model", files.model, *SMALL, *taps)
    for word in ("done", "skipped"):
        ended = run(capsys, *given)
        assert (ended.status, ended.err, is_ascii_json(ended.out)) == (0, "", True)
        assert ended.out.count(f'"status": "{word}"') == 2
    ended = run(capsys, *given, "--dry-run", "--force")
    assert (ended.status, ended.out.count('"status": "to do"'), is_ascii_json(ended.out)) == (0, 2, True)


@pytest.mark.parametrize("option", ["--output", "--report", "--animation", "--checkpoint", "--save-every"])
def test_a_name_that_is_too_long_is_refused_before_the_run(
    files: Files, capsys: pytest.CaptureFixture[str], option: str
) -> None:
    suffix = {"--report": ".html", "--animation": ".webp", "--checkpoint": ".safetensors"}.get(option, ".png")
    name = files.folder / f"{'b' * 300}{suffix}"
    output: Path = files.folder / "out.png"
    if option == "--save-every":  # its files have longer names than the output
        output, name = files.folder / f"{LONGEST}.png", 1  # type: ignore[assignment]
    elif option == "--output":
        output = name
    more = () if option == "--output" else (option, name)
    before = sorted(files.folder.iterdir())
    ended = run(capsys, "transfer", files.content, files.style, "-o", output, *more, *common(files))
    assert (ended.status, ended.out, ended.err.count("\n")) == (2, "", 1)
    assert "too long" in ended.err or "more than 255 bytes" in ended.err
    assert sorted(files.folder.iterdir()) == before


def test_a_folder_of_results_whose_name_is_too_long_is_refused(
    files: Files, capsys: pytest.CaptureFixture[str]
) -> None:
    manifest = files.folder / "list.csv"
    manifest.write_text("content,style\ncontent.png,style.png\n")
    for more in ((), ("--dry-run",)):
        ended = run(capsys, "batch", manifest, "-o", files.folder / ("g" * 300), "--model", files.model, *SMALL, *more)
        assert (ended.status, ended.out, ended.err.count("\n")) == (2, "", 1)
        assert "the name is too long" in ended.err
        assert "Errno" not in ended.err

"""The Python in the documents runs, and the command lines and help texts that they point to exist."""

import re
import shutil
from pathlib import Path

import onnx_ir as ir
import pytest

from impasto import engine
from tests.conftest import REPOSITORY
from tests.documented_commands import check_mention, is_runnable, lines, mentions, parse, resolve
from tests.engine.command_line import run
from tests.small_network import VGG_WIDTHS, features_model

BLOCK = re.compile(r"```python\n(.*?)```", re.DOTALL)


DOCUMENTS = (*REPOSITORY.glob("*.md"), *(REPOSITORY / "docs").glob("*.md"), REPOSITORY / "examples" / "README.md")
NAMES = [str(path.relative_to(REPOSITORY)) for path in sorted(DOCUMENTS)]


def blocks(document: str) -> list[str]:
    return BLOCK.findall((REPOSITORY / document).read_text())


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the example pictures and a cache in which `vgg19` is a network of VGG-19's form, but narrow."""
    monkeypatch.setenv("IMPASTO_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "cache" / "networks").mkdir(parents=True)
    ir.save(features_model(widths=VGG_WIDTHS), tmp_path / "cache" / "networks" / "vgg19.onnx")
    for name in ("harbour.jpg", "swirls.jpg"):
        shutil.copy(REPOSITORY / "examples" / name, tmp_path)
    return tmp_path


@pytest.mark.parametrize("number", range(len(blocks("docs/python.md"))))
def test_python_document(folder: Path, number: int) -> None:
    names = {"MODEL": "vgg19", "CONTENT": "harbour.jpg", "STYLE": "swirls.jpg", "FOLDER": folder}
    exec(compile(blocks("docs/python.md")[number], "docs/python.md", "exec"), names)  # noqa: S102


def test_readme_python(folder: Path) -> None:
    (code,) = blocks("README.md")
    smaller = code.replace("size=512, strength=0.6", "size=64, iterations=3")
    assert smaller != code
    exec(compile(smaller, "README.md", "exec"), {})  # noqa: S102
    assert (folder / "out.png").is_file()


def test_options_page_has_the_groups_of_the_help() -> None:
    """Each section has the options of that group, with all their names; "First to know" is the help's "Options"."""
    command, _ = resolve(["impasto", "transfer"])
    declared: dict[str, set[str]] = {}
    for parameter in command.params:
        if parameter.opts[0].startswith("-"):
            group = getattr(parameter, "rich_help_panel", None) or "Options"
            declared.setdefault(group, set()).update(parameter.opts, parameter.secondary_opts)
    _, *parts = re.split(r"^## (.*)$", (REPOSITORY / "docs" / "options.md").read_text(), flags=re.MULTILINE)
    described = {
        title: {
            option for row in re.findall(r"^\| (.*?) \|", table, re.MULTILINE) for option in re.findall(r"`(.*?)`", row)
        }
        for title, table in zip(parts[::2], parts[1::2], strict=True)
    }
    described = {"Options": described.pop("First to know") - {"--help", "-h"}, **described}
    assert described == declared
    assert list(described) == list(dict.fromkeys(["Options", *declared]))


def test_readme_names_options_that_exist(capsys: pytest.CaptureFixture[str]) -> None:
    text = run(capsys, "transfer", "--help").out
    named = set(re.findall(r"`(--[a-z-]+)", (REPOSITORY / "README.md").read_text()))
    assert named
    assert {option for option in named if option not in text} == set()


def test_index_lists_every_page_once() -> None:
    docs = REPOSITORY / "docs"
    listed = re.findall(r"^- \[([a-z0-9-]+\.md)\]\(\1\):", (docs / "index.md").read_text(), re.MULTILINE)
    assert sorted(listed) == sorted(page.name for page in docs.glob("*.md") if page.name != "index.md")


def test_python_page_names_all_that_is_public() -> None:
    text = (REPOSITORY / "docs" / "python.md").read_text()
    methods = [name for name in dir(engine.Engine) if not name.startswith("_")]
    assert [name for name in (*engine.__all__, *methods) if not re.search(rf"\b{name}\b", text)] == []


def anchors(document: Path) -> set[str]:
    """Return the anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.*)$", document.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_links_lead_somewhere() -> None:
    for document in DOCUMENTS:
        for target, anchor in re.findall(r"\]\(([^)#:]*\.md|)#([^)]*)\)", document.read_text()):
            page = document.parent / target if target else document
            assert anchor in anchors(page), f"{document.name} links to {target}#{anchor}"
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", document.read_text()):
            assert (document.parent / target).exists(), f"{document.name} links to {target}"


HOUSE_WORDS = r"likewise|beside|goes on|go on|going on|to the letter|what there is|what would|at hand|what was asked"


@pytest.mark.parametrize("name", NAMES)
def test_words_are_plain(name: str) -> None:
    text = (REPOSITORY / name).read_text()
    assert re.findall(rf"\b(?:{HOUSE_WORDS})\b", text, re.IGNORECASE) == []


def test_paths_lead_somewhere() -> None:
    for document in DOCUMENTS:
        for path in re.findall(r"`((?:bench|engine|examples|export|models|tests)/[\w/.-]*)`", document.read_text()):
            assert (REPOSITORY / path).exists(), f"{document.name} names {path}"


@pytest.mark.parametrize("name", NAMES)
def test_command_lines_are_understood(name: str) -> None:
    text = (REPOSITORY / name).read_text()
    for words in lines(text):
        parse(words)
    for words in mentions(text):
        check_mention(words)


def test_there_are_command_lines_to_check() -> None:
    texts = [(REPOSITORY / name).read_text() for name in NAMES]
    assert sum(len(list(lines(text))) for text in texts) > 30
    assert sum(len(list(mentions(text))) for text in texts) > 30


def test_every_measurement_that_is_documented_can_be_run() -> None:
    text = (REPOSITORY / "docs" / "benchmarks.md").read_text()
    rows = text.split("| `python -m impasto.bench.studies.` |")[1].split("\n\n")[0]
    modules = re.findall(r"^\| `(\w+)` \|", rows, re.MULTILINE)
    assert len(modules) > 8
    assert [module for module in modules if not is_runnable(f"impasto.bench.studies.{module}")] == []


@pytest.mark.parametrize(
    "line",
    [
        "    python -m impasto.bench.evaluation CONTENT STYLE --weights FILE -o FILE.json",  # was in measurements.md
        "    python -m impasto.bench.studies.seams STYLE",
        "    python -m impasto.bench.studies.seams STYLE --nothing -o FILE.json",
        "    python -m impasto.nothing",
        "    impasto bench evaluate",
        "    impasto bench plot A.json",
        "    impasto transfer content.jpg style.jpg -o out.png --nothing",
        "```console\nimpasto nothing\n```",
        "see `impasto weights list | nothing`",
        "see `impasto check --nothing`",
        "see `python -m impasto.bench.gpu --nothing`",
        "see `python -m impasto.bench.race`",
    ],
)
def test_wrong_command_lines_are_found(line: str) -> None:
    with pytest.raises(AssertionError):  # noqa: PT012 - whichever of the two finds it
        for words in lines(line):
            parse(words)
        for words in mentions(line):
            check_mention(words)

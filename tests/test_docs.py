"""The Python in the documents runs, and the help texts that they point to exist."""

import re
import shutil
from pathlib import Path

import onnx_ir as ir
import pytest

from tests.conftest import REPOSITORY
from tests.engine.command_line import run
from tests.small_network import VGG_WIDTHS, features_model

BLOCK = re.compile(r"```python\n(.*?)```", re.DOTALL)


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
    smaller = code.replace("size=512, iterations=200", "size=64, iterations=3")
    assert smaller != code
    exec(compile(smaller, "README.md", "exec"), {})  # noqa: S102
    assert (folder / "out.png").is_file()


def test_readme_names_options_that_exist(capsys: pytest.CaptureFixture[str]) -> None:
    text = run(capsys, "transfer", "--help").out
    named = set(re.findall(r"`(--[a-z-]+)`", (REPOSITORY / "README.md").read_text()))
    assert named >= {"--size", "--json"}
    assert {option for option in named if option not in text} == set()


def test_links_lead_somewhere() -> None:
    for document in [*REPOSITORY.glob("*.md"), *(REPOSITORY / "docs").glob("*.md"), REPOSITORY / "examples/README.md"]:
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", document.read_text()):
            assert (document.parent / target).exists(), f"{document.name} links to {target}"

"""The wheel, built and installed in a clean environment, beside folders that have the names of its packages."""

import os
import shutil
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

from impasto.engine.presets import NAMES
from impasto.models.version import VERSION
from tests.conftest import REPOSITORY

LEFT_OUT = {"bench": ("studies/", "gpu/", "rivals/"), "models": ("distil/",), "server": ("client/",)}
"""By package: what is run in a checkout, and what is a package of its own."""
PARTS_OF_PAGES = ("chart.html", "page.css", "page.html", "page.js", "parts.html", "report.html")
LIBRARY = "runtime/libimpasto_ops.so"
PICTURES = ("harbour", "swirls", "mosaic", "woodcut")
SITE = next(Path(entry) for entry in sys.path if entry.endswith("site-packages"))


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the repository, as it would be committed."""
    tree = tmp_path_factory.mktemp("tree")
    files = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=REPOSITORY,
        check=True,
        capture_output=True,
        text=True,
    ).stdout.split("\n")
    for name in filter(None, files):
        if (REPOSITORY / name).is_file():
            (tree / name).parent.mkdir(parents=True, exist_ok=True)
            (tree / name).write_bytes((REPOSITORY / name).read_bytes())
    return tree


@pytest.fixture(scope="module")
def wheel(tree: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel that is built from the source distribution."""
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run([sys.executable, "-m", "build", "--outdir", folder, tree], check=True, capture_output=True)
    return next(folder.glob("*.whl"))


@pytest.mark.slow
def test_wheel_holds_the_packages_and_nothing_else(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    code = {name.split("/")[1] for name in names if name.startswith("impasto/")}
    assert code == {"bench", "client", "engine", "export", "models", "server"}
    assert {name.split("/")[0] for name in names} == {"impasto", f"impasto-{VERSION}.dist-info"}
    for package in code:
        assert f"impasto/{package}/py.typed" in names
    pages = {"figures/figure.html", *(f"watch/report/{name}" for name in PARTS_OF_PAGES)}
    parts = {f"page/{path.name}" for path in (REPOSITORY / "server/page").iterdir() if path.suffix not in (".py", "")}
    assert {f"impasto/server/{name}" for name in parts} <= set(names)
    data = {
        "py.typed",
        *parts,
        "web/docs.html",
        "bundle/manifest.schema.json",
        *(f"presets/{name}.json" for name in NAMES),
        "embedded/vgg19-slim.onnx",
        LIBRARY,
        *(f"figures/pictures/{name}.jpg" for name in PICTURES),
        *pages,
    }
    assert "impasto/models/embedded/vgg19-slim.onnx" in names
    assert {f"impasto/engine/figures/pictures/{name}.jpg" for name in PICTURES} <= set(names)
    assert {f"impasto/engine/{name}" for name in pages} <= set(names)
    for package in code - {"client"}:
        sources = {path.relative_to(REPOSITORY / package).as_posix() for path in (REPOSITORY / package).rglob("*.py")}
        sources = {name for name in sources if not name.startswith(LEFT_OUT.get(package, ()))}
        assert (
            sources
            == {name.removeprefix(f"impasto/{package}/") for name in names if name.startswith(f"impasto/{package}/")}
            - data
        ), "a package is missing from pyproject.toml"


@pytest.mark.slow
def test_wheel_has_the_operators_where_there_is_a_compiler(wheel: Path) -> None:
    built = any(map(shutil.which, ("c++", "g++", "clang++"))) and sys.platform in ("linux", "darwin")
    assert (f"impasto/engine/{LIBRARY}" in zipfile.ZipFile(wheel).namelist()) == built
    python, abi, platform = wheel.stem.split("-")[2:]
    assert (python, abi) == ("py3", "none")  # whatever the version of Python
    assert (platform == "any") != built


@pytest.mark.slow
def test_a_wheel_whose_operators_do_not_build_is_for_every_platform(tree: Path, tmp_path: Path) -> None:
    environment = {**os.environ, "CXX": f"{shutil.which('false')} --always"}
    command: list[str | Path] = [
        sys.executable,
        "setup.py",
        "bdist_wheel",
        "--dist-dir",
        tmp_path,
        "--bdist-dir",
        tmp_path / "parts",
    ]
    done = subprocess.run(command, cwd=tree, env=environment, check=True, capture_output=True, text=True)
    assert f'building extension "impasto.engine.{LIBRARY.removesuffix(".so").replace("/", ".")}" failed' in done.stderr
    (made,) = tmp_path.glob("*.whl")
    names = zipfile.ZipFile(made).namelist()
    assert made.name == f"impasto-{VERSION}-py3-none-any.whl"
    assert f"impasto/engine/{LIBRARY}" not in names
    metadata = zipfile.ZipFile(made).read(f"impasto-{VERSION}.dist-info/WHEEL").decode()
    assert "Root-Is-Purelib: true\n" in metadata
    assert "impasto/engine/settings.py" in names


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("c++") is None, reason="no C++ compiler (c++)")
def test_the_compiler_is_a_command_with_flags(tree: Path, tmp_path: Path) -> None:
    wrapper, log = tmp_path / "compiler.py", tmp_path / "log"
    wrapper.write_text(
        f"import os, sys\nopen({str(log)!r}, 'a').write(' '.join(sys.argv) + '\\n')\nos.execvp('c++', sys.argv[1:])\n"
    )
    environment = {
        **os.environ,
        "CXX": f"{sys.executable} {wrapper} c++ -DOF_CXX",
        "CXXFLAGS": "-O0 -DOF_CXXFLAGS='1 2'",
        "LDFLAGS": "-Wl,-z,now" if sys.platform == "linux" else "-Wl,-dead_strip",
    }
    command: list[str | Path] = [
        sys.executable,
        "setup.py",
        "build_ext",
        "--build-lib",
        tmp_path / "lib",
        "--build-temp",
        tmp_path / "temp",
    ]
    subprocess.run(command, cwd=tree, env=environment, check=True, capture_output=True)
    *compiled, linked = log.read_text().splitlines()
    assert len(compiled) == len(list((tree / "cpp" / "ops").glob("*.cpp")))
    for line in compiled:
        assert line.endswith("-O0 -DOF_CXXFLAGS=1 2")
        assert "c++ -DOF_CXX -fPIC" in line
    assert "c++ -DOF_CXX -shared" in linked
    assert environment["LDFLAGS"] in linked
    assert (tmp_path / "lib" / "impasto" / "engine" / LIBRARY).is_file()


@pytest.mark.slow
def test_wheel_has_both_licences_and_the_credit(wheel: Path) -> None:
    archive, info = zipfile.ZipFile(wheel), f"impasto-{VERSION}.dist-info"
    metadata = archive.read(f"{info}/METADATA").decode()
    assert "License-Expression: MIT AND CC-BY-4.0\n" in metadata
    assert b"MIT License" in archive.read(f"{info}/licenses/LICENSE")
    notice = archive.read(f"{info}/licenses/NOTICE").decode()
    for words in ("Karen Simonyan and Andrew Zisserman", "creativecommons.org/licenses/by/4.0", "distilled"):
        assert words in notice


@pytest.mark.slow
def test_installed_it_runs_beside_decoys(wheel: Path, tmp_path: Path) -> None:
    venv.create(tmp_path / "env", with_pip=True, symlinks=True)
    python = tmp_path / "env" / "bin" / "python"
    subprocess.run([python, "-m", "pip", "install", "--quiet", "--no-deps", wheel], check=True, capture_output=True)
    site = next((tmp_path / "env" / "lib").glob("python*/site-packages"))
    # The requirements come from this environment; its own editable impasto does not.
    (site / "requirements.py").write_text(f"import sys\nsys.path.append({str(SITE)!r})\n")
    (site / "requirements.pth").write_text("import requirements\n")
    for decoy in ("models", "engine", "export", "bench"):
        (tmp_path / decoy).mkdir()
        (tmp_path / decoy / "__init__.py").write_text("raise ImportError('the decoy was imported')\n")
    version = subprocess.run(
        [tmp_path / "env" / "bin" / "impasto", "--version"], cwd=tmp_path, check=True, capture_output=True, text=True
    )
    assert version.stdout == f"impasto {VERSION}\n"
    content, style = (REPOSITORY / "examples" / name for name in ("harbour.jpg", "swirls.jpg"))
    picture: list[str | Path] = [
        tmp_path / "env" / "bin" / "impasto",
        "transfer",
        content,
        style,
        "-o",
        tmp_path / "out.png",
    ]
    empty_home = {"HOME": str(tmp_path / "home"), "PATH": "/usr/bin:/bin"}
    made = subprocess.run(
        [*picture, "--size", "96", "--iterations", "2"],
        cwd=tmp_path,
        check=True,
        capture_output=True,
        text=True,
        env=empty_home,
    )
    assert "network vgg19-slim" in made.stderr
    assert (tmp_path / "out.png").is_file()
    (tmp_path / "empty").mkdir()
    figure: list[str | Path] = [tmp_path / "env" / "bin" / "impasto", "figure", "2", "-o", "figure2"]
    made = subprocess.run(
        [*figure, "--size", "64", "--evaluations", "2"],
        cwd=tmp_path / "empty",
        check=True,
        capture_output=True,
        text=True,
        env=empty_home,
    )
    assert "from the package: harbour.jpg, swirls.jpg, mosaic.jpg, woodcut.jpg" in made.stderr
    assert (tmp_path / "empty" / "figure2" / "3-woodcut.png").is_file()
    assert (tmp_path / "empty" / "figure2" / "figure.html").read_text().count("<polyline") > 0
    code = "import impasto.engine, impasto.bench; print(impasto.engine.__file__, impasto.engine.Settings().size)"
    where = subprocess.run(
        [python, "-c", code], cwd=tmp_path, check=True, capture_output=True, text=True
    ).stdout.split()
    assert Path(where[0]).is_relative_to(site)
    assert where[1] == "512"

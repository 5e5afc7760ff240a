"""CUDA without a GPU: real sessions of ONNX Runtime's CUDA provider, over libraries that pretend (`fake_nvidia`).

Placement, capture and replay, and what is copied to the host are ONNX Runtime's own doing; only numbers are not.
"""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.engine.conftest import Files
from tests.engine.runtime.providers.fake_nvidia.building import CUDNN, DRIVER, build, missing

ROOT = Path(__file__).parents[4]
TABLE = json.loads(Path(__file__).with_name("cuda-kernels.json").read_text())
HOST_BYTES_PER_ITERATION = 64

pytestmark = pytest.mark.skipif(missing() is not None, reason=str(missing()))

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def libraries(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("nvidia") / "all"
    build(folder)
    return folder


@pytest.fixture(scope="module")
def run(libraries: Path) -> Run:
    """Run a Python process that finds these libraries, or others."""

    def call(*words: object, folder: Path = libraries, **variables: str) -> subprocess.CompletedProcess[str]:
        path = os.pathsep.join(filter(None, (str(folder), os.environ.get("LD_LIBRARY_PATH"))))
        environment = {**os.environ, "LD_LIBRARY_PATH": path, "IMPASTO_NO_CACHE": "1", **variables}
        command = [sys.executable, *map(str, words)]
        return subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, check=False)

    return call


@pytest.fixture(scope="module")
def found(run: Run) -> dict[str, Any]:
    """Ask such a process everything at once; it says nothing else."""
    ended = run("-m", "tests.engine.runtime.providers.fake_nvidia.asking")
    assert (ended.returncode, ended.stderr) == (0, "")
    answers: dict[str, Any] = json.loads(ended.stdout)
    return answers


@pytest.fixture
def impasto(run: Run) -> Run:
    return lambda *words, **others: run("-c", "from impasto.engine.cli import main; main()", *words, **others)


def test_every_node_of_every_graph_is_on_the_gpu(found: dict[str, Any]) -> None:
    assert set(found["placement"]) == {"fp32", "tf32", "fp16", "bf16"}
    assert all(len(graphs) == 15 for graphs in found["placement"].values())
    assert [(name, kind) for name, graphs in found["placement"].items() for kind, ops in graphs.items() if ops] == []


def test_a_node_without_a_kernel_is_an_error(found: dict[str, Any]) -> None:
    why = "provider cuda left 4 MaxPool to the CPU provider and that would be slow; use another --provider"
    assert found["unlowered"] == why


def test_an_iteration_is_two_replays_and_a_few_bytes(found: dict[str, Any]) -> None:
    captured, uncaptured = found["replays"]["cuda"], found["replays"]["cuda,uncaptured"]
    assert (captured["launches"], captured["kernels"], captured["races"]) == (20, 0, 0)
    assert 0 < captured["bytes_to_host"] <= 10 * HOST_BYTES_PER_ITERATION
    assert uncaptured["launches"] == 0
    assert uncaptured["kernels"] > 1000


def test_what_cannot_be_captured_runs_node_by_node(found: dict[str, Any]) -> None:
    captured, refused = found["running"], found["uncapturable"]
    assert (captured["said"], refused["said"]) == ("", "")
    assert (captured["captured"], refused["captured"]) == (True, False)
    assert (captured["launches"], refused["launches"]) == (3, 0)
    assert refused["kernels"] > captured["kernels"]


def test_no_memory_is_one_line(found: dict[str, Any]) -> None:
    said = found["without memory"]["said"]
    assert said.startswith("provider cuda in fp16 cannot open the graph: ")
    assert said.endswith("; use a smaller --size, --history or --batch, or --precision fp16 where the provider has it")
    assert "\n" not in said


def test_the_table_is_what_the_installed_version_has(found: dict[str, Any]) -> None:
    names, has = {*TABLE["bfloat16"], *TABLE["not_bfloat16"]}, found["kernels"]
    assert {name.partition(",")[0] for name in has} == names
    assert {name for name in names if has[f"{name}, bfloat16"]} == set(TABLE["bfloat16"])
    assert {name for name in names if not has[f"{name}, float"]} == set(TABLE["in_no_type"])


def test_a_run_says_nothing_of_its_own(impasto: Run, files: Files, tmp_path: Path) -> None:
    """Nothing is computed, so the loss is 0, and the loop on the device sees that and leaves it to the host."""
    words = ("transfer", files.content, files.style, "--model", files.model, "--size", 0, "--provider", "cuda")
    taps = ("--content-tap", "relu2_1", "--style-tap", "relu1_1", "-o", tmp_path / "out.png", "--preset", "paper")
    ended = impasto(*words, *taps, "--json")
    assert (ended.returncode, ended.stderr) == (0, "")
    lines = [json.loads(line) for line in ended.stdout.splitlines()]
    assert (lines[-1]["provider"], lines[-1]["precision"], lines[-1]["loss"]) == ("cuda", "tf32", 0)
    refused = impasto(*words, *taps, FAKE_FREE="1000000")
    assert (refused.returncode, refused.stdout) == (2, "")
    assert refused.stderr.startswith("error: not enough GPU memory: this run (")
    assert refused.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("left_out", "reason"),
    [
        ({CUDNN}, f"not usable: cuDNN 9 does not load ({CUDNN}); pip install 'impasto[cuda]'"),
        (None, "not usable: its libraries do not load (libcublasLt.so."),
    ],
)
def test_missing_libraries_are_found_before_a_run(
    impasto: Run, libraries: Path, tmp_path: Path, left_out: set[str] | None, reason: str
) -> None:
    folder = tmp_path / "some"
    folder.mkdir()
    names = {path.name for path in libraries.iterdir()}
    for name in names - left_out if left_out else {DRIVER}:
        (folder / name).symlink_to((libraries / name).resolve())
    ended = impasto("doctor", "--json", folder=folder)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert json.loads(ended.stdout)["Providers"]["cuda"].startswith(reason)

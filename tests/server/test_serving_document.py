"""The examples of docs/serving.md, executed."""

import configparser
import inspect
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

from impasto.server.cli.serve import serve
from impasto.server.web.keys import Keys
from tests.conftest import REPOSITORY
from tests.server.running import CONTENT, STYLE, RunningServer, wait_for

TEXT = (REPOSITORY / "docs" / "serving.md").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", TEXT, re.DOTALL)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    shutil.copy(CONTENT, tmp_path / "content.jpg")
    shutil.copy(STYLE, tmp_path / "style.jpg")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def ready(server: RunningServer) -> None:
    with server.http() as http:
        wait_for(lambda: http.get("/health/ready").status_code == 200, what="the worker")


@pytest.mark.parametrize("number", range(len(blocks("python"))))
def test_python(server: RunningServer, folder: Path, number: int) -> None:
    code = blocks("python")[number]
    if "tritonclient" in code:
        pytest.importorskip("tritonclient.http", reason="tritonclient is not installed")
    ready(server)
    exec(compile(code, "docs/serving.md", "exec"), {"SERVER": server.url})  # noqa: S102
    assert "picture()" not in code or (folder / "out.png").is_file()


def test_curl(server: RunningServer, folder: Path) -> None:
    (code,) = blocks("sh")
    if shutil.which("curl") is None:
        pytest.skip("there is no curl")
    subprocess.run(["sh", "-e", "-c", f"SERVER={server.url}\n{code}"], check=True, capture_output=True)
    assert (folder / "out.png").read_bytes().startswith(b"\x89PNG")
    assert (folder / "out.webp").read_bytes().startswith(b"RIFF")


def test_javascript(server: RunningServer, folder: Path) -> None:
    (code,) = blocks("js")
    node = shutil.which("node")
    if node is None:
        pytest.skip("there is no node")
    (folder / "render.mjs").write_text(f"const SERVER = {server.url!r};\n{code}")
    subprocess.run([node, "render.mjs"], check=True, capture_output=True)
    assert (folder / "out.png").read_bytes().startswith(b"\x89PNG")


def test_the_file_of_keys(tmp_path: Path) -> None:
    (keys,) = blocks("toml")
    (tmp_path / "keys.toml").write_text(keys)
    found = Keys(tmp_path / "keys.toml").find("alice")
    assert found is not None
    assert (found.id, found.jobs, found.max_priority) == ("alice", 100, 4)


def options_of(command: str) -> set[str]:
    return {word.partition("=")[0] for word in shlex.split(command) if word.startswith("--")}


def known_options() -> set[str]:
    return {f"--{name.replace('_', '-')}" for name in inspect.signature(serve).parameters}


def test_the_manifest_of_kuberay_is_whole() -> None:
    yaml = pytest.importorskip("yaml", reason="PyYAML is not installed")
    (text,) = blocks("yaml")
    cluster, server = yaml.safe_load_all(text)
    assert (cluster["kind"], server["kind"]) == ("RayCluster", "StatefulSet")
    groups = [cluster["spec"]["headGroupSpec"], *cluster["spec"]["workerGroupSpecs"]]
    images = {item["image"] for group in groups for item in group["template"]["spec"]["containers"]}
    pod = server["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert images == {container["image"]}, "all machines have the same versions"
    joins, starts = container["args"][0].split(" && exec impasto ")
    assert joins.startswith(f"ray start --address={cluster['metadata']['name']}-head-svc:6379 --num-cpus=0")
    assert options_of(starts) <= known_options()
    assert {"--keys", "--host", "--ray"} <= options_of(starts)
    mounts = {item["name"] for item in container["volumeMounts"]}
    claims = {item["metadata"]["name"] for item in server["spec"]["volumeClaimTemplates"]}
    assert mounts == claims | {item["name"] for item in pod["volumes"]}
    assert pod["terminationGracePeriodSeconds"] > 10, "SIGTERM drains within 10 s"


def test_the_unit_of_systemd_starts_the_server() -> None:
    (text,) = blocks("ini")
    unit = configparser.ConfigParser(strict=False)
    unit.optionxform = str  # type: ignore[assignment, method-assign]
    unit.read_string(text)
    service = unit["Service"]
    assert service["ExecStart"].split()[1] == "serve"
    assert options_of(service["ExecStart"]) <= known_options()
    assert service["Restart"] == "always"
    assert int(service["TimeoutStopSec"]) > 10

"""What a Ray cluster has room for. Ray itself is in `test_ray.py`; here a module stands for it."""

import sys
import types
from importlib.machinery import ModuleSpec
from pathlib import Path
from typing import Any

import pytest

from impasto.models.errors import ImpastoError
from impasto.server.config import RayChoice
from impasto.server.work import ray_cluster
from impasto.server.work.ray_cluster import RayCluster
from tests.engine.command_line import run
from tests.server.running import CONTENT, NETWORK, STYLE

ENGINE = {"provider": "auto", "precision": "auto", "threads": 0}


def node(name: str, **resources: float) -> dict[str, Any]:
    """Return a machine as Ray describes it."""
    more = {f"node:{name}": 1.0, "memory": 8e9, "object_store_memory": 1e8}
    return {"NodeID": name, "NodeManagerAddress": name, "Alive": True, "Resources": {**resources, **more}}


@pytest.fixture
def nodes(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """The machines of a cluster: two with cores, one of which has a GPU."""
    found = [node("10.0.0.1", CPU=4.0), node("10.0.0.2", CPU=8.0, GPU=1.0)]
    ray = types.ModuleType("ray")
    ray.__spec__ = ModuleSpec("ray", None)
    vars(ray).update(init=lambda **arguments: None, nodes=lambda: found, shutdown=lambda: None)
    monkeypatch.setitem(sys.modules, "ray", ray)
    monkeypatch.setattr(ray_cluster, "_check_answers", lambda address: None)
    return found


@pytest.mark.parametrize(
    ("provider", "resources", "room", "worker"),
    [
        ("auto", {}, 1, "1 GPU"),
        ("cuda:0", {}, 1, "1 GPU"),
        ("cpu", {}, 3, "4 CPU"),
        ("cpu", {"CPU": 2.0}, 6, "2 CPU"),
        ("auto", {"memory": 4e9}, 4, "4e+09 memory"),
    ],
)
@pytest.mark.usefixtures("nodes")
def test_room(provider: str, resources: dict[str, float], room: int, worker: str) -> None:
    cluster = RayCluster(RayChoice("auto", resources), {**ENGINE, "provider": provider})
    cluster.check_room()
    assert cluster.slots == room
    assert cluster.describe() == f"Ray cluster of 2 machines, room for {room} workers of {worker}"


def test_room_grows_with_the_cluster(nodes: list[dict[str, Any]]) -> None:
    cluster = RayCluster(RayChoice("auto", {"GPU": 2.0}), ENGINE)
    with pytest.raises(ImpastoError) as refused:
        cluster.check_room()
    assert str(refused.value) == (
        "no machine of the Ray cluster has room for a worker of 2 GPU: 10.0.0.1 has 4 CPU; 10.0.0.2 has 8 CPU, 1 GPU; "
        "give other --resources, or add a machine"
    )
    nodes.append(node("10.0.0.3", GPU=4.0))
    assert cluster.slots == 2
    cluster.check_room()


@pytest.mark.parametrize(("name", "value"), [("provider", "none"), ("provider", "cuda:x"), ("precision", "fp7")])
@pytest.mark.usefixtures("nodes")
def test_what_no_machine_knows_is_refused(name: str, value: str) -> None:
    with pytest.raises(ImpastoError, match=f"{name}"):
        RayCluster(RayChoice("auto"), {**ENGINE, name: value})


@pytest.mark.usefixtures("nodes")
def test_a_list_that_no_worker_fits_is_refused_at_once(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "list.csv").write_text(f"content,style\n{CONTENT},{STYLE}\n")
    batch = ("batch", tmp_path / "list.csv", "-o", tmp_path / "out", "--model", NETWORK, "-q", "--ray", "auto")
    ended = run(capsys, *batch, "--resources", "GPU=2", "--provider", "tensorrt")
    assert (ended.status, ended.out, ended.err.count("\n")) == (2, "", 1)
    assert "no machine of the Ray cluster has room for a worker of 2 GPU" in ended.err, "not: no tensorrt here"
    for more in (("--resources", "GPU"), ("--provider", "none"), ("--batch", 0)):
        ended = run(capsys, *batch, *more)
        assert (ended.status, ended.out, ended.err.count("\n")) == (2, "", 1), more

"""Three nodes of Ray on this machine, one of which dies: all jobs end, with the pictures of single runs.

A cluster takes half a minute to start and half a gigabyte, so these tests run with `-m load` only.
"""

import io
import re
import sqlite3
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from impasto.engine import Engine, Settings
from tests.engine.command_line import run
from tests.server.running import CONTENT, NETWORK, STYLE, RunningServer, wait_for
from tests.server.test_crashes import events_of

pytestmark = [
    pytest.mark.load,
    pytest.mark.filterwarnings("default"),  # Ray's own
]

JOB: dict[str, Any] = {"size": 48, "iterations": 60, "init": "noise", "preset": ""}
COUNT = 12


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    pytest.importorskip("ray", reason="the extra ray is not installed")
    with warnings.catch_warnings():
        warnings.simplefilter("default")
        from ray.cluster_utils import Cluster

        node = {"num_cpus": 1, "object_store_memory": 100 << 20}
        found = Cluster(initialize_head=True, head_node_args={**node, "include_dashboard": False})
        found.others = [found.add_node(**node) for _ in range(2)]
        yield found
        found.shutdown()


def test_a_node_that_dies_loses_no_job(cluster: Any, tmp_path: Path) -> None:
    server = RunningServer(tmp_path / "data", "--ray", cluster.address, "--checkpoint-s", 0.1).start()
    client = server.client()
    jobs = [client.submit(CONTENT, STYLE, {**JOB, "seed": seed}) for seed in range(COUNT)]
    assert "room for 3 workers of 1 CPU" in server.log.read_text()
    work = tmp_path / "data" / "work"

    def three_run_with_states() -> bool:
        running = [job.id for job in client.jobs(state="running")]
        return len(running) == 3 and all(list(work.glob(f"{job}.1.*.safetensors")) for job in running)

    wait_for(three_run_with_states, what="a job with a state on each node")
    cluster.remove_node(cluster.others[0], allow_graceful=False)
    found = [job.wait().refresh() for job in jobs]
    pictures = [np.load(io.BytesIO(job.file("npy"))) / np.float32(255) for job in found]
    assert server.stop() == 0
    assert re.search("the worker's machine (does not answer|has left the cluster)", server.log.read_text())
    assert max(job.values["attempts"] for job in found) == 2, "a job ran on the dead node"
    with sqlite3.connect(tmp_path / "data" / "journal.sqlite") as connection:
        assert connection.execute("SELECT max(killed) FROM jobs").fetchone() == (0,), "a machine is no job's doing"
    for job in found:
        assert job.state == "done"
        assert len(events_of(tmp_path / "data", job.id, "ended")) == 1
        runs = events_of(tmp_path / "data", job.id, "running")
        assert all(run["repeated"] <= 10 for run in runs)
        assert all(run["evaluations"] > 0 for run in runs[1:]), "the second attempt began with a state"
    with Engine(NETWORK) as engine:
        for seed, picture in enumerate(pictures):
            whole = engine.transfer(CONTENT, STYLE, Settings(**JOB, seed=seed)).picture.pixels
            np.testing.assert_allclose(picture, whole, atol=1e-6)


def test_a_list_on_a_cluster_makes_the_pictures_of_a_list_here(
    cluster: Any, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    style = tmp_path / "style.safetensors"
    assert run(capsys, "style", "save", STYLE, "-o", style, "--size", 48, "--model", NETWORK).status == 0
    rows = [(STYLE, "noise"), (STYLE, STYLE), (style, "content"), (tmp_path / "none.jpg", "content")]
    lines = [f"{CONTENT},{found},out{number}.png,{init}" for number, (found, init) in enumerate(rows)]
    (tmp_path / "list.csv").write_text("\n".join(["content,style,output,init", *lines]))
    settings = [word for item in ("size=48", "iterations=6", "preset=paper") for word in ("--set", item)]
    batch = ("batch", tmp_path / "list.csv", "--model", NETWORK, *settings)
    there = run(capsys, *batch, "-o", tmp_path / "there", "--ray", cluster.address)
    assert there.status == 1
    assert "3 done, 0 skipped, 1 failed" in there.out
    assert "row 5 failed" in there.err
    assert run(capsys, *batch, "-o", tmp_path / "here").status == 1
    for number in range(3):
        one, other = (np.asarray(Image.open(tmp_path / side / f"out{number}.png")) for side in ("there", "here"))
        assert np.array_equal(one, other)
    again = run(capsys, *batch, "-o", tmp_path / "there", "--ray", cluster.address)
    assert "0 done, 3 skipped, 1 failed" in again.out


def test_a_list_that_no_machine_has_room_for_is_refused(
    cluster: Any, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "list.csv").write_text(f"content,style\n{CONTENT},{STYLE}\n")
    batch = ("batch", tmp_path / "list.csv", "-o", tmp_path / "out", "--model", NETWORK, "-q")
    ended = run(capsys, *batch, "--ray", cluster.address, "--resources", "GPU=1")
    assert (ended.status, ended.out, ended.err.count("\n")) == (2, "", 1)
    assert "no machine of the Ray cluster has room for a worker of 1 GPU" in ended.err
    assert "has 1 CPU" in ended.err

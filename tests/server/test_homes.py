"""A home without the server's file system: messages and their files travel, and the picture stays the same.

Ray itself is in `test_ray.py`; here the actor lives in this process.
"""

import io
import tempfile
import threading
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from impasto.engine import Engine, Settings
from impasto.models.errors import ImpastoError
from impasto.models.version import VERSION
from impasto.server.service import Service
from impasto.server.store.attempts import MOST_KILLED
from impasto.server.work import ray_home, ray_worker
from impasto.server.work.baggage import pack, unpack
from impasto.server.work.protocol import CHECKPOINT, EVENT, FINISHED, INTERRUPTED, RUN, STYLE, Death, Message
from impasto.server.work.ray_home import RayHome, cause_of
from impasto.server.work.ray_worker import RayWorker
from tests.server.running import CONTENT, NETWORK, App, make_service, wait_for
from tests.server.running import STYLE as STYLE_IMAGE
from tests.server.test_crashes import events_of

JOB: dict[str, Any] = {"size": 48, "iterations": 60, "preset": ""}


class RayError(Exception):
    """Stands for `ray.exceptions.RayError`."""


class FakeActor:
    """An actor in this process. A dead one neither hears nor says anything."""

    def __init__(self, setup: dict[str, Any]) -> None:
        self.worker, self.is_dead = RayWorker(setup, VERSION), False
        self.hear, self.say = FakeMethod(self, self.worker.hear), FakeMethod(self, self.worker.say)


class FakeMethod:
    """A method of an actor, as Ray calls it."""

    def __init__(self, actor: FakeActor, function: Callable[..., Any]) -> None:
        self._actor, self._function = actor, function

    def options(self, concurrency_group: str) -> "FakeMethod":
        assert concurrency_group in ("hear", "say")
        return self

    def remote(self, *arguments: Any) -> Callable[[], Any]:
        if self._function.__name__ == "hear" and not self._actor.is_dead:
            self._function(*arguments)
        return self._value

    def _value(self) -> Any:
        said = self._function() if self._function.__name__ == "say" else None
        if self._actor.is_dead:
            raise RayError("The actor died. The actor is dead because its node has died. Node Id: 1")
        return said


@pytest.fixture
def far(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Service, list[FakeActor]]]:
    """A service whose workers share no folder with it, and the actors as they come."""
    actors: list[FakeActor] = []

    def kill(actor: FakeActor, no_restart: bool) -> None:
        assert no_restart
        actor.is_dead = True

    ray = types.SimpleNamespace(
        get=lambda value: value(), kill=kill, exceptions=types.SimpleNamespace(RayError=RayError)
    )
    monkeypatch.setitem(__import__("sys").modules, "ray", ray)

    def make_home(setup: dict[str, Any]) -> RayHome:
        def make_actor() -> FakeActor:
            actors.append(FakeActor({**setup, "folder": "/nowhere"}))
            return actors[-1]

        return RayHome(make_actor, Path(setup["folder"]))

    before = set(threading.enumerate())
    service, _ = make_service(tmp_path / "data", homes=make_home)
    yield service, actors
    for actor in actors:
        actor.is_dead = True
    for thread in set(threading.enumerate()) - before:  # those that read what actors say still use the module
        if thread.name.startswith("w_"):
            thread.join(60)


def test_a_dead_machine_costs_one_checkpoint_interval(far: tuple[Service, list[FakeActor]], tmp_path: Path) -> None:
    service, actors = far
    app = App(service)
    job = app.submit(JOB).json()["id"]
    service.supervisor.start()
    states = tmp_path / "data" / "work"
    wait_for(lambda: list(states.glob(f"{job}.1.*.safetensors")), what="a saved state on the server")
    actors[0].is_dead = True
    wait_for(lambda: app.get(f"/v1/renders/{job}").json()["state"] == "done", what="the second attempt")
    pixels = np.load(io.BytesIO(app.get(f"/v1/renders/{job}/result?format=npy").content)) / np.float32(255)
    assert app.get(f"/v1/renders/{job}/preview").status_code == 200
    inputs = [path for path in actors[1].worker._folder.iterdir() if job in path.name]
    assert inputs == [], "the worker keeps nothing of an ended job"
    app.close()
    service.close()
    runs = events_of(tmp_path / "data", job, "running")
    assert len(runs) == 2
    assert runs[1]["evaluations"] > 0
    assert runs[1]["repeated"] <= 10
    with Engine(NETWORK) as engine:
        whole = engine.transfer(CONTENT, STYLE_IMAGE, Settings(**JOB)).picture.pixels
    np.testing.assert_allclose(pixels, whole, atol=1e-6)


def test_drained_jobs_and_kept_styles_travel_too(far: tuple[Service, list[FakeActor]], tmp_path: Path) -> None:
    service, _ = far
    app = App(service)
    service.supervisor.start()
    answer = app.post(
        "/v1/styles", data={"settings": '{"size": 48, "preset": ""}'}, files={"style": STYLE_IMAGE.read_bytes()}
    )
    style = answer.json()["links"]["self"]
    wait_for(lambda: app.get(style).json()["state"] == "ready", what="the matrices")
    job = app.submit(JOB, files={"style": None}, style_id=answer.json()["id"]).json()["id"]
    wait_for(lambda: app.get(f"/v1/renders/{job}").json()["progress"]["iteration"] > 1, what="progress")
    app.close()
    service.close()
    assert list((tmp_path / "data" / "work").glob(f"{job}.1.disk.safetensors"))
    assert events_of(tmp_path / "data", job, "interrupted")


def test_files_travel_by_name(tmp_path: Path) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    for folder in (here, there):
        folder.mkdir()
    for name in ("a", "b", "c.safetensors"):
        (here / name).write_text(name)
    body = {"content": str(here / "a"), "style": None, "start": str(here / "b"), "job": "a"}
    packed, files = pack(Message(RUN, {**body, "states": [str(here / "c.safetensors")]}))
    assert set(files) == {"a", "b", "c.safetensors"}
    assert str(here) not in str(packed.body)
    found = unpack(packed, files, there).body
    assert (found["style"], found["job"]) == (None, "a")
    for path in (found["content"], found["start"], *found["states"]):
        assert Path(path).parent == there
        assert Path(path).read_text() == Path(path).name
    packed, files = pack(Message(STYLE, {"image": str(here / "a"), "style": "s", "path": str(here / "made")}))
    assert unpack(packed, files, there, written=here).body["path"] == str(here / "made")


def test_a_message_writes_nothing_outside_its_folder(tmp_path: Path) -> None:
    for name in ("../evil", "/tmp/evil"):  # noqa: S108
        message = Message(CHECKPOINT, {"job": "j", "files": {"state": name}})
        assert Path(unpack(message, {name: b"x"}, tmp_path).body["files"]["state"]) == tmp_path / "evil"
    with pytest.raises(KeyError):
        unpack(Message(CHECKPOINT, {"files": {"state": "other"}}), {}, tmp_path)


def test_another_version_or_network_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ImpastoError, match=r"the server 0\.0\.0; install the same version"):
        RayWorker({}, "0.0.0")
    setup = {
        "models": {NETWORK: NETWORK}, "hashes": {NETWORK: "0" * 64}, "engine": {"provider": "cpu"}, "slots": 0,
        "checkpoint_evaluations": 6, "checkpoint_s": 0.0,
    }  # fmt: skip
    with pytest.raises(ImpastoError, match="with other weights on this machine"):
        RayWorker(setup, VERSION)


def test_why_an_actor_ended() -> None:
    """The texts are those of Ray 2.60."""
    left, silent = "the worker's machine has left the cluster", "the worker's machine does not answer"
    worker_died = (
        "The actor is dead because its worker process has died. Worker exit type: SYSTEM_ERROR Worker exit detail: "
        "consider enabling resource isolation to prevent node deaths by resource contention"
    )
    unavailable = "The actor 582b is unavailable: The actor is temporarily unavailable: RpcError: Socket closed"
    for text, death in (
        ("The actor died because its node has died. Node Id: 912a", Death(left, blames_jobs=False)),
        (unavailable, Death(silent, blames_jobs=False)),
        (worker_died, Death("the worker ended")),
        ("ray::RayWorker.say() FileNotFoundError: x", Death("the worker ended")),
    ):
        assert cause_of(RayError(text)) == death
    refused = cause_of(RayError("x\nimpasto.models.errors.ImpastoError: no such weights\n"))
    assert refused.reason.endswith("no such weights")


def test_machines_that_die_do_not_quarantine_a_job(far: tuple[Service, list[FakeActor]], tmp_path: Path) -> None:
    service, actors = far
    app = App(service)
    job = app.submit(JOB).json()["id"]
    service.supervisor.start()
    for number in range(MOST_KILLED):
        wait_for(lambda: len(events_of(tmp_path / "data", job, "started")) == number + 1, what="an attempt")  # noqa: B023
        actors[number].is_dead = True
    wait_for(lambda: app.get(f"/v1/renders/{job}").json()["state"] == "done", what="the next attempt")
    row = service.journal.jobs.find(job)
    assert row is not None
    assert (row["token"], row["killed"]) == (MOST_KILLED + 1, 0)
    app.close()
    service.close()


def test_an_actor_that_fails_gives_its_slot_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ray raises in the server what a method of a living actor raised."""

    class Failing:
        def __init__(self) -> None:
            self.is_dead, self.say = False, self

        def options(self, concurrency_group: str) -> "Failing":
            return self

        def remote(self) -> Callable[[], Any]:
            return self.fail

        def fail(self) -> Any:
            raise RayError("ray::RayWorker.say() FileNotFoundError: x")

    actor, deaths = Failing(), list[Death]()
    ray = types.SimpleNamespace(
        get=lambda value: value(),
        kill=lambda actor, no_restart: setattr(actor, "is_dead", True),
        exceptions=types.SimpleNamespace(RayError=RayError),
    )
    monkeypatch.setitem(__import__("sys").modules, "ray", ray)
    home = RayHome(lambda: actor, tmp_path)
    home.start(lambda message: None, deaths.append)
    wait_for(lambda: deaths, what="the end")
    assert actor.is_dead
    assert not home.is_alive


@pytest.fixture
def _idle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Workers that do nothing, and folders of workers in that of the test."""

    class Idle:
        def __init__(self, channel: Any, setup: Any) -> None:
            pass

        def serve(self) -> None:
            __import__("time").sleep(3600)

    monkeypatch.setattr(ray_worker, "Worker", Idle)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))


@pytest.mark.usefixtures("_idle")
def test_files_of_an_ended_job_may_be_missing_but_not_those_of_a_result() -> None:
    worker = RayWorker({}, VERSION)
    body = {"job": "j", "token": 1, "files": {"file": str(worker._folder / "j.1.none")}}
    for kind in (EVENT, CHECKPOINT):
        worker.send(Message(kind, body))
        ((found, packed, _, files),) = worker.say()
        assert (found, packed["files"], files) == (kind, {}, {})
    for kind in (FINISHED, INTERRUPTED):
        worker.send(Message(kind, body))
        with pytest.raises(FileNotFoundError):
            worker.say()


@pytest.mark.usefixtures("_idle")
def test_of_a_jobs_states_one_waits_and_folders_of_killed_workers_go(tmp_path: Path) -> None:
    left = tmp_path / f"impasto-worker-{2**22 + 1}-x"  # no process has this number
    left.mkdir()
    worker = RayWorker({}, VERSION)
    assert not left.exists()
    assert worker._folder.parent == tmp_path
    state = worker._folder / "j.1.live.safetensors"
    for data in (b"old", b"new"):
        state.write_bytes(data)
        worker.send(Message(CHECKPOINT, {"job": "j", "token": 1, "files": {"state": str(state)}}))
    (parcel,) = worker.say()
    assert parcel[3] == {state.name: b"new"}
    worker.send(Message(CHECKPOINT, {"job": "j", "token": 1, "files": {"state": str(state)}}))
    assert len(worker.say()) == 1


def test_a_full_disk_loses_a_preview_but_no_result(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*arguments: object, **more: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(ray_home, "unpack", full)
    home, received = RayHome(lambda: None, tmp_path), list[Message]()
    preview = Message("event", {"job": "j", "token": 1, "event": "preview", "data": {}, "files": {"preview": "p"}})
    home._take(preview, {"p": b"x"}, received.append)
    assert [message.kind for message in received] == ["event"]
    with pytest.raises(OSError, match="No space"):
        home._take(Message("finished", {"job": "j", "token": 1, "files": {}}), {}, received.append)

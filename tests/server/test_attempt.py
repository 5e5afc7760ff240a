"""An attempt at a job, in this process."""

from pathlib import Path
from typing import Any

from impasto.engine import Engine, Settings
from impasto.server.work.attempt import Attempt
from impasto.server.work.protocol import FINISHED, INTERRUPTED, Message
from tests.server.running import CONTENT, NETWORK, STYLE


def spec(token: int, **more: Any) -> dict[str, Any]:
    plain = {"job": "r_1", "token": token, "network": NETWORK, "priority": 0, "deadline_s": None, "begun": 0}
    settings = Settings(size=48, iterations=500).as_dict()
    paths = {"content": str(CONTENT), "style": str(STYLE), "start": None}
    return {**plain, **paths, "settings": settings, "states": [], "stop": False, **more}


def test_a_job_that_is_stopped_before_it_continues_keeps_its_picture(tmp_path: Path) -> None:
    """It was cancelled after a crash, or after a restart of the server, when no worker had its state."""
    sent: list[Message] = []
    with Engine(NETWORK, provider="cpu") as engine:

        def give_back(message: Message) -> None:
            sent.append(message)
            if message.body.get("event") == "iteration":
                first.give_back()

        first = Attempt(spec(1), tmp_path, give_back, lambda count: None, every=1)
        first.run(lambda network: engine)
        assert sent[-1].kind == INTERRUPTED
        states = [str(path) for path in tmp_path.glob("*.safetensors")]
        assert states
        second = Attempt(spec(2, states=states, stop=True), tmp_path, sent.append, lambda count: None, every=1)
        second.run(lambda network: engine)
        engine.release()
    assert sent[-1].kind == FINISHED
    body = sent[-1].body
    assert (body["state"], body["outcome"]) == ("cancelled", "cancelled")
    assert Path(body["files"]["png_file"]).is_file()


def test_a_job_that_is_stopped_after_a_crash_before_its_first_state_has_a_picture(tmp_path: Path) -> None:
    """Its watchers have seen iterations and previews."""
    sent: list[Message] = []
    with Engine(NETWORK, provider="cpu") as engine:
        again = Attempt(spec(2, begun=4, stop=True), tmp_path, sent.append, lambda count: None, every=6)
        again.run(lambda network: engine)
    assert (sent[-1].kind, sent[-1].body["state"]) == (FINISHED, "cancelled")
    assert sent[-1].body["summary"]["iterations"] == 1
    assert Path(sent[-1].body["files"]["png_file"]).is_file()


def test_a_new_job_that_is_stopped_has_no_picture(tmp_path: Path) -> None:
    sent: list[Message] = []
    with Engine(NETWORK, provider="cpu") as engine:
        Attempt(spec(1, stop=True), tmp_path, sent.append, lambda count: None, every=1).run(lambda network: engine)
    assert (sent[-1].kind, sent[-1].body["state"], sent[-1].body["files"]) == (FINISHED, "cancelled", {})

"""The API without a worker: what is accepted, what is refused, and how."""

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from impasto.engine import Settings
from impasto.engine.presets import preset
from impasto.server import forms
from impasto.server.config import Limits
from tests.server.running import CONTENT, SMALL, STYLE, App, make_service, problem


def test_a_submission_is_answered_when_it_is_on_the_disk(app: App) -> None:
    answer = app.submit(tag="mine", priority="2")
    assert answer.status_code == 202
    job = answer.json()
    assert answer.headers["location"] == f"/v1/renders/{job['id']}"
    assert (job["state"], job["position"], job["tag"], job["priority"]) == ("queued", 1, "mine", 2)
    assert job["settings"] == Settings(**SMALL).as_dict()
    row = app.service.journal.jobs.find(job["id"])
    assert row is not None
    files = app.service.journal.files
    assert files.path(row["content_file"]).read_bytes() == CONTENT.read_bytes()
    assert files.path(row["style_file"]).read_bytes() == STYLE.read_bytes()
    assert app.get(f"/v1/renders/{job['id']}").json() == job
    assert list((files.path(row["content_file"]).parent.parent / "incoming").iterdir()) == []


def test_the_files_and_the_journal_are_synced_before_the_answer(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    import os

    synced: list[str] = []
    real = os.fsync

    def fsync(descriptor: int) -> None:
        synced.append(str(Path(f"/proc/self/fd/{descriptor}").readlink()))
        real(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    job = app.submit().json()["id"]
    row = app.service.journal.jobs.find(job)
    assert row is not None
    folders = {str(app.service.journal.files.path(row[name]).parent) for name in ("content_file", "style_file")}
    assert folders <= set(synced)
    assert sum("/incoming/" in path for path in synced) == 2


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"init": "/etc/passwd"}, "bad init"),
        ({"init": "http://169.254.169.254/"}, "bad init"),
        ({"init": ["content"]}, "bad init"),
        ({"unknown": 1}, "unknown setting"),
        ({"model": "/etc/passwd"}, "unknown setting"),
        ({"size": -1}, "bad size"),
        ({"size": "big"}, "bad size"),
        ({"size": True}, "bad size"),
        ({"content_taps": [{"name": "relu1_1"}]}, "nested"),
        ({"content_taps": ["relu9_9"]}, "relu9_9"),
        ({"content_taps": ["x" * 500]}, "too long"),
        ({"style_taps": ["relu1_1"] * 500}, "too many"),
        ({"style_taps": {"relu1_1": "heavy"}}, "weight of relu1_1"),
        ({"canvas": [1, 2, 3]}, "bad canvas"),
        ({"style_weight": 1e999}, "no JSON"),
        ([], "not a JSON object"),
        ("text", "not a JSON object"),
    ],
)
def test_settings_that_are_not_allowed(app: App, settings: Any, said: str) -> None:
    text = json.dumps(settings)
    images = {"content": CONTENT.read_bytes(), "style": STYLE.read_bytes()}
    found = problem(app.post("/v1/renders", data={"settings": text}, files=images), 422)
    assert said in found["detail"]
    assert app.get("/v1/renders").json()["renders"] == []


def test_deeply_nested_settings_are_refused(app: App) -> None:
    answer = app.post("/v1/renders", data={"settings": "[" * 30_000}, files={"content": b"x", "style": b"x"})
    problem(answer, 422)


def test_a_submission_without_a_preset_gives_what_transfer_gives(app: App) -> None:
    given: dict[str, Any] = {"size": 48, "iterations": 6}
    assert app.submit(given).json()["settings"] == preset(**given).as_dict()
    assert app.submit({**given, "preset": "fast"}).json()["settings"] == preset("fast", **given).as_dict()
    assert app.submit({**given, "preset": ""}).json()["settings"] == Settings(**given).as_dict()
    assert app.get("/v1/settings").json()["defaults"] == preset().as_dict()
    assert "unknown preset" in problem(app.submit({**given, "preset": "/etc/passwd.json"}), 422)["detail"]


def test_a_new_setting_is_one_here_by_itself() -> None:
    assert set(forms.allowed_names()) == set(Settings().as_dict()) - forms.DENIED
    assert set(forms.schema()["properties"]) == set(forms.allowed_names())
    assert forms.schema()["properties"]["init"]["enum"] == ["content", "noise", "style"]


def test_no_setting_is_a_path() -> None:
    """A new setting that holds a path must be denied or checked here: `init` is the one that does."""
    import dataclasses

    texts = {
        item.name for item in dataclasses.fields(Settings) if "str" in str(item.type) and "Tap" not in str(item.type)
    }
    words = {name for name, schema in forms.schema()["properties"].items() if "enum" in schema}
    assert texts <= words | forms.DENIED, "a text that a client may set has no list of allowed values"


@pytest.mark.parametrize(
    "data", [b"", b"not an image", b"\x89PNG\r\n\x1a\n", b"GIF89a" + b"\0" * 64, b"II*\0" + b"\xff" * 99]
)
@pytest.mark.parametrize("field", ["content", "style", "start"])
def test_files_that_are_no_images(app: App, field: str, data: bytes) -> None:
    found = problem(app.submit(files={field: data}), 422)
    assert field in found["detail"]


def png(width: int, height: int) -> bytes:
    from PIL import Image

    file = io.BytesIO()
    Image.new("1", (width, height)).save(file, "PNG")
    return file.getvalue()


def test_too_many_pixels_are_refused_from_the_header(tmp_path: Path) -> None:
    service, _ = make_service(tmp_path / "data", Limits(pixels=10_000))
    app = App(service)
    found = problem(app.submit(files={"content": png(101, 100)}), 413)
    assert "101 x 100 px" in found["detail"]
    assert found["allowed"] == {"max_pixels": 10_000}
    app.close()
    service.close()


def test_too_many_bytes_are_refused(tmp_path: Path) -> None:
    service, _ = make_service(tmp_path / "data", Limits(upload_bytes=1000))
    app = App(service)
    assert problem(app.submit(), 413)["allowed"] == {"max_bytes": 1000}
    assert problem(app.submit(SMALL | {"seed": 1}, files={"content": b"x" * 200_000}), 413)
    assert list((tmp_path / "data" / "files" / "incoming").iterdir()) == []
    app.close()
    service.close()


def test_more_memory_than_there_is(app: App) -> None:
    found = problem(app.submit({**SMALL, "size": 16384}), 422)
    assert "memory" in found["detail"] or "too large" in found["detail"]


def test_too_many_iterations(app: App) -> None:
    problem(app.submit({"iterations": 10**9}), 413)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"priority": "9"}, "bad priority"),
        ({"priority": "1.5"}, "bad priority"),
        ({"deadline_s": "0"}, "bad deadline_s"),
        ({"deadline_s": "nan"}, "bad deadline_s"),
        ({"network": "../vgg19"}, "unknown network"),
        ({"style_id": "s_1"}, "style and style_id exclude"),
        ({"start_job": "r_1"}, "start_job names no render"),
        ({"supersedes": "r_1"}, "supersedes names no render"),
        ({"tag": "a\nb"}, "bad tag"),
        ({"webhook": "http://127.0.0.1/"}, "sends no webhooks"),
        ({"model": "x"}, "unknown field"),
        ({"init": "noise"}, "unknown field"),
    ],
)
def test_fields_that_are_not_allowed(app: App, fields: dict[str, Any], said: str) -> None:
    assert said in problem(app.submit(**fields), 422)["detail"]


def test_missing_images(app: App) -> None:
    assert "content" in problem(app.submit(files={"content": None}), 422)["detail"]
    assert "style" in problem(app.submit(files={"style": None}), 422)["detail"]
    assert app.submit({**SMALL, "style_weight": 0}, files={"style": None}).status_code == 202


@pytest.mark.parametrize(
    ("body", "kind", "status"),
    [
        (b"{}", "application/json", 415),
        (b"", "multipart/form-data", 415),
        (b"--b\r\n", "multipart/form-data; boundary=b", 422),
        (b"--b\r\nContent-Disposition: form-data; name=\"content\"\r\n\r\nx", "multipart/form-data; boundary=b", 422),
        (b"garbage", "multipart/form-data; boundary=b", 422),
        (b"--b\r\nA: " + b"x" * 9000 + b"\r\n\r\n", "multipart/form-data; boundary=b", 422),
        (b"--b\r\n\r\nx\r\n" * 99 + b"--b--\r\n", "multipart/form-data; boundary=b", 422),
    ],
)  # fmt: skip
def test_bodies_that_are_no_forms(app: App, body: bytes, kind: str, status: int) -> None:
    problem(app.post("/v1/renders", content=body, headers={"content-type": kind}), status)
    assert list((app.service.config.data / "files" / "incoming").iterdir()) == []


def test_an_idempotency_key(app: App) -> None:
    headers = {"idempotency-key": "k1"}
    first, again = app.submit(headers=headers), app.submit(headers=headers)
    assert (first.status_code, again.status_code) == (202, 200)
    assert first.json()["id"] == again.json()["id"]
    found = problem(app.submit({**SMALL, "seed": 1}, headers=headers), 422)
    assert found["type"] == "urn:impasto:problem:idempotency-key-reused"
    problem(app.submit(headers={"idempotency-key": "with space"}), 422)
    assert len(app.get("/v1/renders").json()["renders"]) == 1


def test_a_full_queue_tells_when_there_is_room(tmp_path: Path) -> None:
    service, _ = make_service(tmp_path / "data", Limits(queue_jobs=2))
    app = App(service)
    headers = {"idempotency-key": "first"}
    assert app.submit(headers=headers).status_code == 202
    assert app.submit().status_code == 202
    answer = app.submit()
    assert problem(answer, 429)["type"] == "urn:impasto:problem:queue-full"
    assert int(answer.headers["retry-after"]) >= 1
    assert app.submit(headers=headers).status_code == 200, "a job that is known needs no room"
    job = app.get("/v1/renders").json()["renders"][0]["id"]
    app.post(f"/v1/renders/{job}/cancel")
    assert app.submit().status_code == 202
    app.close()
    service.close()


def test_the_queue_is_bounded_in_bytes_and_in_seconds(tmp_path: Path) -> None:
    size = CONTENT.stat().st_size + STYLE.stat().st_size
    for limits in (Limits(queue_bytes=2 * size - 1), Limits(queue_s=0.8)):
        service, _ = make_service(tmp_path / str(limits.queue_s), limits)
        app = App(service)
        assert app.submit().status_code == 202
        answer = app.submit()
        problem(answer, 429)
        assert int(answer.headers["retry-after"]) >= 1
        app.close()
        service.close()


def test_pages_and_filters(app: App) -> None:
    jobs = [app.submit(tag="even" if number % 2 == 0 else "odd").json()["id"] for number in range(5)]
    app.post(f"/v1/renders/{jobs[0]}/cancel")
    found, cursor = [], None
    while True:
        page = app.get("/v1/renders", params={"limit": 2, **({} if cursor is None else {"cursor": cursor})}).json()
        found += [job["id"] for job in page["renders"]]
        if (cursor := page["next"]) is None:
            break
    assert found == jobs[::-1]
    listed = app.get("/v1/renders", params={"tag": "odd"}).json()["renders"]
    assert [job["id"] for job in listed] == [jobs[3], jobs[1]]
    states = app.get("/v1/renders?state=cancelled&state=done").json()["renders"]
    assert [job["id"] for job in states] == [jobs[0]]
    for query in ("state=gone", "limit=0", "limit=999", "cursor=x"):
        problem(app.get(f"/v1/renders?{query}"), 422)


def test_cancel_priority_and_erase(app: App) -> None:
    first, second = app.submit().json()["id"], app.submit().json()["id"]
    raised = app.request("PUT", f"/v1/renders/{second}/priority", json={"priority": 3}).json()
    assert (raised["priority"], raised["position"]) == (3, 1)
    body: Any
    for body in ({"priority": 99}, {"priority": "3"}, {}, [], {"priority": 1, "more": 1}):
        problem(app.request("PUT", f"/v1/renders/{second}/priority", json=body), 422)
    assert app.post(f"/v1/renders/{first}/cancel").json()["state"] == "cancelled"
    problem(app.request("PUT", f"/v1/renders/{first}/priority", json={"priority": 1}), 409)
    problem(app.post(f"/v1/renders/{first}/resume", json={"iterations": 9}), 409)
    problem(app.get(f"/v1/renders/{first}/result"), 404)
    problem(app.get(f"/v1/renders/{second}/result"), 409)
    assert app.request("DELETE", f"/v1/renders/{first}").status_code == 204
    problem(app.get(f"/v1/renders/{first}"), 404)
    row = app.service.journal.jobs.find(second)
    assert row is not None
    assert app.service.journal.files.path(row["content_file"]).exists(), "another job uses the same image"
    assert app.request("DELETE", f"/v1/renders/{second}").status_code == 204
    assert not app.service.journal.files.path(row["content_file"]).exists()


def test_unknown_places_are_problems(app: App) -> None:
    problem(app.get("/nowhere"), 404)
    problem(app.get("/v1/renders/r_unknown"), 404)
    problem(app.get("/v1/renders/..%2f..%2fetc"), 404)
    answer = app.request("PATCH", "/v1/renders")
    problem(answer, 405)
    for path in ("/page/../config.py", "/page/%2e%2e%2fconfig.py", "/page/__init__.py", "/page/nothing.js"):
        assert app.get(path).status_code == 404


def test_a_failure_tells_nothing(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*arguments: object) -> None:
        raise KeyError("/tmp/secret")  # noqa: S108

    monkeypatch.setattr(app.service.journal.jobs, "get", fail)
    found = problem(app.get("/v1/renders/r_1"), 500)
    assert "KeyError" not in str(found)


def test_a_full_disk_accepts_nothing_and_recovers(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    import errno

    from impasto.server.store import files

    def full(path: Path) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", str(path))

    with monkeypatch.context() as patch:
        patch.setattr(files, "sync", full)
        problem(app.submit(), 507)
        assert app.get("/v1/renders").json()["renders"] == []
        assert list((app.service.config.data / "files" / "incoming").iterdir()) == []
    assert app.submit().status_code == 202


def test_the_description_loads_nothing_from_elsewhere(app: App) -> None:
    page = app.get("/docs")
    assert page.headers["content-type"].startswith("text/html")
    assert "http" not in page.text.replace("http-", "")
    assert "<script" not in page.text
    described = app.get("/openapi.json").json()
    for path in described["paths"]:
        assert path in page.text


def test_ready_needs_a_worker(app: App) -> None:
    assert app.get("/health/live").json() == {"status": "live"}
    assert "no worker" in problem(app.get("/health/ready"), 503)["detail"]
    assert app.get("/v2/health/ready").json() == {"error": "no worker is ready"}


def test_metrics(app: App) -> None:
    app.submit()
    lines = app.get("/metrics").text.splitlines()
    assert 'impasto_jobs{state="queued"} 1.0' in lines
    assert "impasto_queue_depth 1.0" in lines
    names = {line.split("{")[0].split(" ")[0] for line in lines if not line.startswith("#")}
    for name in (
        "queue_oldest_seconds",
        "evaluations_total",
        "batch_occupancy",
        "queue_seconds_bucket",
        "service_seconds_bucket",
        "evaluation_seconds_bucket",
        "worker_restarts_total",
        "files_bytes",
    ):
        assert f"impasto_{name}" in names


def test_the_settings_are_described(app: App) -> None:
    found = app.get("/v1/settings").json()
    assert found["defaults"]["size"] == preset().size
    assert found["schema"]["properties"]["pool"]["enum"] == ["avg", "max"]


@pytest.fixture
def tensors() -> dict[str, Any]:
    values = np.full((33, 40, 3), 0.5, np.float32)
    return {"shape": [33, 40, 3], "datatype": "FP32", "data": values.ravel().tolist()}


@pytest.mark.parametrize(
    "body",
    [
        b"", b"x", b"[]", b"{}", b'{"inputs": {}}', b'{"inputs": [1]}', b'{"inputs": [{"name": "image"}]}',
        b'{"inputs": [{"name": "content", "datatype": "FP32", "shape": [99999, 99999, 3], "data": []}]}',
        b'{"inputs": [{"name": "content", "datatype": "FP32", "shape": [1, 1, 3], "data": [1, 2]}]}',
        b'{"inputs": [{"name": "content", "datatype": "FP32", "shape": [1, 1, 3], "data": {"a": 1}}]}',
        b'{"inputs": [{"name": "content", "datatype": "BYTES", "shape": [1, 1, 3], "data": ["a"]}]}',
        b'{"inputs": [{"name": "content", "datatype": "FP32", "shape": [1, 1, 3],'
        b' "parameters": {"binary_data_size": 999}}]}',
    ],
)  # fmt: skip
def test_inference_requests_that_are_wrong(app: App, body: bytes) -> None:
    answer = app.post("/v2/models/render/infer", content=body)
    assert answer.status_code == 422
    assert list(answer.json()) == ["error"]


def test_inference_without_a_worker(app: App, tensors: dict[str, Any]) -> None:
    inputs = [{"name": name, **tensors} for name in ("content", "style")]
    answer = app.post("/v2/models/render/infer", json={"inputs": inputs})
    assert (answer.status_code, answer.json()) == (503, {"error": "send the request again"})
    for parameters in ({"settings": '{"init": "/etc/passwd"}'}, {"settings": "x"}, {"network": "none"},
                       {"settings": '{"evaluations": 999}'}, {"settings": '{"size": 9}'}):  # fmt: skip
        answer = app.post("/v2/models/render/infer", json={"inputs": inputs, "parameters": parameters})
        assert answer.status_code in (413, 422)
        assert list(answer.json()) == ["error"]
    assert app.get("/v2/models/none").json()["error"].startswith("unknown model")
    assert app.get("/v2/nowhere").status_code == 404

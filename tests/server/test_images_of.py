"""A job that takes the images of an earlier one, and those images as the API shows them."""

import json
import threading
from pathlib import Path

import httpx
import pytest

from impasto.server.store.journal import Journal
from impasto.server.store.records import CANCELLED, Ending
from tests.server.running import CONTENT, SMALL, STYLE, App, make_service, problem


def again(app: App, job: str) -> httpx.Response:
    """Submit a form without files, which httpx sends as multipart only like this."""
    texts = {"settings": json.dumps({**SMALL, "iterations": 7}), "images_of": job}
    return app.post("/v1/renders", files={name: (None, value) for name, value in texts.items()})


def test_images_are_taken_from_an_earlier_job(app: App) -> None:
    first = app.submit(files={"content": ("a harbour.jpg", CONTENT.read_bytes())}).json()
    job = again(app, first["id"])
    assert job.status_code == 202, job.text
    found = job.json()
    assert found["names"]["content"] == "a harbour.jpg"
    for name, path in (("content", CONTENT), ("style", STYLE)):
        image = app.get(found["links"][name])
        assert (image.content, image.headers["content-type"]) == (path.read_bytes(), "image/jpeg")
    assert app.request("DELETE", f"/v1/renders/{first['id']}").status_code == 204
    assert app.get(found["links"]["content"]).content == CONTENT.read_bytes(), "the second job has them still"


def test_the_images_are_looked_for_in_another_thread(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pinning a file waits for a sweep, and other requests must not wait with it."""
    first, threads = app.submit().json()["id"], list[threading.Thread]()
    files = app.service.journal.files
    pin = files.pin

    def pin_and_tell(name: str) -> None:
        threads.append(threading.current_thread())
        pin(name)

    monkeypatch.setattr(files, "pin", pin_and_tell)
    assert again(app, first).status_code == 202
    assert len(threads) == 2
    assert threading.current_thread() not in threads


def test_an_image_that_is_given_replaces_the_earlier_one(app: App) -> None:
    first = app.submit().json()
    other = CONTENT.with_name("mosaic.jpg").read_bytes()
    second = app.submit(files={"content": None, "style": ("mosaic.jpg", other)}, images_of=first["id"]).json()
    assert app.get(second["links"]["style"]).content == other
    assert app.get(second["links"]["content"]).content == CONTENT.read_bytes()


def test_a_kept_style_is_taken_over(app: App) -> None:
    style = app.post("/v1/styles", data={"settings": json.dumps(SMALL)}, files={"style": STYLE.read_bytes()}).json()[
        "id"
    ]
    first = app.submit(files={"style": None}, style_id=style).json()
    second = again(app, first["id"]).json()
    assert second["style_id"] == style
    assert app.get(second["links"]["style"]).content == STYLE.read_bytes()


def test_images_of_nothing_are_refused(app: App) -> None:
    problem(again(app, "r_none"), 422)
    job = app.submit().json()
    problem(app.get(f"/v1/renders/{job['id']}/images/start"), 422)
    problem(app.get("/v1/renders/r_none/images/content"), 404)


def test_a_job_begins_where_the_last_of_a_chain_has_a_picture(tmp_path: Path) -> None:
    """Two quick movements of a slider: the second supersedes a draft that has not begun."""
    service, _ = make_service(tmp_path / "data")
    app = App(service)
    journal: Journal = service.journal
    painted = app.submit().json()["id"]
    row = journal.attempts.take("worker", above=-8, alone=True)
    assert row is not None
    png = journal.work / "painted.png"
    png.write_bytes(b"a picture")
    name = "a" * 64
    journal.files.adopt(png, name, durable=False)
    journal.attempts.finish(
        painted, row["token"], Ending(CANCELLED, "superseded", "", {"png_file": name, "result_file": name})
    )
    second = app.submit(start_job=painted).json()["id"]
    third = app.submit(start_job=second, supersedes=second).json()["id"]
    assert app.get(f"/v1/renders/{second}").json()["outcome"] == "superseded"
    spec = service.supervisor._spec(journal.jobs.find(third))  # type: ignore[arg-type]
    assert spec["start"] == str(journal.files.path(name))
    app.close()
    service.close()


def test_the_presets_and_the_speed_are_told(app: App) -> None:
    presets = app.get("/v1/settings").json()["presets"]
    assert presets["painterly"]["strength"] == 0.5
    assert presets["fast"]["iterations"] < presets["painterly"]["iterations"]
    assert app.get("/v1/networks").json()["networks"][0]["seconds_per_megapixel"] > 0

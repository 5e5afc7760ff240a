"""A running server with a real worker: pictures, events, cancelling, resuming, styles."""

import hashlib
import io
import json
import threading
import time
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from impasto.client import Client
from impasto.engine import Engine, Settings
from impasto.engine.images import read_metadata
from impasto.server.work.webhooks import signature
from tests.server.running import CONTENT, NETWORK, SMALL, STYLE, RunningServer, wait_for

LONG = {"size": 64, "iterations": 5000, "preset": ""}


@pytest.fixture(scope="module")
def client(server: RunningServer) -> Client:
    return server.client(patience_s=60)


@pytest.fixture(scope="module")
def single() -> np.ndarray:
    """The picture of a single run."""
    with Engine(NETWORK) as engine:
        return engine.transfer(CONTENT, STYLE, Settings(**SMALL)).picture.pixels


def pixels(data: bytes) -> np.ndarray:
    array: np.ndarray = np.load(io.BytesIO(data))
    return array / np.float32(255)


def test_a_picture_equals_that_of_a_single_run(client: Client, single: np.ndarray, tmp_path: Path) -> None:
    job = client.submit(CONTENT, STYLE, SMALL)
    kinds = [event.kind for event in job.events()]
    assert kinds[:3] == ["accepted", "started", "running"]
    assert kinds[-1] == "ended"
    assert "iteration" in kinds
    assert "preview" in kinds
    job.refresh()
    assert (job.state, job.values["outcome"]) == ("done", "iterations_done")
    assert job.values["summary"]["iterations"] == SMALL["iterations"]
    np.testing.assert_allclose(pixels(job.file("npy")), single, atol=1e-6)
    expected = np.rint(np.clip(single, 0, 1) * 255).astype(np.uint8)
    assert np.array_equal(np.asarray(job.picture()), expected)
    (tmp_path / "out.png").write_bytes(job.data())
    record = read_metadata(tmp_path / "out.png")
    assert record is not None
    assert record["settings"] == Settings(**SMALL).as_dict()
    for media, name in (("image/webp", "WEBP"), ("image/jpeg", "JPEG"), ("image/tiff", "TIFF")):
        image = Image.open(io.BytesIO(job.data(media)))
        assert (image.format, image.size) == (name, (48, 36))
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(job.data("image/webp")))), expected)
    assert Image.open(io.BytesIO(job.preview())).format == "JPEG"


def test_results_have_etags_and_ranges(server: RunningServer, client: Client) -> None:
    job = client.submit(CONTENT, STYLE, SMALL).wait()
    with server.http() as http:
        path = f"/v1/renders/{job.id}/result"
        whole = http.get(path)
        etag = whole.headers["etag"]
        assert http.get(path, headers={"if-none-match": etag}).status_code == 304
        assert http.get(path, headers={"if-none-match": '"other"'}).status_code == 200
        assert http.get(path, headers={"accept": "image/webp"}).headers["etag"] != etag
        part = http.get(path, headers={"range": "bytes=5-14"})
        assert (part.status_code, part.content) == (206, whole.content[5:15])
        stale = http.get(path, headers={"range": "bytes=5-14", "if-range": '"old"'})
        assert (stale.status_code, len(stale.content)) == (200, len(whole.content))
        assert http.get(path, headers={"range": "bytes=99999999-"}).status_code == 416
        assert http.get(path, headers={"accept": "text/html"}).status_code == 406
        assert http.get(path, params={"format": "gif"}).status_code == 422
        choice = http.get(path, headers={"accept": "text/html, image/webp;q=0.5, image/png;q=0.1"})
        assert choice.headers["content-type"] == "image/webp"


def test_events_are_replayed_after_a_number_for_any_watcher(server: RunningServer, client: Client) -> None:
    job = client.submit(CONTENT, STYLE, SMALL).wait()
    first = list(job.events())
    numbers = [event.number for event in first]
    assert numbers == sorted(set(numbers))
    middle = numbers[len(numbers) // 2]
    assert list(client.events(job.id, middle)) == [event for event in first if event.number > middle]
    with server.http() as http:
        later = http.get("/v1/events", params={"wait": 0}, headers={"last-event-id": str(numbers[0])})
        assert later.headers["content-type"].startswith("text/event-stream")
        assert f"id: {numbers[-1]}\nevent: ended\n" in later.text
        assert http.get("/v1/events", params={"wait": 0}, headers={"last-event-id": "x"}).status_code == 422


def test_cancelling_keeps_the_picture_so_far_and_resuming_continues(client: Client) -> None:
    job = client.submit(CONTENT, STYLE, LONG)
    for event in job.events():
        if event.kind == "iteration" and event.data["iteration"] >= 3:
            break
    asked_s = time.monotonic()
    job.cancel()
    job.wait()
    assert time.monotonic() - asked_s < 20
    assert (job.state, job.values["outcome"]) == ("cancelled", "cancelled")
    done = job.values["summary"]["iterations"]
    assert 3 <= done < 5000
    assert job.picture().size == (64, 48)
    limit = done + 4
    job.resume(iterations=limit)
    job.wait()
    assert (job.state, job.values["summary"]["iterations"]) == ("done", limit)
    with Engine(NETWORK) as engine:
        whole = engine.transfer(CONTENT, STYLE, Settings(size=64, iterations=limit)).picture.pixels
    np.testing.assert_allclose(pixels(job.file("npy")), whole, atol=1e-6)


def test_a_deadline_keeps_the_picture_so_far(client: Client) -> None:
    client.submit(CONTENT, STYLE, SMALL).wait()  # the worker is warm
    job = client.submit(CONTENT, STYLE, LONG, deadline_s=4).wait()
    assert (job.state, job.values["outcome"]) == ("done", "deadline")
    assert job.values["summary"]["iterations"] > 0


def test_a_new_draft_supersedes_the_old_one_and_begins_with_its_picture(client: Client) -> None:
    old = client.submit(CONTENT, STYLE, LONG)
    wait_for(lambda: old.refresh().values["progress"]["iteration"] > 2, what="an iteration")
    new = client.submit(CONTENT, STYLE, {**LONG, "iterations": 2}, supersedes=old.id, start_job=old.id)
    new.wait()
    old.refresh()
    assert (old.state, old.values["outcome"]) == ("cancelled", "superseded")
    assert new.state == "done"
    reached, begun = old.values["summary"], new.values["summary"]
    assert sum(begun["initial_terms"].values()) == pytest.approx(reached["loss"], rel=0.2)


def test_a_job_of_a_higher_priority_does_not_wait_for_a_long_one(client: Client) -> None:
    long = client.submit(CONTENT, STYLE, LONG)
    wait_for(lambda: long.refresh().state == "running", what="the long job")
    low = client.submit(CONTENT, STYLE, SMALL)
    urgent = client.submit(CONTENT, STYLE, SMALL, priority=4).wait()
    assert urgent.state == "done"
    assert low.refresh().state == "queued"
    assert long.refresh().state == "running"
    low.set_priority(5)
    low.wait()
    long.cancel().wait()


def test_an_uploaded_image_to_begin_with(client: Client) -> None:
    job = client.submit(CONTENT, STYLE, {**SMALL, "iterations": 0, "evaluations": 1}, start=STYLE).wait()
    plain = client.submit(CONTENT, STYLE, {**SMALL, "iterations": 0, "evaluations": 1}).wait()
    assert job.values["summary"]["initial_terms"] != plain.values["summary"]["initial_terms"]


def test_a_job_that_fails_says_why_without_paths(client: Client) -> None:
    data = CONTENT.read_bytes()
    job = client.submit(data[: len(data) // 2], STYLE, SMALL)  # the header is whole
    with pytest.raises(Exception, match="failed"):
        job.wait()
    assert job.state == "failed"
    assert "content" in job.values["message"]
    assert "/" not in job.values["message"].replace("and/or", "")


def test_styles_make_the_same_picture(client: Client, single: np.ndarray) -> None:
    style = client.keep_style(STYLE, {"size": 48, "preset": ""})
    assert style["state"] == "ready"
    assert client.keep_style(STYLE, {"size": 48, "preset": ""})["id"] == style["id"]
    job = client.submit(CONTENT, None, SMALL, style_id=style["id"]).wait()
    np.testing.assert_allclose(pixels(job.file("npy")), single, atol=2e-3)
    assert [item["id"] for item in client.styles()] == [style["id"]]
    client.erase_style(style["id"])
    assert client.styles() == []


def test_erasing_a_running_job_stops_it(server: RunningServer, client: Client) -> None:
    job = client.submit(CONTENT, STYLE, LONG)
    wait_for(lambda: job.refresh().values["progress"]["iteration"] > 0, what="an iteration")
    job.erase()
    with server.http() as http:
        assert http.get(f"/v1/renders/{job.id}").status_code == 404
    assert client.submit(CONTENT, STYLE, SMALL).wait().state == "done", "the worker is free again"


def test_many_watchers_see_the_same(client: Client) -> None:
    job = client.submit(CONTENT, STYLE, {**SMALL, "iterations": 30})
    seen: list[list[int]] = []
    threads = [threading.Thread(target=lambda: seen.append([event.number for event in job.events()])) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(90)
    assert len(seen) == 8
    assert all(numbers == seen[0] for numbers in seen)


def test_the_metrics_count(server: RunningServer, client: Client) -> None:
    client.submit(CONTENT, STYLE, SMALL).wait()
    with server.http() as http:
        wait_for(lambda: metric(http.get("/metrics").text, "impasto_evaluations_total") > 0, what="a beat")
        text = http.get("/metrics").text
        assert http.get("/health/ready").status_code == 200
    assert metric(text, "impasto_service_seconds_count") > 0
    assert metric(text, "impasto_evaluation_seconds_count") > 0
    assert metric(text, "impasto_workers_ready") == 1


def metric(text: str, name: str) -> float:
    return float(next(line.split(" ")[1] for line in text.splitlines() if line.startswith(f"{name} ")))


def test_a_webhook_is_signed_and_repeated_and_holds_up_nothing(tmp_path: Path) -> None:
    received: list[tuple[dict[str, str], bytes]] = []

    class Receiver(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            received.append(({name.lower(): value for name, value in self.headers.items()}, body))
            self.send_response(500 if len(received) == 1 else 204)
            self.end_headers()

        def log_message(self, *arguments: object) -> None:
            pass

    from impasto.server.config import Webhooks
    from impasto.server.store.records import Ending
    from impasto.server.work import webhooks as module
    from tests.server.running import App, make_service

    receiver = HTTPServer(("127.0.0.1", 0), Receiver)
    threading.Thread(target=receiver.serve_forever, daemon=True).start()
    host, secret = f"127.0.0.1:{receiver.server_port}", b"s" * 32
    service, _ = make_service(tmp_path / "data", webhooks=Webhooks((host,), secret, plain_http=True))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "FIRST_RETRY_S", 0.1)
        service._deliverer.start()
        app = App(service)
        job = app.submit(webhook=f"http://{host}/done").json()["id"]
        row = service.journal.attempts.take("w", above=-8, alone=True)
        assert row is not None
        assert service.journal.attempts.finish(job, row["token"], Ending("done", "iterations_done", "done"))
        wait_for(lambda: len(received) == 2, 15, "the second delivery")
    headers, body = received[1]
    assert json.loads(body)["render"]["id"] == job
    sent_s = int(headers["impasto-signature"].split(",")[0].removeprefix("t="))
    assert headers["impasto-signature"] == signature(secret, sent_s, body)
    assert hashlib.sha256(received[0][1]).digest() == hashlib.sha256(body).digest()
    app.close()
    service.close()
    receiver.shutdown()
    receiver.server_close()


def test_a_client_paints_the_images_of_an_earlier_job_again(client: Client) -> None:
    first = client.submit(CONTENT, STYLE, SMALL)
    second = client.submit(None, settings={**SMALL, "seed": 1}, images_of=first.id, start_job=first.id)
    second.wait()
    assert second.values["names"] == first.values["names"]
    assert second.picture().size == first.refresh().picture().size

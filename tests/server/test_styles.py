"""Styles that a server keeps: what their statistics depend on, and which jobs may use them."""

import json
from typing import Any

import pytest

from tests.server.running import SMALL, STYLE, App, problem


def test_styles_are_kept_once(app: App) -> None:
    form: dict[str, Any] = {
        "data": {"settings": json.dumps({"size": 64, "preset": ""})},
        "files": {"style": STYLE.read_bytes()},
    }
    first, again = app.post("/v1/styles", **form), app.post("/v1/styles", **form)
    assert (first.status_code, again.status_code) == (202, 200)
    style = first.json()
    assert again.json() == style
    assert style["state"] == "pending"
    other = app.post(
        "/v1/styles", data={"settings": json.dumps({"size": 80, "preset": ""})}, files=form["files"]
    ).json()
    assert other["id"] != style["id"]
    assert len(app.get("/v1/styles").json()["styles"]) == 2
    image = app.get(f"/v1/styles/{style['id']}/image")
    assert (image.content, image.headers["content-type"]) == (STYLE.read_bytes(), "image/jpeg")
    job = app.submit({**SMALL, "style_size": 64}, files={"style": None}, style_id=style["id"])
    assert job.status_code == 202
    problem(app.request("DELETE", f"/v1/styles/{style['id']}"), 409)
    found = problem(app.submit({**SMALL, "style_size": 99}, files={"style": None}, style_id=style["id"]), 422)
    assert found["allowed"] == {"style_size": 64}
    problem(app.submit({**SMALL, "pool": "max"}, files={"style": None}, style_id=style["id"]), 422)
    assert app.request("DELETE", f"/v1/styles/{other['id']}").status_code == 204
    problem(app.get(f"/v1/styles/{other['id']}"), 404)
    problem(app.post("/v1/styles", data={}, files={"settings": b"{}"}), 422)


def kept(app: App, **settings: Any) -> str:
    """Return the id of a style that is kept with settings."""
    form: dict[str, Any] = {"data": {"settings": json.dumps({"size": 64, "preset": "", **settings})}}
    answer = app.post("/v1/styles", **form, files={"style": STYLE.read_bytes()})
    assert answer.status_code == 202, answer.text
    return str(answer.json()["id"])


@pytest.mark.parametrize(
    "other",
    [
        {"padding": "replicate"},
        {"pool": "max"},
        {"style_loss": "moments"},
        {"seamless": True},
        {"scales": 2},
        {"stroke_size": 2.0},
        {"style_taps": ["relu1_1"]},
    ],
)
def test_what_the_statistics_depend_on_is_in_the_id(app: App, other: dict[str, Any]) -> None:
    assert kept(app) != kept(app, **other)


@pytest.mark.parametrize(
    ("name", "value", "allowed"), [("padding", "reflect", "zero"), ("scales", 3, 1), ("stroke_size", 0.5, 1.0)]
)
def test_a_job_of_another_form_is_refused(app: App, name: str, value: Any, allowed: Any) -> None:
    style = kept(app)
    found = problem(app.submit({**SMALL, name: value}, files={"style": None}, style_id=style), 422)
    assert found["allowed"] == {name: allowed}


def test_a_job_of_one_scale_may_use_a_style_of_several(app: App) -> None:
    assert app.submit(SMALL, files={"style": None}, style_id=kept(app, scales=2)).status_code == 202

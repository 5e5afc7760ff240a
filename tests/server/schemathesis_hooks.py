"""Strategies for the schema's own types: images that can be read, and files that almost can.

Most requests about a job are about one that there is, and half of the submissions can be accepted: what is generated
from the schema alone seldom gets that far. `IMPASTO_JOBS` has the ids of jobs.
"""

import io
import json
import os
import random
from typing import Any

import schemathesis
from hypothesis import strategies
from PIL import Image

from tests.server.running import CONTENT, STYLE


def _png(width: int, height: int, mode: str) -> bytes:
    file = io.BytesIO()
    Image.new(mode, (width, height)).save(file, "PNG")
    return file.getvalue()


SIDES = strategies.integers(1, 96)
IMAGES = strategies.one_of(
    strategies.sampled_from([CONTENT.read_bytes(), STYLE.read_bytes()]),
    strategies.builds(_png, SIDES, SIDES, strategies.sampled_from(["RGB", "RGBA", "L", "1", "P"])),
    strategies.builds(lambda data, end: data[:end], strategies.just(STYLE.read_bytes()), strategies.integers(0, 4000)),
    strategies.binary(max_size=200),
)

schemathesis.openapi.format("binary", IMAGES)
for media in ("image/*", "image/png", "image/jpeg"):
    schemathesis.openapi.media_type(media, IMAGES)


CHOICE = random.Random(1)  # noqa: S311 - no secret
REAL, GOOD = 0.7, 0.5
SETTINGS = (
    {"size": 48, "iterations": 2},
    {"size": 64, "iterations": 3, "preset": "fast"},
    {"init": "noise", "size": 32},
)


@schemathesis.hook
def before_call(context: Any, case: Any, kwargs: dict[str, Any]) -> None:
    """Let the streams of events end, which are endless unless the request says otherwise; name what there is."""
    if case.path.endswith("/events") and "wait" not in (case.query or {}):
        case.query = {**(case.query or {}), "wait": 0}
    known = {"job": os.environ["IMPASTO_JOBS"].split(","), "name": ["objective", "render"], "version": ["1"]}
    for name, values in known.items():
        if name in (case.path_parameters or {}) and CHOICE.random() < REAL:
            case.path_parameters[name] = CHOICE.choice(values)
    if (case.method.upper(), case.path) == ("POST", "/v1/renders") and CHOICE.random() < GOOD:
        images = {"content": CONTENT.read_bytes(), "style": STYLE.read_bytes()}
        case.body = {**images, "settings": json.dumps({"iterations": 2, **CHOICE.choice(SETTINGS)})}
        case.media_type = "multipart/form-data"

"""`POST /v1/renders`: a form becomes a job that is on the disk before the answer is sent."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from fastapi import Request

from impasto.engine import Settings
from impasto.server.errors import Problem, invalid
from impasto.server.forms import read_settings
from impasto.server.store.jobs import check_fingerprint
from impasto.server.store.records import NewJob
from impasto.server.web.admission import check_image
from impasto.server.web.keys import Key
from impasto.server.web.state import State
from impasto.server.web.uploads import Form, read_form
from impasto.server.work.webhooks import check_url

FIELDS = (
    "settings", "network", "style_id", "images_of", "start_job", "supersedes", "priority", "deadline_s", "tag",
    "webhook",
)  # fmt: skip
UPLOADS = ("content", "style", "start")
LOWEST_PRIORITY = -8

_KEY, _TAG = re.compile(r"[\x21-\x7e]{1,255}"), re.compile(r"[^\x00-\x1f\x7f]{1,200}")
_LONGEST_DEADLINE_S = 366 * 86400.0


async def submit(server: State, key: Key, request: Request) -> tuple[str, bool]:
    """Accept a job. Return its id, and whether it is new.

    Raises:
        Problem: the job is refused. Nothing of it is kept then.
    """
    idempotency = _idempotency_key(request)
    if server.is_draining:
        raise Problem(503, "draining", "The server is stopping", "send the request again", retry_after_s=10)
    if idempotency is None or server.journal.jobs.known(key.id, idempotency) is None:
        _check_room(server, key)
    form = await read_form(request, server.journal.files, server.config.limits, fields=FIELDS, uploads=UPLOADS)
    try:
        return await _accept(server, key, form, idempotency)
    finally:
        form.drop()


def _check_room(server: State, key: Key) -> None:
    """Refuse at once, before the images are read, what the full queue would refuse afterwards."""
    load = server.journal.jobs.load()
    if load["jobs"] >= server.config.limits.queue_jobs:
        server.gate.check(server.journal.database.reader(), key, 0, 0.0)


async def _accept(server: State, key: Key, form: Form, idempotency: str | None) -> tuple[str, bool]:
    fingerprint = form.fingerprint()
    if idempotency is not None and (known := server.journal.jobs.known(key.id, idempotency)) is not None:
        check_fingerprint(known["fingerprint"], fingerprint)
        return str(known["job"]), False
    values = _values(server, key, form)
    settings: Settings = values.pop("checked")
    with server.journal.files.pinned() as pin:
        files, names = await server.run(_reused, server, key, form, values, pin)
        pixels = await server.run(_plan, server, key, form, values, settings, files)
        predicted_s = server.predictor.predict(values["network"], pixels, values["settings"])
        for name, file in form.files.items():
            files[name] = await server.run(file.keep)
            pin(files[name])
        job = NewJob(
            owner=key.id,
            content_file=files.get("content"),
            style_file=files.get("style"),
            start_file=files.get("start"),
            names={**names, **form.names},
            bytes=form.size,
            pixels=pixels,
            predicted_s=predicted_s,
            idempotency=None if idempotency is None else (idempotency, fingerprint),
            **values,
        )
        accepted, is_new = await server.run(
            server.journal.jobs.accept,
            job,
            lambda connection: server.gate.check(connection, key, form.size, predicted_s),
        )
    if job.supersedes is not None:
        server.supervisor.stop(server.journal.jobs.get(job.supersedes, key.id))
    server.supervisor.wake()
    return accepted, is_new


def _reused(
    server: State, key: Key, form: Form, values: dict[str, Any], pin: Callable[[str], None]
) -> tuple[dict[str, str], dict[str, str]]:
    """Return the images of the job `images_of` that the form does not replace: pinned files, and what they are called.

    A kept style of that job becomes the `style_id` of the values.
    """
    job = form.texts.get("images_of")
    row = None if job is None else server.journal.jobs.get(job, key.id)
    if job is None or row is None:
        if job is not None:
            raise invalid("images_of names no render that there is")
        return {}, {}
    given = {*form.files, *(["style"] if values["style_id"] is not None else [])}
    files = {name: row[f"{name}_file"] for name in ("content", "style") if name not in given and row[f"{name}_file"]}
    for name in files.values():
        server.journal.files.pin(name)
        pin(name)
    if server.journal.jobs.get(job, key.id) is None:  # erased before its files were pinned
        raise invalid("images_of names no render that there is")
    if "style" not in given:
        values["style_id"] = row["style_id"]
    names = json.loads(row["names"])
    return files, {name: names.get(name, name) for name in files}


def _values(server: State, key: Key, form: Form) -> dict[str, Any]:
    """Return the checked text fields."""
    texts = form.texts
    settings = read_settings(parse_settings(texts.get("settings", "{}")), server.config.limits.iterations)
    values: dict[str, Any] = {name: texts.get(name) for name in ("style_id", "start_job", "supersedes", "webhook")}
    values["network"] = server.planner.check_network(texts.get("network"))
    for name in ("start_job", "supersedes"):
        if values[name] is not None and server.journal.jobs.get(values[name], key.id) is None:
            raise invalid(f"{name} names no render that there is")
    if values["webhook"] is not None:
        check_url(values["webhook"], server.config.webhooks)
    tag = values["tag"] = texts.get("tag")
    if tag is not None and not _TAG.fullmatch(tag):
        raise invalid("bad tag: allowed are 1 to 200 characters that print")
    values["priority"] = priority_of(texts.get("priority", "0"), key)
    values["deadline_s"] = _deadline(texts.get("deadline_s"))
    if "start" in form.files and values["start_job"] is not None:
        raise invalid("start and start_job exclude each other: give one of them")
    if "style" in form.files and values["style_id"] is not None:
        raise invalid("style and style_id exclude each other: give one of them")
    return {**values, "settings": settings.as_dict(), "checked": settings}


def parse_settings(text: str) -> Any:
    """Return the values of JSON.

    Raises:
        Problem: the text is no JSON.
    """
    try:
        return json.loads(text, parse_constant=_refuse_constant)
    except (ValueError, RecursionError):
        raise invalid("settings is no JSON") from None


def _refuse_constant(name: str) -> float:
    raise ValueError(name)


def priority_of(value: Any, key: Key) -> int:
    """Return a priority that a key may give.

    Raises:
        Problem: it is none.
    """
    allowed = {"min": LOWEST_PRIORITY, "max": key.max_priority}
    text = str(value)
    if isinstance(value, bool) or not re.fullmatch(r"-?\d{1,3}", text, re.ASCII):
        raise invalid("bad priority", allowed)
    if not LOWEST_PRIORITY <= int(text) <= key.max_priority:
        raise invalid(f"bad priority {text}", allowed)
    return int(text)


def _deadline(text: str | None) -> float | None:
    if text is None:
        return None
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 < value <= _LONGEST_DEADLINE_S:
        raise invalid("bad deadline_s: expected seconds from now", {"above": 0, "max": _LONGEST_DEADLINE_S})
    return value


def _plan(
    server: State, key: Key, form: Form, values: dict[str, Any], settings: Settings, reused: dict[str, str]
) -> int:
    """Return the pixels of the result, from the headers of the images."""
    for name, file in form.files.items():
        check_image(name, file.path, server.config.limits)
    paths: dict[str, Path] = {name: server.journal.files.path(file) for name, file in reused.items()}
    paths |= {name: file.path for name, file in form.files.items()}
    style = paths.get("style")
    if values["style_id"] is not None:
        row = server.journal.styles.get(values["style_id"], key.id)
        if row is None:
            raise invalid("style_id names no style that there is")
        _check_style(row, values["network"], settings)
        style = server.journal.files.path(row["image_file"])
    return server.planner.plan(values["network"], paths.get("content"), style, settings)


def _check_style(row: Any, network: str, settings: Settings) -> None:
    """Check that the matrices of a style can be used by a job."""
    kept = Settings.from_dict(json.loads(row["settings"]))
    if row["state"] == "failed":
        raise invalid(f"the style has no matrices: {row['error']}")
    if row["network"] != network:
        raise invalid(f"the style is for network {row['network']}; give that network, or upload the image as style")
    usable: dict[str, tuple[Any, ...]] = {
        **{name: (getattr(kept, name),) for name in ("pool", "padding", "seamless", "style_loss")},
        "scales": (kept.scales, 1),  # a run of one scale uses the finest
        "stroke_size": (1.0,),  # the style has its size already
    }
    for name, values in usable.items():
        if getattr(settings, name) not in values:
            raise invalid(f"the style was made for runs with {name} {values[0]!r}", {name: values[0]})
    side_px = kept.size if kept.style_size is None else kept.style_size
    if settings.style_size not in (None, side_px):
        raise invalid(f"the style was made at {side_px} px", {"style_size": side_px})
    names = {tap.name for tap in kept.active_style_taps}
    for tap in settings.active_style_taps:
        if tap.name not in names:
            raise invalid(f"the style has no matrix of {tap.name}", sorted(names))


def _idempotency_key(request: Request) -> str | None:
    found = request.headers.get("idempotency-key")
    if found is not None and not _KEY.fullmatch(found):
        raise invalid("bad Idempotency-Key: allowed are 1 to 255 characters of ASCII without spaces")
    return found

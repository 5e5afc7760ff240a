"""`/v1/renders`: the jobs."""

import json
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import JSONResponse

from impasto.engine import ImpastoError, Settings
from impasto.engine.presets import DEFAULT as DEFAULT_PRESET
from impasto.engine.presets import NAMES as PRESETS
from impasto.engine.presets import preset
from impasto.server import forms
from impasto.server.errors import Problem, invalid, not_found, too_large
from impasto.server.store.records import CANCEL, STATES
from impasto.server.web import schemas
from impasto.server.web.state import Caller, Server, State, owned
from impasto.server.web.submit import LOWEST_PRIORITY, UPLOADS, priority_of, submit
from impasto.server.web.uploads import read_body

router = APIRouter(prefix="/v1/renders", tags=["renders"])

_LONGEST_JSON = 4096
_BINARY = {"type": "string", "format": "binary", "contentMediaType": "image/*"}
_TEXTS = {
    "settings": {"type": "string", "contentMediaType": "application/json", "description": "the settings, as JSON"},
    "network": {"type": "string", "description": "a name of /v1/networks"},
    "style_id": {"type": "string", "description": "a kept style, in place of style"},
    "images_of": {"type": "string", "description": "a render whose images this one takes where it is given none"},
    "start_job": {"type": "string", "description": "a render whose picture this one begins with, once it has ended"},
    "supersedes": {"type": "string", "description": "a render that stops when this one is accepted"},
    "priority": {"type": "integer", "minimum": LOWEST_PRIORITY, "maximum": 8},
    "deadline_s": {"type": "number", "exclusiveMinimum": 0, "description": "seconds from now"},
    "tag": {"type": "string", "maxLength": 200},
    "webhook": {"type": "string", "description": "told of the end; where the server allows it"},
}
FORM = {
    "required": True,
    "content": {
        "multipart/form-data": {
            "schema": {
                "type": "object",
                "properties": {**dict.fromkeys(UPLOADS, _BINARY), **_TEXTS},
                "additionalProperties": False,
            },
            "encoding": {"settings": {"contentType": "application/json"}},
        }
    },
}
Job = Annotated[str, "an opaque id"]


def shown(server: State, row: Any, status: int = 200, **headers: str) -> JSONResponse:
    """Return a job as a response."""
    positions = server.journal.jobs.positions() if row["state"] == "queued" else {}
    return JSONResponse(schemas.render_of(row, positions), status, headers)


@router.post(
    "",
    status_code=202,
    response_model=schemas.Render,
    responses={
        200: {"model": schemas.Render, "description": "The job of an earlier request with this Idempotency-Key"},
        **schemas.refusals(408, 413, 415, 429, 503, 507),
    },
    openapi_extra={
        "requestBody": FORM,
        "parameters": [
            {
                "name": "Idempotency-Key",
                "in": "header",
                "required": False,
                "schema": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-~]+$"},
            }
        ],
    },
)
async def submit_render(server: Server, key: Caller, request: Request) -> Response:
    """Accept a job. The answer is sent when the images and the job are on the disk.

    The settings are those of `GET /v1/settings`.
    """
    job, is_new = await submit(server, key, request)
    row = server.journal.jobs.get(job, key.id)
    if row is None:
        raise not_found("render")
    return shown(server, row, 202 if is_new else 200, location=f"/v1/renders/{job}")


@router.get("", response_model=schemas.RenderPage, responses=schemas.refusals())
async def list_renders(
    server: Server,
    key: Caller,
    state: Annotated[list[str] | None, Query(description="states, any of them", max_length=8)] = None,
    tag: Annotated[str | None, Query(max_length=200)] = None,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
    cursor: Annotated[str | None, Query(pattern=r"^[0-9]{1,15}$", description="`next` of the page before")] = None,
) -> Response:
    """List jobs, the latest first."""
    for name in state or []:
        if name not in STATES:
            raise invalid(f"unknown state {name[:40]!r}", STATES)
    before = None if cursor is None else int(cursor)
    rows = server.journal.jobs.page(key.id, states=tuple(state or ()), tag=tag, before=before, limit=limit + 1)
    positions = server.journal.jobs.positions() if any(row["state"] == "queued" for row in rows) else {}
    more = str(rows[limit - 1]["number"]) if len(rows) > limit else None
    return JSONResponse({"renders": [schemas.render_of(row, positions) for row in rows[:limit]], "next": more})


@router.get("/{job}", response_model=schemas.Render, responses=schemas.refusals(404))
async def get_render(server: Server, key: Caller, job: Job) -> Response:
    """Return a job."""
    return shown(server, owned(server, job, key))


@router.post("/{job}/cancel", response_model=schemas.Render, responses=schemas.refusals(404, 429, 507))
async def cancel_render(server: Server, key: Caller, job: Job) -> Response:
    """Stop a job before its next evaluation, and keep the picture so far. An ended job does not change."""
    row = await server.run(server.journal.jobs.stop, job, key.id, CANCEL)
    if row is None:
        raise not_found("render")
    server.supervisor.stop(row)
    return shown(server, row)


@router.delete("/{job}", status_code=204, responses=schemas.refusals(404, 429, 507))
async def erase_render(server: Server, key: Caller, job: Job) -> Response:
    """Erase a job, its images, its picture and its events. A running one stops."""
    row = await server.run(server.journal.jobs.erase, job, key.id)
    if row is None:
        raise not_found("render")
    server.supervisor.stop(row)
    await server.run(server.journal.forget, row)
    return Response(status_code=204)


async def _json(server: State, request: Request) -> Any:
    body = await read_body(request, _LONGEST_JSON, server.config.limits.upload_s)
    try:
        values = json.loads(body)
    except (ValueError, RecursionError):
        raise invalid("the body is no JSON") from None
    if not isinstance(values, dict):
        raise invalid("the body is no JSON object")
    return values


def _body(model: type[schemas.Closed], *, required: bool) -> dict[str, Any]:
    content = {"application/json": {"schema": model.model_json_schema()}}
    return {"requestBody": {"required": required, "content": content}}


@router.put(
    "/{job}/priority",
    response_model=schemas.Render,
    responses=schemas.refusals(404, 408, 409, 413, 429, 507),
    openapi_extra=_body(schemas.Priority, required=True),
)
async def set_priority(server: Server, key: Caller, job: Job, request: Request) -> Response:
    """Change a job's priority: its place in the queue, or its share of the evaluations from the next one on."""
    values = await _json(server, request)
    if set(values) != {"priority"} or not isinstance(values["priority"], int):
        raise invalid("expected an object with priority, a whole number", {"min": LOWEST_PRIORITY})
    priority = priority_of(values["priority"], key)
    row = await server.run(server.journal.jobs.set_priority, job, key.id, priority)
    if row is None:
        raise not_found("render")
    server.supervisor.set_priority(job, priority)
    return shown(server, row)


@router.post(
    "/{job}/resume",
    status_code=202,
    response_model=schemas.Render,
    responses=schemas.refusals(404, 408, 409, 413, 429, 503, 507),
    openapi_extra=_body(schemas.MoreIterations, required=True),
)
async def resume_render(server: Server, key: Caller, job: Job, request: Request) -> Response:
    """Continue an ended job from where it stopped, with other limits; the result equals that of one longer run."""
    values = await _json(server, request)
    row = owned(server, job, key)
    settings = _with_limits(row, values, server.config.limits.iterations)
    predicted_s = server.predictor.predict(row["network"], row["pixels"], settings, row["iteration"])
    if server.is_draining:
        raise Problem(503, "draining", "The server is stopping", "send the request again", retry_after_s=10)
    resumed = await server.run(
        server.journal.jobs.resume,
        job,
        key.id,
        settings,
        predicted_s,
        lambda connection: server.gate.check(connection, key, 0, predicted_s),
    )
    if resumed is None:
        raise not_found("render")
    server.supervisor.wake()
    return shown(server, resumed, 202, location=f"/v1/renders/{job}")


def _with_limits(row: Any, values: dict[str, Any], most: int) -> dict[str, Any]:
    """Return the settings of a job with new limits."""
    allowed = list(schemas.MoreIterations.model_fields)
    if not set(values) <= set(allowed):
        raise invalid("unknown limit", allowed)
    try:
        settings = Settings.from_dict({**json.loads(row["settings"]), **values})
    except ImpastoError as error:
        raise invalid(str(error)) from error
    except (TypeError, ValueError, ArithmeticError, AttributeError) as error:
        raise invalid("a limit has a value of a wrong type", allowed) from error
    if settings.iterations > most:
        raise too_large(f"{settings.iterations} iterations are more than this server makes", {"max": most})
    return settings.as_dict()


settings_router = APIRouter(tags=["renders"])


@settings_router.get("/v1/settings", responses=schemas.refusals())
async def get_settings() -> dict[str, Any]:
    """Return the JSON schema of the settings, the defaults (those of the default preset), and the presets."""
    presets = {name: preset(name) for name in PRESETS}
    plain = {name: _allowed(settings) for name, settings in presets.items()}
    return {"schema": forms.schema(), "defaults": plain[DEFAULT_PRESET], "presets": plain}


def _allowed(settings: Settings) -> dict[str, Any]:
    allowed = forms.allowed_names()
    return {name: value for name, value in settings.as_dict().items() if name in allowed}

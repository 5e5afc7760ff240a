"""`/v1/styles`: images whose Gram matrices are computed once; and `/v1/networks`."""

import hashlib
import json
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse

from impasto.engine import Settings
from impasto.server.errors import Problem, busy, not_found
from impasto.server.forms import read_settings
from impasto.server.store.styles import NewStyle
from impasto.server.web import schemas
from impasto.server.web.admission import check_image
from impasto.server.web.images import ANSWERS, uploaded
from impasto.server.web.keys import Key
from impasto.server.web.state import Caller, Server, State
from impasto.server.web.submit import parse_settings
from impasto.server.web.uploads import Form, read_form

router = APIRouter(tags=["styles"])

_FORM = {
    "required": True,
    "content": {
        "multipart/form-data": {
            "schema": {
                "type": "object",
                "properties": {
                    "style": {"type": "string", "format": "binary", "contentMediaType": "image/*"},
                    "settings": {"type": "string", "contentMediaType": "application/json"},
                    "network": {"type": "string"},
                },
                "required": ["style"],
                "additionalProperties": False,
            },
            "encoding": {"settings": {"contentType": "application/json"}},
        }
    },
}
_OF_STATISTICS = ("style_taps", "style_loss", "pool", "padding", "seamless", "scales", "stroke_size")
"""The settings that the statistics of a style depend on, next to its size."""


@router.post(
    "/v1/styles",
    status_code=202,
    response_model=schemas.Style,
    responses={
        200: {"model": schemas.Style, "description": "The style is already kept"},
        **schemas.refusals(408, 413, 415, 429, 503, 507),
    },
    openapi_extra={"requestBody": _FORM},
)
async def keep_style(server: Server, key: Caller, request: Request) -> Response:
    """Keep a style. Its matrices are computed once, for one network and the style's settings and size."""
    if server.is_draining:
        raise Problem(503, "draining", "The server is stopping", "send the request again", retry_after_s=10)
    limits, files = server.config.limits, server.journal.files
    form = await read_form(request, files, limits, fields=("settings", "network"), uploads=("style",))
    try:
        style, is_new = await _keep(server, key, form)
    finally:
        form.drop()
    server.supervisor.wake()
    row = _owned(server, style, key)
    return JSONResponse(schemas.style_of(row), 202 if is_new else 200, {"location": f"/v1/styles/{style}"})


async def _keep(server: State, key: Key, form: Form) -> tuple[str, bool]:
    if "style" not in form.files:
        raise Problem(422, "invalid-request", "The request has a value that is not allowed", "style is missing")
    file, network = form.files["style"], server.planner.check_network(form.texts.get("network"))
    settings = read_settings(parse_settings(form.texts.get("settings", "{}")), server.config.limits.iterations)
    await server.run(check_image, "style", file.path, server.config.limits)
    await server.run(server.planner.plan_style, network, file.path, settings)
    if server.journal.styles.count(key.id) >= key.styles:
        raise busy("quota", f"the key {key.id} has its {key.styles} styles; erase one first", 60)
    style = _id_of(file.digest, server.planner.networks[network].sha256, settings)
    with server.journal.files.pinned() as pin:
        name = await server.run(file.keep)
        pin(name)
        new = NewStyle(style, key.id, form.names["style"], network, settings.as_dict(), name, file.size)
        return style, await server.run(server.journal.styles.keep, new)


def _id_of(image: str, network: str, settings: Settings) -> str:
    """Return the hash of everything that the matrices depend on."""
    values = settings.as_dict()
    side_px = values["size"] if values["style_size"] is None else values["style_size"]
    kept = {name: values[name] for name in _OF_STATISTICS}
    text = json.dumps([image, network, side_px, kept], sort_keys=True)
    return f"s_{hashlib.sha256(text.encode()).hexdigest()[:32]}"


@router.get("/v1/styles", response_model=schemas.StylePage, responses=schemas.refusals())
async def list_styles(server: Server, key: Caller) -> Response:
    """List the styles, the latest first."""
    return JSONResponse({"styles": [schemas.style_of(row) for row in server.journal.styles.all(key.id)]})


@router.get("/v1/styles/{style}", response_model=schemas.Style, responses=schemas.refusals(404))
async def get_style(server: Server, key: Caller, style: str) -> Response:
    """Return a style."""
    return JSONResponse(schemas.style_of(_owned(server, style, key)))


@router.get(
    "/v1/styles/{style}/image",
    response_class=Response,
    responses=ANSWERS,
)
async def get_style_image(server: Server, key: Caller, style: str) -> Response:
    """Return the image of a style, as it was uploaded."""
    return uploaded(server.journal.files.path(_owned(server, style, key)["image_file"]))


@router.delete("/v1/styles/{style}", status_code=204, responses=schemas.refusals(404, 409, 429, 507))
async def erase_style(server: Server, key: Caller, style: str) -> Response:
    """Erase a style that no job in the queue uses."""
    if not await server.run(server.journal.styles.erase, style, key.id):
        raise not_found("style")
    return Response(status_code=204)


@router.get("/v1/networks", response_model=schemas.NetworkPage, responses=schemas.refusals())
async def list_networks(server: Server, key: Caller) -> dict[str, Any]:
    """List the networks that jobs may name."""
    planner = server.planner
    networks = [
        {
            "name": item.name,
            "sha256": item.sha256,
            "default": item.name == planner.default,
            "seconds_per_megapixel": server.predictor.seconds_per_pixel(item.name) * 1e6,
        }
        for item in planner.networks.values()
    ]
    found = [place.provider for place in server.supervisor.places if place.provider]
    return {"networks": networks, "provider": found[0] if found else planner.provider}


def _owned(server: State, style: str, key: Key) -> Any:
    row = server.journal.styles.get(style, key.id)
    if row is None:
        raise not_found("style")
    return row

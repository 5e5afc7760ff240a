"""The picture of a job, in the format that the client asks for, and its preview while it forms."""

import asyncio
import json
import sqlite3
from pathlib import Path
from typing import Annotated

import numpy as np
from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import FileResponse

from impasto.engine import ImpastoError
from impasto.engine.images import write_image
from impasto.server.errors import Problem, conflict, invalid, not_found
from impasto.server.store.records import ENDED
from impasto.server.web import schemas
from impasto.server.web.state import Caller, Server, State, owned

router = APIRouter(prefix="/v1/renders", tags=["results"])

NPY = "application/x-npy"
FORMATS = {
    "png": ("image/png", ".png", 8),
    "webp": ("image/webp", ".webp", 8),
    "jpeg": ("image/jpeg", ".jpg", 8),
    "tiff": ("image/tiff", ".tif", 8),
    "npy": (NPY, ".npy", 8),
    "png16": ("image/png", ".png", 16),
    "tiff16": ("image/tiff", ".tif", 16),
}
"""By name: media type, extension and bits per channel."""

_BY_TYPE = {media: name for name, (media, _, bits) in reversed(FORMATS.items()) if bits == 8}
_BINARY = {"schema": {"type": "string", "format": "binary"}}
_FILES = {media: _BINARY for media, _, _ in FORMATS.values()}
_FORMAT = Query(alias="format", description=f"in place of Accept: {', '.join(FORMATS)}")


@router.get(
    "/{job}/result",
    response_class=Response,
    responses={
        200: {"description": "the picture", "content": _FILES},
        206: {"description": "a part of it", "content": {**_FILES, "multipart/byteranges": _BINARY}},
        304: {"description": "it has not changed"},
        **schemas.refusals(404, 406, 409, 416, 507),
    },
)
async def get_result(
    server: Server, key: Caller, request: Request, job: str, chosen: Annotated[str | None, _FORMAT] = None
) -> Response:
    """Return the picture, with its settings inside: PNG unless Accept or `format` says otherwise.

    `.npy` holds float32 H x W x 3, RGB, 0..255, neither rounded nor clipped.
    """
    row = owned(server, job, key)
    if row["result_file"] is None:
        if row["state"] in ENDED:
            raise not_found(f"picture: the render is {row['state']}, and ended before it had one")
        raise conflict(f"the render is {row['state']}; its picture is there when it has ended")
    name = _format_of(chosen, request.headers.get("accept", "*/*"))
    media, extension, _ = FORMATS[name]
    etag = f'"{row["result_file"][:32]}.{row["iteration"]}.{name}"'
    headers = {"etag": etag, "cache-control": "private, no-cache", "vary": "Accept, Authorization"}
    if _matches(request.headers.get("if-none-match"), etag):
        return Response(status_code=304, headers=headers)
    path = await _file(server, row, name)
    return FileResponse(
        path, media_type=media, headers=headers, filename=f"{job}{extension}", content_disposition_type="inline"
    )


@router.get(
    "/{job}/preview",
    response_class=Response,
    responses={200: {"description": "a small picture", "content": {"image/jpeg": _BINARY}}, **schemas.refusals(404)},
)
async def get_preview(server: Server, key: Caller, job: str) -> Response:
    """Return the picture so far as a small JPEG; after the end, that of the result."""
    row = owned(server, job, key)
    path = server.journal.work / f"{job}.preview.jpg"
    if row["state"] in ENDED:
        path = Path() if row["preview_file"] is None else server.journal.files.path(row["preview_file"])
    try:
        data = path.read_bytes()  # it may be replaced while it is sent
    except OSError:
        raise not_found("preview yet") from None
    caching = "private, no-cache" if row["state"] in ENDED else "no-store"
    return Response(data, media_type="image/jpeg", headers={"cache-control": caching})


def _format_of(chosen: str | None, accept: str) -> str:
    if chosen is not None:
        if chosen not in FORMATS:
            raise invalid(f"unknown format {chosen[:40]!r}", list(FORMATS))
        return chosen
    for media in _by_preference(accept):
        if media in ("*/*", "image/*"):
            return "png"
        if media in _BY_TYPE:
            return _BY_TYPE[media]
    raise Problem(406, "not-acceptable", "No such format", "Accept names no format of results", list(_BY_TYPE))


def _by_preference(accept: str) -> list[str]:
    """Return the media types of an Accept header, those of the highest quality first."""
    found = []
    for part in accept.split(",")[:50]:
        media, *parameters = (text.strip().lower() for text in part.split(";"))
        quality = next((text[2:] for text in parameters if text.startswith("q=")), "1")
        try:
            weight = float(quality)
        except ValueError:
            weight = 0.0
        if weight > 0:
            found.append((-weight, media))
    return [media for _, media in sorted(found, key=lambda item: item[0])]


def _matches(header: str | None, etag: str) -> bool:
    if header is None:
        return False
    return any(part.strip().removeprefix("W/") in (etag, "*") for part in header.split(","))


async def _file(server: State, row: sqlite3.Row, name: str) -> Path:
    """Return the file of a result in a format, which is made at its first use."""
    if name == "png":
        return server.journal.files.path(row["png_file"])
    path = server.cache / f"{row['result_file']}.{row['iteration']}.{name}{FORMATS[name][1]}"
    if not path.exists():
        try:
            await asyncio.get_running_loop().run_in_executor(server.converter, _convert, server, row, name, path)
        except ImpastoError as error:
            cause = error.__cause__
            if isinstance(cause, OSError):
                raise cause from error
            raise conflict("the picture does not fit into this format; take png") from error
    return path


def _convert(server: State, row: sqlite3.Row, name: str, path: Path) -> None:
    if path.exists():
        return
    files = server.journal.files
    pixels = np.load(files.path(row["result_file"]), allow_pickle=False)
    alpha = None if row["alpha_file"] is None else np.load(files.path(row["alpha_file"]), allow_pickle=False)
    server.cache.mkdir(exist_ok=True)
    write_image(path, pixels, alpha, metadata=json.loads(row["record"]), bits=FORMATS[name][2])

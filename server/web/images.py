"""The images of a job, as they were uploaded."""

from pathlib import Path
from typing import Any, Literal

from fastapi import APIRouter, Response
from fastapi.responses import FileResponse

from impasto.server.errors import not_found
from impasto.server.web import schemas
from impasto.server.web.state import Caller, Server, owned

router = APIRouter(prefix="/v1/renders", tags=["renders"])

_MEDIA = {b"\x89PNG": "image/png", b"\xff\xd8\xff": "image/jpeg", b"RIFF": "image/webp"}
_IMAGE = {"image/*": {"schema": {"type": "string", "format": "binary"}}}
ANSWERS: dict[int | str, dict[str, Any]] = {
    200: {"description": "the image", "content": _IMAGE},
    206: {"description": "a part of it"},
    **schemas.refusals(404, 416),
}


def uploaded(path: Path) -> Response:
    """Return an uploaded file as a response. What is no PNG, JPEG or WebP has no type that a browser would show."""
    with path.open("rb") as stream:
        head = stream.read(4)
    media = next((media for magic, media in _MEDIA.items() if head.startswith(magic)), "application/octet-stream")
    return FileResponse(path, media_type=media, headers={"cache-control": "private, no-cache"})


@router.get("/{job}/images/{name}", response_class=Response, responses=ANSWERS)
async def get_image(server: Server, key: Caller, job: str, name: Literal["content", "style"]) -> Response:
    """Return an image of a job, as it was uploaded."""
    row = owned(server, job, key)
    file = row[f"{name}_file"]
    if file is None and name == "style" and row["style_id"] is not None:
        style = server.journal.styles.get(row["style_id"], key.id)
        file = None if style is None else style["image_file"]
    if file is None:
        raise not_found(f"{name} image")
    return uploaded(server.journal.files.path(file))

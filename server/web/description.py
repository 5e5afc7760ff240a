"""The page `/docs`: the API's description as plain HTML, which loads nothing from elsewhere and needs no script."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

TEXT = (
    "Pictures as a service that loses nothing: a job is answered with 202 when its images are on the disk. "
    'Errors are application/problem+json (RFC 9457); those of /v2 are the {"error"} of the Open Inference Protocol.'
)
WELCOME = (
    "<!doctype html><html lang=en><meta charset=utf-8><title>impasto</title>"
    "<h1>impasto</h1><p>The server works. <a href=/docs>The API</a>."
)


def page(document: Mapping[str, Any]) -> str:
    """Return the page of an OpenAPI description."""
    import jinja2

    environment = jinja2.Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    template = environment.from_string((Path(__file__).parent / "docs.html").read_text(encoding="utf-8"))
    groups: dict[str, list[dict[str, Any]]] = {}
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            entry = {"method": method.upper(), "path": path, "operation": operation, "fields": _fields(operation)}
            groups.setdefault((operation.get("tags") or ["other"])[0], []).append(entry)
    return template.render(
        title=document["info"]["title"], version=document["info"]["version"], text=TEXT, groups=groups
    )


def _fields(operation: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """Return the parameters and the fields of the body: name, place and description."""
    found = [
        (item["name"], item["in"], item.get("description") or item.get("schema", {}).get("description", ""))
        for item in operation.get("parameters", ())
    ]
    for media, body in operation.get("requestBody", {}).get("content", {}).items():
        for name, schema in body.get("schema", {}).get("properties", {}).items():
            found.append((name, media, schema.get("description", "")))
    return found

"""Every refusal and failure as an answer: problem details, or the `{"error"}` of the inference protocol."""

import errno
import json
import logging
import math
import sqlite3
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response

from impasto.server.errors import Problem, disk_full

PROBLEM = "application/problem+json"
_FULL = (errno.ENOSPC, errno.EDQUOT)
_TITLES = {404: "There is no such thing", 405: "The method is not allowed here"}

log = logging.getLogger("impasto.server")


def answer(problem: Problem, path: str) -> Response:
    """Return a refusal as a response."""
    headers = dict(problem.headers)
    if problem.retry_after_s is not None:
        headers["retry-after"] = str(math.ceil(problem.retry_after_s))
    headers["cache-control"] = "no-store"
    if path == "/v2" or path.startswith("/v2/"):
        return Response(json.dumps({"error": problem.detail}), problem.status, headers, "application/json")
    return Response(json.dumps(problem.document()), problem.status, headers, PROBLEM)


def is_disk_full(error: BaseException) -> bool:
    """Return whether an error says that the disk is full."""
    if isinstance(error, OSError):
        return error.errno in _FULL
    full = ("full", "disk I/O error", "unable to open")
    return isinstance(error, sqlite3.OperationalError) and any(word in str(error) for word in full)


def install(app: FastAPI) -> None:
    """Make an application answer all errors in this way."""

    async def refused(request: Request, error: Any) -> Response:
        return answer(error, request.url.path)

    async def by_framework(request: Request, error: Any) -> Response:
        title = _TITLES.get(error.status_code, "The request cannot be handled")
        problem = Problem(error.status_code, f"http-{error.status_code}", title, str(error.detail))
        problem.headers = dict(error.headers or {})
        return answer(problem, request.url.path)

    async def invalid(request: Request, error: Any) -> Response:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"] if part not in ("query", "path", "body", "header"))
        title = "The request has a value that is not allowed"
        problem = Problem(422, "invalid-request", title, f"{where}: {first['msg']}")
        return answer(problem, request.url.path)

    async def failed(request: Request, error: Exception) -> Response:
        if is_disk_full(error):
            return answer(disk_full(), request.url.path)
        log.error("%s %s failed", request.method, request.url.path, exc_info=error)
        title, detail = "The server failed", "the request was not handled; the server's log has the reason"
        return answer(Problem(500, "server-error", title, detail), request.url.path)

    app.add_exception_handler(Problem, refused)
    app.add_exception_handler(HTTPException, by_framework)
    app.add_exception_handler(RequestValidationError, invalid)
    for kind in (OSError, sqlite3.Error):
        app.add_exception_handler(kind, failed)
    app.add_exception_handler(Exception, failed)

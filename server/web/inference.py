"""`/v2`: the Open Inference Protocol over REST, with two models.

`objective` evaluates the loss of an image and its gradient; `render` makes a small picture in few evaluations. Both
answer in the same connection, so long runs belong to `/v1/renders`. Errors are `{"error": "text"}`, which is what the
clients of the protocol parse.
"""

import asyncio
import json
import time
from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np
from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse

from impasto.engine import Settings
from impasto.models.version import VERSION
from impasto.server.errors import Problem, invalid, too_large
from impasto.server.forms import read_settings
from impasto.server.store.records import new_id
from impasto.server.web import tensors
from impasto.server.web.state import Caller, Server, State
from impasto.server.web.uploads import read_body
from impasto.server.work.protocol import INFER, Message
from impasto.server.work.short import OBJECTIVE, RENDER

router = APIRouter(prefix="/v2", tags=["inference protocol"])

MODELS = {
    OBJECTIVE: (("image", "content", "style"), "gradient"),
    RENDER: (("content", "style"), "picture"),
}
"""By name: the inputs, and the output that is an image."""

VERSION_OF_MODELS = "1"
_DEFAULT_ITERATIONS = 20
_ANSWER_S = 300.0
_ERRORS: dict[int | str, dict[str, Any]] = {
    status: {
        "description": "an error",
        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/InferenceError"}}},
    }
    for status in (400, 401, 403, 404, 405, 408, 413, 421, 422, 429, 503)
}


def _model(name: str, version: str = VERSION_OF_MODELS) -> tuple[tuple[str, ...], str]:
    if name not in MODELS or version != VERSION_OF_MODELS:
        raise Problem(404, "not-found", "There is no such thing", f"unknown model {name[:80]!r}: allowed are "
                      f"{', '.join(MODELS)}, each of version {VERSION_OF_MODELS}")  # fmt: skip
    return MODELS[name]


@router.get("", responses=_ERRORS)
async def server_metadata() -> dict[str, Any]:
    """Return the name, the version and the extensions of the server."""
    extensions = ["binary_tensor_data", "model_configuration", "model_repository", "statistics"]
    return {"name": "impasto", "version": VERSION, "extensions": extensions}


@router.get("/health/live", responses=_ERRORS)
async def live() -> dict[str, bool]:
    """Return 200 while the server answers."""
    return {"live": True}


@router.get("/health/ready", responses=_ERRORS)
async def ready(server: Server) -> Response:
    """Return 200 while a worker makes progress."""
    return _readiness(server)


@router.get("/models/{name}/ready", responses=_ERRORS)
@router.get("/models/{name}/versions/{version}/ready", responses=_ERRORS)
async def model_ready(server: Server, name: str, version: str = VERSION_OF_MODELS) -> Response:
    """Return 200 if a model can be used now."""
    _model(name, version)
    return _readiness(server)


def _readiness(server: State) -> Response:
    stuck = "the server is stopping" if server.is_draining else server.supervisor.stuck
    if stuck is not None:
        raise Problem(503, "not-ready", "The server is not ready", stuck, retry_after_s=5)
    return JSONResponse({"ready": True})


@router.get("/models/stats", responses=_ERRORS)
async def all_stats(request: Request) -> dict[str, Any]:
    """Return the statistics of both models."""
    return {"model_stats": [_stats(request, name) for name in MODELS]}


@router.get("/models/{name}", responses=_ERRORS)
@router.get("/models/{name}/versions/{version}", responses=_ERRORS)
async def model_metadata(name: str, version: str = VERSION_OF_MODELS) -> dict[str, Any]:
    """Return the inputs and outputs of a model."""
    inputs, image = _model(name, version)
    shape = [-1, -1, 3]
    return {
        "name": name,
        "versions": [VERSION_OF_MODELS],
        "platform": "impasto",
        "inputs": [{"name": item, "datatype": "FP32", "shape": shape} for item in inputs],
        "outputs": [
            {"name": "loss", "datatype": "FP64", "shape": [1]},
            {"name": "term_names", "datatype": "BYTES", "shape": [-1]},
            {"name": "terms", "datatype": "FP64", "shape": [-1]},
            {"name": image, "datatype": "FP32", "shape": shape},
        ],
    }


@router.get("/models/{name}/config", responses=_ERRORS)
@router.get("/models/{name}/versions/{version}/config", responses=_ERRORS)
async def model_config(name: str, version: str = VERSION_OF_MODELS) -> dict[str, Any]:
    """Return the configuration of a model, as Triton's clients expect it."""
    found = await model_metadata(name, version)
    kinds = {"FP32": "TYPE_FP32", "FP64": "TYPE_FP64", "BYTES": "TYPE_STRING"}

    def described(items: list[dict[str, Any]]) -> list[dict[str, Any]]:
        return [{"name": item["name"], "data_type": kinds[item["datatype"]], "dims": item["shape"]} for item in items]

    inputs, outputs = described(found["inputs"]), described(found["outputs"])
    return {"name": name, "platform": "impasto", "max_batch_size": 0, "input": inputs, "output": outputs}


@router.get("/models/{name}/stats", responses=_ERRORS)
@router.get("/models/{name}/versions/{version}/stats", responses=_ERRORS)
async def model_stats(request: Request, name: str, version: str = VERSION_OF_MODELS) -> dict[str, Any]:
    """Return the statistics of a model."""
    _model(name, version)
    return {"model_stats": [_stats(request, name)]}


@router.post("/repository/index", responses=_ERRORS)
async def repository_index() -> list[dict[str, str]]:
    """List the models."""
    return [{"name": name, "version": VERSION_OF_MODELS, "state": "READY", "reason": ""} for name in MODELS]


_INFER: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {"schema": {"type": "object"}},
            "application/octet-stream": {"schema": {"type": "string", "format": "binary"}},
        },
    }
}
_TENSORS: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "the outputs",
        "content": {
            "application/json": {"schema": {"type": "object"}},
            "application/octet-stream": {"schema": {"type": "string", "format": "binary"}},
        },
    },
    **_ERRORS,
}


@router.post("/models/{name}/infer", responses=_TENSORS, response_class=Response, openapi_extra=_INFER)
@router.post(
    "/models/{name}/versions/{version}/infer", responses=_TENSORS, response_class=Response, openapi_extra=_INFER
)
async def infer(server: Server, key: Caller, request: Request, name: str, version: str = VERSION_OF_MODELS) -> Response:
    """Evaluate a model. The parameter `settings` is a JSON text, as of `/v1/renders`; `network` names a network."""
    names, image = _model(name, version)
    limits = server.config.limits
    if request.headers.get("content-encoding", "identity") != "identity":
        raise invalid("compressed requests are not taken; send the body as it is")
    most = len(names) * 12 * limits.infer_pixels + tensors.LONGEST_JSON
    body = await read_body(request, most, limits.upload_s)
    head, data = tensors.split(body, request.headers.get(tensors.HEADER_LENGTH))
    images = tensors.read_images(head, data, names, limits.infer_pixels)
    settings, network = _settings(server, name, head.get("parameters"))
    begin_s = time.monotonic()
    message = {
        "id": new_id("i"),
        "model": name,
        "network": network,
        "settings": settings.as_dict(),
        "arrays": {item: list(array.shape) for item, array in images.items()},
    }
    blobs = tuple(np.ascontiguousarray(array, np.float32).tobytes() for array in images.values())
    reply = server.supervisor.infer(Message(INFER, message, blobs))
    try:
        answer = await asyncio.wait_for(asyncio.wrap_future(reply), _ANSWER_S)
    except TimeoutError:
        raise Problem(503, "timeout", "No answer in time", "use /v1/renders for long runs") from None
    _count(request, name, time.monotonic() - begin_s, "refused" not in answer.body and "error" not in answer.body)
    if "refused" in answer.body:
        raise invalid(str(answer.body["refused"]))
    if "error" in answer.body:
        raise Problem(500, "server-error", "The server failed", str(answer.body["error"]))
    array = np.frombuffer(answer.blobs[0], np.float32).reshape(answer.body["shape"])
    terms = answer.body["terms"]
    outputs = {
        "loss": np.array([answer.body["loss"]], np.float64),
        "term_names": list(terms),
        "terms": np.array(list(terms.values()), np.float64),
        image: array,
    }
    said = {"model_name": name, "model_version": VERSION_OF_MODELS, "id": str(head.get("id", ""))[:200]}
    content, headers = tensors.write(said, outputs, head)
    return Response(content, headers=headers)


def _settings(server: State, model: str, parameters: Any) -> tuple[Settings, str]:
    given = parameters if isinstance(parameters, Mapping) else {}
    text = given.get("settings", "{}")
    try:
        values = json.loads(text) if isinstance(text, str) else text
    except (ValueError, RecursionError):
        raise invalid("the parameter settings is no JSON") from None
    if not isinstance(values, dict):
        raise invalid("the parameter settings is no JSON object")
    values = {"size": 0, "style_size": 0, "iterations": _DEFAULT_ITERATIONS, **values}
    limits = server.config.limits
    if values["size"] != 0 or values["style_size"] != 0:
        raise invalid("size and style_size are those of the tensors; leave them out")
    if model == RENDER:
        values = {"evaluations": limits.infer_evaluations, **values}
    settings = read_settings(values, limits.iterations, default="")
    if model == RENDER and (settings.evaluations or 0) > limits.infer_evaluations:
        raise too_large(f"at most {limits.infer_evaluations} evaluations; use /v1/renders for more")
    network = given.get("network")
    return settings, server.planner.check_network(None if network is None else str(network))


def _count(request: Request, name: str, seconds: float, succeeded: bool) -> None:
    counts = _counts(request)
    kind = "success" if succeeded else "fail"
    counts[name, kind] += 1
    counts[name, f"{kind}_ns"] += int(seconds * 1e9)


def _counts(request: Request) -> Counter[tuple[str, str]]:
    state = request.app.state
    if getattr(state, "inferences", None) is None:
        state.inferences = Counter()
    found: Counter[tuple[str, str]] = state.inferences
    return found


def _stats(request: Request, name: str) -> dict[str, Any]:
    counts = _counts(request)
    kinds = ("success", "fail")
    spent = {kind: {"count": counts[name, kind], "ns": counts[name, f"{kind}_ns"]} for kind in kinds}
    none = {"count": 0, "ns": 0}
    parts = ("queue", "compute_input", "compute_infer", "compute_output", "cache_hit", "cache_miss")
    return {
        "name": name,
        "version": VERSION_OF_MODELS,
        "last_inference": 0,
        "inference_count": counts[name, "success"],
        "execution_count": counts[name, "success"],
        "inference_stats": {**spent, **dict.fromkeys(parts, none)},
        "batch_stats": [],
    }

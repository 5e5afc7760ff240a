"""Tensors of the Open Inference Protocol: as JSON, and as bytes after it (the binary tensor data extension)."""

import json
import math
import struct
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from impasto.server.errors import Problem, invalid

HEADER_LENGTH = "inference-header-content-length"
LONGEST_JSON = 8 << 20


def split(body: bytes, header: str | None) -> tuple[Mapping[str, Any], bytes]:
    """Return the JSON object of a request, and the bytes after it.

    Raises:
        Problem: there is no such object.
    """
    length = len(body)
    if header is not None:
        if not header.isdecimal() or int(header) > len(body):
            raise invalid(f"bad Inference-Header-Content-Length: the body has {len(body)} bytes")
        length = int(header)
    if length > LONGEST_JSON:
        raise Problem(413, "too-large", "The request is too large", "send large tensors as binary data")
    try:
        found = json.loads(body[:length])
    except (ValueError, RecursionError):
        raise invalid("the request is no JSON") from None
    if not isinstance(found, dict):
        raise invalid("the request is no JSON object")
    return found, body[length:]


def read_images(request: Mapping[str, Any], data: bytes, names: Sequence[str], most_pixels: int) -> dict[str, Any]:
    """Return the inputs of a request: float32 H x W x 3, RGB, 0..1.

    Raises:
        Problem: an input is missing, unknown, or no such image.
    """
    inputs = request.get("inputs")
    if not isinstance(inputs, list) or len(inputs) > 16:
        raise invalid("inputs is no list of tensors", list(names))
    found: dict[str, Any] = {}
    offset = 0
    for item in inputs:
        if not isinstance(item, dict) or item.get("name") not in names or item["name"] in found:
            raise invalid("an input is unknown or repeated", list(names))
        name = item["name"]
        shape = _shape(item, most_pixels)
        if item.get("datatype") != "FP32":
            raise invalid(f"{name} has another datatype", ["FP32"])
        parameters = item.get("parameters")
        size = parameters.get("binary_data_size") if isinstance(parameters, dict) else None
        if size is not None:
            if type(size) is not int or size != 4 * math.prod(shape) or offset + size > len(data):
                raise invalid(f"{name} has another number of bytes than its shape")
            array = np.frombuffer(data, "<f4", math.prod(shape), offset).reshape(shape)
            offset += size
        else:
            array = _from_json(str(name), item.get("data"), shape)
        if not np.isfinite(array).all():
            raise invalid(f"{name} is not finite")
        found[str(name)] = array
    missing = [name for name in names if name not in found]
    if missing or offset != len(data):
        raise invalid(f"input {missing[0]} is missing" if missing else "the body is longer than its tensors")
    return found


def _shape(item: Mapping[str, Any], most_pixels: int) -> tuple[int, int, int]:
    shape = item.get("shape")
    if not isinstance(shape, list) or len(shape) != 3 or not all(type(side) is int and side > 0 for side in shape):
        raise invalid(f"{item.get('name')} has a bad shape: expected height, width, 3")
    height, width, channels = shape
    if channels != 3 or height * width > most_pixels:
        detail = f"{item.get('name')} has a bad shape: expected height, width, 3"
        raise invalid(detail, {"max_pixels": most_pixels})
    return height, width, channels


def _from_json(name: str, values: Any, shape: tuple[int, ...]) -> Any:
    try:
        array = np.asarray(values, np.float32)
    except (TypeError, ValueError, OverflowError):
        array = np.empty(0, np.float32)
    if array.size != math.prod(shape):
        raise invalid(f"{name} has another number of values than its shape")
    return array.reshape(shape)


def write(
    head: Mapping[str, Any], outputs: Mapping[str, Any], request: Mapping[str, Any]
) -> tuple[bytes, dict[str, str]]:
    """Return the body of a response, and its headers.

    Args:
        head: model_name, model_version and id.
        outputs: arrays of float32 or float64, or lists of texts, by name.
        request: says which outputs are wanted, and which as binary data.

    Raises:
        Problem: a wanted output is unknown.
    """
    tensors, blobs = [], []
    for name, is_binary in _wanted(request, list(outputs)):
        value = outputs[name]
        if isinstance(value, list):
            encoded = [text.encode() for text in value]
            tensor: dict[str, Any] = {"name": name, "datatype": "BYTES", "shape": [len(value)]}
            blob = b"".join(struct.pack("<I", len(text)) + text for text in encoded)
        else:
            kind = "FP32" if value.dtype == np.float32 else "FP64"
            tensor = {"name": name, "datatype": kind, "shape": list(value.shape)}
            blob = np.ascontiguousarray(value).tobytes()
        if is_binary:
            tensor["parameters"] = {"binary_data_size": len(blob)}
            blobs.append(blob)
        else:
            tensor["data"] = value if isinstance(value, list) else value.ravel().tolist()
        tensors.append(tensor)
    text = json.dumps({**head, "outputs": tensors}).encode()
    if not blobs:
        return text, {"content-type": "application/json"}
    headers = {"content-type": "application/octet-stream", HEADER_LENGTH: str(len(text))}
    return b"".join([text, *blobs]), headers


def _wanted(request: Mapping[str, Any], names: list[str]) -> list[tuple[str, bool]]:
    parameters = request.get("parameters")
    all_binary = isinstance(parameters, dict) and parameters.get("binary_data_output") is True
    outputs = request.get("outputs")
    if not outputs:
        return [(name, all_binary) for name in names]
    wanted = []
    for item in outputs if isinstance(outputs, list) else [{}]:
        item = item if isinstance(item, dict) else {}
        name = item.get("name")
        if name not in names:
            raise invalid(f"unknown output {str(name)[:40]!r}: allowed are {', '.join(names)}", names)
        own = item.get("parameters")
        binary = own.get("binary_data", all_binary) if isinstance(own, dict) else all_binary
        wanted.append((str(name), binary is True))
    return wanted

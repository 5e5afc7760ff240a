"""Multipart forms, read as a stream: files go to the disk and are counted and hashed on the way."""

import asyncio
import hashlib
import json
import re
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any

from python_multipart.exceptions import MultipartParseError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.requests import ClientDisconnect, Request

from impasto.server.config import Limits
from impasto.server.errors import Problem, invalid, too_large
from impasto.server.store.files import Files, Incoming

_LONGEST_TEXT, _MOST_PARTS, _LONGEST_HEADERS = 1 << 16, 32, 4096
_SLOWEST_BYTES_PER_S = 16384
_NAME = re.compile(r"[\w .()+-]{1,100}")


@dataclass
class Form:
    """A form.

    Attributes:
        texts: the text fields by name.
        files: the files by name of the field.
        names: what the client called the files, by name of the field.
    """

    texts: dict[str, str] = field(default_factory=dict)
    files: dict[str, Incoming] = field(default_factory=dict)
    names: dict[str, str] = field(default_factory=dict)

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(file.size for file in self.files.values())

    def fingerprint(self) -> str:
        """Return a hash of everything that the form says."""
        said: dict[str, Any] = {name: file.digest for name, file in self.files.items()}
        return hashlib.sha256(json.dumps([self.texts, said], sort_keys=True).encode()).hexdigest()

    def drop(self) -> None:
        """Remove the files that were not kept."""
        for file in self.files.values():
            file.drop()


class _Reader:
    """The callbacks of the parser: one part after another."""

    def __init__(self, form: Form, files: Files, limits: Limits, fields: Collection[str], uploads: Collection[str]):
        self._form, self._store, self._limits = form, files, limits
        self._fields, self._uploads = fields, uploads
        self._parts = 0
        self._header, self._value = b"", b""
        self._headers: dict[bytes, bytes] = {}
        self._field, self._text = "", bytearray()
        self._file: Incoming | None = None
        self.is_finished = False

    def callbacks(self) -> dict[str, Any]:
        return {
            "on_part_begin": self._begin,
            "on_header_field": self._on_header_field,
            "on_header_value": self._on_header_value,
            "on_header_end": self._on_header_end,
            "on_headers_finished": self._on_headers,
            "on_part_data": self._on_data,
            "on_part_end": self._on_end,
            "on_end": self._finish,
        }

    def _finish(self) -> None:
        self.is_finished = True

    def _begin(self) -> None:
        self._parts += 1
        if self._parts > _MOST_PARTS:
            raise invalid("the form has too many parts", {"max": _MOST_PARTS})
        self._headers, self._header, self._value = {}, b"", b""
        self._file, self._text = None, bytearray()

    def _on_header_field(self, data: bytes, start: int, end: int) -> None:
        self._header += data[start:end]
        self._check_headers()

    def _on_header_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]
        self._check_headers()

    def _check_headers(self) -> None:
        if len(self._header) + len(self._value) > _LONGEST_HEADERS or len(self._headers) > 16:
            raise invalid("a part of the form has headers that are too long", {"max": _LONGEST_HEADERS})

    def _on_header_end(self) -> None:
        self._headers[self._header.lower()] = self._value
        self._header, self._value = b"", b""

    def _on_headers(self) -> None:
        _, options = parse_options_header(self._headers.get(b"content-disposition", b""))
        name = options.get(b"name", b"").decode("utf-8", "replace")
        if name in self._uploads:
            if name in self._form.files:
                raise invalid(f"{name} is given twice; this server takes one")
            self._file = self._form.files[name] = self._store.incoming()
            given = options.get(b"filename", b"").decode("utf-8", "replace").replace("\\", "/").rpartition("/")[2]
            self._form.names[name] = given if _NAME.fullmatch(given) else name
        elif name not in self._fields:
            raise invalid(f"unknown field {name[:80]!r}", sorted([*self._fields, *self._uploads]))
        elif name in self._form.texts:
            raise invalid(f"{name} is given twice; give it once")
        self._field = name

    def _on_data(self, data: bytes, start: int, end: int) -> None:
        if self._file is None:
            self._text += data[start:end]
            if len(self._text) > _LONGEST_TEXT:
                raise too_large(f"{self._field} is longer than a text may be", {"max_bytes": _LONGEST_TEXT})
            return
        if self._file.size + end - start > self._limits.upload_bytes:
            raise too_large(f"{self._field} has too many bytes", {"max_bytes": self._limits.upload_bytes})
        self._file.write(data[start:end])

    def _on_end(self) -> None:
        if self._file is not None:
            self._file.finish()
            return
        try:
            self._form.texts[self._field] = self._text.decode()
        except UnicodeDecodeError:
            raise invalid(f"{self._field} is not UTF-8") from None


async def read_form(
    request: Request, files: Files, limits: Limits, *, fields: Collection[str], uploads: Collection[str]
) -> Form:
    """Read a form; the caller drops it.

    Raises:
        Problem: it is no such form, too large, or arrives too slowly.
    """
    kind, options = parse_options_header(request.headers.get("content-type", ""))
    boundary = options.get(b"boundary", b"")
    if kind != b"multipart/form-data" or not 0 < len(boundary) <= 200:
        title = "The body is of another type"
        raise Problem(415, "media-type", title, "send a multipart/form-data body", ["multipart/form-data"])
    most = limits.upload_bytes * len(uploads) + _LONGEST_TEXT * (len(fields) + 1)
    check_length(request, most)
    form = Form()
    reader = _Reader(form, files, limits, fields, uploads)
    try:
        parser = MultipartParser(boundary, reader.callbacks())  # type: ignore[arg-type]
        await _feed(request, parser, most, limits.upload_s)
        parser.finalize()
        if not reader.is_finished:
            raise invalid("the form ends in the middle")
    except MultipartParseError:
        form.drop()
        raise invalid("the body is no form that can be read") from None
    except BaseException:
        form.drop()
        raise
    return form


def check_length(request: Request, most: int) -> None:
    """Refuse a body that says that it is too large, before it is read."""
    length = request.headers.get("content-length", "0")
    if length.isdecimal() and int(length) > most:
        raise too_large("the body has too many bytes", {"max_bytes": most})


async def read_body(request: Request, most: int, upload_s: float) -> bytes:
    """Return a small body.

    Raises:
        Problem: it is too large, or arrives too slowly.
    """
    check_length(request, most)
    body = bytearray()

    class _Collect:
        def write(self, data: bytes) -> int:
            body.extend(data)
            return len(data)

    await _feed(request, _Collect(), most, upload_s)
    return bytes(body)


async def _feed(request: Request, parser: Any, most: int, upload_s: float) -> None:
    total = 0
    begin_s = asyncio.get_running_loop().time()
    stream = request.stream()
    while True:
        due_s = begin_s + upload_s + total / _SLOWEST_BYTES_PER_S
        try:
            async with asyncio.timeout_at(due_s):
                chunk = await anext(stream, None)
        except TimeoutError:
            title = "The body arrived too slowly"
            close = {"connection": "close"}
            detail = f"send at least {_SLOWEST_BYTES_PER_S} bytes a second"
            raise Problem(408, "too-slow", title, detail, headers=close) from None
        except ClientDisconnect:
            title = "The client has gone"
            raise Problem(400, "disconnected", title, "the body did not arrive in full") from None
        if chunk is None:
            return
        total += len(chunk)
        if total > most:
            raise too_large("the body has too many bytes", {"max_bytes": most})
        parser.write(chunk)

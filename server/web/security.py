"""Who may call: the checks that come before every request, and the headers that come with every answer."""

import re
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any
from urllib.parse import urlsplit

from limits import parse
from limits.aio.storage import MemoryStorage
from limits.aio.strategies import MovingWindowRateLimiter

from impasto.models.errors import ImpastoError
from impasto.server.config import ServerConfig
from impasto.server.errors import Problem, busy
from impasto.server.web.keys import ANYONE, INFER, METRICS, READ, WRITE, Key, Keys
from impasto.server.web.problems import answer

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Any]]
Send = Callable[[Any], Awaitable[None]]

_OPEN = re.compile(r"/(health/.*|v2/health/.*|docs|openapi\.json|page/.*|favicon\.ico)?")
"""Paths that need no key: they tell nothing about jobs."""

_SAFE = ("GET", "HEAD", "OPTIONS")
_HEADERS = (
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (
        b"content-security-policy",
        b"default-src 'self'; img-src 'self' blob: data:; object-src 'none'; base-uri 'none'; form-action 'self'; "
        b"frame-ancestors 'none'",
    ),
)
_FAILURES = "30/minute"


class Security:
    """An ASGI application around another: it checks Host, Origin, key, scope and rate.

    A page of another site can make a browser send requests (CSRF), and can make its own name resolve to this address
    (DNS rebinding). So a request is refused if its Host is no name of this server, or if it changes something and a
    browser says that another site made it.

    Args:
        app: the application.
        config: of the server.
        keys: of the server.
    """

    def __init__(self, app: Any, config: ServerConfig, keys: Keys) -> None:
        self.inner, self._keys = app, keys
        self._hosts = allowed_hosts(config)
        try:
            self._rate, self._failures = parse(config.limits.submits), parse(_FAILURES)
        except ValueError as error:
            raise ImpastoError(f"bad rate {config.limits.submits!r}: write it as 1200/minute") from error
        self._limiter = MovingWindowRateLimiter(MemoryStorage())

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Check a request and pass it on, or refuse it."""
        if scope["type"] != "http":
            await self.inner(scope, receive, send)
            return

        async def send_with_headers(message: Any) -> None:
            if message["type"] == "http.response.start":
                known = {name.lower() for name, _ in message["headers"]}
                extra = [(name, value) for name, value in _HEADERS if name not in known]
                message = {**message, "headers": [*message["headers"], *extra]}
            await send(message)

        try:
            scope.setdefault("state", {})["key"] = await self._check(scope)
        except Problem as problem:
            await answer(problem, scope["path"])(scope, receive, send_with_headers)
            return
        await self.inner(scope, receive, send_with_headers)

    async def _check(self, scope: Scope) -> Key:
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        self._check_host(headers.get("host", ""))
        changes = scope["method"] not in _SAFE
        if changes:
            self._check_origin(headers)
        client = (scope.get("client") or ("unknown",))[0]
        if _OPEN.fullmatch(scope["path"]):
            return ANYONE
        key = ANYONE
        if self._keys.are_required:
            key = await self._authenticated(headers, client)
            self._check_scope(key, scope["path"], changes)
        if changes:
            name = key.id if self._keys.are_required else client
            if not await self._limiter.hit(self._rate, "changes", name):
                raise await self._too_often(self._rate, "changes", name)
        return key

    def _check_host(self, host: str) -> None:
        if _name_of(host) not in self._hosts:
            title, detail = "The Host is not this server's", "start the server with --allowed-host for this name"
            raise Problem(421, "wrong-host", title, detail)

    def _check_origin(self, headers: dict[str, str]) -> None:
        origin, site = headers.get("origin"), headers.get("sec-fetch-site")
        own = origin is None or _authority(origin) == headers.get("host", "").lower()
        if not own or site in ("cross-site", "same-site"):
            title = "Another site made the request"
            raise Problem(403, "cross-site", title, "only pages of this server, and programs, may change something")

    async def _authenticated(self, headers: dict[str, str], client: str) -> Key:
        if not await self._limiter.test(self._failures, "failures", client):
            raise await self._too_often(self._failures, "failures", client)
        kind, _, secret = headers.get("authorization", "").partition(" ")
        secret = secret.strip() if kind.lower() == "bearer" else headers.get("x-api-key", "")
        key = self._keys.find(secret) if secret else None
        if key is None:
            if secret:
                await self._limiter.hit(self._failures, "failures", client)
            title, detail = (
                "An API key is needed",
                "send the header `Authorization: Bearer KEY` with a key of this server",
            )
            raise Problem(401, "no-key", title, detail, headers={"www-authenticate": "Bearer"})
        return key

    def _check_scope(self, key: Key, path: str, changes: bool) -> None:
        needed = METRICS if path == "/metrics" else INFER if path.startswith("/v2") else WRITE if changes else READ
        if needed not in key.scopes:
            title = "The API key does not allow this"
            raise Problem(403, "no-scope", title, f"the key {key.id} lacks the scope {needed}", sorted(key.scopes))

    async def _too_often(self, rate: Any, kind: str, name: str) -> Problem:
        import time

        reset_s, _ = await self._limiter.get_window_stats(rate, kind, name)
        return busy("rate-limit", f"more than {rate}", max(1.0, reset_s - time.time()))


def allowed_hosts(config: ServerConfig) -> frozenset[str]:
    """Return the names, without ports, by which clients may call the server."""
    names = {name.lower() for name in config.allowed_hosts}
    if config.is_loopback:
        names |= {"localhost", "127.0.0.1", "[::1]"}
    if config.host not in ("0.0.0.0", "::"):  # noqa: S104 - compared, not bound
        names.add(f"[{config.host}]" if ":" in config.host else config.host.lower())
    return frozenset(names)


def _name_of(host: str) -> str:
    return re.sub(r":\d{1,5}$", "", host.lower())


def _authority(origin: str) -> str:
    try:
        return urlsplit(origin).netloc.lower()
    except ValueError:
        return ""


def paths_without_key(paths: Iterable[str]) -> list[str]:
    """Return those of the paths that need no key, for the API's description."""
    return [path for path in paths if _OPEN.fullmatch(path)]

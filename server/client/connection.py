"""Requests that are repeated while the server is full, stopping or away."""

import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import httpx

from impasto.client.events import RemoteEvent, read_events
from impasto.models.errors import ImpastoError

PATIENCE_S = 300.0
PAUSE_S = 0.5
_LONGEST_PAUSE_S = 15.0


class RefusedError(ImpastoError):
    """The server refused a request.

    Attributes:
        status: of HTTP.
        problem: the whole answer: type, title, detail, and what is allowed.
    """

    def __init__(self, status: int, problem: Mapping[str, Any]) -> None:
        allowed = problem.get("allowed")
        more = "" if allowed is None else f"; allowed: {allowed}"
        super().__init__(f"the server refused the request ({status}): {problem.get('detail', 'no reason')}{more}")
        self.status, self.problem = status, dict(problem)


class Connection:
    """A connection to a server.

    Args:
        url: of the server.
        key: API key; None is none.
        patience_s: seconds for which a request is repeated.
        transport: of httpx, for tests.

    Raises:
        ImpastoError: it is no URL.
    """

    def __init__(self, url: str, key: str | None, patience_s: float, transport: httpx.BaseTransport | None) -> None:
        headers = {} if key is None else {"authorization": f"Bearer {key}"}
        timeout = httpx.Timeout(60.0, connect=10.0)
        try:
            parsed = httpx.URL(url)
            if parsed.scheme not in ("http", "https") or not parsed.host:
                raise ValueError("no such URL")
            self._http = httpx.Client(base_url=parsed, headers=headers, timeout=timeout, transport=transport)
        except (httpx.InvalidURL, ValueError, UnicodeError) as error:
            raise ImpastoError(f"bad server {url!r}: expected a URL such as http://127.0.0.1:8000") from error
        self._url, self._patience_s = url, patience_s
        self._has_answered = False

    def request(self, method: str, path: str, **more: Any) -> httpx.Response:
        """Return the answer to a request; repeat the request while that may help.

        Raises:
            ImpastoError: the server does not answer.
            RefusedError: it refused the request.
        """
        end_s, pause_s = time.monotonic() + self._patience_s, PAUSE_S
        while True:
            failure: ImpastoError
            try:
                answer = self._http.request(method, path, **more)
                self._has_answered = True
                if not answer.is_error:
                    return answer
                failure = _refusal(answer)
                if answer.status_code not in (429, 503, 507):
                    raise failure
                pause_s = max(pause_s, min(float(answer.headers.get("retry-after", 0)), _LONGEST_PAUSE_S))
            except httpx.TransportError as error:
                failure = self._away(error)
                if not self._has_answered and isinstance(error, httpx.ConnectError):
                    raise failure from error  # nothing listens there
            if time.monotonic() + pause_s > end_s:
                raise failure
            time.sleep(pause_s)
            pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)

    def events(self, path: str, after: int | None, is_over: Callable[[], bool]) -> Iterator[RemoteEvent]:
        """Yield the events of a stream, also over interruptions of the connection or the server.

        Args:
            path: of the stream.
            after: the number after which they begin; None is those that come from now on.
            is_over: called where the stream ends; False opens it again.
        """
        end_s = time.monotonic() + self._patience_s

        def heard(lines: Iterator[str]) -> Iterator[str]:
            """Pass lines on. Each shows that the server is there, also one without an event: jobs may wait for long."""
            nonlocal end_s
            for line in lines:
                end_s = time.monotonic() + self._patience_s
                yield line

        while True:
            try:
                headers = {} if after is None else {"last-event-id": str(after)}
                with self._http.stream("GET", path, headers=headers) as answer:
                    if answer.is_error:
                        answer.read()
                        raise _refusal(answer)
                    for event in read_events(heard(answer.iter_lines())):
                        after = event.number
                        yield event
            except httpx.TransportError as error:
                if time.monotonic() > end_s:
                    raise self._away(error) from error
            except RefusedError as error:
                if error.status not in (429, 503) or time.monotonic() > end_s:
                    raise
            else:
                if is_over():
                    return
            time.sleep(PAUSE_S)

    def close(self) -> None:
        """Close the connection."""
        self._http.close()

    def _away(self, error: Exception) -> ImpastoError:
        said = " ".join(str(error).split()) or type(error).__name__
        return ImpastoError(f"no answer from {self._url}: {said}; is `impasto serve` running there?")


def _refusal(answer: httpx.Response) -> RefusedError:
    try:
        problem = answer.json()
    except ValueError:
        problem = {}
    return RefusedError(answer.status_code, problem if isinstance(problem, dict) else {})

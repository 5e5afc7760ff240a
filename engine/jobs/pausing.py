"""A function that pauses wherever it asks for something, and goes on with the answer."""

import threading
from collections.abc import Callable
from dataclasses import dataclass
from queue import SimpleQueue
from typing import Generic, TypeVar

Request = TypeVar("Request")
Reply = TypeVar("Reply")
Value = TypeVar("Value")


@dataclass(frozen=True)
class Asked(Generic[Request]):
    """The function waits for an answer to this."""

    request: Request


@dataclass(frozen=True)
class Returned(Generic[Value]):
    """The function has ended."""

    value: Value


@dataclass(frozen=True)
class _Failure:
    """In place of an answer."""

    error: Exception


class _Abandoned(BaseException):
    """Ends the function from where it waits; no handler for errors catches it."""


class Pausing(Generic[Request, Reply, Value]):
    """A function in a thread of its own, in step with whoever answers it.

    Several of them work at the same time between an answer and their next request, and nothing in them has to be
    written as a generator. `wait` and `answer` are called in turn, from one thread.
    """

    def __init__(self, body: Callable[[Callable[[Request], Reply]], Value]) -> None:
        """Start the function.

        Args:
            body: gets what to ask with: it takes a request and returns the answer.
        """
        self._requests: SimpleQueue[Asked[Request] | Returned[Value] | Exception] = SimpleQueue()
        self._replies: SimpleQueue[Reply | _Failure | _Abandoned] = SimpleQueue()
        self._body = body
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._thread.start()

    def wait(self) -> Asked[Request] | Returned[Value]:
        """Wait until the function asks or ends; an error in it is raised here."""
        message = self._requests.get()
        if isinstance(message, Exception):
            raise message
        return message

    def answer(self, reply: Reply) -> None:
        """Let the function go on from its request."""
        self._replies.put(reply)

    def fail(self, error: Exception) -> None:
        """Let an error be raised in the function where it asked."""
        self._replies.put(_Failure(error))

    def abandon(self) -> None:
        """End the function where it asks next, or where it waits, and wait for that; an ended one is left as it is."""
        self._replies.put(_Abandoned())
        self._thread.join()

    def _work(self) -> None:
        try:
            self._requests.put(Returned(self._body(self._ask)))
        except _Abandoned:
            pass
        except Exception as error:
            self._requests.put(error)

    def _ask(self, request: Request) -> Reply:
        self._requests.put(Asked(request))
        reply = self._replies.get()
        if isinstance(reply, _Abandoned):
            raise reply
        if isinstance(reply, _Failure):
            raise reply.error
        return reply

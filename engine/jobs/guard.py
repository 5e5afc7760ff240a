"""The uses of an engine that are refused: after its end, and where the caller would wait for itself."""

import os
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import ParamSpec

from impasto.models.errors import ImpastoError

P = ParamSpec("P")

ON_EVENT, CANCEL = "on_event", "cancel"


class Guard:
    """Knows which threads an engine waits for, and whether the engine is open. Any thread may call its methods.

    Args:
        concurrency: maximum number of single jobs or batches of the engine that run at the same time.

    Attributes:
        closed: whether the engine was closed.
    """

    def __init__(self, concurrency: int = 1) -> None:
        self.closed = False
        self._concurrency, self._process = concurrency, os.getpid()
        self._waits_for: dict[int, str] = {}  # by thread, what the thread runs while the engine waits
        self._paused: Counter[int] = Counter()  # by thread, the runs of `steps` that wait for it

    def check_open(self) -> None:
        """Check that the engine can still be used.

        Raises:
            ImpastoError: the engine was closed, or a fork copied it into this process.
        """
        if self.closed:
            raise ImpastoError("the engine is closed: make a new one")
        if os.getpid() != self._process:
            raise ImpastoError("the engine belongs to the process that forked this one: make a new one here")

    def check_no_callback(self, advice: str = "call `submit`, which returns at once, or use another Engine") -> None:
        """Check that the engine does not wait for the calling thread.

        Args:
            advice: what to do instead.

        Raises:
            ImpastoError: the engine waits for the thread.
        """
        where = self._waits_for.get(threading.get_ident())
        if where is not None:
            raise ImpastoError(
                f"this method would wait for ever: it was called from {where}, and the engine waits for {where} to "
                f"return; {advice}"
            )

    def check_may_wait(self, advice: str = "call `submit`, which returns at once, or use another Engine") -> None:
        """Check that a job can run while the calling thread waits for it.

        Args:
            advice: what to do instead in a callback.

        Raises:
            ImpastoError: the engine waits for the thread, or runs of `steps` that wait for the thread leave no room.
        """
        self.check_no_callback(advice)
        paused = self._paused[threading.get_ident()]
        if paused >= self._concurrency:
            raise ImpastoError(
                f"this method would wait for ever: {paused} runs of `steps` wait for this thread, and the engine runs "
                f"{self._concurrency} at once; continue or close them first, or open the Engine with more concurrency"
            )

    def is_waited_for(self) -> bool:
        """Return whether the engine waits for the calling thread, or the thread is the engine's own."""
        return threading.get_ident() in self._waits_for

    @contextmanager
    def waiting_for(self, what: str) -> Iterator[None]:
        """Record that the engine waits for the calling thread.

        Args:
            what: name of the user's function that the thread calls.
        """
        here = threading.get_ident()
        self._waits_for[here] = what
        try:
            yield
        finally:
            self._waits_for.pop(here, None)

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Record that a run waits until the calling thread requests its next event."""
        here = threading.get_ident()
        self._paused[here] += 1
        try:
            yield
        finally:
            self._paused[here] -= 1
            if not self._paused[here]:
                del self._paused[here]

    def told(self, on_event: Callable[P, None] | None) -> Callable[P, None] | None:
        """Return a callback that records that the engine waits for it."""
        if on_event is None:
            return None

        def tell(*event: P.args, **more: P.kwargs) -> None:
            with self.waiting_for(ON_EVENT):
                on_event(*event, **more)

        return tell

"""The reason in an error of the onnx libraries, in words, and the remarks that they print."""

import logging
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from impasto.models.errors import one_line

_PLACE = re.compile(r"^\S+:\d+: \S+ Assertion `.*?` failed: (Warning: )?")
_KIND = re.compile(r"\[\w+Error\] |Inference error\(s\): ")
_NODE = re.compile(r"\(op_type:(\w+)(?:, node name: ([^)]*))?\): ")
_REST = re.compile(r" ==> Context: |\. Original declaration ")


def explained(error: BaseException) -> str:
    """Return the first reason of an error in one line, without the places in C++ that it passed through."""
    while error.__cause__ is not None:
        error = error.__cause__
    text = one_line(error) if isinstance(error, Exception) else str(error)
    text = _REST.split(_KIND.sub("", _PLACE.sub("", text)))[0]
    nodes = list(_NODE.finditer(text))
    if len(nodes) > 1 and nodes[1].start() > nodes[0].end():  # further errors follow from the first
        text = text[: nodes[1].start()]
    return _NODE.sub(lambda found: f"{found[1]} node {found[2]!r}: " if found[2] else f"{found[1]}: ", text).strip(" .")


class _Remarks:
    """The logger of onnx-ir, silent while at least one thread wants it so."""

    def __init__(self) -> None:
        self._lock, self._count, self._level = threading.Lock(), 0, logging.NOTSET

    def change(self, by: int) -> None:
        """Count a thread that wants silence, or one that no longer does."""
        logger = logging.getLogger("onnx_ir")
        with self._lock:
            if self._count == 0:
                self._level = logger.level
            self._count += by
            logger.setLevel(logging.CRITICAL if self._count else self._level)


_REMARKS = _Remarks()


@contextmanager
def without_remarks() -> Iterator[None]:
    """Keep onnx-ir from printing remarks on what is not valid, which is refused with an error. Threads may overlap."""
    _REMARKS.change(1)
    try:
        yield
    finally:
        _REMARKS.change(-1)

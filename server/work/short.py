"""Work that a client waits for: the matrices of a style, and the two models of the inference protocol."""

import logging
import queue
from collections.abc import Mapping
from typing import Any

import numpy as np

from impasto.engine import ImpastoError, Settings
from impasto.server.work.engines import Engines
from impasto.server.work.plain_messages import without_paths
from impasto.server.work.protocol import Message

log = logging.getLogger("impasto.server")

OBJECTIVE, RENDER = "objective", "render"


class ShortWork:
    """A queue of short work, which one thread of a worker does.

    Args:
        engines: of the worker.
        setup: the body of the server's first message.
    """

    def __init__(self, engines: Engines, setup: Mapping[str, Any]) -> None:
        self._engines = engines
        self._network = next(iter(setup["models"]))
        self._queue: queue.SimpleQueue[Message] = queue.SimpleQueue()

    def put(self, message: Message) -> None:
        """Add work."""
        self._queue.put(message)

    def get(self) -> Message:
        """Wait for work."""
        return self._queue.get()

    def style(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """Make the matrices of a style; return the body of the reply."""
        reply = {"style": body["style"], "owner": body["owner"], "path": None, "error": None}
        try:
            engine = self._engines.get(body["network"], for_jobs=False)
            engine.save_style(body["image"], body["path"], Settings.from_dict(body["settings"]))
            return {**reply, "path": body["path"]}
        except ImpastoError as error:
            return {**reply, "error": without_paths(str(error), {"style": body["image"], "matrices": body["path"]})}
        except Exception as error:
            return {**reply, "error": _unexpected(error)}

    def infer(self, message: Message) -> tuple[dict[str, Any], tuple[bytes, ...]]:
        """Evaluate or render; return the body and the arrays of the reply."""
        body = message.body
        try:
            arrays = {
                name: np.frombuffer(blob, np.float32).reshape(shape)
                for (name, shape), blob in zip(body["arrays"].items(), message.blobs, strict=True)
            }
            settings = Settings.from_dict(body["settings"])
            engine = self._engines.get(body["network"] or self._network, for_jobs=False)
            if body["model"] == OBJECTIVE:
                score = engine.evaluate(arrays["image"], arrays["content"], arrays["style"], settings)
                values = {"loss": score.loss, "terms": dict(score.terms)}
                picture = score.gradient
            else:
                result = engine.transfer(arrays["content"], arrays["style"], settings)
                values = {"loss": result.loss, "terms": dict(result.terms)}
                picture = result.picture.pixels
            array = np.ascontiguousarray(picture, np.float32)
            return {"id": body["id"], **values, "shape": list(array.shape)}, (array.tobytes(),)
        except ImpastoError as error:
            return {"id": body["id"], "refused": " ".join(str(error).split())}, ()
        except Exception as error:
            return {"id": body["id"], "error": _unexpected(error)}, ()


def _unexpected(error: Exception) -> str:
    log.error("short work failed", exc_info=error)
    return f"unexpected {type(error).__name__}; the server's log has more"

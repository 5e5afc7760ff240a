"""The provider of what works beside an objective, in the same memory."""

import dataclasses

from impasto.engine.runtime.providers import cpu, cuda
from impasto.engine.runtime.providers.provider import Provider


def beside(provider: Provider) -> Provider:
    """Return float32 arithmetic on the device where a provider keeps its buffers.

    On a GPU every node must be there: a single one elsewhere would fetch the history at every step. It is captured
    where the evaluation is.
    """
    if provider.device == "cpu":
        return cpu.provider("fp32")
    captures = provider.uncaptured() is not None
    settings = cuda.CudaSettings(device_index=provider.device_index, graph=captures)
    return dataclasses.replace(cuda.provider("fp32", settings), whole=True)

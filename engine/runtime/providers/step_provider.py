"""The provider of the optimiser's step, which works in the memory of the objective's provider."""

import dataclasses

from impasto.engine.runtime.providers import cpu, cuda
from impasto.engine.runtime.providers.provider import Provider


def step_provider(provider: Provider) -> Provider:
    """Return float32 arithmetic on the device where a provider keeps its buffers.

    On a GPU every node must be there: a single one elsewhere would fetch the history at every step. It is captured
    where the evaluation is.
    """
    if provider.on_host:
        return cpu.provider("fp32")
    captures = provider.uncaptured() is not None
    settings = cuda.CudaSettings(device_index=provider.device_index, graph=captures)
    return dataclasses.replace(cuda.provider("fp32", settings), whole=True)

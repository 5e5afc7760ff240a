"""The provider of what works beside an objective, in the same memory."""

import dataclasses

from impasto.engine.providers import cpu, cuda
from impasto.engine.providers.provider import Provider


def beside(provider: Provider) -> Provider:
    """Return float32 arithmetic on the device where a provider keeps its buffers.

    On a GPU every node must be there: a single one elsewhere would fetch the history at every step.
    """
    if provider.device == "cpu":
        return cpu.provider("fp32")
    plain = cuda.provider("fp32", cuda.CudaSettings(device_index=provider.device_index))
    captured = {name: value for name, value in provider.options.items() if name == "enable_cuda_graph"}
    return dataclasses.replace(plain, options={**plain.options, **captured}, whole=True)

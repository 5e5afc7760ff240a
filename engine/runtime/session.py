"""One ONNX Runtime session with its bound buffers."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Self

import numpy as np

from impasto.engine.runtime.ort import onnxruntime as ort
from impasto.engine.runtime.providers import Provider
from impasto.engine.runtime.providers.failure import failures

_QUIET = 4  # fatal only: what matters comes back as an exception
_PLAIN_MEMORY = "Cpu"
_STOP_SPINNING = "session.force_spinning_stop"
_KEPT_WEIGHTS = "session.optimized_model_external_initializers_file_name"
WEIGHTS_SUFFIX = ".weights"


@dataclass(frozen=True)
class Graph:
    """A model for ONNX Runtime, with its large weights inside, beside it, or in memory.

    Attributes:
        content: a serialised model; or the path of one, whose weights may be in files beside it.
        weights: initializers that a serialised model leaves out, by name.
        optimised: whether ONNX Runtime has optimised it already, for this machine.
    """

    content: bytes | Path
    weights: Mapping[str, np.ndarray] = field(default_factory=dict)
    optimised: bool = False


class Session:
    """A static-shape model on a provider: arrays in, arrays out, no allocation in between.

    Inputs and outputs live in buffers that are bound once. On the CPU these are the NumPy arrays themselves.
    A context manager; after `close` the runtime's memory is given back.
    """

    def __init__(self, graph: Graph, provider: Provider, threads: int = 0, *, keep: Path | None = None) -> None:
        """Compile the graph.

        Args:
            graph: every input and output shape static, float32.
            provider: from `impasto.engine.runtime.providers.choose`.
            threads: for one operator; 0 lets the runtime use every core.
            keep: also write the graph here as the runtime optimised it, its weights beside it in a file of that name
                and ".weights"; it runs on this machine and version only.

        Raises:
            ImpastoError: the session cannot be made, or does not run on the provider that was asked for.
        """
        self._provider = provider
        options = quiet_options()
        if graph.optimised:
            options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
        if keep is not None:
            options.optimized_model_filepath = str(keep)
            options.add_session_config_entry(_KEPT_WEIGHTS, f"{keep.name}{WEIGHTS_SUFFIX}")
        self._weights = graph.weights  # the runtime does not own them
        if graph.weights:
            values = [ort.OrtValue.ortvalue_from_numpy(weight) for weight in graph.weights.values()]
            options.add_external_initializers(list(graph.weights), values)
        content = graph.content if isinstance(graph.content, bytes) else str(graph.content)
        self._session: Any = provider.open(content, options, threads)
        plain = provider.uncaptured()
        self._reopen = None if plain is None else partial(plain.open, content, options, threads)
        # A provider of the CPU with memory of its own, as OpenVINO's, copies an input once, when it is bound. The
        # values bound here are in a GPU's own memory already.
        foreign = any(info.name != _PLAIN_MEMORY for info in self._session.get_input_memory_infos())
        self._copies_when_bound = provider.on_host and foreign
        self.inputs = {item.name: np.zeros(item.shape, np.float32) for item in self._session.get_inputs()}
        self.outputs = {item.name: np.zeros(item.shape, np.float32) for item in self._session.get_outputs()}
        with provider.explained("hold inputs and outputs"):
            self._bound_inputs = {name: self._ortvalue(array) for name, array in self.inputs.items()}
            self._bound_outputs = {name: self._ortvalue(array) for name, array in self.outputs.items()}
            self._binding = self._bound()

    def set(self, name: str, value: np.ndarray) -> None:
        """Copy an array into an input's buffer.

        Raises:
            ImpastoError: the provider fails.
        """
        np.copyto(self.inputs[name], value)
        if not self._provider.on_host:
            with self._provider.explained("take an input"):
                self._bound_inputs[name].update_inplace(self.inputs[name])
        elif self._copies_when_bound:
            self._binding.bind_ortvalue_input(name, self._bound_inputs[name])

    def run(self) -> Mapping[str, np.ndarray]:
        """Run once. The arrays returned are the output buffers: valid until the next run.

        Raises:
            ImpastoError: the provider fails, for instance for want of memory.
        """
        self.run_bound()
        if not self._provider.on_host:
            with self._provider.explained("give its results"):
                for name, value in self._bound_outputs.items():
                    np.copyto(self.outputs[name], value.numpy())
        return self.outputs

    def run_bound(self) -> None:
        """Run once, and leave the outputs where they are: `value` has them.

        Raises:
            ImpastoError: as `run`.
        """
        with self._provider.explained("run the graph"):
            try:
                self._session.run_with_iobinding(self._binding)
            except failures():
                if self._reopen is None:
                    raise
                self._session = self._reopen()  # which records nothing; the buffers stay
                self._binding = self._bound()
                self._session.run_with_iobinding(self._binding)
        self._reopen = None  # what was recorded at the first run stays valid

    def value(self, name: str) -> Any:
        """Return the runtime's own value of an input or output, in the provider's memory."""
        return self._bound_inputs[name] if name in self._bound_inputs else self._bound_outputs[name]

    @property
    def shares_memory(self) -> bool:
        """Whether what another session writes into an input's value is what this one reads."""
        return not self._copies_when_bound

    @property
    def captured(self) -> bool:
        """Whether runs replay what the first one recorded, where the provider can do so."""
        return self._provider.captures(self._session)

    def close(self) -> None:
        """Give the session's memory back."""
        with self._provider.exclusive():
            self._binding = None
            self._bound_inputs, self._bound_outputs = {}, {}
            self._session = self._reopen = None
        self._weights = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def __del__(self) -> None:
        self.close()  # any thread may collect it, and the provider may bear one thread at a time

    def _bound(self) -> Any:
        """Return a binding of the session to the buffers."""
        binding = self._session.io_binding()
        for name, value in self._bound_inputs.items():
            binding.bind_ortvalue_input(name, value)
        for name, value in self._bound_outputs.items():
            binding.bind_ortvalue_output(name, value)
        return binding

    def _ortvalue(self, array: np.ndarray) -> Any:
        """Return a value of the runtime: over the array's own memory on the CPU, a copy elsewhere."""
        return ort.OrtValue.ortvalue_from_numpy(array, self._provider.device, self._provider.device_index)


def quiet_options() -> Any:
    """Return the options that every session of a run begins with.

    The runtime's own log is turned off with them: on a GPU it warns at every session of things that are as they should
    be.
    """
    ort.set_default_logger_severity(_QUIET)
    options = ort.SessionOptions()
    options.log_severity_level = _QUIET
    options.inter_op_num_threads = 1
    # A planned layout comes on top of the arena that the first run grew: 1.2 GB for 0.85 GB at 512 px, no faster.
    options.enable_mem_pattern = False
    # Threads that go on waiting in a loop after a run hold the cores that the optimiser needs: 30 ms an iteration
    # instead of 13 at 512 px. Inside a run they may.
    options.add_session_config_entry(_STOP_SPINNING, "1")
    return options

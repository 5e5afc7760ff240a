"""A provider that sessions can be made with."""

from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Self

from impasto.engine.runtime.precision import PRECISIONS, Precision
from impasto.engine.runtime.providers.failure import failure_line, failures
from impasto.models.errors import ImpastoError, ProviderError

CPU_ORT_NAME = "CPUExecutionProvider"
HEAVY_OPERATORS = ("Conv", "ConvTranspose", "FusedConv", "Gemm", "MatMul")
# What ONNX Runtime leaves to the CPU on purpose, because it works on sizes. Anything else would move an image.
SHAPE_OPERATORS = frozenset(
    ("Cast", "Concat", "Constant", "ConstantOfShape", "Gather", "Range", "Shape", "Size", "Slice", "Squeeze")
)
_RECORD_PLACEMENT = "session.record_ep_graph_assignment_info"


@dataclass(frozen=True)
class Availability:
    """Whether a provider works here.

    Attributes:
        name: of the provider.
        works: whether sessions can be made with it.
        reason: one clause.
    """

    name: str
    works: bool
    reason: str


@dataclass(frozen=True)
class Provider:
    """A provider with a precision, ready to make sessions with.

    Attributes:
        name: as on the command line.
        ort_name: as ONNX Runtime spells it.
        precision: of the convolutions; a key of `impasto.engine.runtime.precision.PRECISIONS`.
        device: where its buffers live, in ONNX Runtime's words.
        device_index: of several such devices.
        options: the provider's own.
        session_config: entries of the session's options.
        typed: whether it follows the types in the graph, so that fp16 and bf16 are made there.
        whole: whether every node must run on it, as in a single engine.
        operators: what the project's own operators for processors are here (`NativeOperators.identity`), where graphs
            are made with them; else empty.
        shares_memory: whether a session of it reads an input where another one has written it, and keeps no copy.
        has_float64: whether it computes in float64, as the scalars of the optimiser's step do.
        choice: what "auto" took, in one line; "" where the provider was named.
    """

    name: str
    ort_name: str
    precision: str = "fp32"
    device: str = "cpu"
    device_index: int = 0
    options: Mapping[str, str] = field(default_factory=dict)
    session_config: Mapping[str, str] = field(default_factory=dict)
    typed: bool = False
    whole: bool = False
    operators: tuple[str | int, ...] = ()
    shares_memory: bool = True
    has_float64: bool = True
    choice: str = ""

    capture_option: ClassVar[str | None] = None
    """The option that has a session record its first run as a CUDA graph."""

    @property
    def on_host(self) -> bool:
        """Whether its buffers live in the host's memory."""
        return self.device == "cpu"

    @property
    def numbers(self) -> Precision:
        """What the precision means."""
        return PRECISIONS[self.precision]

    def runtime_version(self) -> str:
        """Return ONNX Runtime's version."""
        from impasto.engine.runtime.ort import onnxruntime as ort

        return str(ort.__version__)

    def open(self, content: bytes | str, session_options: Any, threads: int) -> Any:
        """Return an inference session that really runs on this provider.

        Args:
            content: the model, or the path of its file.
            session_options: what does not depend on the provider; the rest is added.
            threads: for one operator; 0 leaves it to the provider.

        Raises:
            ImpastoError: the session cannot be made; or the provider did not take it, or not its convolutions and
                products, or, on a GPU, not all that is more than arithmetic on sizes.
        """
        from impasto.engine.runtime.ort import onnxruntime as ort

        for key, value in self.session_config.items():
            session_options.add_session_config_entry(key, value)
        if self.ort_name != CPU_ORT_NAME:
            session_options.add_session_config_entry(_RECORD_PLACEMENT, "1")
        session_options.intra_op_num_threads = threads
        with self.explained("open the graph"):
            try:
                session = self._session(ort, content, session_options, threads)
            except failures():  # ONNX Runtime refuses to capture where a node is elsewhere; anything else fails again
                plain = self.uncaptured()
                if plain is None:
                    raise
                session = plain._session(ort, content, session_options, threads)
            self._check_placement(session)
        return session

    @contextmanager
    def explained(self, doing: str) -> Iterator[None]:
        """Turn what ONNX Runtime raises inside the block into a ProviderError that names this provider.

        The block is `exclusive`, so everything that uses ONNX Runtime for this provider is inside one.
        """
        try:
            with self.exclusive():
                yield
        except failures() as error:
            raise ProviderError(failure_line(self.name, self.precision, doing, error)) from error

    def exclusive(self) -> AbstractContextManager[object]:
        """Return what a thread holds while it uses sessions and values; nothing where several threads may."""
        return nullcontext()

    def uncaptured(self) -> Self | None:
        """Return the same without what is recorded at the first run and replayed later; None if nothing is."""
        if self.capture_option not in self.options:
            return None
        return replace(self, options={key: value for key, value in self.options.items() if key != self.capture_option})

    def captures(self, session: Any) -> bool:
        """Return whether a session of it records its first run; it may have been refused."""
        used = session.get_provider_options().get(self.ort_name, {})
        return bool(used.get(self.capture_option) == "1")

    def exact(self) -> "Provider":
        """Return the provider in the form that multiplies float32 matrices in float32.

        In tf32 the graph sees to that (`impasto.export.lowering.exact`).
        """
        return self

    def allows(self, precision: str) -> bool:
        """Return whether its options go with another precision, which it has on this machine."""
        return True

    def free_memory(self) -> int | None:
        """Return the bytes that are free on a GPU; None if that, or what a run takes there, is not known."""
        return None

    def _session(self, ort: Any, content: bytes | str, session_options: Any, threads: int) -> Any:
        """Make the session; a provider that is a plugin overrides this."""
        chain: list[Any] = [(self.ort_name, dict(self.options))]
        if self.ort_name != CPU_ORT_NAME:
            chain.append(CPU_ORT_NAME)
        return ort.InferenceSession(content, session_options, providers=chain, enable_fallback=0)

    def _check_placement(self, session: Any) -> None:
        """Ask the session itself what it uses; ONNX Runtime falls back to the CPU in silence."""
        used = session.get_providers()
        if self.ort_name not in used:
            raise ImpastoError(
                f"provider {self.name} was asked for but ONNX Runtime did not use it; "
                f"it used {', '.join(used)}; see `impasto doctor`"
            )
        if self.ort_name == CPU_ORT_NAME:
            return
        fallen = [op for op in nodes_elsewhere(session, self.ort_name) if self._must_run(op)]
        if fallen:
            counts = ", ".join(f"{count} {op}" for op, count in Counter(fallen).items())
            why = "it must run every node" if self.whole else "that would be slow"
            raise ImpastoError(
                f"provider {self.name} left {counts} to the CPU provider and {why}; use another --provider"
            )

    def _must_run(self, op_type: str) -> bool:
        """Return whether an operator must not be left to the CPU; from a GPU images would go there and back."""
        if self.whole:
            return True
        return op_type in HEAVY_OPERATORS if self.on_host else op_type not in SHAPE_OPERATORS


def nodes_elsewhere(session: Any, ort_name: str) -> list[str]:
    """Return the operators of the nodes that another provider runs, one a node, as `Provider.open` recorded them."""
    parts = session.get_provider_graph_assignment_info()
    return [node.op_type for part in parts if part.ep_name != ort_name for node in part.get_nodes()]

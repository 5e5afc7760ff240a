"""The neutral graph in the form that a provider and its precision want."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from impasto.engine.runtime.providers import Provider

if TYPE_CHECKING:
    import onnx_ir as ir

NARROW = {"fp16": "FLOAT16", "bf16": "BFLOAT16", "bf16-typed": "BFLOAT16"}
"""Types of the convolutions, by precision."""


def lower(model: "ir.Model", provider: Provider) -> "ir.Model":
    """Return the model to run; the one given may be rewritten in place.

    A provider that follows the graph's types gets them narrow. What else a provider wants stands in `REWRITES`.

    Args:
        model: targets or objective, float32.
        provider: where it is to run.
    """
    if provider.typed and provider.precision in NARROW:
        import onnx_ir as ir

        from impasto.export.precision import narrow_convolutions

        model = narrow_convolutions(model, ir.DataType[NARROW[provider.precision]])
    rewrite = REWRITES.get((provider.name, provider.precision)) or REWRITES.get((provider.name, None))
    if rewrite is not None:
        rewrite(model)
    return model


def _for_cuda(model: "ir.Model") -> None:
    """Leave nothing that CUDA has no kernel for."""
    from impasto.export.lowering import lower_for_cuda

    lower_for_cuda(model)


def _for_cpu(model: "ir.Model") -> None:
    """Keep the blocked layout of the CPU provider's float32 convolutions."""
    from impasto.export.lowering import lower_for_cpu

    lower_for_cpu(model)


def _for_openvino(model: "ir.Model") -> None:
    """Let Gram matrices read channels last; OpenVINO is told its narrow precision in its configuration."""
    from impasto.export.lowering import lower_for_openvino

    lower_for_openvino(model)


REWRITES: Mapping[tuple[str, str | None], Callable[["ir.Model"], None]] = {
    ("cuda", None): _for_cuda,
    ("cpu", "fp32"): _for_cpu,
    **{("openvino", precision): _for_openvino for precision in NARROW},
}
"""What a provider wants of the graph, by its name and precision; None is any precision."""

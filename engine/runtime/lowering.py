"""The neutral graph in the form that a provider and its precision want."""

from typing import TYPE_CHECKING

from impasto.engine.runtime.providers import Provider

if TYPE_CHECKING:
    import onnx_ir as ir

NARROW = {"fp16": "FLOAT16", "bf16": "BFLOAT16", "bf16-typed": "BFLOAT16"}
"""Types of the convolutions, by precision."""


def lower(model: "ir.Model", provider: Provider) -> "ir.Model":
    """Return the model to run; the one given may be rewritten in place.

    A provider that follows the graph's types gets them narrow; OpenVINO is told its precision in its configuration.
    CUDA gets nothing that it has no kernel for.

    Args:
        model: targets or objective, float32.
        provider: where it is to run.
    """
    if provider.typed and provider.precision in NARROW:
        import onnx_ir as ir

        from impasto.export.precision import narrow_convolutions

        model = narrow_convolutions(model, ir.DataType[NARROW[provider.precision]])
    if provider.name == "cuda":
        from impasto.export.lowering import lower_for_cuda

        lower_for_cuda(model)
    if provider.name == "cpu" and provider.precision == "fp32":
        from impasto.export.lowering import lower_for_cpu

        lower_for_cpu(model)
    if provider.name == "openvino" and provider.precision in NARROW:
        from impasto.export.lowering import lower_for_openvino

        lower_for_openvino(model)
    return model

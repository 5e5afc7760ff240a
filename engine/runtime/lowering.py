"""The neutral graph in the form that a provider and its precision want."""

from typing import TYPE_CHECKING

from impasto.engine.runtime.precision import PRECISIONS
from impasto.engine.runtime.providers import Provider

if TYPE_CHECKING:
    import onnx_ir as ir

NARROW = {"fp16": "FLOAT16", "bf16": "BFLOAT16", "bf16-typed": "BFLOAT16"}
"""Types of the convolutions, by precision."""


def lower(model: "ir.Model", provider: Provider) -> "ir.Model":
    """Return the model to run; the float32 targets or objective given may be rewritten in place.

    A provider that follows the graph's types gets them narrow.
    """
    import onnx_ir as ir

    from impasto.export.lowering import (
        lower_for_cpu,
        lower_for_cuda,
        lower_for_openvino,
        lower_for_webgpu,
        lower_to_operators,
        split_exact_products,
    )
    from impasto.export.precision import narrow_convolutions

    if provider.typed and provider.precision in NARROW:
        model = narrow_convolutions(model, ir.DataType[NARROW[provider.precision]])
    if provider.precision == "tf32":
        split_exact_products(model)
    if provider.operators and provider.precision == "fp32" and lower_to_operators(model):
        return model
    rewrites = {
        # leaves nothing that CUDA has no kernel for
        **{("cuda", precision): lower_for_cuda for precision in PRECISIONS},
        # keeps the blocked layout of the CPU provider's float32 convolutions
        ("cpu", "fp32"): lower_for_cpu,
        # lets Gram matrices read channels last; OpenVINO is told its narrow precision in its configuration
        **{("openvino", precision): lower_for_openvino for precision in NARROW},
        # leaves nothing that the plugin has no kernel for
        ("webgpu", "fp32"): lower_for_webgpu,
    }
    rewrite = rewrites.get((provider.name, provider.precision))
    if rewrite is not None:
        rewrite(model)
    return model

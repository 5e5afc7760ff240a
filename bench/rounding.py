"""A GPU's narrow number formats on the CPU provider: float32 kernels, every narrow value rounded where it is kept.

That is what a tensor core does, whose products are summed up in float32, but for the order of the sums. It tells what a
format does to losses and gradients where no such GPU is at hand, and nothing of time.
"""

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir

from impasto.engine.runtime.lowering import NARROW
from impasto.engine.runtime.providers.provider import CPU_ORT_NAME, Provider
from impasto.export.serialised import whole
from impasto.models.errors import ImpastoError

NAME = "rounded"
# Of no meaning to the runtime, which takes no notice: a provider's options are part of the name under which a graph is
# kept, and one that was rounded by another rule must not be found again.
_RULE = {"rounding": hashlib.sha256(Path(__file__).read_bytes()).hexdigest()[:16]}


class RoundedProvider(Provider):
    """ONNX Runtime's CPU provider, over graphs that are rounded before they are opened."""

    def open(self, content: bytes | str, session_options: Any, threads: int) -> Any:
        """Return a session, as `Provider.open` does; a graph that is kept in a file has been rounded already."""
        if isinstance(content, bytes):
            model = ir.from_proto(onnx.load_model_from_string(content))
            content = whole(rounded(model, ir.DataType[NARROW[self.precision]]))
        return super().open(content, session_options, threads)


def provider(precision: str) -> Provider:
    """Return the CPU provider in a narrow format that it has no kernels for.

    Raises:
        ImpastoError: the format is not one of the graph's types.
    """
    if precision not in NARROW:
        raise ImpastoError(f"bad precision {precision!r} for {NAME}: allowed are {', '.join(NARROW)}")
    return RoundedProvider(NAME, CPU_ORT_NAME, precision, options=_RULE, typed=True)


def rounded(model: ir.Model, dtype: ir.DataType) -> ir.Model:
    """Return a narrowed model in float32, in place, every narrow value rounded by a cast there and back.

    ONNX Runtime's CPU provider, which lacks narrow kernels, leaves out what types alone round; these casts it keeps.
    """
    graph = model.graph
    for value in graph.initializers.values():
        if value.dtype == dtype and value.const_value is not None:
            wide = value.const_value.numpy().astype(np.float32)
            value.const_value, value.type = ir.tensor(wide, name=value.name), ir.TensorType(ir.DataType.FLOAT)
    for node in list(graph):
        for value in node.outputs:
            if value.dtype == dtype:
                uses = list(value.uses())
                there = node if node.op_type == "Cast" else ir.node("Cast", [value], {"to": dtype}, num_outputs=1)
                back = ir.node("Cast", [there.outputs[0]], {"to": ir.DataType.FLOAT}, num_outputs=1)
                graph.insert_after(node, [back] if there is node else [there, back])
                there.outputs[0].name = f"{value.name}.there"
                back.outputs[0].name = f"{value.name}.back"
                for made, kind in ((there, dtype), (back, ir.DataType.FLOAT)):
                    made.outputs[0].type, made.outputs[0].shape = ir.TensorType(kind), value.shape
                if there is not node:
                    value.type = ir.TensorType(ir.DataType.FLOAT)
                for user, index in uses:
                    user.replace_input_with(index, back.outputs[0])
    return model

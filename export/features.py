"""A torch module with feature taps as an ONNX model: the only place that calls torch's exporter.

The module may be the project's VGG-19 or a user's own network. It takes one image, float32 (N, 3, H, W), RGB, 0..1,
and returns the values of its taps; N, H and W stay free in the file. The file says what the module computes and
nothing else: readable names, each weight once, no trace of the machine that wrote it.
"""

import ast
import itertools
import logging
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np
import onnx_ir as ir
from impasto.models.errors import ImpastoError

if TYPE_CHECKING:
    import torch

OPSET = 20
SMALLEST_SIDE_PX = 32
TRACED_SHAPE = (
    2,
    3,
    70,
    53,
)  # sides that differ and are no multiple of 16, so that no size is taken for another


def export_features(
    module: "torch.nn.Module",
    taps: Sequence[str],
    metadata: Mapping[str, str] | None = None,
) -> ir.Model:
    """Export a torch module to an ONNX features model.

    Args:
        module: takes an image, float32 (N, 3, H, W), RGB, 0..1, with sides of 32 px or more, and returns a tensor
            or a tuple of tensors, each (N, channels, h, w). It is exported in evaluation mode.
        taps: names of what it returns, in that order.
        metadata: texts that the file carries, such as licence and attribution.

    Returns:
        The model: input `image`, one output per tap, opset 20.

    Raises:
        ImpastoError: PyTorch is missing, the taps do not match what the module returns, or torch cannot export it.
    """
    _require_torch()
    import torch

    image = torch.rand(TRACED_SHAPE, generator=torch.Generator().manual_seed(0))
    module = module.eval()
    _check_taps(module, taps, image)
    sides = {
        2: torch.export.Dim("height", min=SMALLEST_SIDE_PX),
        3: torch.export.Dim("width", min=SMALLEST_SIDE_PX),
    }
    dynamic_shapes = ({0: torch.export.Dim("batch", min=1), **sides},)
    try:
        with _quiet(), torch.no_grad():
            program = torch.onnx.export(
                module,
                (image,),
                dynamo=True,
                input_names=["image"],
                output_names=list(taps),
                dynamic_shapes=dynamic_shapes,
                opset_version=OPSET,
                verbose=False,
            )
    except torch.onnx.OnnxExporterError as error:
        raise ImpastoError(f"torch cannot export this module: {_first_line(error)}") from error
    assert program is not None  # noqa: S101 (only without dynamo, to a file, is it)
    model: ir.Model = program.model
    _strip(model)
    model.graph.name = "features"
    model.metadata_props.update({**(metadata or {}), "taps": ",".join(taps)})
    return model


def _require_torch() -> None:
    try:
        import onnxscript
        import torch
    except ImportError as error:
        raise ImpastoError("exporting a network needs PyTorch: pip install 'impasto[export]'") from error
    del onnxscript, torch


def _check_taps(module: "torch.nn.Module", taps: Sequence[str], image: "torch.Tensor") -> None:
    values = module(image)
    count = len(values) if isinstance(values, tuple | list) else 1
    if count != len(taps) or len(set(taps)) != len(taps):
        raise ImpastoError(
            f"the module returns {count} taps, but the names given are {', '.join(taps) or 'none'}"
        )


def _strip(model: ir.Model) -> None:
    """Copy the weights out of torch, and drop the exporter's notes, which hold paths of this machine."""
    _name_after_modules(model)
    for value in model.graph.initializers.values():
        if value.const_value is not None:
            value.const_value = ir.tensor(np.array(value.const_value.numpy()), name=value.name)
        value.metadata_props.clear()
    for node in model.graph:
        node.doc_string = None
        node.metadata_props.clear()
        for output in node.outputs:
            output.metadata_props.clear()
    for image in model.graph.inputs:
        image.metadata_props.clear()
    model.graph.metadata_props.clear()
    model.metadata_props.clear()


def _name_after_modules(model: ir.Model) -> None:
    """Name every value after the torch module that makes it, and every node after its value."""
    outputs = set(model.graph.outputs)
    taken = {value.name for value in (*model.graph.inputs, *outputs, *model.graph.initializers.values())}
    for node in model.graph:
        value = node.outputs[0]
        if value not in outputs:
            value.name = _free_name(_module(node) or node.op_type.lower(), taken)
            taken.add(value.name)
        node.name = value.name


def _module(node: ir.Node) -> str:
    """Return the innermost module's path, such as `conv1_1`; the exporter notes all of them, then the call itself."""
    scopes = ast.literal_eval(node.metadata_props.get("pkg.torch.onnx.name_scopes", "['']"))
    return str(scopes[-2]) if len(scopes) > 1 else ""


def _free_name(name: str, taken: set[str | None]) -> str:
    candidates = itertools.chain([name], (f"{name}.{number}" for number in itertools.count(2)))
    return next(candidate for candidate in candidates if candidate not in taken)


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep the exporter's notes to itself: it warns of packages that are not needed and of its own deprecations."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__

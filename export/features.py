"""A torch module with feature taps as an ONNX model: the only place that calls torch's exporter.

The module may be the project's VGG-19 or a user's own network. It takes one image, float32 (N, 3, H, W), RGB,
0..1, and returns the values of its taps; N, H and W stay free in the file. The file has
readable names, each weight once, and no trace of the machine that wrote it.
"""

import ast
import importlib.util
import itertools
import logging
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np
import onnx_ir as ir
from onnx.reference import ReferenceEvaluator
from onnx_ir.passes import common

from impasto.export.taps import SMALLEST_SIDE_PX
from impasto.models.errors import ImpastoError
from impasto.models.version import VERSION

if TYPE_CHECKING:
    import torch

OPSET = 20
# Sides that differ and halve with remainders, so that no size is taken for another and none for a constant.
TRACED_SHAPE = (2, 3, 70, 53)
CHECKED_SHAPE = (1, 3, 35, 46)
TOLERANCE = 1e-4  # of the largest value; float32 networks of this kind agree to about 1e-6


def export_features(
    module: "torch.nn.Module", taps: Sequence[str], metadata: Mapping[str, str] | None = None
) -> ir.Model:
    """Export a torch module to an ONNX features model, and check that it computes the same.

    Args:
        module: on the CPU. It takes an image, float32 (N, 3, H, W), RGB, 0..1, with sides of 32 px or more, and
            returns a tensor or a tuple of tensors, each (N, channels, h, w). It is put in evaluation mode.
        taps: names of what it returns, in that order.
        metadata: texts that the file carries, such as `licence` and `attribution`.

    Returns:
        The model: input `image`, one output per tap, opset 20, `taps` in its metadata.

    Raises:
        ImpastoError: PyTorch is missing, the taps do not match what the module returns, torch cannot export it,
            or the model does not compute what the module does.
    """
    require_torch()
    import torch

    module = module.eval()
    with torch.no_grad():
        _check_taps(_values(module, _random_image(TRACED_SHAPE)), taps)
        model = _exported(module, taps)
        _strip(model)
        model.producer_name, model.producer_version = "impasto", VERSION
        model.graph.name = "features"
        model.metadata_props.update({**(metadata or {}), "taps": ",".join(taps)})
        _check_values(model, module, taps)
    return model


def require_torch() -> None:
    """Raise an ImpastoError unless PyTorch and its exporter's helper are installed."""
    missing = [name for name in ("torch", "onnxscript") if importlib.util.find_spec(name) is None]
    if missing:
        raise ImpastoError(
            f"turning weights into a network needs {' and '.join(missing)}: pip install 'impasto[export]'"
        )


def _exported(module: "torch.nn.Module", taps: Sequence[str]) -> ir.Model:
    import torch

    dim = torch.export.Dim
    free = {0: dim("batch", min=1), 2: dim("height", min=SMALLEST_SIDE_PX), 3: dim("width", min=SMALLEST_SIDE_PX)}
    try:
        with _quiet():
            program = torch.onnx.export(
                module,
                (_random_image(TRACED_SHAPE),),
                dynamo=True,
                input_names=["image"],
                output_names=list(taps),
                dynamic_shapes=(free,),
                opset_version=OPSET,
                verbose=False,
            )
    except torch.onnx.OnnxExporterError as error:
        first_line = next(iter(str(error).strip().splitlines()), type(error).__name__)
        raise ImpastoError(f"torch cannot export this module: {first_line}") from error
    assert program is not None  # noqa: S101 (only without dynamo is it)
    model: ir.Model = program.model
    return model


def _random_image(shape: tuple[int, ...]) -> "torch.Tensor":
    import torch

    return torch.rand(shape, generator=torch.Generator().manual_seed(0))


def _values(module: "torch.nn.Module", image: "torch.Tensor") -> list["torch.Tensor"]:
    result = module(image)
    return list(result) if isinstance(result, tuple | list) else [result]


def _check_taps(values: Sequence["torch.Tensor"], taps: Sequence[str]) -> None:
    if len(values) != len(taps) or len(set(taps)) != len(taps):
        raise ImpastoError(
            f"the module returns {len(values)} tensors, the taps named are {', '.join(taps) or 'none'}: "
            "give each one name of its own"
        )
    for tap, value in zip(taps, values, strict=True):
        if value.ndim != 4 or len(value) != TRACED_SHAPE[0]:
            raise ImpastoError(f"tap {tap!r} has shape {tuple(value.shape)}, expected (N, channels, h, w)")


def _check_values(model: ir.Model, module: "torch.nn.Module", taps: Sequence[str]) -> None:
    """Compare the model, in ONNX's reference implementation, with the module on an image of another size."""
    image = _random_image(CHECKED_SHAPE)
    found = ReferenceEvaluator(ir.to_proto(model)).run(None, {"image": image.numpy()})
    for tap, value, expected in zip(taps, found, _values(module, image), strict=True):
        reference = expected.numpy()
        if value.shape != reference.shape:
            raise ImpastoError(f"the exported model is wrong: {tap!r} has shape {value.shape}, not {reference.shape}")
        error = float(np.abs(value - reference).max() / max(np.abs(reference).max(), np.finfo(np.float32).tiny))
        if not error <= TOLERANCE:
            raise ImpastoError(
                f"the exported model is wrong: {tap!r} differs from torch by {error:.1e} of its largest value, "
                f"at most {TOLERANCE:.0e} is allowed"
            )


def _strip(model: ir.Model) -> None:
    """Copy the weights out of torch, and drop the exporter's notes, which hold paths of this machine."""
    _name_after_modules(model)
    for value in model.graph.initializers.values():
        if value.const_value is not None:
            value.const_value = ir.tensor(np.array(value.const_value.numpy()), name=value.name)
    common.ClearMetadataAndDocStringPass()(model)
    made = (value for node in model.graph for value in node.outputs)
    for value in (*model.graph.inputs, *model.graph.initializers.values(), *made):
        value.metadata_props.clear()
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
    """Return the innermost module's path, such as `conv1_1`: the exporter notes all of them, then the call."""
    scopes = ast.literal_eval(node.metadata_props.get("pkg.torch.onnx.name_scopes", "['']"))
    return str(scopes[-2]) if len(scopes) > 1 else ""


def _free_name(name: str, taken: set[str | None]) -> str:
    candidates = itertools.chain([name], (f"{name}.{number}" for number in itertools.count(2)))
    return next(candidate for candidate in candidates if candidate not in taken)


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep quiet about packages that are not needed and about the exporter's own deprecations."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)

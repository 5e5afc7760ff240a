"""Networks into the user's cache, each as one ONNX features model ("tap model") that is found by its name."""

from pathlib import Path

import onnx
import onnx_ir as ir

from impasto.export.external_weights import take_in_weights
from impasto.export.features import export_features, require_torch
from impasto.export.tap_graph import available_taps, tap_graph
from impasto.models.atomic import atomic_file
from impasto.models.errors import ImpastoError, one_line
from impasto.models.regular_file import NO_SUCH_FILE, why_unreadable
from impasto.models.store import network_file
from impasto.models.version import VERSION
from impasto.models.vgg import VGG19, Network
from impasto.models.weights import Weights, read_weights

TRIAL_SIDE_PX = 64


def import_network(file: Path, name: str, *, layout: str | None = None) -> Path:
    """Put a network into the cache: a VGG-19 weights file, or a features model (.onnx) of the user's own.

    Args:
        file: `.safetensors`, `.pth`, `.pt`, `.npz` or `.onnx`.
        name: under which the network is found afterwards; one of that name is replaced.
        layout: of a weights file, see `impasto.models.weights`; None detects it.

    Returns:
        The tap model's path.

    Raises:
        ImpastoError: the file cannot be used, the name is not allowed, PyTorch is needed and missing, or the
            cache cannot be written.
    """
    if file.suffix.lower() != ".onnx":
        return import_weights(file, name, layout=layout)
    if layout is not None:
        raise ImpastoError(f"--layout is for weights files: {file} carries its own preprocessing")
    return import_features(file, name)


def import_weights(file: Path, name: str, *, layout: str | None = None, network: Network = VGG19) -> Path:
    """Turn a weights file, which must fit a network, into a tap model in the user's cache, and return its path.

    Raises:
        ImpastoError: as for `import_network`.
    """
    target = network_file(name)
    _store(tap_model(read_weights(file, network, layout), network), target)
    return target


def import_features(file: Path, name: str) -> Path:
    """Check a user's own features model, copy it into the cache, and return the path there.

    It has one input, an image, float32 [N, 3, H, W], RGB, 0..1, and one output per tap, each [N, channels, h, w];
    external data is included.

    Raises:
        ImpastoError: the file is missing or not such a model, or the cache cannot be written.
    """
    target = network_file(name)
    model = _read_onnx(file)
    cut = tap_graph(model, available_taps(model), batch=1, height=TRIAL_SIDE_PX, width=TRIAL_SIDE_PX)
    for tap in cut.graph.outputs:
        if tap.shape is None or len(tap.shape) != 4:
            raise ImpastoError(
                f"not a features model: output {tap.name!r} of {file} has shape {tap.shape}, "
                "expected [N, channels, h, w]"
            )
    _store(model, target)
    return target


def tap_model(weights: Weights, network: Network = VGG19) -> ir.Model:
    """Return the ONNX features model of a network: every tap is an output, pooling is average as in the paper.

    Raises:
        ImpastoError: PyTorch is missing, or the export failed.
    """
    require_torch()
    from impasto.models.vgg_module import build_module

    metadata = {
        "impasto_version": VERSION,
        "network": f"{network.name} to {network.convolutions[-1].name}",
        "weights_sha256": weights.sha256,
        "layout": weights.layout,
        "preprocess": weights.preprocess.to_json(),
        "licence": weights.origin.licence,
        "attribution": weights.origin.attribution,
    }
    return export_features(build_module(network, weights), network.taps, metadata)


def _read_onnx(file: Path) -> ir.Model:
    """Return a valid model, its weights in memory."""
    if why := why_unreadable(file):
        raise ImpastoError(f"no such file: {file}" if why == NO_SUCH_FILE else f"cannot read {file}: {why}")
    try:
        onnx.checker.check_model(file, full_check=True)
        model = ir.load(file)
        take_in_weights(model, file)
    except ImpastoError:
        raise
    except Exception as error:  # protobuf, the checker and the readers share no base class
        raise ImpastoError(f"not a valid ONNX model: {file} ({one_line(error, 100)})") from error
    return model


def _store(model: ir.Model, target: Path) -> None:
    with atomic_file(target, durable=True) as part:
        ir.save(model, part)

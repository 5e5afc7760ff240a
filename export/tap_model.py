"""A weights file as a tap model in the user's cache: read, build in torch, export, store."""

from pathlib import Path

import onnx_ir as ir
from impasto.export.features import export_features
from impasto.models.store import atomic_file, network_file
from impasto.models.version import VERSION
from impasto.models.vgg import VGG19, Network, build_module
from impasto.models.weights import Weights, read_weights


def import_weights(file: Path, name: str, *, layout: str | None = None, network: Network = VGG19) -> Path:
    """Turn a weights file into a tap model in the user's cache.

    Args:
        file: `.safetensors`, `.pth`, `.pt` or `.npz`.
        name: under which the network is found afterwards; one of that name is replaced.
        layout: see `impasto.models.weights`; None finds out.
        network: what the weights must fit.

    Returns:
        The tap model's path.

    Raises:
        ImpastoError: the file cannot be used, the name is not allowed, PyTorch is missing or the cache is not writable.
    """
    target = network_file(name)
    model = tap_model(read_weights(file, network, layout), network)
    with atomic_file(target) as part:
        ir.save(model, part)
    return target


def tap_model(weights: Weights, network: Network = VGG19, pool: str = "avg") -> ir.Model:
    """Return the ONNX features model of a network: every tap an output, average pooling as in the paper."""
    metadata = {
        "impasto_version": VERSION,
        "network": f"{network.name} to {network.convolutions[-1].name}",
        "weights_sha256": weights.sha256,
        "layout": weights.layout,
        "preprocess": weights.preprocess.to_json(),
    }
    return export_features(build_module(network, weights, pool=pool), network.taps, metadata)

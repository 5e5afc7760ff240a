"""From a distilled student to the tap model inside the package: `python -m impasto.bench.studies.embed FILE OUT.onnx`.

The metadata of the tap model has the number of channels that each tap stands for (`channels`): a folded tap has fewer
than VGG-19's, and alpha, beta and the layer weights must mean the same for both.
"""

import argparse
import json
from pathlib import Path

import onnx_ir as ir

from impasto.export.features import export_features
from impasto.export.half_storage import narrow
from impasto.export.tap_graph import CHANNELS
from impasto.models.atomic import atomic_file
from impasto.models.checksum import sha256_of
from impasto.models.preprocess import OXFORD
from impasto.models.store import EMBEDDED, EMBEDDED_DIR
from impasto.models.version import VERSION


def main(arguments: list[str] | None = None) -> None:
    """Export one file."""
    parser = argparse.ArgumentParser(prog="python -m impasto.bench.studies.embed", description=__doc__)
    parser.add_argument("student", type=Path, help="what `python -m impasto.models.distil export` wrote")
    parser.add_argument("output", type=Path, nargs="?", default=EMBEDDED_DIR / f"{EMBEDDED}.onnx")
    options = parser.parse_args(arguments)
    model = embedded_model(options.student)
    with atomic_file(options.output) as part:
        ir.save(model, part)


def embedded_model(student: Path) -> ir.Model:
    """Return the tap model of a folded student, its weights stored as float16.

    Raises:
        ImpastoError: the file cannot be read, or PyTorch is missing.
    """
    from safetensors import safe_open

    from impasto.models.distil.folded import slim_module
    from impasto.models.distil.spec import teacher_channels

    module, taps = slim_module(student)
    with safe_open(student, "numpy") as file:
        said = file.metadata()
    metadata = {
        "impasto_version": VERSION,
        "network": "VGG-19 slim to conv5_1",
        "weights_sha256": sha256_of(student),
        "preprocess": OXFORD.to_json(),
        CHANNELS: json.dumps({tap: teacher_channels(tap) for tap in taps}),
        **{key: said[key] for key in ("licence", "attribution", "step") if key in said},
    }
    model = export_features(module, taps, metadata)
    narrow(model)
    return model


if __name__ == "__main__":
    main()

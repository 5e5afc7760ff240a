"""`manifest.json` of a bundle: what its files are, and what a program needs to know to run them.

`manifest.schema.json` beside this module is its JSON schema.
"""

import json
from collections.abc import Collection
from pathlib import Path
from typing import Any

import onnx_ir as ir

from impasto.engine.compile.network import Network
from impasto.engine.inputs.scales import COARSER_SHARE
from impasto.engine.runtime.providers import Provider
from impasto.engine.settings import Settings
from impasto.export.optimiser import ADAM_SCALARS, REPORTED, SCALARS, Code
from impasto.export.taps import SMALLEST_SIDE_PX
from impasto.models.checksum import sha256_of
from impasto.models.errors import ImpastoError
from impasto.models.json_record import parse_object
from impasto.models.version import VERSION

NAME, SCHEMA = "manifest.json", Path(__file__).with_name("manifest.schema.json")
FORMAT, FORMAT_VERSION = "impasto-bundle", 1
MINIMUM_ONNXRUNTIME = "1.21"


def compose(
    network: Network,
    settings: Settings,
    provider: Provider,
    *,
    files: Path,
    models: Collection[ir.Model],
    graphs: dict[str, Any],
    **lists: Any,
) -> dict[str, Any]:
    """Return the manifest of the files in a folder.

    Args:
        network: of the graphs.
        settings: of the runs.
        provider: that the graphs are rewritten for.
        files: the folder.
        models: all graphs; the latest opset and version of the format are those of the bundle.
        graphs: the graphs for all sizes, by name.
        lists: `sizes`, `results` and `styles`.
    """
    said = network.metadata
    adam = settings.optimizer == "adam"
    return {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "created_by": f"impasto {VERSION}",
        "opset": max(model.opset_imports[""] for model in models),
        "ir_version": max(model.ir_version for model in models),
        "minimum_onnxruntime": MINIMUM_ONNXRUNTIME,
        "provider": provider.name,
        "precision": provider.precision,
        "network": {
            "name": network.name,
            "sha256": network.sha256,
            "licence": said.get("licence", ""),
            "attribution": said.get("attribution", ""),
        },
        "settings": settings.as_dict(),
        "optimiser": {
            "name": "adam" if adam else "lbfgs",
            "bounds": [0.0, 1.0] if settings.bounded else None,
            "scalars": list(ADAM_SCALARS if adam else SCALARS),
            "log": list(REPORTED),
            "codes": {code.name: code.value for code in Code},
            "between_scales": _between_scales(settings),
        },
        "coarser_share": COARSER_SHARE,
        "smallest_side": SMALLEST_SIDE_PX,
        **graphs,
        **lists,
        "files": {
            path.relative_to(files).as_posix(): {"bytes": path.stat().st_size, "sha256": sha256_of(path)}
            for path in sorted(files.rglob("*"))
            if path.is_file()
        },
    }


def _between_scales(settings: Settings) -> list[dict[str, Any]]:
    """Return what of the state goes on at the next scale: how it is resized, and its factor's power of the areas.

    All other state begins anew, except the scalars of Adam.
    """
    image = [{"name": "x", "filter": "lanczos", "area_power": 0}]
    if settings.optimizer != "adam":
        return image
    return [
        *image,
        *([{"name": "iterate", "filter": "lanczos", "area_power": 0}] if settings.average else []),
        {"name": "mean", "filter": "bilinear", "area_power": 1},
        {"name": "mean_square", "filter": "bilinear", "area_power": 2},
    ]


def write(folder: Path, record: dict[str, Any]) -> None:
    """Write a manifest into a folder."""
    (folder / NAME).write_text(json.dumps(record, indent=1, allow_nan=False) + "\n", encoding="utf-8")


def read_manifest(folder: Path) -> dict[str, Any]:
    """Return the manifest of a bundle.

    Raises:
        ImpastoError: there is none, it is damaged, or it is of another format or version.
    """
    record = read_any_version(folder)
    if record.get("format_version") != FORMAT_VERSION:
        raise ImpastoError(
            f"{folder / NAME} has format version {record.get('format_version')}, and this program reads "
            f"{FORMAT_VERSION}: make the bundle again"
        )
    return record


def read_any_version(folder: Path) -> dict[str, Any]:
    """Return the manifest of a bundle, which may be of another version.

    Raises:
        ImpastoError: there is none, it is damaged, or it is of another format.
    """
    path = folder / NAME
    try:
        record = parse_object(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ImpastoError(f"not a bundle: {folder} has no {NAME}; make one with `impasto bundle -o DIR`") from None
    except (OSError, ValueError) as error:
        raise ImpastoError(f"damaged bundle: {path} ({error}); make it again") from error
    if record.get("format") != FORMAT:
        raise ImpastoError(f"not a bundle: {path} is of another format; make one with `impasto bundle -o DIR`")
    return record

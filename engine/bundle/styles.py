"""Saved styles in a bundle: the file as it is, and a table of its arrays for programs that do not parse its header."""

import json
import struct
from pathlib import Path
from typing import Any

from impasto.engine.bundle.sizes import ResultPlan
from impasto.engine.compile.graph_spec import GraphSpec
from impasto.engine.compile.network import Network
from impasto.engine.inputs.saved_style import SavedStyle
from impasto.models.errors import ImpastoError

FOLDER = "styles"


def read_styles(
    paths: tuple[Path, ...], network: Network, spec: GraphSpec, results: tuple[ResultPlan, ...], precision: str
) -> dict[str, tuple[Path, SavedStyle]]:
    """Return the styles of a bundle by name, which is that of the file.

    Raises:
        ImpastoError: a file is no saved style, is for other runs, or has a name that another one has.
    """
    found: dict[str, tuple[Path, SavedStyle]] = {}
    for path in paths:
        style = SavedStyle.read(path)
        if path.stem in found:
            raise ImpastoError(
                f"two styles are named {path.stem}: {found[path.stem][0]} and {path}; rename one of them"
            )
        style.targets(
            spec.style_taps,
            model_sha256=network.sha256,
            precisions=(precision,),
            pool=spec.pool,
            seamless=spec.seamless,
            padding=spec.padding,
            style_loss=spec.style_loss,
        )
        for result in results:
            style.check_scales([plan.scale.step for plan in result.scales])
        found[path.stem] = path, style
    return found


def describe_style(name: str, style: SavedStyle, content: bytes) -> dict[str, Any]:
    """Return a style for the manifest, with the place of every array in its file."""
    (length,) = struct.unpack("<Q", content[:8])
    header = json.loads(content[8 : 8 + length])
    arrays: list[dict[str, dict[str, Any]]] = [{} for _ in range(1 + len(style.coarser))]
    for full_name, entry in header.items():
        if full_name == "__metadata__":
            continue
        scale, _, target = full_name.rpartition(".")
        begin, end = entry["data_offsets"]
        step = int(scale.removeprefix("scale")) if scale else 0
        arrays[step][target] = {"shape": entry["shape"], "offset": 8 + length + begin, "bytes": end - begin}
    return {
        "name": name,
        "file": f"{FOLDER}/{name}.safetensors",
        "image": style.origin.image,
        "steps": [dict(sorted(step.items())) for step in arrays],
    }

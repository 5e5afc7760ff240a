"""The description that a features model carries."""

from dataclasses import dataclass
from pathlib import Path

import onnx_ir as ir

from impasto.export.tap_graph import available_taps
from impasto.models.errors import ImpastoError
from impasto.models.preprocess import Preprocess


@dataclass(frozen=True)
class NetworkInfo:
    """The description of a features model. A text is "" where the file, which may be a user's own, lacks it.

    Attributes:
        name: under which it is found.
        path: its file.
        size_bytes: of the file.
        taps: names of its outputs, shallow to deep.
        preprocess: the formula from the image x (RGB, 0..1) to the network's input.
        layout: of the weights, see `impasto.models.weights`.
        licence: of the weights.
        attribution: the authors to name.
        weights_sha256: of the weights file that it was made from.
    """

    name: str
    path: Path
    size_bytes: int
    taps: tuple[str, ...]
    preprocess: str
    layout: str
    licence: str
    attribution: str
    weights_sha256: str


def read_info(path: Path) -> NetworkInfo:
    """Read a features model's description.

    Raises:
        ImpastoError: the file is missing or not an ONNX model.
    """
    try:
        model = ir.load(path)
        size_bytes = path.stat().st_size
    except Exception as error:  # protobuf and the readers share no base class
        raise ImpastoError(f"damaged network: {path} ({type(error).__name__}); fetch or import it again") from error
    said = model.metadata_props
    return NetworkInfo(
        name=path.stem,
        path=path,
        size_bytes=size_bytes,
        taps=available_taps(model),
        preprocess=str(Preprocess.from_json(said["preprocess"])) if "preprocess" in said else "",
        **{name: said.get(name, "") for name in ("layout", "licence", "attribution", "weights_sha256")},
    )

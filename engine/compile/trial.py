"""A trial of a features model before it takes the place of another: a small image must give finite features."""

from pathlib import Path

import numpy as np
import onnx_ir as ir

from impasto.engine.compile.features_file import read_features
from impasto.engine.runtime.lowering import lower
from impasto.engine.runtime.providers import choose
from impasto.engine.runtime.session import Graph, Session
from impasto.export.serialised import without_weights
from impasto.export.tap_graph import available_taps, tap_graph
from impasto.export.terms import IMAGE
from impasto.models.errors import ImpastoError, one_line
from impasto.models.preprocess import Preprocess

SIDE_PX = 64
PREPROCESS = "preprocess"  # in the metadata


def try_network(path: Path, source: Path) -> None:
    """Run a features model once on the CPU provider, on an image of noise.

    Args:
        path: the features model.
        source: the file to name in errors: the one that the features model was made from.

    Raises:
        ImpastoError: the file cannot be read; a weight or a feature is NaN or infinite; an output is not
            [N, channels, h, w]; the preprocessing that it states is not finite; or ONNX Runtime does not run it.
    """
    model, _ = read_features(path)
    if PREPROCESS in model.metadata_props:
        Preprocess.from_json(model.metadata_props[PREPROCESS])
    _check_weights(model, source)
    try:
        features = _features(model, source)
    except ImpastoError:
        raise
    except Exception as error:  # onnx_ir's passes share no base class
        raise ImpastoError(
            f"the network does not run: {source} ({one_line(error, 200)}); get the file again"
        ) from error
    for tap, values in features.items():
        if not np.isfinite(values).all():
            raise ImpastoError(
                f"the network does not work: {tap} of {source} is NaN or infinite for an image of noise; "
                "get the file again"
            )


def _check_weights(model: ir.Model, source: Path) -> None:
    """Refuse NaN and infinite weights. A single infinite number may be a bound, and the features show what it does."""
    for name, value in model.graph.initializers.items():
        tensor = value.const_value
        if tensor is None or not tensor.dtype.is_floating_point() or tensor.size == 1:
            continue
        if not np.isfinite(tensor.numpy().astype(np.float64)).all():  # NumPy has no isfinite for all narrow types
            raise ImpastoError(f"damaged weights: {name} in {source} holds NaN or infinite values; get the file again")


def _features(model: ir.Model, source: Path) -> dict[str, np.ndarray]:
    """Return what every tap is for an image of noise, {tap: (1, channels, h, w)}.

    Raises:
        ImpastoError: an output is not of that form, or the model does not run.
    """
    provider = choose("cpu", "fp32")
    cut = tap_graph(model, available_taps(model), batch=1, height=SIDE_PX, width=SIDE_PX)
    for tap in cut.graph.outputs:
        if tap.shape is None or len(tap.shape) != 4 or not tap.shape.is_static():
            raise ImpastoError(
                f"not a features model: output {tap.name!r} of {source} has shape {tap.shape}, "
                "expected [N, channels, h, w]"
            )
    with Session(Graph(*without_weights(lower(cut, provider))), provider) as session:
        session.set(IMAGE, np.random.default_rng(0).random((1, 3, SIDE_PX, SIDE_PX), np.float32))
        return {tap: values.copy() for tap, values in session.run().items()}

"""render.onnx: several evaluations in one run give the bits of single ones, and the losses of objective and step."""

from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
import pytest
from PIL import Image

from impasto.engine import Settings
from impasto.engine.bundle import Order, read_manifest, write_bundle
from impasto.engine.bundle.running import Arrays, BundleRun
from impasto.engine.compile.network import load_network
from tests.engine.bundle.conftest import TAPS
from tests.engine.conftest import Files

EVALUATIONS = 50
RUNS: dict[str, dict[str, Any]] = {
    "lbfgs": {},
    "adam": {"optimizer": "adam", "average": 0.9, "learning_rate": 7.0, "weighting": "calibrated"},
    "moments": {"style_loss": "moments", "weighting": "calibrated", "smoothness": 1.0},
}


def rendered(session: Any, inputs: Arrays, chunks: list[int]) -> Arrays:
    """Run a graph in chunks; return its last outputs by name."""
    taken = [value.name for value in session.get_inputs()]
    given = [value.name for value in session.get_outputs()]
    values, outputs = dict(inputs), {}
    for chunk in chunks:
        values["evaluations"] = np.array(chunk, np.int64)
        outputs = dict(zip(given, session.run(given, {name: values[name] for name in taken}), strict=True))
        values |= {name.removesuffix(".next"): value for name, value in outputs.items()}
    return outputs


@pytest.mark.parametrize("name", RUNS)
def test_chunks_end_in_the_same_bits(files: Files, tmp_path: Path, name: str) -> None:
    order = Order(Settings(size=64, **TAPS, **RUNS[name]), ((64, 48),))
    write_bundle(load_network(files.model), tmp_path / "bundle", order)
    record = read_manifest(tmp_path / "bundle")
    content, style = (np.array(Image.open(path).convert("RGB")) for path in (files.content, files.style))
    run = BundleRun(tmp_path / "bundle", record)
    run.set_images(content, style)
    inputs = run.inputs()
    entry = record["sizes"][0]["render"]
    session = ort.InferenceSession(str(tmp_path / "bundle" / entry["file"]))
    for side, values in (("inputs", session.get_inputs()), ("outputs", session.get_outputs())):
        described = [(port["name"], port["shape"]) for port in entry[side]]
        assert described == [(value.name, list(value.shape)) for value in values]
    single, sevens, whole = (
        rendered(session, inputs, chunks) for chunks in ([1] * EVALUATIONS, [7] * 7 + [1], [EVALUATIONS])
    )
    for key, value in single.items():
        np.testing.assert_array_equal(sevens[key], value, err_msg=key)
        np.testing.assert_array_equal(whole[key], value, err_msg=key)
    few = rendered(session, inputs, [5])
    expected = run.run(5)
    loss = record["optimiser"]["log"].index("loss")
    assert few["log.next"][:5, 0, loss] == pytest.approx([row["loss"] for row in expected], rel=1e-4)
    assert np.abs(few["picture"][0].astype(int) - run.picture()).max() <= 1

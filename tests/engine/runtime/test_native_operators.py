"""The project's operators in ONNX Runtime, with every instruction set of this processor, against naive float64."""

import ctypes
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper, numpy_helper

from impasto.engine.runtime import native_operators
from impasto.export.lowering.native import ATTRIBUTES
from impasto.export.operator_domain import DOMAIN, VERSION

Array = np.ndarray
RELATIVE, WIDE = 5e-6, 2.5e-6  # of the largest value of a result: at most 64 channels but any shape; up to 512 channels
SHAPES = 300
FOUND = native_operators.find()

pytestmark = pytest.mark.skipif(FOUND.path is None, reason=f"no operators: {FOUND.reason}")


def instruction_sets() -> list[str]:
    """Those of this processor, best first."""
    if FOUND.path is None:
        return []
    names = ctypes.CDLL(str(FOUND.path)).impasto_ops_instruction_sets
    names.restype = ctypes.c_char_p
    return list(names().decode().split())


@pytest.fixture(params=instruction_sets())
def instruction_set(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv(native_operators.INSTRUCTION_SET_VARIABLE, request.param)
    return str(request.param)


def session(
    operator: str,
    inputs: Mapping[str, Array],
    constants: Sequence[str] = (),
    types: Mapping[str, int] | None = None,
    threads: int = 1,
    **attributes: Any,
) -> ort.InferenceSession:
    """Attributes that are not given are 1 for pad and else 0."""
    rest = {name: int(name == "pad") for name in ATTRIBUTES[operator]}
    return session_of(operator, inputs, constants, types, threads, **{**rest, **attributes})


def session_of(
    operator: str,
    inputs: Mapping[str, Array],
    constants: Sequence[str] = (),
    types: Mapping[str, int] | None = None,
    threads: int = 1,
    **attributes: Any,
) -> ort.InferenceSession:
    node = helper.make_node(operator, list(inputs), ["y"], domain=DOMAIN, **attributes)
    free = [
        helper.make_tensor_value_info(name, (types or {}).get(name, TensorProto.FLOAT), value.shape)
        for name, value in inputs.items()
        if name not in constants
    ]
    held = [numpy_helper.from_array(inputs[name], name) for name in constants]
    result = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
    graph = helper.make_graph([node], "g", free, [result], held)
    opsets = [helper.make_opsetid("", 20), helper.make_opsetid(DOMAIN, VERSION)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=10)
    options = ort.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = threads, 4
    native_operators.register(options)
    return ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


def run(operator: str, inputs: Mapping[str, Array], constants: Sequence[str] = (), **attributes: Any) -> Array:
    feeds = {name: value for name, value in inputs.items() if name not in constants}
    return np.asarray(session(operator, inputs, constants, **attributes).run(None, feeds)[0])


def correlated(x: Array, w: Array, pad: int, *, wrap: bool = False) -> Array:
    """The convolution of [N, H, W, C] with [K, C, 3, 3] in float64."""
    edges = ((0, 0), (pad, pad), (pad, pad), (0, 0))
    padded = np.pad(x.astype(np.float64), edges, mode="wrap" if wrap else "constant")
    height, width = x.shape[1] + 2 * pad - 2, x.shape[2] + 2 * pad - 2
    return np.asarray(
        sum(
            padded[:, i : i + height, j : j + width] @ w[:, :, i, j].T.astype(np.float64)
            for i in range(3)
            for j in range(3)
        )
    )


def turned(w: Array) -> Array:
    return w.transpose(1, 0, 2, 3)[:, :, ::-1, ::-1]


def error(found: Array, expected: Array) -> float:
    assert found.shape == expected.shape
    return float(np.abs(found - expected).max() / np.abs(expected).max())


def normal(rng: np.random.Generator, *shape: int) -> Array:
    return rng.standard_normal(shape).astype(np.float32)


def sides(rng: np.random.Generator) -> tuple[int, int]:
    """From 1 to 200, small ones more often."""
    height, width = (int(side) for side in np.exp(rng.uniform(0, np.log(200.99), 2)))
    return height, width


def test_convolutions_and_gradients_of_random_shapes(instruction_set: str) -> None:
    rng, worst = np.random.default_rng(0), 0.0
    for _ in range(SHAPES if instruction_set == FOUND.instruction_set else SHAPES // 10):
        (height, width), pad = sides(rng), int(rng.integers(0, 3))
        channels = 8 * rng.integers(1, 9 if height * width < 4000 else 3, 2)
        into, out, wrap, relu = int(channels[0]), int(channels[1]), bool(rng.integers(0, 2)), int(rng.integers(0, 2))
        pad = 1 if wrap else pad
        if min(height, width) + 2 * pad < 3:
            continue
        batch = int(rng.integers(1, 3))
        x, w, bias = normal(rng, batch, height, width, into), normal(rng, out, into, 3, 3), normal(rng, out)
        expected = correlated(x, w, pad, wrap=wrap) + bias
        found = run("Conv3x3", {"x": x, "w": w, "b": bias}, ["w", "b"], pad=pad, wrap=wrap, relu=relu)
        worst = max(worst, error(found, np.maximum(expected, 0) if relu else expected))
        d = normal(rng, *expected.shape)
        gradient = correlated(d, turned(w), 1 if wrap else 2 - pad, wrap=wrap)
        inputs, extras = {"d": d, "w": w}, {"addend": int(rng.integers(0, 2)), "mask": int(rng.integers(0, 2))}
        if extras["addend"]:
            inputs["a"] = normal(rng, *x.shape)
            gradient = gradient + inputs["a"]
        if extras["mask"]:
            inputs["m"] = np.maximum(x, 0)
            gradient = np.where(inputs["m"] > 0, gradient, 0)
        worst = max(worst, error(run("Conv3x3Gradient", inputs, ["w"], pad=pad, wrap=wrap, **extras), gradient))
    assert 0 < worst < RELATIVE


@pytest.mark.parametrize("channels", [64, 256, 512])
def test_the_error_does_not_grow_with_the_channels(instruction_set: str, channels: int) -> None:
    rng = np.random.default_rng(7)
    x, w = normal(rng, 1, 24, 24, channels), normal(rng, channels, channels, 3, 3)
    assert error(run("Conv3x3", {"x": x, "w": w}, ["w"]), correlated(x, w, 1)) < WIDE
    assert error(run("Conv3x3Gradient", {"d": x, "w": w}, ["w"]), correlated(x, turned(w), 1)) < WIDE


def test_the_first_layer(instruction_set: str) -> None:
    rng = np.random.default_rng(1)
    for _ in range(20):
        (height, width), pad, out = sides(rng), int(rng.integers(0, 2)), 8 * int(rng.integers(1, 9))
        if min(height, width) + 2 * pad < 3:
            continue
        x, w, bias = normal(rng, 2, 3, height, width), normal(rng, out, 3, 3, 3), normal(rng, out)
        expected = np.maximum(correlated(x.transpose(0, 2, 3, 1), w, pad) + bias, 0)
        found = run("FirstConv3x3", {"x": x, "w": w, "b": bias}, ["w", "b"], pad=pad, relu=1)
        assert error(found, expected) < RELATIVE
        d = normal(rng, *expected.shape)
        gradient = correlated(d, turned(w), 2 - pad).transpose(0, 3, 1, 2)
        assert error(run("FirstConv3x3Gradient", {"d": d, "w": w}, ["w"], pad=pad), gradient) < RELATIVE


def pooled(x: Array, *, maximum: bool) -> tuple[Array, Array]:
    """The windows of 2x2, and 1 at the first maximum of each or 1/4 everywhere; [N, h, w, 4, C]."""
    height, width = x.shape[1] // 2, x.shape[2] // 2
    cut = x[:, : 2 * height, : 2 * width].astype(np.float64)
    windows = cut.reshape(len(x), height, 2, width, 2, -1).transpose(0, 1, 3, 2, 4, 5)
    windows = windows.reshape(len(x), height, width, 4, -1)
    if not maximum:
        return windows.mean(3), np.full_like(windows, 0.25)
    first = windows.argmax(3)[:, :, :, None] == np.arange(4)[:, None]
    return windows.max(3), first.astype(np.float64)


@pytest.mark.parametrize("maximum", [0, 1])
def test_poolings_and_gradients(instruction_set: str, maximum: int) -> None:
    rng = np.random.default_rng(2)
    for _ in range(20):
        height, width = (side + 1 for side in sides(rng))
        x = np.maximum(rng.integers(-3, 4, (2, height, width, 8 * int(rng.integers(1, 9)))), 0).astype(np.float32)
        expected, share = pooled(x, maximum=bool(maximum))
        np.testing.assert_array_equal(run("Pool2x2", {"x": x}, maximum=maximum), expected)
        d, a = normal(rng, *expected.shape), normal(rng, *x.shape)
        batch, rows, columns, channels = expected.shape
        spread = (share * d[:, :, :, None]).reshape(batch, rows, columns, 2, 2, channels).transpose(0, 1, 3, 2, 4, 5)
        gradient = np.zeros(x.shape)
        gradient[:, : 2 * rows, : 2 * columns] = spread.reshape(batch, 2 * rows, 2 * columns, channels)
        inputs = {"d": d, "x": x, "a": a, "m": x}
        found = run("Pool2x2Gradient", inputs, maximum=maximum, addend=1, mask=1)
        np.testing.assert_allclose(found, np.where(x > 0, gradient + a, 0), rtol=1e-6, atol=1e-6)


def test_a_nan_is_not_hidden() -> None:
    rng = np.random.default_rng(3)
    x, w = normal(rng, 1, 9, 9, 16), normal(rng, 16, 16, 3, 3)
    x[0, 4, 4, 3] = np.nan
    assert np.isnan(run("Conv3x3", {"x": x, "w": w}, ["w"], relu=1)[0, 4, 4]).all()
    for maximum in (0, 1):
        assert np.isnan(run("Pool2x2", {"x": x}, maximum=maximum)[0, 2, 2, 3])


def test_results_do_not_depend_on_threads_or_on_the_run() -> None:
    rng = np.random.default_rng(4)
    x, w, bias = normal(rng, 1, 61, 47, 64), normal(rng, 96, 64, 3, 3), normal(rng, 96)
    results = []
    for threads in (1, 2, 3):
        opened = session("Conv3x3", {"x": x, "w": w, "b": bias}, ["w", "b"], threads=threads, relu=1)
        results += [opened.run(None, {"x": x})[0] for _ in range(5)]
    assert all(np.array_equal(results[0], other) for other in results[1:])


GOOD: Mapping[str, Array] = {
    "x": np.zeros((1, 8, 8, 8), np.float32),
    "w": np.zeros((16, 8, 3, 3), np.float32),
    "b": np.zeros(16, np.float32),
}


@pytest.mark.parametrize(
    ("changed", "attributes", "said"),
    [
        ({"x": np.zeros((1, 8, 8, 12), np.float32)}, {}, "x has 12 channels; they must be a multiple of 8"),
        ({"x": np.zeros((1, 8, 8), np.float32)}, {}, "it must have 4 axes"),
        ({"x": np.zeros((1, 0, 8, 8), np.float32)}, {}, "axis 1 must be from 1 to"),
        ({"x": np.zeros((1, 8, 8, 16), np.float32)}, {}, "it must be [16, 16, 3, 3]"),
        ({"w": np.zeros((16, 8, 5, 5), np.float32)}, {}, "must be [out, in, 3, 3]"),
        ({"b": np.zeros(17, np.float32)}, {}, "bias has shape [17]; it must be [16]"),
        ({}, {"pad": 3}, "pad is 3; allowed are 0 to 2"),
        ({}, {"wrap": 7}, "wrap is 7; allowed are 0 and 1"),
        ({}, {"wrap": 1.0}, "the attribute wrap is no integer; integers are needed for pad, wrap, relu"),
        ({}, {"pad": "1"}, "the attribute pad is no integer"),
        ({}, {"relu": [1, 1]}, "the attribute relu is no integer"),
        ({}, {"relu": [1.0, 1.0]}, "the attribute relu is no integer"),
        ({}, {"addend": 1}, "it has no attribute addend; allowed are pad, wrap, relu"),
        ({}, {"mask": 0}, "it has no attribute mask; allowed are pad, wrap, relu"),
        ({}, {"maximum": "yes"}, "it has no attribute maximum; allowed are pad, wrap, relu"),
        ({"x": np.zeros((1, 2, 2, 8), np.float32)}, {"pad": 0}, "the result has shape [1, 0, 0, 16]"),
    ],
)
def test_wrong_models_are_refused_when_they_are_loaded(
    changed: Mapping[str, Array], attributes: Mapping[str, Any], said: str
) -> None:
    with pytest.raises(Exception, match="impasto") as caught:
        session("Conv3x3", {**GOOD, **changed}, ["w", "b"], **attributes)
    assert said in str(caught.value)


def test_wrong_types_computed_weights_and_missing_inputs_are_refused() -> None:
    with pytest.raises(Exception, match="tensor\\(double\\)"):
        session("Conv3x3", GOOD, ["w", "b"], types={"x": TensorProto.DOUBLE})
    with pytest.raises(Exception, match="the weights, input 1, must be a constant"):
        session("Conv3x3", GOOD, ["b"])
    with pytest.raises(Exception, match="addend and mask ask for 3"):
        session("Conv3x3Gradient", {"d": np.zeros((1, 8, 8, 16), np.float32), "w": GOOD["w"]}, ["w"], mask=1)


@pytest.mark.parametrize("operator", ATTRIBUTES)
def test_every_attribute_must_be_given(operator: str) -> None:
    inputs, _ = accepted(np.random.default_rng(6), operator)
    inputs = {name: value for name, value in inputs.items() if name in ("x", "w", "d")}
    for missing in ATTRIBUTES[operator]:
        attributes: dict[str, Any] = {name: 1 for name in ATTRIBUTES[operator] if name != missing}
        with pytest.raises(Exception, match=f"the attribute {missing} is missing"):
            session_of(operator, inputs, ["w"] if "w" in inputs else [], **attributes)


def accepted(rng: np.random.Generator, operator: str) -> tuple[dict[str, Array], dict[str, Any]]:
    """Inputs and attributes that an operator accepts."""
    attributes: dict[str, Any] = {name: int(rng.integers(0, 2)) for name in ATTRIBUTES[operator]}
    if attributes.get("wrap"):
        attributes["pad"] = 1
    pad, (height, width), out = attributes.get("pad", 0), (int(side) for side in rng.integers(3, 12, 2)), 16
    x, d = (2, height, width, 8), (2, height + 2 * pad - 2, width + 2 * pad - 2, out)
    every: dict[str, dict[str, tuple[int, ...]]] = {
        "Conv3x3": {"x": x, "w": (out, 8, 3, 3)},
        "Conv3x3Gradient": {"d": d, "w": (out, 8, 3, 3)},
        "FirstConv3x3": {"x": (2, 3, height, width), "w": (out, 3, 3, 3)},
        "FirstConv3x3Gradient": {"d": d, "w": (out, 3, 3, 3)},
        "Pool2x2": {"x": x},
        "Pool2x2Gradient": {"d": (2, height // 2, width // 2, 8), "x": x},
    }
    shapes = every[operator]
    if operator in ("Conv3x3", "FirstConv3x3") and rng.integers(0, 2):
        shapes["b"] = (out,)
    extras = {name: x for name in ("addend", "mask") if attributes.get(name)}
    return {name: normal(rng, *shape) for name, shape in {**shapes, **extras}.items()}, attributes


@pytest.mark.parametrize("operator", ATTRIBUTES)
def test_random_inputs_and_attributes_are_refused_or_run(operator: str) -> None:
    rng, ran, refused = np.random.default_rng(5), 0, 0
    for _ in range(150):
        inputs, attributes = accepted(rng, operator)
        names = sorted({name for known in ATTRIBUTES.values() for name in known})
        change, name = int(rng.integers(0, 6)), str(rng.choice(list(inputs)))
        if change == 0:
            attributes[str(rng.choice(names))] = int(rng.integers(-2, 4))
        elif change == 1:
            inputs.pop(name)
        elif change == 2:
            inputs["further"] = inputs[name]
        elif change == 3:
            sizes = [max(0, side + int(rng.integers(-1, 2))) for side in inputs[name].shape]
            inputs[name] = np.zeros(sizes[: int(rng.integers(0, 5))], np.float32)
        constants = [held for held in ("w", "b") if held in inputs and rng.integers(0, 8)]
        feeds = {free: value for free, value in inputs.items() if free not in constants}
        try:
            opened = session_of(operator, inputs, constants, **attributes)
        except Exception:  # of ONNX Runtime's own types, which have no common one
            refused += 1
        else:
            assert np.isfinite(opened.run(None, feeds)[0]).all()
            ran += 1
    assert min(ran, refused) > 30


def reason(monkeypatch: pytest.MonkeyPatch, **environment: str) -> str:
    """What another process says of the library."""
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    code = "from impasto.engine.runtime import native_operators as n; print(n.find().path, n.find().reason)"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.startswith("None ")
    assert done.stdout.count("\n") == 1
    return done.stdout


def test_a_named_file_that_is_missing_or_no_library_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    missing, broken = tmp_path / "none.so", tmp_path / "broken.so"
    broken.write_bytes(b"no library")
    assert f"IMPASTO_OPS names {missing}, which is no file; name a libimpasto_ops.so" in reason(
        monkeypatch, IMPASTO_OPS=str(missing)
    )
    assert f"{broken} does not load" in reason(monkeypatch, IMPASTO_OPS=str(broken))


@pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler (cc)")
def test_foreign_libraries_and_other_versions_are_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    foreign, older = tmp_path / "foreign.so", tmp_path / "older.so"
    for file, code in (
        (foreign, "int impasto_ops_other(void) { return 1; }"),
        (
            older,
            "long long impasto_ops_version(void) { return 1; }"
            'const char* impasto_ops_instruction_sets(void) { return "portable"; }'
            'const char* impasto_ops_instruction_set(long long n) { return n ? "portable" : ""; }',
        ),
    ):
        subprocess.run(["cc", "-shared", "-fPIC", "-x", "c", "-", "-o", file], input=code, check=True, text=True)
    assert f"{foreign} is no library of this impasto: it does not tell its version; unset IMPASTO_OPS" in reason(
        monkeypatch, IMPASTO_OPS=str(foreign)
    )
    assert f"{older} has version 1 of the operators, not {VERSION}; unset IMPASTO_OPS" in reason(
        monkeypatch, IMPASTO_OPS=str(older)
    )
    monkeypatch.delenv("IMPASTO_OPS")
    code = (
        "from pathlib import Path; from impasto.engine.runtime import native_operators as n;"
        f"n.FILE = Path({str(older)!r}); print(n.find().reason)"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert f"has version 1 of the operators, not {VERSION}; install impasto again (pip install .)" in done.stdout


def test_an_unknown_instruction_set_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    said = reason(monkeypatch, IMPASTO_OPS_ISA="avx3")
    assert f"IMPASTO_OPS_ISA is 'avx3'; this processor has {', '.join(instruction_sets())}" in said

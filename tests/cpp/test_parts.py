"""Parts of the library alone: resampling against Pillow, the root of a covariance against NumPy, and the manifest."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from impasto.engine.images import interpolate, resize
from impasto.export.square_root import root
from tests.cpp.conftest import Built

SIZES = [
    (40, 30, 20, 15), (40, 30, 80, 60), (33, 17, 16, 40), (50, 50, 7, 7), (7, 7, 50, 50),
    (64, 48, 63, 47), (64, 48, 65, 49), (100, 3, 10, 3), (3, 100, 3, 10), (1, 1, 9, 9),
    (90, 60, 1, 1), (31, 29, 62, 29), (31, 29, 31, 58), (120, 80, 45, 30), (45, 30, 120, 80),
    (2, 2, 3, 5), (128, 96, 91, 68), (91, 68, 128, 96), (77, 55, 13, 99), (13, 99, 77, 55),
]  # fmt: skip


def resampled(built: Built, pixels: np.ndarray, width: int, height: int, kind: str) -> np.ndarray:
    planes = np.ascontiguousarray(pixels.transpose(2, 0, 1), np.float32)
    arguments = ("resize", pixels.shape[1], pixels.shape[0], width, height, kind)
    out = built.run("impasto-inside", *arguments, given=planes.tobytes()).stdout
    return np.frombuffer(out, np.float32).reshape(3, height, width).transpose(1, 2, 0)


@pytest.mark.parametrize("size", SIZES)
def test_lanczos_is_pillows(built: Built, size: tuple[int, int, int, int]) -> None:
    width, height, new_width, new_height = size
    levels = np.random.default_rng(width).integers(0, 256, (height, width, 3), np.uint8)
    pixels = levels.astype(np.float32) / np.float32(255)
    found = resampled(built, pixels, new_width, new_height, "lanczos")
    np.testing.assert_array_equal(found, resize(pixels, new_height, new_width))
    in_bytes = np.asarray(Image.fromarray(levels).resize((new_width, new_height), Image.Resampling.LANCZOS), int)
    in_levels = resampled(built, pixels, new_width, new_height, "levels")
    assert np.abs(np.rint(in_levels * 255) - in_bytes).max() <= 1


def test_bilinear_is_pillows(built: Built) -> None:
    pixels = np.random.default_rng(1).random((24, 31, 3), np.float32)
    np.testing.assert_allclose(resampled(built, pixels, 62, 40, "bilinear"), interpolate(pixels, 40, 62), atol=1e-6)


@pytest.mark.parametrize(("size", "rank"), [(1, 1), (2, 2), (5, 5), (16, 7), (64, 64), (96, 20)])
def test_the_root_is_numpys(built: Built, size: int, rank: int) -> None:
    """B is unique up to the signs of its columns, and its product is what counts."""
    rng = np.random.default_rng(size)
    factors = rng.standard_normal((size, rank)) * np.logspace(0, -2, rank)
    covariance = (factors @ factors.T).astype(np.float32)
    found = np.frombuffer(
        built.run("impasto-inside", "root", size, given=covariance.tobytes()).stdout, np.float32
    ).reshape(size, size)
    expected = root(covariance[None])[0]
    scale = np.abs(covariance).max()
    product, wanted = (value.astype(np.float64) @ value.astype(np.float64).T for value in (found, expected))
    np.testing.assert_allclose(product, wanted, atol=2e-6 * scale)
    assert (np.abs(found).max(0) > 0).sum() == (np.abs(expected).max(0) > 0).sum()


def test_a_matrix_of_zeros_has_a_root_of_zeros(built: Built) -> None:
    out = built.run("impasto-inside", "root", 4, given=np.zeros((4, 4), np.float32).tobytes()).stdout
    assert not np.frombuffer(out, np.float32).any()


def test_a_root_that_does_not_converge_is_an_error(built: Built) -> None:
    matrix = np.full((4, 4), np.nan, np.float32).tobytes()
    ended = built.run("impasto-inside", "root", 4, given=matrix, status=1)
    assert b"did not converge" in ended.stdout


def test_the_manifest_is_read(built: Built, bundle: Path) -> None:
    assert built.run("impasto-inside", "manifest", given=(bundle / "manifest.json").read_bytes()).stdout == b"fine\n"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "unexpected character at byte 0"),
        ("{", "unexpected character at byte 1"),
        ('{"a": 1, "a": 2}', "a key is given twice"),
        ('{"a": 1e999}', "a number out of range"),
        ("[" * 50, "nested too deep"),
        ('{"a": "\\ud800"}', "lone surrogate"),
        ("{} x", "text after the end"),
        ('{"a": 01}', "unexpected character"),
        ("nul", "unexpected word"),
        ("[1]", "of another format"),
    ],
)
def test_text_that_is_no_manifest_is_refused(built: Built, text: str, said: str) -> None:
    assert said in built.run("impasto-inside", "manifest", given=text.encode()).stdout.decode()


def port(manifest: Any, graph: str, side: str, name: str) -> Any:
    """Return an input or output of a graph of the only size."""
    return next(one for one in manifest["sizes"][0][graph][side] if one["name"] == name)


def state(manifest: Any, name: str) -> Any:
    return next(one for one in manifest["sizes"][0]["step"]["state"] if one["name"] == name)


def twice(values: list[Any], name: str, **changes: Any) -> None:
    values.append({**next(one for one in values if one["name"] == name), **changes})


HUGE = 2**34
MANIFESTS: dict[str, tuple[Callable[[Any], object], str]] = {
    "weights_dtype": (
        lambda m: port(m, "objective", "inputs", "weights").update(dtype="int64"),
        "weights of objective.onnx has another form",
    ),
    "input_twice": (
        lambda m: twice(m["sizes"][0]["objective"]["inputs"], "image", shape=[1, 3, 1, 1]),
        "objective.onnx has image twice",
    ),
    "output_twice": (
        lambda m: twice(m["sizes"][0]["step"]["outputs"], "image", shape=[1, 3, 1, 1]),
        "step.onnx has image twice",
    ),
    "state_twice": (
        lambda m: twice(m["sizes"][0]["step"]["state"], "x", next="x.other"),
        "state x of step.onnx is given twice",
    ),
    "state_named_as_an_input": (
        lambda m: state(m, "row").update(name="limit"),
        "state limit of step.onnx is given twice",
    ),
    "free_input": (
        lambda m: port(m, "objective", "inputs", "gram_relu1_1").update(shape=[1, "c", "c"]),
        "target gram_relu1_1 has another form",
    ),
    "free_weights": (
        lambda m: [
            port(m, "objective", side, name).update(shape=[1, "n"])
            for side, name in (("inputs", "weights"), ("outputs", "terms"))
        ],
        "weights of objective.onnx has another form",
    ),
    "unknown_input": (
        lambda m: m["sizes"][0]["objective"]["inputs"].append({"name": "limit", "dtype": "float32", "shape": [1]}),
        "objective.onnx takes limit, which no term gives",
    ),
    "input_without_term": (
        lambda m: m["sizes"][0]["objective"]["inputs"].append({"name": "mean_x", "dtype": "float32", "shape": [1]}),
        "objective.onnx takes mean_x, which no term gives",
    ),
    "target_that_is_the_image": (
        lambda m: m["results"][0]["scales"][0]["terms"][0].update(targets=["image"]),
        "has an unknown target, image",
    ),
    "power_of_another": (
        lambda m: m["results"][0]["scales"][0]["terms"][0].update(
            power={"of": ["gram_other"], "sum": "trace", "divisor": 1, "exponent": 1}
        ),
        "has a power of gram_other, which is no target of it",
    ),
    "step_terms": (
        lambda m: port(m, "step", "inputs", "terms").update(shape=[1, 99]),
        "terms of step.onnx has another form",
    ),
    "step_weights": (
        lambda m: (
            m["sizes"][0]["step"]["inputs"].append({"name": "coefficients", "dtype": "float32", "shape": [1, 3]}),
            m["sizes"][0]["step"]["outputs"].append({"name": "weights", "dtype": "float64", "shape": [1, 3]}),
        ),
        "weights of step.onnx has another form",
    ),
    "between_scalars": (
        lambda m: m["optimiser"]["between_scales"].append({"name": "scalars", "filter": "lanczos", "area_power": 0}),
        "state scalars of step.onnx is no image",
    ),
    "between_unknown": (
        lambda m: m["optimiser"]["between_scales"].append({"name": "none", "filter": "lanczos", "area_power": 0}),
        "step.onnx has no state none",
    ),
    "product": (
        lambda m: port(m, "step", "outputs", "picture").update(shape=[HUGE, HUGE, 1, 1]),
        "a shape is too large",
    ),
    "product_of_zero": (
        lambda m: port(m, "step", "outputs", "picture").update(shape=[2**32, 2**32, 4]),
        "a shape is too large",
    ),
    "number_beyond_float32": (
        lambda m: m["results"][0]["scales"][0]["terms"][0].update(factor=1e300),
        "a number is too large for float32",
    ),
    "bounds_beyond_float32": (
        lambda m: m["optimiser"].update(bounds=[-1e300, 1e300]),
        "a number is too large for float32",
    ),
    "many_scales": (
        lambda m: m["results"][0].update(scales=m["results"][0]["scales"] * 200),
        "a result has 200 scales",
    ),
    "size_out_of_the_list": (
        lambda m: m["results"][0]["scales"][0].update(size=1),
        "a result has a size that is not in the list",
    ),
    "size_as_a_fraction": (
        lambda m: m["results"][0]["scales"][0].update(size=0.5),
        "expected a whole number",
    ),
    "targets_of_one_size": (
        lambda m: m["targets"]["inputs"][0].update(shape=[1, 3, 48, 64]),
        "image of targets.onnx has another form",
    ),
    "targets_dtype": (
        lambda m: m["targets"]["outputs"][0].update(dtype="float64"),
        "of targets.onnx has another form",
    ),
    "objective_dtype": (
        lambda m: port(m, "objective", "outputs", "d_image").update(dtype="bfloat16"),
        "it has an unknown dtype, bfloat16",
    ),
}


@pytest.mark.parametrize("name", MANIFESTS)
def test_a_manifest_whose_parts_disagree_is_refused(built: Built, bundle: Path, name: str) -> None:
    change, said = MANIFESTS[name]
    manifest = json.loads((bundle / "manifest.json").read_text())
    change(manifest)
    ended = built.run("impasto-inside", "manifest", given=json.dumps(manifest).encode())
    assert said in ended.stdout.decode()

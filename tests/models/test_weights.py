import os
import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file
from safetensors.torch import save_file as save_torch_file

from impasto.models.errors import ImpastoError
from impasto.models.preprocess import OXFORD, TORCHVISION, Preprocess
from impasto.models.sources import OXFORD_VGG, UNKNOWN, Origin
from impasto.models.vgg import VGG19, Conv, sequential
from impasto.models.weight_files import READERS
from impasto.models.weights import Weights, read_weights

Arrays = dict[str, np.ndarray]

TINY = sequential("tiny", ((4, 5), (6,)))
DEEPER = sequential("deeper", ((4, 5), (6, 7), (8,)))
NUMBERS = {"conv1_1": 0, "conv1_2": 2, "conv2_1": 5, "conv2_2": 7, "conv3_1": 10}


@pytest.fixture
def arrays() -> Arrays:
    rng = np.random.default_rng(0)
    return {name: rng.normal(0, 0.1, shape).astype(np.float32) for name, shape in DEEPER.parameter_shapes.items()}


def numbered(arrays: Arrays) -> Arrays:
    """The keys of torchvision's nn.Sequential, with a classifier."""
    result = {f"features.{NUMBERS[key.split('.')[0]]}.{key.split('.')[1]}": value for key, value in arrays.items()}
    return {**result, "classifier.0.weight": np.ones((3, 2), np.float32), "classifier.0.bias": np.ones(3, np.float32)}


def save_pth(arrays: Arrays, path: Path, **options: bool) -> None:
    torch.save({key: torch.from_numpy(value) for key, value in arrays.items()}, path, **options)


def save_old_pth(arrays: Arrays, path: Path) -> None:
    """The form of torchvision's and the Caffe ports' files, which are older than torch's zip archives."""
    save_pth(arrays, path, _use_new_zipfile_serialization=False)


def save_checkpoint(arrays: Arrays, path: Path) -> None:
    torch.save({"state_dict": {key: torch.from_numpy(value) for key, value in arrays.items()}, "epoch": 7}, path)


def save_npz(arrays: Arrays, path: Path) -> None:
    np.savez(path, **arrays)  # type: ignore[arg-type]


FORMATS: list[tuple[str, Callable[[Arrays, Path], None]]] = [
    ("w.safetensors", save_file),
    ("w.npz", save_npz),
    ("w.pth", save_pth),
    ("w.pt", save_old_pth),
    ("W.PTH", save_checkpoint),
]


def assert_same(weights: Weights, arrays: Arrays) -> None:
    assert list(weights.arrays) == list(TINY.parameter_shapes)
    for key, value in weights.arrays.items():
        assert value.dtype == np.float32
        np.testing.assert_array_equal(value, arrays[key])


@pytest.mark.parametrize(("name", "save"), FORMATS)
@pytest.mark.parametrize("keys", ["named", "numbered"])
def test_every_format_with_both_spellings(
    tmp_path: Path, arrays: Arrays, name: str, save: Callable[[Arrays, Path], None], keys: str
) -> None:
    path = tmp_path / name
    save(arrays if keys == "named" else numbered(arrays), path)
    weights = read_weights(path, TINY)
    assert_same(weights, arrays)
    assert weights.layout == ("oxford" if keys == "named" else "torchvision")
    assert weights.preprocess == (OXFORD if keys == "named" else TORCHVISION)
    assert weights.origin == UNKNOWN
    assert len(weights.sha256) == 64


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float64"])
@pytest.mark.parametrize("kind", ["safetensors", "pth"])
def test_other_precisions_become_float32(tmp_path: Path, arrays: Arrays, dtype: str, kind: str) -> None:
    tensors = {key: torch.from_numpy(value).to(getattr(torch, dtype)) for key, value in arrays.items()}
    path = tmp_path / f"w.{kind}"
    if kind == "pth":
        torch.save(tensors, path)
    else:
        save_torch_file(tensors, path)
    assert_same(read_weights(path, TINY), {key: value.float().numpy() for key, value in tensors.items()})


def test_layouts_by_name(tmp_path: Path, arrays: Arrays) -> None:
    path = tmp_path / "w.npz"
    save_npz(numbered(arrays), path)
    caffe, oxford = read_weights(path, TINY, "caffe"), read_weights(path, TINY, "oxford")
    assert_same(oxford, arrays)
    assert caffe.preprocess == oxford.preprocess == OXFORD
    np.testing.assert_array_equal(caffe.arrays["conv1_1.weight"], arrays["conv1_1.weight"][:, ::-1])
    np.testing.assert_array_equal(caffe.arrays["conv1_2.weight"], arrays["conv1_2.weight"])
    with pytest.raises(ImpastoError, match=r"^unknown layout 'bgr': it is one of torchvision, caffe, oxford$"):
        read_weights(path, TINY, "bgr")


def test_metadata_states_preprocessing_and_origin(tmp_path: Path, arrays: Arrays) -> None:
    own = Preprocess(2.0, (1.0, 1.0, 1.0))
    path = tmp_path / "w.safetensors"
    save_file(arrays, path, {"preprocess": own.to_json(), "licence": "MIT", "attribution": "A. Painter"})
    weights = read_weights(path, TINY)
    assert weights.preprocess == own
    assert weights.origin == Origin("MIT", "A. Painter")
    assert read_weights(path, TINY, "torchvision").preprocess == TORCHVISION  # what the caller says comes first


def message(path: Path) -> str:
    with pytest.raises(ImpastoError) as caught:
        read_weights(path, TINY)
    text = str(caught.value)
    assert "\n" not in text
    return text


def test_a_missing_layer(tmp_path: Path, arrays: Arrays) -> None:
    path = tmp_path / "w.npz"
    del arrays["conv1_2.bias"]
    save_npz(arrays, path)
    assert message(path) == (
        f"weights of another network: {path} has no conv1_2.bias, tiny needs it; the file's first key is conv1_1.weight"
    )
    save_npz(numbered(arrays), path)
    assert message(path) == (
        f"weights of another network: {path} has no features.2.bias, tiny needs it; "
        "the file's first key is features.0.weight"
    )


def test_another_shape(tmp_path: Path, arrays: Arrays) -> None:
    path = tmp_path / "w.npz"
    save_npz({**numbered(arrays), "features.5.weight": np.zeros((6, 5, 5, 5), np.float32)}, path)
    assert message(path) == (
        f"weights of another network: features.5.weight in {path} has shape 6x5x5x5, tiny needs 6x5x3x3"
    )


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_values_that_are_no_numbers(tmp_path: Path, arrays: Arrays, bad: float) -> None:
    path = tmp_path / "w.npz"
    arrays["conv2_1.bias"][3] = bad
    save_npz(arrays, path)
    assert message(path) == f"damaged weights: conv2_1.bias in {path} holds NaN or infinite values; get the file again"


@pytest.mark.parametrize(("name", "save"), [("w.npz", save_npz), ("w.pth", save_pth)])
def test_integers_are_no_weights(
    tmp_path: Path, arrays: Arrays, name: str, save: Callable[[Arrays, Path], None]
) -> None:
    path = tmp_path / name
    save({**arrays, "conv1_1.bias": np.arange(4)}, path)
    assert message(path) == f"not weights: conv1_1.bias in {path} holds int64, expected floating-point numbers"


def test_no_file_and_unknown_kinds(tmp_path: Path) -> None:
    assert message(tmp_path / "w.pth") == f"no such file: {tmp_path / 'w.pth'}"
    assert message(tmp_path / "w.h5") == (
        f"unknown kind of weights file: {tmp_path / 'w.h5'}; it is one of .safetensors, .pth, .pt, .npz"
    )
    (tmp_path / "folder.pth").mkdir()
    assert message(tmp_path / "folder.pth") == f"cannot read {tmp_path / 'folder.pth'}: it is a folder"


@pytest.mark.parametrize("kind", READERS)
@pytest.mark.parametrize("content", [b"", b"\x00", b"garbage, not weights " * 50, b"<!DOCTYPE html><html>404</html>"])
def test_files_of_something_else(tmp_path: Path, kind: str, content: bytes) -> None:
    path = tmp_path / f"w{kind}"
    path.write_bytes(content)
    assert message(path).startswith(f"damaged or truncated weights file: {path} (")


@pytest.mark.parametrize(("name", "save"), FORMATS)
def test_files_cut_anywhere(tmp_path: Path, arrays: Arrays, name: str, save: Callable[[Arrays, Path], None]) -> None:
    path = tmp_path / name
    save(arrays, path)
    whole = path.read_bytes()
    for length in (*range(1, 60, 7), *range(60, len(whole), len(whole) // 12), len(whole) - 1):
        path.write_bytes(whole[:length])
        assert message(path).startswith("damaged or truncated weights file: "), length


def test_an_array_instead_of_an_archive(tmp_path: Path) -> None:
    path = tmp_path / "w.npz"
    with path.open("wb") as file:
        np.save(file, np.ones(3))
    assert message(path).startswith("damaged or truncated weights file: ")


class Harmful:
    """A pickle of this makes a folder when it is loaded without care."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> tuple[Callable[[str], None], tuple[str]]:
        return os.mkdir, (str(self.folder),)


def test_a_pickle_is_not_run(tmp_path: Path, arrays: Arrays) -> None:
    path, harm = tmp_path / "w.pth", tmp_path / "harm"
    torch.save({**arrays, "x": Harmful(harm)}, path)
    assert message(path) == (
        f"unsafe weights file: {path} holds Python objects as well as tensors; "
        "save the network's state_dict() and import that"
    )
    np.savez(tmp_path / "w.npz", x=np.array([Harmful(harm)], dtype=object))
    assert message(tmp_path / "w.npz").startswith("damaged or truncated weights file: ")
    (tmp_path / "raw.pth").write_bytes(pickle.dumps(Harmful(harm)))
    message(tmp_path / "raw.pth")
    assert not harm.exists()
    pickle.loads(pickle.dumps(Harmful(harm)))  # noqa: S301
    assert harm.exists()  # so the files above would have done it


def test_pth_files_without_weights(tmp_path: Path) -> None:
    path = tmp_path / "w.pth"
    torch.save(torch.ones(3), path)
    assert message(path) == f"no weights in {path}: it holds a Tensor, expected a state_dict"
    torch.save({"epoch": 3}, path)
    assert message(path) == f"no weights in {path}: it holds no arrays"


def test_pth_without_torch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "w.pth"
    path.write_bytes(b"anything")
    monkeypatch.setitem(__import__("sys").modules, "torch", None)
    assert message(path) == (
        f"reading {path} needs PyTorch: pip install 'impasto[export]', or convert the file to .safetensors"
    )


def test_the_real_weights(shared: Path) -> None:
    weights = read_weights(shared / "weights" / "vgg19_oxford.safetensors")
    assert weights.layout == "oxford"
    assert weights.preprocess == OXFORD
    assert weights.origin == OXFORD_VGG
    assert weights.sha256 == "5dbd849c2eb745203ba0f19048c67520a92a6c00cb4da3a0d0fc82cb807ef637"
    assert {key: value.shape for key, value in weights.arrays.items()} == VGG19.parameter_shapes


def test_the_real_weights_as_a_caffe_port(shared: Path, tmp_path: Path) -> None:
    real = read_weights(shared / "weights" / "vgg19_oxford.safetensors")
    port, index = {}, 0
    for layer in VGG19.layers:
        if isinstance(layer, Conv):
            for part in ("weight", "bias"):
                port[f"features.{index}.{part}"] = real.arrays[f"{layer.name}.{part}"]
            index += 1
        index += 1
    port["features.0.weight"] = port["features.0.weight"][:, ::-1].copy()
    path = tmp_path / "vgg19-d01eb7cb.pth"
    save_old_pth(port, path)
    found = read_weights(path)
    assert found.layout == "caffe"
    assert found.preprocess == OXFORD
    assert found.origin == OXFORD_VGG
    for key, value in real.arrays.items():
        np.testing.assert_array_equal(found.arrays[key], value)

"""Checkpoints: what comes back is what was saved, and one line for every file that is something else."""

import dataclasses
import json
import os
import resource
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from safetensors import safe_open
from safetensors.numpy import save_file

from impasto.engine import Engine, ImpastoError, Iteration, Settings, content_reconstruction, style_reconstruction
from impasto.engine.inputs.checkpoint import check_checkpoint_path, load_checkpoint, save_checkpoint
from impasto.engine.inputs.run_state import RunState
from impasto.engine.inputs.saved_style import SavedStyle
from impasto.models.errors import ImpastoError as Base
from tests.engine.conftest import Files

TAPS: dict[str, Any] = {"content_taps": ("relu2_1",), "style_taps": ("relu1_1", "relu3_1=0.5")}
SETTINGS = Settings(size=48, iterations=6, content_weight=1e-5, **TAPS)
Arrays = dict[str, np.ndarray]


def with_alpha(files: Files) -> Path:
    path = files.folder / "alpha.png"
    with Image.open(files.content) as image:
        image.putalpha(Image.fromarray(np.tile(np.arange(64, dtype=np.uint8) * 4, (48, 1))))
        image.save(path)
    return path


def saved_style(files: Files) -> Path:
    path = files.folder / "style.safetensors"
    with Engine(files.model, provider="cpu", threads=1) as engine:
        engine.save_style(files.style, path, SETTINGS)
    return path


def state_of(files: Files, settings: Settings = SETTINGS, at: int = 4, loop: str = "host", **images: Any) -> RunState:
    """The state of a run at an iteration."""
    content, style = images.get("content", files.content), images.get("style", files.style)
    with Engine(files.model, provider="cpu", threads=1, loop=loop) as engine:
        steps = engine.steps(content, style, settings)
        return next(event.state() for event in steps if isinstance(event, Iteration) and event.iteration == at)


CASES: dict[str, Callable[[Files], RunState]] = {
    "lbfgs": state_of,
    "no curvature pairs": lambda files: state_of(files, at=1),
    "plain-lbfgs": lambda files: state_of(files, dataclasses.replace(SETTINGS, optimizer="plain-lbfgs")),
    "adam": lambda files: state_of(files, dataclasses.replace(SETTINGS, optimizer="adam", timeout_s=1e6)),
    "device": lambda files: state_of(files, loop="device"),
    "noise, canvas": lambda files: state_of(
        files, style_reconstruction(TAPS["style_taps"], canvas=(64, 48), iterations=6, seamless=True), content=None
    ),
    "alpha": lambda files: state_of(files, content=with_alpha(files)),
    "saved style": lambda files: state_of(files, style=saved_style(files)),
    "no style": lambda files: state_of(files, content_reconstruction(["relu2_1"], size=48, iterations=6), style=None),
    "limits": lambda files: state_of(files, dataclasses.replace(SETTINGS, evaluations=9, bounded=False, tv_weight=0.1)),
}


@pytest.mark.parametrize("name", CASES)
def test_every_field_and_array_comes_back(files: Files, name: str) -> None:
    state, path = CASES[name](files), files.folder / "run.safetensors"
    save_checkpoint(state, path, {"output": "o.png", "bits": 8})
    back, extra = load_checkpoint(str(path))
    assert extra == {"output": "o.png", "bits": 8}
    for field in dataclasses.fields(RunState):
        one, other = getattr(state, field.name), getattr(back, field.name)
        if field.name not in ("scene", "painting", "optimiser"):
            assert other == one, field.name
            assert type(other) is type(one), field.name
    assert_equal(back.optimiser, state.optimiser)
    assert_same_picture(back.scene, state.scene)
    assert back.painting.name == state.painting.name
    if isinstance(state.painting, SavedStyle):
        assert isinstance(back.painting, SavedStyle)
        assert back.painting.origin == state.painting.origin
        assert_equal(dict(back.painting.grams), dict(state.painting.grams))
    else:
        assert_same_picture(back.painting, state.painting)
    save_checkpoint(back, files.folder / "again.safetensors", extra)
    assert (files.folder / "again.safetensors").read_bytes() == path.read_bytes()


def assert_equal(one: Arrays, other: Arrays) -> None:
    assert one.keys() == other.keys()
    for name, array in one.items():
        np.testing.assert_array_equal(array, other[name], err_msg=name, strict=True)


def assert_same_picture(one: Any, other: Any) -> None:
    assert one.name == other.name
    np.testing.assert_array_equal(one.pixels, other.pixels, strict=True)
    assert (one.alpha is None) == (other.alpha is None)
    if one.alpha is not None:
        np.testing.assert_array_equal(one.alpha, other.alpha, strict=True)


@pytest.fixture
def checkpoint(files: Files) -> Path:
    path = files.folder / "run.safetensors"
    save_checkpoint(state_of(files), path)
    return path


def complaint(path: Path) -> str:
    with pytest.raises(ImpastoError) as caught:
        load_checkpoint(path)
    message = str(caught.value)
    assert "\n" not in message
    assert len(message) < 300 + len(str(path))
    return message


@pytest.mark.parametrize("twentieth", range(20))
def test_a_truncated_file(checkpoint: Path, twentieth: int) -> None:
    whole = checkpoint.read_bytes()
    checkpoint.write_bytes(whole[: len(whole) * twentieth // 20])
    assert complaint(checkpoint).startswith(f"damaged checkpoint: {checkpoint} (")


def test_one_byte_less_or_more(checkpoint: Path) -> None:
    whole = checkpoint.read_bytes()
    for damaged in (whole[:-1], whole + b"\0"):
        checkpoint.write_bytes(damaged)
        assert complaint(checkpoint).startswith(f"damaged checkpoint: {checkpoint} (")


@pytest.mark.parametrize("twentieth", range(20))
def test_a_changed_byte(checkpoint: Path, twentieth: int) -> None:
    whole = bytearray(checkpoint.read_bytes())
    whole[len(whole) * twentieth // 20 + 9] ^= 0x10
    checkpoint.write_bytes(whole)
    assert "checkpoint" in complaint(checkpoint)


def contents(path: Path) -> tuple[dict[str, Any], Arrays]:
    with safe_open(path, framework="numpy") as file:
        arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (no mapping)
        return json.loads(file.metadata()["impasto"]), arrays


@pytest.mark.parametrize(
    ("metadata", "said"),
    [
        (None, "not a checkpoint: "),
        ({"format": "pt"}, "not a checkpoint: "),
        ({"impasto": '{"kind": "style"}'}, "not a checkpoint: "),
        ({"impasto": '{"kind": "checkpoint", "format": 2}'}, " is of checkpoint format 2, and this version reads 1; "),
        ({"impasto": '{"kind": "checkpoint"}'}, " is of checkpoint format None, and this version reads 1; "),
        ({"impasto": '{"kind": "checkpoint", "format": 1}'}, "damaged checkpoint: "),
        ({"impasto": "[1]"}, "damaged checkpoint: "),
        ({"impasto": "no JSON"}, "damaged checkpoint: "),
        ({"impasto": "[" * 100_000}, "damaged checkpoint: "),
    ],
)
def test_files_that_are_something_else(tmp_path: Path, metadata: dict[str, str] | None, said: str) -> None:
    path = tmp_path / "other.safetensors"
    save_file({"a": np.zeros(3, np.float32)}, path, metadata)
    assert said in complaint(path)
    assert str(path) in complaint(path)


def test_no_file_a_folder_and_a_picture(files: Files) -> None:
    assert complaint(files.folder / "no.safetensors") == f"no such file: {files.folder}/no.safetensors"
    assert complaint(files.folder) == f"cannot read {files.folder}: it is a folder"
    os.mkfifo(files.folder / "pipe.safetensors")
    assert complaint(files.folder / "pipe.safetensors").endswith("it is a pipe; save what it gives to a file first")
    assert complaint(files.content).startswith(f"not a checkpoint: {files.content}; ")
    assert complaint(saved_style(files)).startswith("not a checkpoint: ")


BAD_RECORDS: list[dict[str, Any]] = [
    {"iteration": -1},
    {"iteration": "4"},
    {"evaluations": None},
    {"loss": float("nan")},
    {"seconds": float("inf")},
    {"terms": {"a": float("nan")}},
    {"terms": {"a": "1"}},
    {"optimiser_from": [1]},
    {"optimiser_from": [0, 99]},
    {"optimiser_from": ["a", "b"]},
    {"loop": 3},
    {"settings": {"iterations": -3}},
    {"settings": {"colour": "red"}},
    {"settings": {"history": None}},
    {"settings": []},
    {"origin": {"model": "x"}},
    {"extra": None},
    {"seconds": 10**400},
    {"terms": {"a": 10**400}},
    {"extra": {"deep": [[[[[[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]]]]]}},
    {"settings": {"timeout_s": float("inf")}},
    {"settings": {"bounded": "no"}},
]


@pytest.mark.parametrize("changed", BAD_RECORDS, ids=str)
def test_values_that_cannot_be_are_refused_even_if_the_checksum_is_right(
    files: Files, monkeypatch: pytest.MonkeyPatch, changed: dict[str, Any]
) -> None:
    path = files.folder / "run.safetensors"
    save_checkpoint(state_of(files), path)
    monkeypatch.setattr("impasto.engine.inputs.checkpoint._checksum", lambda record, arrays: 0)
    record, arrays = contents(path)
    save_file(arrays, path, {"impasto": json.dumps({**record, "checksum": 0})})
    load_checkpoint(path)
    save_file(arrays, path, {"impasto": json.dumps({**record, "checksum": 0, **changed})})
    assert complaint(path).startswith(f"damaged checkpoint: {path} (")


BAD_ARRAYS: dict[str, Callable[[Arrays], object]] = {
    "x of another size": lambda arrays: arrays.update({"optimiser.x": np.zeros(7, np.float32)}),
    "x of another type": lambda arrays: arrays.update({"optimiser.x": arrays["optimiser.x"].astype(np.float64)}),
    "x not finite": lambda arrays: arrays.update({"optimiser.x": arrays["optimiser.x"] * np.float32("nan")}),
    "no x": lambda arrays: arrays.pop("optimiser.x"),
    "no content": lambda arrays: arrays.pop("content"),
    "flat content": lambda arrays: arrays.update({"content": arrays["content"].reshape(-1)}),
    "content of another type": lambda arrays: arrays.update({"content": arrays["content"].astype(np.float16)}),
    "content not finite": lambda arrays: arrays.update({"content": arrays["content"] * np.float32("inf")}),
    "style without channels": lambda arrays: arrays.update({"style": arrays["style"][..., 0].copy()}),
    "alpha of another size": lambda arrays: arrays.update({"content.alpha": np.zeros((3, 3), np.float32)}),
}


@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")
@pytest.mark.parametrize("name", BAD_ARRAYS)
def test_arrays_that_cannot_be_are_refused_even_if_the_checksum_is_right(
    files: Files, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    path = files.folder / "run.safetensors"
    monkeypatch.setattr("impasto.engine.inputs.checkpoint._checksum", lambda record, arrays: 0)
    save_checkpoint(state_of(files), path)
    record, arrays = contents(path)
    BAD_ARRAYS[name](arrays)
    save_file(arrays, path, {"impasto": json.dumps(record)})
    assert complaint(path).startswith(f"damaged checkpoint: {path} (")


def test_a_saved_style_that_lacks_a_matrix(files: Files) -> None:
    state, path = state_of(files, style=saved_style(files)), files.folder / "run.safetensors"
    assert isinstance(state.painting, SavedStyle)
    fewer = dict(list(state.painting.grams.items())[:1])
    save_checkpoint(dataclasses.replace(state, painting=dataclasses.replace(state.painting, grams=fewer)), path)
    assert "it lacks matrices" in complaint(path)
    square = {name: gram[:, :2] for name, gram in state.painting.grams.items()}
    save_checkpoint(dataclasses.replace(state, painting=dataclasses.replace(state.painting, grams=square)), path)
    assert "gram_relu1_1 is float32 (1, 2, 6)" in complaint(path)


def changed(name: str, change: Callable[[np.ndarray], np.ndarray]) -> Callable[[Arrays], object]:
    return lambda arrays: arrays.update({name: change(arrays[name])})


BAD_STATES: dict[str, Callable[[Arrays], object]] = {
    "gradient is missing": lambda arrays: arrays.pop("gradient"),
    "gradient is float64": changed("gradient", lambda array: array.astype(np.float64)),
    "gradient is float32 (1,)": changed("gradient", lambda array: array[:1]),  # would be spread over the whole
    "gradient is not finite": changed("gradient", lambda array: array * np.float32("nan")),
    "counts are -4": changed("counts", lambda array: -array),
    "counts are 9": changed("counts", lambda array: np.array([9, 3])),
    "counts is int64 (1,)": changed("counts", lambda array: array[:1]),
    "gradient_scale is not finite": changed("gradient_scale", lambda array: array * np.nan),
    "loss is float32": changed("loss", lambda array: array.astype(np.float32)),
    "slots is missing": lambda arrays: arrays.pop("slots"),
    "slots is int64 (23,)": changed("slots", lambda array: np.arange(23)),
    "slots are [0, 0,": changed("slots", lambda array: array * 0),
    "s is missing": lambda arrays: arrays.pop("s"),
    "s is float32 (2,": changed("s", lambda array: array[:2]),
    "y is float32": changed("y", lambda array: array[:, :-3]),
    "y is not finite": changed("y", lambda array: array / np.float32(0)),
    "s_dot_gradient is float64 (1,)": changed("s_dot_gradient", lambda array: array[:1]),
    "s_dot_y is float64 (1, 1)": changed("s_dot_y", lambda array: array[:1, :1]),
    "inverse": lambda arrays: [arrays.pop(name) for name in list(arrays) if name.startswith("inverse_")],
    "energies is float64 (2, 3, 9)": changed("inverse_energies", lambda array: array[..., :-1]),
    "scalar is -": changed("inverse_scalar", lambda array: -array),
    "pairs is float64": changed("inverse_pairs", lambda array: array.astype(np.float64)),
}


@pytest.mark.filterwarnings("ignore:(divide by zero|invalid value):RuntimeWarning")
@pytest.mark.parametrize("said", BAD_STATES)
def test_damage_that_only_the_optimiser_sees(files: Files, said: str) -> None:
    state, path = state_of(files), files.folder / "run.safetensors"
    arrays = {name: array.copy() for name, array in state.optimiser.items()}
    BAD_STATES[said](arrays)
    save_checkpoint(dataclasses.replace(state, optimiser=arrays), path)
    line = refusal(files, load_checkpoint(path)[0])
    assert line.startswith("no run can continue from this state: ")
    assert line.endswith("; begin the run again")
    assert said in line or said == "inverse"


@pytest.mark.parametrize("name", ["mean", "mean_square", "counts"])
def test_damage_of_adam(files: Files, name: str) -> None:
    state = state_of(files, dataclasses.replace(SETTINGS, optimizer="adam"))
    arrays = {key: array for key, array in state.optimiser.items() if key != name}
    assert f"{name} is missing" in refusal(files, dataclasses.replace(state, optimiser=arrays))


@pytest.mark.parametrize("change", ["missing", "shape"])
def test_damage_that_only_the_device_sees(files: Files, change: str) -> None:
    state = state_of(files, loop="device")
    for name in set(state.optimiser) - {"x"}:
        arrays = dict(state.optimiser)
        array = arrays.pop(name)
        if change == "shape":
            arrays[name] = array.reshape(-1)[:1] if array.size > 1 else np.zeros(5, array.dtype)
        line = refusal(files, dataclasses.replace(state, optimiser=arrays), loop="device")
        assert line.startswith(f"no run can continue from this state: {name} is ")


def refusal(files: Files, state: RunState, loop: str = "host") -> str:
    with Engine(files.model, provider="cpu", threads=1, loop=loop) as engine, pytest.raises(Base) as caught:
        engine.resume(state)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@contextmanager
def largest_file(size: int) -> Iterator[None]:
    """As on a full disk."""
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, before)


def test_where_there_is_no_room_the_earlier_file_stays(files: Files, checkpoint: Path) -> None:
    before, state = checkpoint.read_bytes(), state_of(files, at=5)
    with largest_file(1000), pytest.raises(ImpastoError) as caught:
        save_checkpoint(state, checkpoint)
    assert str(caught.value).startswith(f"cannot write {checkpoint}: ")
    assert "\n" not in str(caught.value)
    assert checkpoint.read_bytes() == before
    assert sorted(path.name for path in files.folder.iterdir() if "run" in path.name) == ["run.safetensors"]


def test_places_that_are_refused_before_a_run(files: Files, checkpoint: Path) -> None:
    check_checkpoint_path(checkpoint)
    check_checkpoint_path(files.folder / "new.safetensors")
    style, weights = saved_style(files), files.folder / "weights.safetensors"
    save_file({"a": np.zeros(3, np.float32)}, weights)
    for path, said in (
        (files.folder / "run.npz", "a checkpoint is a .safetensors file; name it so"),
        (files.folder / "none" / "run.safetensors", "there is no folder"),
        (style, "it exists and is no checkpoint; give another name, or delete it"),
        (weights, "it exists and is no checkpoint; give another name, or delete it"),
    ):
        with pytest.raises(ImpastoError) as caught:
            check_checkpoint_path(path)
        assert str(caught.value).startswith(f"cannot write {path}: {said}")


def test_a_symbolic_link_is_followed(files: Files, checkpoint: Path) -> None:
    link = files.folder / "link.safetensors"
    link.symlink_to(checkpoint)
    save_checkpoint(state_of(files, at=5), link)
    assert link.is_symlink()
    assert load_checkpoint(checkpoint)[0].iteration == 5
    assert checkpoint.stat().st_mode & 0o777 == 0o666 & ~_umask()


def _umask() -> int:
    mask = os.umask(0o077)
    os.umask(mask)
    return mask

"""The folder of a bundle: other files are not replaced, an old bundle is not lost, and no other file is opened."""

import json
import shutil
from pathlib import Path
from typing import Any

import onnx
import pytest

from impasto.engine.bundle import Order, check_bundle, write_bundle
from impasto.engine.compile.network import load_network
from impasto.engine.settings import Settings
from impasto.models.checksum import sha256_of
from impasto.models.errors import ImpastoError
from tests.engine.bundle.conftest import TAPS
from tests.engine.command_line import run
from tests.engine.conftest import Files

ORDER = Order(Settings(size=64, **TAPS), ((64, 48),))


def snapshot(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_folder_of_other_files_is_left_alone(files: Files, capsys: pytest.CaptureFixture[str]) -> None:
    ended = run(capsys, "bundle", "-o", files.folder, "--model", files.model, "--preset", "paper", "--force")
    assert (ended.status, "it contains other files" in ended.err) == (2, True)
    assert files.content.is_file()


def a_manifest_of_npm(folder: Path) -> None:
    shutil.rmtree(folder)
    folder.mkdir()
    (folder / "manifest.json").write_text('{"name": "extension", "files": {}}')


def a_file_beside(folder: Path) -> None:
    (folder / "thesis.txt").write_text("unsaved elsewhere")


def a_file_below(folder: Path) -> None:
    (folder / "photos").mkdir()
    (folder / "photos" / "harbour.jpg").write_bytes(b"...")


def an_empty_folder(folder: Path) -> None:
    (folder / "photos").mkdir()


def a_link(folder: Path) -> None:
    (folder / "link").symlink_to(folder.parent)


@pytest.mark.parametrize("change", [a_manifest_of_npm, a_file_beside, a_file_below, an_empty_folder, a_link])
def test_only_a_bundle_without_other_files_is_replaced(files: Files, bundle: Path, change: Any) -> None:
    change(bundle)
    before = snapshot(bundle)
    with pytest.raises(ImpastoError, match="it contains other files, such as "):
        write_bundle(load_network(files.model), bundle, ORDER, replace=True)
    assert snapshot(bundle) == before


def test_a_bundle_of_another_version_is_replaced(files: Files, bundle: Path) -> None:
    path = bundle / "manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "format_version": 0}))
    write_bundle(load_network(files.model), bundle, ORDER, replace=True)
    assert check_bundle(bundle, 1)
    assert [path.name for path in bundle.parent.glob(".*")] == []


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_a_bundle_is_put_back_where_the_new_one_cannot_be_moved(
    files: Files, bundle: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    before = snapshot(bundle)
    rename = Path.rename

    def failing(path: Path, target: Path) -> Path:
        if path.name == "bundle" and path != bundle:
            raise error
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", failing)
    with pytest.raises((ImpastoError, KeyboardInterrupt)):
        write_bundle(load_network(files.model), bundle, ORDER, replace=True)
    assert snapshot(bundle) == before
    assert [path.name for path in bundle.parent.glob(".*")] == []


def test_a_bundle_that_can_be_neither_replaced_nor_put_back_is_kept(
    files: Files, bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, rename = snapshot(bundle), Path.rename

    def failing(path: Path, target: Path) -> Path:
        if path != bundle:
            raise PermissionError(13, "Permission denied")
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", failing)
    with pytest.raises(
        ImpastoError, match=r"cannot replace .* permission denied; the bundle that was there is .*-old: rename it"
    ):
        write_bundle(load_network(files.model), bundle, ORDER, replace=True)
    (kept,) = bundle.parent.glob(".bundle-*")
    assert snapshot(kept) == before


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


def tamper(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize("name", ["objective.onnx", "step.onnx", "targets.onnx", "pixels.onnx", "weights.bin"])
@pytest.mark.parametrize("damage", [truncate, tamper, Path.unlink])
def test_damage_is_found_by_name(bundle: Path, name: str, damage: Any) -> None:
    damage(bundle / name)
    with pytest.raises(ImpastoError, match=rf"{name} is (missing|not the file that was written)"):
        check_bundle(bundle)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"format": "other"}, "not a bundle"),
        ({"format_version": 2}, "format version 2, and this program reads 1"),
        ({"files": 3}, "lists no files"),
        ({"files": {"../weights.bin": {"bytes": 1, "sha256": ""}}}, "a file outside the folder"),
        ({"sizes": []}, "damaged bundle"),
    ],
)
def test_foreign_manifests_are_refused(bundle: Path, change: dict[str, Any], said: str) -> None:
    path = bundle / "manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(ImpastoError, match=said):
        check_bundle(bundle)


def rewrite(bundle: Path, name: str, place: str) -> None:
    """Have a graph take its weights from a place, and give the manifest its new hash."""
    model = onnx.load(bundle / name, load_external_data=False)
    for tensor in model.graph.initializer:
        for entry in tensor.external_data:
            if entry.key == "location":
                entry.value = place
    onnx.save(model, bundle / name)
    give_hash(bundle, name)


def give_hash(bundle: Path, name: str) -> None:
    record = json.loads((bundle / "manifest.json").read_text())
    path = bundle / name
    record["files"][name] = {"bytes": path.stat().st_size, "sha256": sha256_of(path)}
    (bundle / "manifest.json").write_text(json.dumps(record))


@pytest.mark.parametrize("place", ["unlisted.bin", "../weights.bin", "{}/weights.bin", "./weights.bin", "step.onnx"])
def test_graphs_take_weights_from_the_listed_file_alone(bundle: Path, place: str) -> None:
    for copy in (bundle / "unlisted.bin", bundle.parent / "weights.bin"):
        shutil.copy(bundle / "weights.bin", copy)
    place = place.format(bundle.parent)
    rewrite(bundle, "targets.onnx", place)
    with pytest.raises(ImpastoError) as raised:
        check_bundle(bundle, 1)
    assert f"targets.onnx takes weights from {place}; allowed is weights.bin" in str(raised.value)


def test_weights_of_a_constant_are_weights_too(bundle: Path) -> None:
    model = onnx.load(bundle / "pixels.onnx", load_external_data=False)
    (white,) = model.graph.initializer
    constant = onnx.helper.make_node("Constant", [], ["white"], value=white)
    tensor = constant.attribute[0].t
    tensor.ClearField("raw_data")
    tensor.data_location = onnx.TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="/etc/hostname")
    del model.graph.initializer[:]
    model.graph.node.insert(0, constant)
    onnx.save(model, bundle / "pixels.onnx")
    give_hash(bundle, "pixels.onnx")
    with pytest.raises(ImpastoError, match=r"pixels.onnx takes weights from /etc/hostname"):
        check_bundle(bundle, 1)


def test_graphs_without_a_hash_are_not_opened(bundle: Path) -> None:
    path = bundle / "manifest.json"
    record = json.loads(path.read_text())
    shutil.copy(bundle / "step.onnx", bundle / "other.onnx")
    record["sizes"][0]["step"]["file"] = "other.onnx"
    path.write_text(json.dumps(record))
    with pytest.raises(ImpastoError, match=r"names other.onnx, but gives no hash of it"):
        check_bundle(bundle, 1)


def test_links_out_of_the_folder_are_not_followed(bundle: Path) -> None:
    shutil.move(bundle / "weights.bin", bundle.parent / "weights.bin")
    (bundle / "weights.bin").symlink_to(bundle.parent / "weights.bin")
    with pytest.raises(ImpastoError, match=r"weights.bin is a link to a file outside the folder"):
        check_bundle(bundle, 1)


def test_a_graph_that_is_no_graph_is_named(bundle: Path) -> None:
    (bundle / "targets.onnx").write_bytes(b"not a graph")
    give_hash(bundle, "targets.onnx")
    with pytest.raises(ImpastoError, match=r"targets.onnx is not an ONNX model"):
        check_bundle(bundle, 1)

"""What a run leaves for the next: the same results with it and without, whatever state it is in."""

import hashlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx_ir as ir
import pytest
from PIL import Image

from impasto.engine import Engine, Evaluation, ImpastoError, Settings
from impasto.engine.cache import graphs, store, targets
from impasto.engine.cache.stores import STORES
from impasto.engine.compile import sessions
from impasto.engine.runtime import cpu_info
from impasto.engine.runtime.session import Session
from impasto.export import shared_weights
from tests.engine.conftest import Files
from tests.small_network import features_model

SETTINGS = Settings(size=0, content_taps=("relu2_1",), style_taps=("relu1_1", "relu3_1"), tv_weight=0.5)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache that is in use."""
    monkeypatch.setenv("IMPASTO_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv(store.DISABLE_VARIABLE)
    return tmp_path / "cache"


def score(files: Files, settings: Settings = SETTINGS, threads: int = 1) -> Evaluation:
    with Engine(files.model, provider="cpu", threads=threads) as engine:
        return engine.evaluate(files.content, files.content, files.style, settings)


def scored_at(files: Files, size: int) -> Evaluation:
    return score(files, Settings(size=size, content_taps=("relu2_1",), style_taps=("relu1_1",)))


def same(first: Evaluation, second: Evaluation) -> bool:
    gradients = [score.gradient.tobytes() for score in (first, second)]
    return (first.loss, first.terms, gradients[0]) == (second.loss, second.terms, gradients[1])


def kept(cache: Path) -> dict[str, bytes]:
    return {str(path.relative_to(cache)): path.read_bytes() for path in cache.rglob("*") if path.is_file()}


def forbid(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no graph be built from now on."""

    def build(*_: object) -> None:
        raise AssertionError("a graph was built")

    monkeypatch.setattr(sessions, "build", build)


def without_cache(monkeypatch: pytest.MonkeyPatch, files: Files) -> Evaluation:
    with monkeypatch.context() as patch:
        patch.setenv(store.DISABLE_VARIABLE, "1")
        return score(files)


def test_results_are_the_same_bits_without_with_a_new_and_with_a_filled_cache(
    files: Files, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = without_cache(monkeypatch, files)
    assert not cache.exists()
    first = score(files)
    before = kept(cache)
    assert {name.split("/")[0] for name in before} == {"graphs", "targets", "network-facts", "memory"}
    forbid(monkeypatch)
    second = score(files)
    assert same(plain, first)
    assert same(plain, second)
    assert kept(cache) == before
    assert not list(cache.glob("graphs/.*"))


def test_new_pictures_of_a_known_size_build_nothing_and_are_not_taken_for_the_old(
    files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = score(files)
    pixels = np.asarray(Image.open(files.style)).copy()
    pixels[3, 5, 1] ^= 1
    Image.fromarray(pixels).save(files.style)
    expected = without_cache(monkeypatch, files)
    forbid(monkeypatch)
    assert same(score(files), expected)
    assert expected.terms != old.terms


def test_targets_of_earlier_terms_stay_out_of_runs_with_fewer(files: Files) -> None:
    score(files)
    fewer = Settings(size=0, content_taps=("relu2_1",), style_taps=("relu3_1",))
    assert set(score(files, fewer).terms) == {"content_relu2_1", "style_relu3_1"}
    assert set(score(files, replace(fewer, style_weight=0)).terms) == {"content_relu2_1"}
    assert set(score(files, replace(fewer, content_weight=0)).terms) == {"style_relu3_1"}


def test_the_second_start_needs_no_graph_library(files: Files) -> None:
    code = (
        "import sys\n"
        "from impasto.engine.cli import main\n"
        f"sys.argv = ['impasto', 'transfer', {str(files.content)!r}, {str(files.style)!r}, '--size', '0', "
        f"'-o', {str(files.folder / 'o.png')!r}, '--model', {str(files.model)!r}, '--provider', 'cpu', '--json', "
        "'--preset', 'paper', '--iterations', '1', '--content-tap', 'relu2_1', '--style-tap', 'relu1_1']\n"
        "try:\n    main()\n"
        "finally:\n    print(sorted({'onnx', 'onnx_ir', 'sympy', 'torch'} & set(sys.modules)))\n"
    )
    runs = []
    for _ in range(2):
        ended = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
        runs.append(ended.stdout.splitlines()[-2:])
    (cold, cold_modules), (warm, warm_modules) = runs
    assert cold_modules == "['onnx', 'onnx_ir', 'sympy']"
    assert warm_modules == "[]"
    assert json.loads(cold)["loss"] == json.loads(warm)["loss"]


@pytest.mark.parametrize(
    "damage", [lambda data: data[: len(data) // 2], lambda data: b"", lambda data: b"x" + data[1:]]
)
@pytest.mark.parametrize("kind", ["graphs/*.onnx", "graphs/*.weights", "graphs/*.json", "targets/*", "network-facts/*"])
def test_broken_entries_are_made_anew(
    files: Files, cache: Path, monkeypatch: pytest.MonkeyPatch, kind: str, damage: Callable[[bytes], bytes]
) -> None:
    expected = score(files)
    before = [name for name in kept(cache) if name.endswith((".json", ".npz"))]
    broken = sorted(cache.glob(kind))
    assert broken
    for path in broken:
        path.write_bytes(damage(path.read_bytes()))
    if not kind.startswith("targets"):
        for path in cache.glob("targets/*"):  # so that every graph is needed
            path.unlink()
    assert same(score(files), expected)
    assert {name for name in kept(cache) if name.endswith((".json", ".npz"))} == set(before)
    for entry in cache.glob("graphs/*.json"):
        names, _ = graphs._read(entry)
        for name in names:
            assert hashlib.sha256((cache / "graphs" / name).read_bytes()).hexdigest() == Path(name).stem
    forbid(monkeypatch)
    assert same(score(files), expected)


def test_one_wrong_bit_in_the_targets_is_seen(files: Files, cache: Path) -> None:
    expected = score(files)
    for path in cache.glob("targets/*"):
        data = bytearray(path.read_bytes())
        data[len(data) // 2] ^= 1
        path.write_bytes(data)
    assert same(score(files), expected)


def test_a_cache_that_cannot_be_written_changes_nothing(
    files: Files, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = without_cache(monkeypatch, files)
    cache.write_text("a file where the folder should be")
    assert same(score(files), expected)
    assert cache.is_file()


def test_a_disk_that_fills_up_changes_nothing(files: Files, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = without_cache(monkeypatch, files)

    def full(target: Path, *_: object) -> AbstractContextManager[Path]:
        raise ImpastoError(f"cannot write {target}: No space left on device")

    monkeypatch.setattr(store, "atomic_file", full)
    monkeypatch.setattr(shared_weights, "write_atomically", full)
    assert same(score(files), expected)
    assert not kept(cache)


def test_a_runtime_that_cannot_write_its_graph_changes_nothing(
    files: Files, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = without_cache(monkeypatch, files)

    def session(*arguments: object, keep: Path | None = None) -> Session:
        if keep is not None:
            raise RuntimeError("open file failed: No space left on device")
        return Session(*arguments)  # type: ignore[arg-type, unused-ignore]

    monkeypatch.setattr(sessions, "Session", session)
    assert same(score(files), expected)
    assert not list(cache.glob("graphs/*"))


def test_another_network_under_the_same_name_is_noticed(files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    old = score(files)
    other = features_model()
    for value in other.graph.initializers.values():
        if value.const_value is not None and value.const_value.dtype == ir.DataType.FLOAT:
            value.const_value = ir.tensor(0.5 * value.const_value.numpy(), name=value.name)
    ir.save(other, files.model)
    new = score(files)
    assert new.loss != old.loss
    assert same(new, without_cache(monkeypatch, files))


def test_a_network_replaced_while_in_use_is_an_error(files: Files) -> None:
    score(files)
    with Engine(files.model, provider="cpu", threads=1) as engine:
        replacement = files.folder / "other.onnx"
        replacement.write_bytes(files.model.read_bytes())
        replacement.replace(files.model)
        with pytest.raises(
            ImpastoError, match=r"^the network was changed while it was in use: .*small\.onnx; start again$"
        ):
            engine.evaluate(
                files.content, files.content, files.style, Settings(size=44, content_taps=(), style_taps=("relu1_1",))
            )


def test_a_network_in_several_files_is_not_kept(files: Files, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = without_cache(monkeypatch, files)
    ir.save(features_model(), files.model, external_data="small.data", size_threshold_bytes=0)
    assert same(score(files), expected)
    assert {name.split("/")[0] for name in kept(cache)} == {"network-facts"}


def test_where_the_processor_is_unknown_graphs_are_kept_as_they_were_built(
    files: Files, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = without_cache(monkeypatch, files)
    monkeypatch.setattr(cpu_info, "flags", frozenset)
    assert same(score(files), expected)
    operators = {node.op_type for path in cache.glob("graphs/*.onnx") for node in ir.load(path).graph}
    assert "Conv" in operators
    assert "ReorderInput" not in operators
    forbid(monkeypatch)
    assert same(score(files), expected)


def test_another_version_processor_or_number_of_threads_is_another_entry(
    files: Files, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    score(files)
    seen = set(kept(cache))
    score(files, threads=2)
    more_threads = set(kept(cache)) - seen
    assert {name.split("/")[0] for name in more_threads} == {"targets"}
    for target, name, value in (
        (sessions, "VERSION", "99.0"),
        (cpu_info, "flags", lambda: frozenset({"quantum"})),
    ):
        before = set(cache.glob("graphs/*.json"))
        with monkeypatch.context() as patch:
            patch.setattr(target, name, value)
            score(files)
        assert len(set(cache.glob("graphs/*.json")) - before) == 3


def test_sizes_share_weights(files: Files, cache: Path) -> None:
    scored_at(files, 64)
    weights = sorted(cache.glob("graphs/*.weights"))
    graphs = len(list(cache.glob("graphs/*.onnx")))
    scored_at(files, 52)
    assert weights
    assert sorted(cache.glob("graphs/*.weights")) == weights
    assert len(list(cache.glob("graphs/*.onnx"))) == graphs + 3


def test_graphs_unused_for_longest_go_first(files: Files, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scored_at(files, 64)
    old = set(cache.glob("graphs/*.json"))
    hours_ago = time.time() - 7200
    for path in (cache / "graphs").iterdir():
        os.utime(path, (hours_ago, hours_ago))
    scored_at(files, 52)  # refers to the same weights
    newer = set(cache.glob("graphs/*.json")) - old
    limit_bytes = sum(path.stat().st_size for path in cache.glob("graphs/*")) - 1
    monkeypatch.setattr(graphs, "GRAPHS", replace(graphs.GRAPHS, limit_bytes=limit_bytes))
    scored_at(files, 44)
    left = set(cache.glob("graphs/*.json"))
    assert newer <= left
    assert old - left
    for path in left:
        names, _ = graphs._read(path)
        assert all((cache / "graphs" / name).is_file() for name in names)
    forbid(monkeypatch)
    scored_at(files, 52)


def test_targets_unused_for_longest_go_first(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(targets, "TARGETS", replace(targets.TARGETS, limit_bytes=10_000))
    array = np.arange(1000, dtype=np.float32)
    for age, key in enumerate(("new", "middle", "old")):
        targets.put(key, {"gram": array})
        os.utime(cache / "targets" / f"{key}.npz", (1e9 - age, 1e9 - age))
    targets.find("old")  # used now
    targets.put("newest", {"gram": array})
    assert {path.stem for path in cache.glob("targets/*.npz")} == {"newest", "old"}
    targets.put("huge", {"gram": np.zeros(2000, np.float32)})
    assert not (cache / "targets" / "huge.npz").exists()


def test_targets_come_back_as_they_were(cache: Path) -> None:
    arrays = {
        "content_relu4_2": np.random.default_rng(0).random((1, 3, 4, 5), np.float32),
        "gram_x": np.eye(3, dtype=np.float32),
    }
    targets.put("key", arrays)
    found = targets.find("key")
    assert found is not None
    assert found.keys() == arrays.keys()
    assert all(found[name].tobytes() == arrays[name].tobytes() for name in arrays)
    assert targets.find("other") is None
    assert cache.is_dir()


def test_threads_zero_is_the_number_of_processors(files: Files, cache: Path) -> None:
    score(files, threads=0)
    seen = len(list(cache.glob("targets/*")))
    score(files, threads=os.cpu_count() or 1)
    assert len(list(cache.glob("targets/*"))) == seen


def test_size_of_what_is_kept(files: Files, cache: Path) -> None:
    assert sum(folder.size_bytes() for folder in STORES) == 0
    score(files)
    assert sum(folder.size_bytes() for folder in STORES) == sum(len(data) for data in kept(cache).values())


def test_broken_entries_and_old_files_without_an_entry_are_deleted_with_the_next_write(
    files: Files, cache: Path
) -> None:
    score(files)
    folder = cache / "graphs"
    (folder / "broken.json").write_text("{}")
    abandoned = [folder / "abandoned.onnx", folder / ".new-1"]
    abandoned[0].touch()
    abandoned[1].mkdir()
    for path in abandoned:
        os.utime(path, (time.time() - 7200,) * 2)
    (folder / "young.weights").touch()
    before = set(folder.iterdir())
    scored_at(files, 64)
    assert before - set(folder.iterdir()) == {folder / "broken.json", *abandoned}

"""libimpasto through its public interface, against Python on the same ONNX Runtime and the same bundle."""

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from PIL import Image

from impasto.engine import Engine, Settings, preset
from impasto.engine.bundle import Order, write_bundle
from impasto.engine.compile.network import load_network
from impasto.engine.events import Iteration
from impasto.models.checksum import sha256_of
from tests.conftest import REPOSITORY
from tests.cpp.conftest import TAPS, Built, raw_image

HARBOUR, SWIRLS = REPOSITORY / "examples" / "harbour.jpg", REPOSITORY / "examples" / "swirls.jpg"


def losses_of(lines: list[str]) -> dict[int, float]:
    """The loss at each iteration of the last scale in `impasto-probe losses`."""
    rows = [line.split() for line in lines if line[0].isdigit()]
    last = rows[-1][2]
    found: dict[int, float] = {}
    for _, iteration, scale, loss in rows:
        if scale == last:
            found.setdefault(int(iteration), float(loss))
    return found


def in_python(model: Path | str, content: Path, style: Path, settings: Settings, loop: str) -> tuple[list[float], Any]:
    """The losses of the last scale, and the picture."""
    losses: list[float] = []

    def listen(event: object) -> None:
        if isinstance(event, Iteration) and event.scale == event.scales:
            losses.append(event.loss)

    with Engine(model, provider="cpu,plain", threads=1, loop=loop) as engine:
        result = engine.transfer(content, style, settings, on_event=listen)
    if result.scales is None or len(result.scales) < 2:
        losses.insert(0, sum(result.initial_terms.values()))
    return losses, result


SMALL, LARGE = (64, 48), (184, 138)  # one scale, and two where a run has several
OF_SMALL: dict[str, Any] = {"size": SMALL[0], "evaluations": 12, "iterations": 1000, **TAPS}
OF_LARGE: dict[str, Any] = {**OF_SMALL, "size": LARGE[0]}
RUNS = {
    "paper": Settings(**OF_SMALL),
    "moments": Settings(**OF_SMALL, style_loss="moments", weighting="calibrated", strength=0.5, padding="replicate"),
    "adam": Settings(**OF_SMALL, optimizer="adam", learning_rate=7.0, average=0.9),
    "seamless": Settings(**OF_SMALL, seamless=True, weighting="johnson", tv_weight=1e-3),
    "scales": Settings(**OF_LARGE, scales=0, weighting="calibrated"),
    "adam-scales": Settings(**OF_LARGE, scales=0, optimizer="adam", weighting="calibrated", tv_weight=3.0),
    "painterly": preset("painterly", **OF_LARGE),
    "fast": preset("fast", **OF_LARGE),
}


@pytest.mark.parametrize("name", RUNS)
def test_follows_python(built: Built, network: Path, tmp_path: Path, name: str) -> None:
    settings = RUNS[name]
    size = SMALL if settings.size == SMALL[0] else LARGE
    write_bundle(load_network(network), tmp_path / "bundle", Order(settings, (size,)))
    content, style = (
        raw_image(path, sides, tmp_path / file)
        for path, sides, file in ((HARBOUR, (200, 150), "content"), (SWIRLS, (150, 190), "style"))
    )
    loop = "host" if settings.optimizer == "adam" else "device"
    expected, result = in_python(network, content[3], style[3], settings, loop)
    out = tmp_path / "out"
    words = (*content[:3], *style[:3], settings.evaluations, 1, out)
    lines = built.lines("impasto-probe", "losses", tmp_path / "bundle", *words)
    found = losses_of(lines)
    several = len(result.scales or ()) > 1
    numbers = sorted(found)[
        1 if several and settings.optimizer != "adam" else 0 :
    ]  # Python reports no start of a scale
    assert len(numbers) == len(expected)
    assert found[numbers[0]] == pytest.approx(expected[0], rel=1e-3 if several else 1e-6)
    assert [found[number] for number in numbers] == pytest.approx(expected, rel=5e-3)
    painted = np.frombuffer(out.read_bytes(), np.uint8).reshape(size[1], size[0], 3)
    assert np.abs(painted - np.clip(result.picture.pixels, 0, 1) * 255).mean() < 1


def test_a_style_of_the_bundle(built: Built, network: Path, tmp_path: Path) -> None:
    settings = Settings(size=64, **TAPS)  # type: ignore[arg-type]
    content, style = raw_image(HARBOUR, (64, 48), tmp_path / "c"), raw_image(SWIRLS, (64, 48), tmp_path / "s")
    with Engine(network, provider="cpu,plain", threads=1) as engine:
        engine.save_style(style[3], tmp_path / "look.safetensors", settings)
    write_bundle(load_network(network), tmp_path / "b", Order(settings, ((64, 48),), (tmp_path / "look.safetensors",)))
    first, second = (
        losses_of(built.lines("impasto-probe", "losses", tmp_path / "b", *content[:3], *words, 6, 1, tmp_path / "o"))
        for words in (style[:3], ("@look", 0, 0))
    )
    assert second == pytest.approx(first, rel=1e-4)
    assert second[0] == pytest.approx(first[0], rel=1e-6)


def test_parts_give_the_bits_of_the_whole(built: Built, bundle: Path) -> None:
    assert len(set(built.lines("impasto-probe", "chunks", bundle, 20))) == 1


def test_cancels_at_random_change_nothing(built: Built, bundle: Path) -> None:
    (line,) = built.lines("impasto-probe", "cancels", bundle, 150, 40)
    assert line.startswith("same after ")
    assert int(line.split()[2]) > 0


def test_layouts_of_the_same_pixels_give_the_same_run(built: Built, bundle: Path) -> None:
    lines = built.lines("impasto-probe", "layouts", bundle)
    assert (len(lines), len(set(lines))) == (4, 1)


MISTAKES = [
    "3 not a bundle: /nowhere has no manifest.json; make one with `impasto bundle`",
    "2 no folder: it is NULL",
    "2 no bundle: it is NULL",
    "2 no result 9: the bundle has 1",
    "2 bad evaluations 1: allowed are 2 to 1000000",
    "2 unknown provider abacus: allowed are cpu, cuda and tensorrt",
    "2 bad impasto_render_options: its struct_size is 3; set it to sizeof(impasto_render_options)",
    "2 no bundle: it is NULL",
    "0 ",
    "2 no content image: set it before the run",
    "2 no image yet: set the content image first",
    "2 no impasto_image: it is NULL",
    "2 bad impasto_image: its struct_size is 4; set it to sizeof(impasto_image)",
    "2 bad image: a side is 0 px; allowed are 1 to 65536",
    "2 bad image: a side is 70000 px; allowed are 1 to 65536",
    "2 bad image: it has 2 channels; allowed are 3 and 4",
    "2 bad image: its format is 5; allowed are IMPASTO_U8 and IMPASTO_F32",
    "2 bad image: its data is NULL",
    "2 bad image: its row_stride is 23 bytes, and a row has 24",
    "2 bad image: it contains NaN",
    "2 style image too small: 64x8 px once scaled; both sides need 32 px",
    "2 unknown style nobody: the bundle has none",
    "2 no name of a style: it is NULL",
    "2 bad impasto_progress: its struct_size is 0; set it to sizeof(impasto_progress)",
    "2 no render: it is NULL",
    "2 no render: it is NULL",
    "2 ",
    "version 0.2.0, interface 1, style 99 none",
]
"""What `impasto-probe errors` prints; the last mistake has no place for its sentence."""


def test_mistakes_are_told(built: Built, bundle: Path) -> None:
    assert built.lines("impasto-probe", "errors", bundle) == MISTAKES


def test_callbacks_stop_throw_and_may_not_run(built: Built, bundle: Path) -> None:
    stopped, thrown, refused, evaluations = built.lines("impasto-probe", "callback", bundle)
    assert (stopped, thrown, evaluations) == ("stopped", "from the callback", "evaluations 8")
    assert refused == "the render is in use by another call: wait until that has returned"


def damaged(bundle: Path, folder: Path, name: str, how: str) -> Path:
    shutil.copytree(bundle, folder)
    path, content = folder / name, (folder / name).read_bytes()
    if how == "missing":
        path.unlink()
    else:
        middle = len(content) // 2
        changed = content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]
        path.write_bytes(content[:-50] if how == "truncated" else changed)
    return folder


@pytest.mark.parametrize("how", ["missing", "truncated", "changed"])
@pytest.mark.parametrize("name", ["objective.onnx", "step.onnx", "targets.onnx", "weights.bin", "manifest.json"])
def test_damaged_bundles_are_refused_by_name(built: Built, bundle: Path, tmp_path: Path, name: str, how: str) -> None:
    if (name, how) == ("manifest.json", "changed"):
        pytest.skip("no hash covers the manifest itself")
    folder = damaged(bundle, tmp_path / "b", name, how)
    ended = built.run("impasto-probe", "errors", folder, status=1)
    assert ended.stdout.startswith(b"error: 3 ")
    assert name.encode() in ended.stdout


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"format": "other"}, "of another format"),
        ({"format_version": 2}, "another format version; this library reads 1"),
        ({"sizes": []}, "manifest.json: "),
        ({"results": [{"width": 1e9}]}, "expected a whole number"),
        ({"files": {"../x": {"bytes": 1, "sha256": ""}}}, "outside the folder"),
        ({"coarser_share": -1}, "bad coarser_share"),
    ],
)
def test_foreign_manifests_are_refused(
    built: Built, bundle: Path, tmp_path: Path, change: dict[str, Any], said: str
) -> None:
    shutil.copytree(bundle, tmp_path / "b")
    path = tmp_path / "b" / "manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    ended = built.run("impasto-probe", "errors", tmp_path / "b", status=1)
    assert ended.stdout.startswith(b"error: 3 ")
    assert said in ended.stdout.decode()


def rewired(folder: Path, file: str, output: str, *nodes: onnx.NodeProto, **dtypes: int) -> None:
    """Put nodes from `given` to `output` behind an output of a graph, and give the manifest the file's new hash."""
    model = onnx.load(folder / file, load_external_data=False)
    for node in model.graph.node:
        for names in (node.input, node.output):
            for place, name in enumerate(names):
                if name == output:
                    names[place] = "given"
    model.graph.node.extend(nodes)
    for value in model.graph.output:
        value.type.tensor_type.elem_type = dtypes.get(value.name, value.type.tensor_type.elem_type)
        if value.name == output:
            value.type.tensor_type.ClearField("shape")
    onnx.save(model, folder / file)
    record = json.loads((folder / "manifest.json").read_text())
    record["files"][file] = {"bytes": (folder / file).stat().st_size, "sha256": sha256_of(folder / file)}
    (folder / "manifest.json").write_text(json.dumps(record))


NAN = onnx.helper.make_tensor("nan", onnx.TensorProto.FLOAT, [], [float("nan")])
REWIRED = {
    "targets.onnx": (
        "gram_relu1_1",
        [onnx.helper.make_node("Cast", ["given"], ["gram_relu1_1"], to=onnx.TensorProto.DOUBLE)],
        {"gram_relu1_1": onnx.TensorProto.DOUBLE},
        ("targets.onnx gives gram_relu1_1 in another type than float32",),
    ),
    "step.onnx": (
        "log.next",
        [
            onnx.helper.make_node("Constant", [], ["nan"], value=NAN),
            onnx.helper.make_node("Mul", ["given", "nan"], ["log.next"]),
        ],
        {},
        ("step.onnx logged the iteration nan, which is no count",),
    ),
    "objective.onnx": (
        "terms",
        [onnx.helper.make_node("Concat", ["given", "given"], ["terms"], axis=1)],
        {},
        ("objective.onnx", "terms"),
    ),
}


@pytest.mark.parametrize("file", REWIRED)
def test_graphs_that_differ_from_the_manifest_are_refused(
    built: Built, bundle: Path, tmp_path: Path, file: str
) -> None:
    output, nodes, dtypes, said = REWIRED[file]
    shutil.copytree(bundle, tmp_path / "b")
    rewired(tmp_path / "b", file, output, *nodes, **dtypes)
    ended = built.run("impasto-c99", tmp_path / "b", 2, status=None)
    assert ended.returncode == 2
    assert all(part in ended.stderr.decode() for part in said)


def test_a_covariance_that_is_no_square_matrix_is_refused(built: Built, network: Path, tmp_path: Path) -> None:
    folder = tmp_path / "b"
    write_bundle(load_network(network), folder, Order(RUNS["moments"], (SMALL,)))
    twofold = onnx.helper.make_node("Concat", ["given", "given"], ["covariance_relu1_1"], axis=1)
    rewired(folder, "targets.onnx", "covariance_relu1_1", twofold)
    ended = built.run("impasto-c99", folder, 2, status=2)
    assert b"covariance_relu1_1 of targets.onnx is no square matrix" in ended.stderr


OLD = """
static const char *version(void) { return "1.17.3"; }
static const void *get(unsigned v) { (void)v; return 0; }
struct base { const void *(*get)(unsigned); const char *(*version)(void); };
const struct base *OrtGetApiBase(void) { static const struct base b = {get, version}; return &b; }
"""


def test_a_runtime_that_is_missing_foreign_or_too_old_gives_one_line(
    built: Built, bundle: Path, tmp_path: Path
) -> None:
    (tmp_path / "old.c").write_text(OLD)
    (tmp_path / "other.c").write_text("int other(void) { return 1; }")
    for name in ("old", "other"):
        made = ["cc", "-shared", "-fPIC", str(tmp_path / f"{name}.c"), "-o", str(tmp_path / f"{name}.so")]
        subprocess.run(made, check=True)
    for path, said in (
        (tmp_path / "old.so", "ONNX Runtime 1.17.3 at {} is too old: 1.21 or later is needed"),
        (tmp_path / "other.so", "{} is not ONNX Runtime: it has no function OrtGetApiBase"),
        (tmp_path / "none.so", "cannot load ONNX Runtime from {}: "),
    ):
        ended = built.run("impasto-probe", "errors", bundle, status=1, IMPASTO_ONNXRUNTIME=str(path))
        assert ended.stdout.decode().startswith(f"error: 4 {said.format(path)}")
        assert ended.stdout.count(b"\n") == 1


def test_examples_paint(built: Built, bundle: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.png"
    ended = built.run("impasto-render", HARBOUR, SWIRLS, out, "--bundle", bundle, "--evaluations", 8, "--threads", 1)
    losses = [float(line.split()[2]) for line in ended.stdout.decode().splitlines()]
    assert len(losses) == 8
    assert losses[-1] < losses[0]
    with Image.open(out) as image:
        assert image.size == (64, 48)
    assert not list(tmp_path.glob("*.part"))
    lines = built.lines("impasto-c99", bundle, 5)
    assert [line.split(":")[0] for line in lines] == [f"evaluation {number}" for number in range(1, 6)]
    wrong = built.run("impasto-render", HARBOUR, bundle / "manifest.json", out, "--bundle", bundle, status=2)
    assert (wrong.stdout, wrong.stderr.count(b"\n")) == (b"", 1)


def test_structs_that_are_too_short_are_refused_and_longer_ones_taken(built: Built, bundle: Path) -> None:
    *short, longer, values = built.lines("impasto-probe", "structs", bundle)
    expected = [
        ("image", "impasto_image", 39),
        ("open", "impasto_open_options", 19),
        ("bundle", "impasto_bundle_info", 55),
        ("result", "impasto_result_info", 19),
        ("options", "impasto_render_options", 39),
        ("progress", "impasto_progress", 47),
    ]
    assert short == [
        f"{word} 2 bad {name}: its struct_size is {size}; set it to sizeof({name})" for word, name, size in expected
    ]
    assert longer == "longer 0 "
    assert values == "total 300, size kept, later abababab"


STRUCTS = ("image", "open_options", "bundle_info", "result_info", "render_options", "progress")


def test_an_older_program_runs_on_a_library_whose_structs_are_longer(
    built: Built, bundle: Path, tmp_path: Path
) -> None:
    """With a copy of the library to whose structs a later version added a member; the program is that of this one."""
    shutil.copytree(REPOSITORY / "cpp" / "impasto", tmp_path / "cpp" / "impasto")
    (tmp_path / "models").mkdir()
    shutil.copy(REPOSITORY / "models" / "version.py", tmp_path / "models")
    header = tmp_path / "cpp" / "impasto" / "include" / "impasto" / "impasto.h"
    text = header.read_text()
    for name in STRUCTS:
        assert text.count(f"}} impasto_{name};") == 1
        text = text.replace(f"}} impasto_{name};", f"    double added[4];\n}} impasto_{name};")
    header.write_text(text)
    later = tmp_path / "later"
    options = ("-DIMPASTO_TESTS=OFF", "-DIMPASTO_EXAMPLES=OFF", "-DCMAKE_BUILD_TYPE=Debug")
    configured = ["cmake", "-S", str(tmp_path / "cpp" / "impasto"), "-B", str(later), *options]
    for command in (configured, ["cmake", "--build", str(later), "--parallel", "2"]):
        ended = subprocess.run(command, capture_output=True, text=True, check=False)
        assert ended.returncode == 0, ended.stdout[-2000:] + ended.stderr[-2000:]
    for words in (("chunks", bundle, 4), ("errors", bundle)):
        expected = built.lines("impasto-probe", *words)
        assert built.lines("impasto-probe", *words, LD_LIBRARY_PATH=str(later)) == expected
    written = built.lines("impasto-probe", "structs", bundle, LD_LIBRARY_PATH=str(later))[-1]
    assert written == "total 300, size kept, later 0", "the later library knows more of the longer struct"

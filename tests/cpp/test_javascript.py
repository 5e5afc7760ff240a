"""The examples for Node and the browser, against Python on the same bundle."""

import json
import logging
import os
import shutil
import subprocess
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnx
import pytest
from PIL import Image

from impasto.engine import Engine, Settings
from impasto.engine.bundle import Order, write_bundle
from impasto.engine.compile.network import load_network
from impasto.engine.presets.reading import values_of
from tests import chromium
from tests.conftest import REPOSITORY
from tests.cpp.conftest import TAPS, needed, raw_image
from tests.cpp.test_library import HARBOUR, SWIRLS, in_python

NODE, BROWSER = REPOSITORY / "examples" / "node", REPOSITORY / "examples" / "browser"
EVALUATIONS = 50


@dataclass(frozen=True)
class Prepared:
    """A bundle with the style `look`, its pictures, and the losses in Python: with the style image, and with `look`."""

    bundle: Path
    content: Path
    style: Path
    of_image: list[float]
    of_look: list[float]


def prepared(folder: Path, size: int, **changes: Any) -> Prepared:
    settings = Settings(size=size, evaluations=EVALUATIONS, iterations=1000, **changes)
    content, style = (
        raw_image(path, (160, 120), folder / name)[3] for path, name in ((HARBOUR, "content"), (SWIRLS, "style"))
    )
    look = folder / "look.safetensors"
    with Engine("vgg19-slim", provider="cpu,plain", threads=1) as engine:
        engine.save_style(style, look, settings)
    write_bundle(load_network("vgg19-slim"), folder / "bundle", Order(settings, ((size, size * 3 // 4),), (look,)))
    loop = "host" if settings.optimizer == "adam" else "device"
    of_image, of_look = (in_python("vgg19-slim", content, one, settings, loop)[0] for one in (style, look))
    return Prepared(folder / "bundle", content, style, of_image, of_look)


def node(*words: object, **environment: str) -> subprocess.CompletedProcess[str]:
    needed("node")
    if not (NODE / "node_modules").is_dir():
        pytest.skip("onnxruntime-node is not installed: run `npm install` in examples/node")
    command = ["node", *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, **environment})


def painted(*words: object) -> list[float]:
    """Run the example for Node; return the loss of each evaluation."""
    ended = node(NODE / "paint.js", *words, IMPASTO_THREADS="1")
    assert ended.returncode == 0, ended.stderr[-2000:]
    return [float(line.split()[2]) for line in ended.stdout.splitlines()]


def test_node_ends_where_python_does(tmp_path: Path) -> None:
    made = prepared(tmp_path, 64)
    out = tmp_path / "out.png"
    losses = painted(made.bundle, made.content, "@look", out, EVALUATIONS)
    assert len(losses) == EVALUATIONS
    assert losses[0] == pytest.approx(made.of_look[0], rel=1e-6)
    assert losses[-1] == pytest.approx(made.of_look[-1], rel=1e-3)
    with Image.open(out) as image:
        assert image.size == (64, 48)
    # The Gram matrices of the graph for images of any size are rounded otherwise, which L-BFGS amplifies.
    assert painted(made.bundle, made.content, made.style, out, 1)[0] == pytest.approx(made.of_image[0], rel=1e-6)


def test_node_ends_where_python_does_with_the_default_preset(tmp_path: Path) -> None:
    values = {key: value for key, value in values_of("painterly").items() if key != "iterations"}
    made = prepared(tmp_path, 64, **values)
    losses = painted(made.bundle, made.content, "@look", tmp_path / "out.png", EVALUATIONS)
    assert losses[0] == pytest.approx(made.of_look[0], rel=1e-6)
    assert losses[-1] == pytest.approx(made.of_look[-1], rel=1e-3)


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory, network: Path) -> tuple[Path, Path]:
    """A bundle that begins with noise, and an image."""
    folder = tmp_path_factory.mktemp("small")
    settings = Settings(size=64, init="noise", **TAPS)  # type: ignore[arg-type]
    write_bundle(load_network(network), folder / "bundle", Order(settings, ((64, 48),)))
    return folder / "bundle", raw_image(HARBOUR, (64, 48), folder / "image")[3]


def test_node_starts_from_noise_where_the_bundle_says_so(small: tuple[Path, Path], tmp_path: Path) -> None:
    bundle, image = small
    record = json.loads((bundle / "manifest.json").read_text())
    of_content = tmp_path / "of_content"
    shutil.copytree(bundle, of_content)
    record["settings"]["init"] = "content"
    (of_content / "manifest.json").write_text(json.dumps(record))
    noise, content = (painted(one, image, image, tmp_path / "out.png", 1)[0] for one in (bundle, of_content))
    assert content < 1e-9 * noise  # the image is both content and style


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        ("external", "targets.onnx takes weights from ../weights.bin; allowed is weights.bin"),
        ("unlisted", "other.onnx is no file of its list"),
        ("outside", "../step.onnx is no file of its list"),
        ("link", "step.onnx is a link to a file outside the folder"),
        ("truncated", "step.onnx is not the file that was written"),
        ("none", "unknown style nobody: the bundle has none"),
    ],
)
def test_node_opens_listed_files_alone(small: tuple[Path, Path], tmp_path: Path, damage: str, said: str) -> None:
    bundle, image = tmp_path / "bundle", small[1]
    shutil.copytree(small[0], bundle)
    path, step = bundle / "manifest.json", bundle / "step.onnx"
    record = json.loads(path.read_text())
    if damage == "external":
        model = onnx.load(bundle / "targets.onnx", load_external_data=False)
        for tensor in model.graph.initializer:
            for entry in tensor.external_data:
                entry.value = "../weights.bin" if entry.key == "location" else entry.value
        onnx.save(model, bundle / "targets.onnx")
        record["files"]["targets.onnx"]["bytes"] = (bundle / "targets.onnx").stat().st_size
        shutil.copy(bundle / "weights.bin", tmp_path)
    elif damage in ("unlisted", "outside"):
        name = "other.onnx" if damage == "unlisted" else "../step.onnx"
        shutil.copy(step, bundle / name)
        record["sizes"][0]["step"]["file"] = name
        if damage == "outside":
            record["files"][name] = record["files"]["step.onnx"]
    elif damage == "link":
        shutil.move(step, tmp_path / "elsewhere.onnx")
        step.symlink_to(tmp_path / "elsewhere.onnx")
    elif damage == "truncated":
        step.write_bytes(step.read_bytes()[:-10])
    path.write_text(json.dumps(record))
    ended = node(NODE / "paint.js", bundle, image, "@nobody" if damage == "none" else image, tmp_path / "out.png", 1)
    assert (ended.returncode, ended.stdout, ended.stderr.count("\n")) == (2, "", 1)
    assert said in ended.stderr


def test_node_says_how_it_is_used(tmp_path: Path) -> None:
    ended = node(NODE / "paint.js", tmp_path)
    assert (ended.returncode, ended.stderr.count("\n")) == (2, 1)


def vendored() -> None:
    if not (BROWSER / "vendor").is_dir():
        pytest.skip("onnxruntime-web is not vendored: run `npm install` and `npm run vendor` in examples/browser")


def test_every_run_of_a_graph_in_wasm_is_the_native_one(tmp_path: Path) -> None:
    """With the same inputs. The loss after many steps of L-BFGS is no measure: it amplifies rounding, in Python too."""
    vendored()
    made = prepared(tmp_path, 64)
    script = REPOSITORY / "tests" / "cpp" / "same_steps.mjs"
    ended = node(script, made.bundle, made.content, made.style, EVALUATIONS)
    assert ended.returncode == 0, ended.stderr[-2000:]
    largest = json.loads(ended.stdout.splitlines()[-1])
    assert {key.split(" ")[0] for key in largest} == {"pixels.onnx", "targets.onnx", "objective.onnx", "step.onnx"}
    assert largest.pop("objective.onnx d_image") < 1e-4  # a ReLU may be open in one and closed in the other
    assert max(largest.values()) < 1e-5, largest


@pytest.fixture
def site(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """The page on a server of this machine, and the folder that it serves."""
    vendored()
    folder = tmp_path / "site"
    folder.mkdir()
    for path in BROWSER.iterdir():
        if path.suffix in (".html", ".js", ".css"):
            shutil.copy(path, folder)
    (folder / "vendor").symlink_to(BROWSER / "vendor")
    import importlib.util

    spec = importlib.util.spec_from_file_location("serve", BROWSER / "serve.py")
    assert spec is not None
    assert spec.loader is not None
    serve = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(serve)
    serve.Isolated.log_message = lambda *_: None
    server = serve.server(folder=folder)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}/", folder
    server.shutdown()
    server.server_close()
    logging.shutdown()


def test_the_page_paints_on_the_visitors_machine(site: tuple[str, Path], tmp_path: Path) -> None:
    address, folder = site
    # Adam: L-BFGS turns the rounding of other kernels into several percent of the loss within 50 evaluations.
    made = prepared(tmp_path, 64, optimizer="adam", learning_rate=7.0, weighting="calibrated")
    losses = made.of_image
    shutil.move(made.bundle, folder / "bundle")
    with chromium.page(tmp_path / "profile") as page:
        page.call("Page.navigate", url=f"{address}?evaluations={EVALUATIONS}")
        wait(page, "document.getElementById('status')?.textContent ?? ''", "Ready: ")
        assert page.evaluate("self.crossOriginIsolated") is True
        assert "WASM with" in page.evaluate("document.getElementById('status').textContent")
        page.call("DOM.enable")
        root = page.call("DOM.getDocument")["root"]["nodeId"]
        for kind, path in (("content", made.content), ("style", made.style)):
            found = page.call("DOM.querySelector", nodeId=root, selector=f"#{kind} input")["nodeId"]
            page.call("DOM.setFileInputFiles", nodeId=found, files=[str(path)])
        wait(page, "String(document.getElementById('start').disabled)", "false")
        page.evaluate("document.getElementById('start').click()")
        wait(page, "document.getElementById('status').textContent", "Done: ", 400)
        seen = json.loads(page.evaluate("JSON.stringify(window.losses)"))
        chromium_shot = page.screenshot()
        outside = [url for url in page.requests if not url.startswith((address, "data:", "blob:"))]
    keep = tmp_path / "page.png"
    keep.write_bytes(chromium_shot)
    assert outside == []
    assert len(seen) == EVALUATIONS
    assert seen[0] == pytest.approx(losses[0], rel=1e-5)
    assert seen[-1] == pytest.approx(losses[-1], rel=1e-3)


def wait(page: chromium.Page, script: str, wanted: str, limit_s: float = 120) -> None:
    """Wait until an expression gives a text that begins so."""
    end = time.monotonic() + limit_s
    while not (seen := str(page.evaluate(script))).startswith(wanted):
        assert not seen.startswith("Error"), seen
        assert time.monotonic() < end, f"{script} is {seen!r}; {page.complaints}"
        time.sleep(0.2)

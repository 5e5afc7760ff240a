"""The examples for Node and the browser, against Python on the same bundle."""

import json
import logging
import shutil
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from impasto.engine import Settings
from impasto.engine.bundle import Order, write_bundle
from impasto.engine.compile.network import load_network
from tests import chromium
from tests.conftest import REPOSITORY
from tests.cpp.conftest import needed, raw_image
from tests.cpp.test_library import HARBOUR, SWIRLS, in_python

NODE, BROWSER = REPOSITORY / "examples" / "node", REPOSITORY / "examples" / "browser"
EVALUATIONS = 50


def prepared(folder: Path, size: int, **changes: Any) -> tuple[Path, Path, list[float]]:
    """Write a bundle in `folder`; return the two pictures and the losses in Python."""
    settings = Settings(size=size, evaluations=EVALUATIONS, iterations=1000, **changes)
    write_bundle(load_network("vgg19-slim"), folder / "bundle", Order(settings, ((size, size * 3 // 4),)))
    content, style = (
        raw_image(path, (160, 120), folder / name)[3] for path, name in ((HARBOUR, "content"), (SWIRLS, "style"))
    )
    loop = "host" if settings.optimizer == "adam" else "device"
    losses, _ = in_python("vgg19-slim", content, style, settings, loop)
    return content, style, losses


def test_node_ends_where_python_does(tmp_path: Path) -> None:
    needed("node")
    if not (NODE / "node_modules").is_dir():
        pytest.skip("onnxruntime-node is not installed: run `npm install` in examples/node")
    content, style, losses = prepared(tmp_path, 64)
    out = tmp_path / "out.png"
    words = ["node", NODE / "paint.js", tmp_path / "bundle", content, style, out, EVALUATIONS]
    ended = subprocess.run(list(map(str, words)), capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr[-2000:]
    rows = [line.split() for line in ended.stdout.splitlines()]
    assert float(rows[0][2]) == pytest.approx(losses[0], rel=1e-6)
    assert float(rows[-1][2]) == pytest.approx(losses[-1], rel=1e-2)
    with Image.open(out) as image:
        assert image.size == (64, 48)
    wrong = subprocess.run(["node", NODE / "paint.js", tmp_path], capture_output=True, text=True, check=False)
    assert (wrong.returncode, wrong.stderr.count("\n")) == (2, 1)


@pytest.fixture
def site(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """The page on a server of this machine, and the folder that it serves."""
    if not (BROWSER / "vendor").is_dir():
        pytest.skip("onnxruntime-web is not vendored: run `npm install` and `npm run vendor` in examples/browser")
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
    content, style, losses = prepared(tmp_path, 64, optimizer="adam", learning_rate=7.0, weighting="calibrated")
    shutil.move(tmp_path / "bundle", folder / "bundle")
    with chromium.page(tmp_path / "profile") as page:
        page.call("Page.navigate", url=f"{address}?evaluations={EVALUATIONS}")
        wait(page, "document.getElementById('status')?.textContent ?? ''", "Ready: ")
        assert page.evaluate("self.crossOriginIsolated") is True
        assert "WASM with" in page.evaluate("document.getElementById('status').textContent")
        page.call("DOM.enable")
        root = page.call("DOM.getDocument")["root"]["nodeId"]
        for kind, path in (("content", content), ("style", style)):
            node = page.call("DOM.querySelector", nodeId=root, selector=f"#{kind} input")["nodeId"]
            page.call("DOM.setFileInputFiles", nodeId=node, files=[str(path)])
        wait(page, "String(document.getElementById('start').disabled)", "false")
        page.evaluate("document.getElementById('start').click()")
        wait(page, "document.getElementById('status').textContent", "Done: ", 400)
        found = json.loads(page.evaluate("JSON.stringify(window.losses)"))
        chromium_shot = page.screenshot()
        outside = [url for url in page.requests if not url.startswith((address, "data:", "blob:"))]
    keep = tmp_path / "page.png"
    keep.write_bytes(chromium_shot)
    assert outside == []
    assert len(found) == EVALUATIONS
    assert found[0] == pytest.approx(losses[0], rel=1e-5)
    assert found[-1] == pytest.approx(losses[-1], rel=1e-3)


def wait(page: chromium.Page, script: str, wanted: str, limit_s: float = 120) -> None:
    """Wait until an expression gives a text that begins so."""
    end = time.monotonic() + limit_s
    while not (seen := str(page.evaluate(script))).startswith(wanted):
        assert not seen.startswith("Error"), seen
        assert time.monotonic() < end, f"{script} is {seen!r}; {page.complaints}"
        time.sleep(0.2)

"""`impasto serve` and `impasto remote transfer` as commands, and the client where the server is away or refuses."""

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import numpy as np
import pytest
from PIL import Image

from impasto.client import Client, RefusedError, connection
from impasto.engine.cli.lazy_commands import LazyCommands
from impasto.models.errors import ImpastoError
from tests.engine.command_line import run
from tests.server.running import CONTENT, NETWORK, SMALL, STYLE, RunningServer

OPTIONS = ("--size", 48, "--iterations", 4)


def test_a_remote_transfer_makes_the_picture_of_a_local_one(
    server: RunningServer, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    there, here = tmp_path / "there.png", tmp_path / "here.png"
    ended = run(capsys, "remote", "transfer", CONTENT, STYLE, "-o", there, *OPTIONS, "--server", server.url)
    assert (ended.status, ended.err) == (0, "")
    assert ended.out.startswith(f"{there}: 48x36 px, 4 iterations")
    local = run(capsys, "transfer", CONTENT, STYLE, "-o", here, *OPTIONS, "--model", NETWORK, preset=True)
    assert local.status == 0
    assert np.array_equal(np.asarray(Image.open(there)), np.asarray(Image.open(here)))


@pytest.mark.parametrize("preset", ["fast", "paper", "own.json"])
def test_presets_are_those_of_transfer(
    server: RunningServer, capsys: pytest.CaptureFixture[str], tmp_path: Path, preset: str
) -> None:
    (tmp_path / "own.json").write_text('{"style_loss": "gram-mean", "iterations": 3}')
    name = str(tmp_path / preset) if preset.endswith("json") else preset
    there, here = tmp_path / "there.png", tmp_path / "here.png"
    more = ("--preset", name, "--size", 48, "--iterations", 3, "--strength", 0.7, "-q")
    ended = run(capsys, "remote", "transfer", CONTENT, STYLE, "-o", there, *more, "--server", server.url)
    assert (ended.status, ended.err) == (0, "")
    assert run(capsys, "transfer", CONTENT, STYLE, "-o", here, *more, "--model", NETWORK).status == 0
    assert np.array_equal(np.asarray(Image.open(there)), np.asarray(Image.open(here)))


def test_a_remote_transfer_from_a_start_image_as_json(
    server: RunningServer, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    output = tmp_path / "out.tif"
    more = ("--init", STYLE, "--bits", 16, "--json", "--priority", 2, "--model", NETWORK)
    ended = run(capsys, "remote", "transfer", CONTENT, STYLE, "-o", output, *OPTIONS, *more, "--server", server.url)
    assert ended.status == 0
    lines = [json.loads(line) for line in ended.out.splitlines()]
    assert lines[-1]["output"] == str(output)
    assert lines[-1]["iterations"] == 4
    assert output.read_bytes()[:2] in (b"II", b"MM")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--model", "none"), "unknown network"),
        (("--size", -1), "bad size"),
        (("--content-tap", "relu9_9"), "relu9_9"),
        (("--iterations", 99_999), "more than this server makes"),
        (("--priority", 9), "bad priority"),
    ],
)
def test_a_refusal_is_one_line(
    server: RunningServer, capsys: pytest.CaptureFixture[str], tmp_path: Path, arguments: tuple[object, ...], said: str
) -> None:
    output = tmp_path / "out.png"
    ended = run(capsys, "remote", "transfer", CONTENT, STYLE, "-o", output, *arguments, "--server", server.url)
    assert (ended.status, ended.out, ended.err.count("\n")) == (2, "", 1)
    assert said in ended.err
    assert not output.exists()


def test_mistakes_are_one_line(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    where = ("remote", "transfer", CONTENT, STYLE, "-o", tmp_path / "out.png", "--server")
    for server in ("x", "http://[", "ftp://127.0.0.1"):
        ended = run(capsys, *where, server)
        assert (ended.status, ended.err.count("\n")) == (2, 1), server
    for arguments in (
        ("--host", "0.0.0.0"), ("--port", 99999), ("--workers", -1), ("--rate", "often"),  # noqa: S104
        ("--ray", "127.0.0.1:1"), ("--ray", "x"), ("--resources", "GPU=1"), ("--ray", "auto", "--resources", "GPU"),
        ("--keys", tmp_path / "none"), ("--model", "none"), ("--provider", "none"), ("--slots", -1),
        ("--checkpoint-s", 1), ("--ray", "auto", "--checkpoint-s", "nan"), ("--ray", "auto", "--checkpoint-s", -1),
        ("--keep-days", "nan"), ("--keep-gib", "nan"), ("--keep-gib", -1), ("--max-upload", 0),
    ):  # fmt: skip
        ended = run(capsys, "serve", "--data", tmp_path / "data", *arguments)
        assert (ended.status, ended.err.count("\n")) == (2, 1), arguments
        assert ended.err.startswith("error: ")


def test_a_list_on_a_cluster_that_is_not_there_is_one_line(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "list.csv").write_text(f"content,style\n{CONTENT},{STYLE}\n")
    batch = ("batch", tmp_path / "list.csv", "-o", tmp_path / "out", "--model", NETWORK, "-q")
    ended = run(capsys, "batch", tmp_path / "none.csv", "-o", tmp_path / "none", "--resources", "GPU=1")
    assert "--resources" in ended.err, "before the list is read"
    assert not (tmp_path / "none").exists()
    for arguments in (("--ray", "127.0.0.1:1"), ("--ray", "x"), ("--resources", "GPU=1")):
        ended = run(capsys, *batch, *arguments)
        assert (ended.status, ended.err.count("\n")) == (2, 1), arguments
        assert "ray" in ended.err


def test_without_the_extra_the_command_names_it(tmp_path: Path) -> None:
    code = (
        "import importlib.util as u, sys; real = u.find_spec\n"
        "u.find_spec = lambda name, *a: None if name in ('fastapi', 'httpx') else real(name, *a)\n"
        "sys.argv = ['impasto', *sys.argv[1:]]\n"
        "from impasto.engine.cli import main; main()"
    )
    for command in (("serve",), ("remote", "transfer", str(CONTENT), str(STYLE), "-o", str(tmp_path / "o.png"))):
        ended = subprocess.run([sys.executable, "-c", code, *command], capture_output=True, text=True, check=False)
        assert ended.returncode == 2
        assert ended.stderr.count("\n") == 1
        assert "pip install 'impasto[serve]'" in ended.stderr


def test_other_commands_import_nothing_of_the_server() -> None:
    code = (
        "import sys; sys.argv = ['impasto', '--help']\n"
        "from impasto.engine.cli import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "print([name for name in sys.modules if name.startswith(('impasto.server', 'fastapi', 'httpx', 'uvicorn'))])"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ended.stdout.splitlines()[-1] == "[]"
    assert {"serve", "remote"} <= set(LazyCommands.PLACES)


def test_the_client_repeats_a_submission_under_one_key() -> None:
    seen = []

    def handle(request: httpx.Request) -> httpx.Response:
        seen.append((request.headers["idempotency-key"], len(request.content)))
        if len(seen) == 1:
            raise httpx.ReadError("away", request=request)
        if len(seen) == 2:
            return httpx.Response(429, headers={"retry-after": "1"}, json={"detail": "full"})
        return httpx.Response(202, json={"id": "r_1", "state": "queued"})

    with Client("http://server", transport=httpx.MockTransport(handle)) as client:
        assert client.submit(CONTENT, STYLE, SMALL).id == "r_1"
    assert len(seen) == 3
    assert len(set(seen)) == 1
    assert seen[0][1] > CONTENT.stat().st_size


def test_a_client_waits_for_a_job_that_waits_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    """The server has said for hours that it is there, when the connection breaks for a moment."""
    now_s, asked = [0.0], list[str | None]()
    monkeypatch.setattr(time, "monotonic", lambda: now_s[0])
    monkeypatch.setattr(connection, "PAUSE_S", 0.0)

    def lines() -> Iterator[bytes]:
        yield b"id: 7\nevent: accepted\ndata: {}\n\n"
        for _ in range(5):
            now_s[0] += 100.0
            yield b": still here\n\n"
        raise httpx.ReadError("the connection was closed")

    def handle(request: httpx.Request) -> httpx.Response:
        if not request.url.path.endswith("/events"):
            return httpx.Response(200, json={"id": "r_1", "state": "done"})
        asked.append(request.headers.get("last-event-id"))
        if len(asked) == 1:
            return httpx.Response(200, content=lines())
        return httpx.Response(200, content=b"id: 8\nevent: ended\ndata: {}\n\n")

    with Client("http://server", patience_s=300, transport=httpx.MockTransport(handle)) as client:
        assert [event.number for event in client.events("r_1")] == [7, 8]
    assert asked == ["0", "7"]


def test_the_client_gives_up_and_says_why() -> None:
    def away(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("refused", request=request)

    with (
        Client("http://server", patience_s=0.1, transport=httpx.MockTransport(away)) as client,
        pytest.raises(ImpastoError, match="is `impasto serve` running there"),
    ):
        client.networks()

    def refuse(request: httpx.Request) -> httpx.Response:
        return httpx.Response(422, json={"detail": "bad size 0", "allowed": [1, 2]})

    with Client("http://server", transport=httpx.MockTransport(refuse)) as client:
        with pytest.raises(RefusedError, match=r"bad size 0; allowed: \[1, 2\]") as refused:
            client.job("r_1")
        assert refused.value.status == 422
        with pytest.raises(ImpastoError, match="cannot read"):
            client.submit("missing.jpg", STYLE)

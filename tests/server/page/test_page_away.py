"""The page of a server that needs keys, and that is killed and started again."""

import hashlib
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.server.page.browsing import LONG, TEXT, Visit, again_after_silence
from tests.server.running import RunningServer

pytestmark = again_after_silence

SECRET = "k" * 32


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def give_key(page: Visit, key: str) -> None:
    page.tab.wait("document.querySelector('#key-dialog') && document.querySelector('#key-dialog').open")
    page.tab.wait("document.activeElement === document.querySelector('#key-input')")
    page.tab.call("Input.insertText", text=key)
    page.tab.evaluate("window.isOld = true")
    page.enter(leaves=True)
    page.tab.wait("!window.isOld && document.readyState === 'complete'")


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RunningServer]:
    """A server that needs a key, on a port that it has again after a restart."""
    keys = tmp_path / "keys.toml"
    keys.write_text(
        f'[[key]]\nid = "alice"\nsha256 = "{hashlib.sha256(SECRET.encode()).hexdigest()}"\nmax_priority = 0\n'
    )
    with RunningServer(tmp_path / "data", "--keys", keys, "--port", free_port()) as running:
        yield running


@pytest.fixture
def page(visit: Callable[[], Visit], server: RunningServer) -> Visit:
    """The page after a wrong key."""
    found = visit()
    found.tab.visit(server.url)
    give_key(found, "wrong")
    found.tab.wait("!document.querySelector('#key-wrong').hidden")
    return found


def test_axe_finds_nothing_where_a_key_is_asked_for(page: Visit) -> None:
    assert page.violations() == []


def test_a_key_is_asked_for_and_a_killed_server_carries_on(page: Visit, server: RunningServer) -> None:
    give_key(page, SECRET)
    page.wait_until_ready().begin(LONG)
    job = page.choose_example()
    page.tab.evaluate("document.querySelector('#finish').click()")
    page.wait_for("Picture:")
    page.tab.wait(f"Number(/iteration (\\d+)/.exec({TEXT})?.[1]) > 30", 120)  # a state was saved
    page.tab.wait("document.querySelector('compare-view img.after').naturalWidth > 0")
    assert page.job != job
    job = page.job
    server.kill()
    page.tab.wait("!document.querySelector('#away').hidden")
    server.start()
    page.tab.wait("document.querySelector('#away').hidden")
    page.wait_for("iteration")
    page.wait_for_change()
    assert page.job == job
    page.tab.evaluate("document.querySelector('#stop').click()")
    page.wait_for("Stopped after")
    page.tab.wait("document.querySelector('#save').hidden === false")

"""The page of a server that needs keys, and that is killed and started again."""

import hashlib
import socket
from pathlib import Path

import pytest

from tests import chromium
from tests.server.page.browsing import LONG, TEXT, Visit
from tests.server.running import RunningServer

# Chromium on a busy machine now and then leaves a tab in the middle of a navigation.
pytestmark = pytest.mark.flaky(reruns=2)

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


def test_a_key_is_asked_for_and_a_killed_server_carries_on(browser: chromium.Browser, tmp_path: Path) -> None:
    keys = tmp_path / "keys.toml"
    keys.write_text(
        f'[[key]]\nid = "alice"\nsha256 = "{hashlib.sha256(SECRET.encode()).hexdigest()}"\nmax_priority = 0\n'
    )
    options = ("--keys", keys, "--port", free_port())
    with RunningServer(tmp_path / "data", *options) as server:
        page = Visit(browser.tab(), server.url)
        page.tab.visit(server.url)
        give_key(page, "wrong")
        page.tab.wait("!document.querySelector('#key-wrong').hidden")
        assert page.violations() == []
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
        page.tab.close()

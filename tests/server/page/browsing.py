"""The page as a user has it: keys that are pressed, files that are chosen, and what can be seen."""

import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests import chromium

AXE = Path(__file__).parent / "node_modules" / "axe-core" / "axe.min.js"
QUICK: dict[str, Any] = {"preset": "fast", "changes": {"size": 48, "iterations": 4}}
LONG: dict[str, Any] = {"preset": "fast", "changes": {"size": 160, "iterations": 5000}}
"""What the page keeps for a tab: settings whose draft takes a moment, and settings whose picture takes very long."""

again_after_silence = pytest.mark.flaky(reruns=2, only_rerun=["SilenceError"])
"""Chromium on a busy machine now and then leaves a script without an answer."""

TAB, ENTER, RIGHT = ("Tab", 9), ("Enter", 13), ("ArrowRight", 39)
TEXT = "document.querySelector('.progress-text').textContent"
JOB = "location.hash.slice(1)"


class Visit:
    """A tab with the page in it.

    Args:
        tab: of the browser.
        url: of the server.
    """

    def __init__(self, tab: chromium.Page, url: str) -> None:
        self.tab, self.url = tab, url
        tab.look(1280, scheme="light")
        tab.catch_choosers()

    def begin(self, form: dict[str, Any] = QUICK, path: str = "/") -> "Visit":
        """Open the page as a tab has it that kept these settings."""
        self.tab.visit(self.url + "/page/favicon.svg")
        self.tab.evaluate(f"sessionStorage.setItem('impasto-form', {json.dumps(json.dumps(form))})")
        self.tab.visit(self.url + path)
        return self.wait_until_ready()

    def wait_until_ready(self) -> "Visit":
        self.tab.wait("document.body && document.body.dataset.ready")
        return self

    def reload(self) -> None:
        self.tab.evaluate("delete document.body.dataset.ready")
        self.tab.call("Page.reload")
        self.wait_until_ready()

    def choose_example(self) -> str:
        """Begin with an example; return the job of its draft."""
        self.tab.evaluate("document.querySelector('.example').click()")
        return str(self.tab.wait(f"{JOB}.startsWith('r_') && {JOB}"))

    def wait_for(self, text: str, timeout_s: float = 120.0) -> None:
        """Wait until the progress says something."""
        self.tab.wait(f"{TEXT}.includes({json.dumps(text)})", timeout_s)

    def wait_for_change(self) -> None:
        """Wait until the progress says something else."""
        self.tab.wait(f"{TEXT} !== {json.dumps(self.tab.evaluate(TEXT))}", 120)

    def streams(self) -> int:
        """Return how often this tab has asked for the stream of events."""
        self.tab.evaluate("0")  # events arrive with answers
        return sum(url.endswith("/v1/events") for url in self.tab.requests)

    def tab_to(self, selector: str, most: int = 60) -> None:
        """Press Tab until an element has the focus, which must be visible then."""
        there = f"document.activeElement.matches({json.dumps(selector)})"
        for _ in range(most):
            if self.tab.evaluate(there):
                assert self.tab.evaluate("document.activeElement.matches(':focus-visible')"), selector
                return
            self.tab.press(*TAB)
        raise AssertionError(f"{selector} cannot be reached with Tab")

    def enter(self, *, leaves: bool = False) -> None:
        self.tab.press(*ENTER, text="\r", leaves=leaves)

    @property
    def job(self) -> str:
        """The job that the address names."""
        return str(self.tab.evaluate(JOB))

    def violations(self) -> list[str]:
        """Return what axe-core finds wrong, or skip the test where axe-core is missing."""
        if not AXE.is_file():
            pytest.skip("no axe-core: run `npm ci` in tests/server/page")
        if not self.tab.evaluate("Boolean(window.axe)"):
            self.tab.evaluate(AXE.read_text(encoding="utf-8"))
        found = self.tab.evaluate(
            "axe.run(document, {resultTypes: ['violations']}).then((result) => result.violations)"
        )
        return [f"{item['id']}: {[node['html'] for node in item['nodes']]}" for item in found]

    def check_quiet(self) -> None:
        """Check that the page asked no other server, and that nothing went wrong in it."""
        others = [url for url in self.tab.requests if not url.startswith((self.url, "blob:", "about:", "data:"))]
        assert not others
        assert not [text for text in self.tab.complaints if "404" not in text]


def render(url: str, job: str) -> dict[str, Any]:
    """Return a job as the API has it."""
    found: dict[str, Any] = httpx.get(f"{url}/v1/renders/{job}", timeout=60).json()
    return found

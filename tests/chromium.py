"""A headless Chromium driven over its DevTools pipe, with the standard library alone."""

import base64
import json
import os
import select
import shutil
import subprocess
import sys
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import pytest

AS_3_AND_4 = """
import fcntl, os, sys
ends = [fcntl.fcntl(int(end), fcntl.F_DUPFD, 10) for end in sys.argv[1:3]]
for end, number in zip(ends, (3, 4)):
    os.dup2(end, number)
os.execv(sys.argv[3], sys.argv[3:])
"""
PATIENCE_S, POLL_S = 90.0, 10.0
STEADY = ("--disable-features=RenderDocument", "--disable-back-forward-cache")
"""Pages keep their renderer. With a new one for each page, a busy browser now and then loses a script in the change."""

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")


def find() -> str:
    """Return the browser's path, or skip the test."""
    named = os.environ.get("IMPASTO_CHROMIUM", "")
    found = named or next(filter(None, map(shutil.which, NAMES)), None)
    if not found:
        pytest.skip(f"no browser: none of {', '.join(NAMES)} is on PATH, and IMPASTO_CHROMIUM is not set")
    return found


class SilenceError(AssertionError):
    """The browser has not answered."""


class Browser:
    """A browser and its tabs.

    DevTools protocol: messages end with a zero byte, the browser reads file descriptor 3 and writes 4.
    """

    def __init__(self, commands: IO[bytes], answers: IO[bytes]) -> None:
        self._commands, self._answers = commands, answers
        self._number, self._received = 0, b""
        self._latest: deque[str] = deque(maxlen=20)
        self.tabs: dict[str, Page] = {}

    def tab(self) -> "Page":
        """Open a tab."""
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        tab = self.tabs[session] = Page(self, session, target)
        for domain in ("Page", "Network", "Runtime", "Log"):
            tab.call(f"{domain}.enable")
        tab.call("Page.setLifecycleEventsEnabled", enabled=True)
        return tab

    def call(
        self, method: str, session: str | None = None, patience_s: float = PATIENCE_S, **parameters: Any
    ) -> dict[str, Any]:
        """Send a command and wait for its answer; what else comes in is kept by its tab."""
        number, end_s = self.send(method, session, **parameters), time.monotonic() + patience_s
        while True:
            answer = self.read(end_s)
            if answer.get("id") == number:
                assert "error" not in answer, f"{method}: {answer['error']}"
                result: dict[str, Any] = answer["result"]
                return result

    def send(self, method: str, session: str | None = None, **parameters: Any) -> int:
        """Send a command; return its number, which its answer has."""
        self._number += 1
        message: dict[str, Any] = {"id": self._number, "method": method, "params": parameters}
        if session:
            message["sessionId"] = session
        self._commands.write(json.dumps(message).encode() + b"\0")
        self._latest.append(f"> {self._number} {method}")
        return self._number

    def read(self, end_s: float) -> dict[str, Any]:
        """Return what the browser says next, an answer or an event.

        Args:
            end_s: of `time.monotonic`: when to give up.

        Raises:
            SilenceError: it says nothing until then.
        """
        while b"\0" not in self._received:
            ready, _, _ = select.select([self._answers], [], [], max(0.0, end_s - time.monotonic()))
            if not ready:
                raise SilenceError(f"the browser does not answer; the latest messages: {', '.join(self._latest)}")
            data = os.read(self._answers.fileno(), 1 << 16)
            assert data, "the browser ended"
            self._received += data
        text, _, self._received = self._received.partition(b"\0")
        message: dict[str, Any] = json.loads(text)
        self._latest.append(f"< {message.get('id', '')} {message.get('method', '')}")
        tab = self.tabs.get(message.get("sessionId", ""))
        if tab is not None and "method" in message:
            tab.take(message["method"], message["params"])
        return message


class Page:
    """One tab; every network request that it makes is kept."""

    def __init__(self, browser: Browser, session: str, target: str) -> None:
        self._browser, self._session, self._target = browser, session, target
        self._choosers: list[int] = []
        self._loaded: set[str] = set()
        self.requests: list[str] = []
        self.complaints: list[str] = []

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Send a command to this tab and wait for its answer."""
        return self._browser.call(method, self._session, **parameters)

    def take(self, method: str, parameters: dict[str, Any]) -> None:
        """Keep an event of the tab."""
        if method == "Network.requestWillBeSent":
            self.requests.append(parameters["request"]["url"])
        elif method == "Log.entryAdded":
            self.complaints.append(parameters["entry"]["text"])
        elif method == "Runtime.exceptionThrown":
            self.complaints.append(str(parameters["exceptionDetails"]))
        elif method == "Page.fileChooserOpened":
            self._choosers.append(parameters["backendNodeId"])
        elif method == "Page.lifecycleEvent" and parameters["name"] == "load":
            self._loaded.add(parameters["loaderId"])
        elif method == "Page.javascriptDialogOpening":  # the page stands still until it is answered
            self.complaints.append(f"a dialog: {parameters['type']} {parameters['message']}")
            self._browser.send("Page.handleJavaScriptDialog", self._session, accept=True)

    def visit(self, url: str) -> None:
        """Go to an address and wait until it is loaded.

        An event tells of the end: a script that is sent meanwhile may be lost with the page that is left.
        """
        answer = self.call("Page.navigate", url=url)
        assert "errorText" not in answer, f"{url} was not opened: {answer['errorText']}"
        loader, end_s = answer.get("loaderId"), time.monotonic() + PATIENCE_S
        while loader is not None and loader not in self._loaded:  # None: the page stays, only the fragment changes
            self._browser.read(end_s)

    def wait(self, condition: str, timeout_s: float = 60.0) -> Any:
        """Return the first true value of an expression.

        Raises:
            SilenceError: the page did not answer at the end.
            AssertionError: no value was true.
        """
        end_s, silence = time.monotonic() + timeout_s, None
        while time.monotonic() < end_s:
            try:
                if value := self.evaluate(condition, POLL_S):
                    return value
                silence = None
            except SilenceError as error:  # ask again
                silence = error
                continue
            except AssertionError as error:
                if not any(text in str(error) for text in ("navigated", "context")):  # of a page that is being left
                    raise
            time.sleep(0.05)
        if silence is not None:
            raise silence
        raise AssertionError(f"waited in vain for {condition}; complaints: {self.complaints}")

    def catch_choosers(self) -> None:
        """Answer dialogs for files with `choose` from now on."""
        self.call("Page.setInterceptFileChooserDialog", enabled=True)

    def choose(self, path: Path) -> None:
        """Choose a file in the dialog that has been opened."""
        end_s = time.monotonic() + 20
        while not self._choosers:
            assert time.monotonic() < end_s, "no dialog for files was opened"
            self.evaluate("0")  # events arrive with answers
        self.call("DOM.setFileInputFiles", files=[str(path)], backendNodeId=self._choosers.pop())

    def front(self) -> None:
        """Make this the tab that the user sees."""
        self.call("Page.bringToFront")

    def close(self) -> None:
        """Close the tab, if that was not done."""
        if self._browser.tabs.pop(self._session, None) is not None:
            self._browser.call("Target.closeTarget", targetId=self._target)

    def open(self, path: Path) -> None:
        """Go to a file and wait until it is loaded."""
        self.visit(path.as_uri())

    def evaluate(self, script: str, patience_s: float = PATIENCE_S) -> Any:
        """Return the value of an expression."""
        result = self.call(
            "Runtime.evaluate", patience_s=patience_s, expression=script, returnByValue=True, awaitPromise=True
        )
        assert "exceptionDetails" not in result, result["exceptionDetails"]
        return result["result"].get("value")

    def press(self, key: str, code: int, *, text: str = "", shift: bool = False, leaves: bool = False) -> None:
        r"""Press and release a key.

        Args:
            key: its name.
            code: its Windows virtual key code.
            text: what it types, such as "\r" for Enter.
            shift: whether the shift key is down.
            leaves: whether the page is left at once. Then no answer is waited for, because it may be lost with the
                page, and the key is not released.
        """
        more: dict[str, Any] = {"key": key, "code": key, "windowsVirtualKeyCode": code, "modifiers": 8 if shift else 0}
        down = {"type": "keyDown", "text": text} if text else {"type": "rawKeyDown"}
        if leaves:
            self._browser.send("Input.dispatchKeyEvent", self._session, **down, **more)
            return
        self.call("Input.dispatchKeyEvent", **down, **more)
        self.call("Input.dispatchKeyEvent", type="keyUp", **more)

    def click(self, x: float, y: float) -> None:
        for kind in ("mousePressed", "mouseReleased"):
            buttons = 1 if kind == "mousePressed" else 0
            self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", buttons=buttons, clickCount=1)

    def look(self, width: int, *, scheme: str) -> None:
        """Set the window's width, px, and the reader's colour scheme: light or dark."""
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=False)
        self.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])

    def screenshot(self) -> bytes:
        """Return the whole page as a PNG file."""
        return base64.b64decode(self.call("Page.captureScreenshot", captureBeyondViewport=True)["data"])


@contextmanager
def page(profile: Path) -> Iterator[Page]:
    """Start a browser with an empty profile and give a tab of it; skip where there is none."""
    with browser(profile) as found:
        yield found.tab()


@contextmanager
def browser(profile: Path) -> Iterator[Browser]:
    """Start a browser with an empty profile; skip where there is none."""
    program = find()
    to_browser, commands = os.pipe()
    answers, from_browser = os.pipe()
    flags = (
        "--headless=new",
        "--no-sandbox",
        "--disable-gpu",
        "--hide-scrollbars",
        "--remote-debugging-pipe",
        *STEADY,
        f"--user-data-dir={profile}",
    )
    process = subprocess.Popen(
        [sys.executable, "-c", AS_3_AND_4, str(to_browser), str(from_browser), program, *flags],
        pass_fds=(to_browser, from_browser),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    os.close(to_browser)
    os.close(from_browser)
    try:
        with os.fdopen(answers, "rb", buffering=0) as incoming, os.fdopen(commands, "wb", buffering=0) as outgoing:
            yield Browser(outgoing, incoming)
    finally:  # the browser ends with its pipes
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

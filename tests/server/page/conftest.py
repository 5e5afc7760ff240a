"""A browser for the tests of the page, and visits to a server."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests import chromium
from tests.server.page.browsing import Visit
from tests.server.running import RunningServer


@pytest.fixture
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[chromium.Browser]:
    with chromium.browser(tmp_path_factory.mktemp("profile")) as found:
        yield found


@pytest.fixture
def visit(browser: chromium.Browser, server: RunningServer) -> Iterator[Callable[[], Visit]]:
    """Opens tabs, which are closed after the test."""
    tabs: list[chromium.Page] = []

    def open_tab() -> Visit:
        tabs.append(browser.tab())
        return Visit(tabs[-1], server.url)

    yield open_tab
    for tab in tabs:
        tab.close()


@pytest.fixture(scope="module")
def screenshots(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the pictures of the page."""
    folder = Path(os.environ.get("IMPASTO_SCREENSHOTS") or tmp_path_factory.mktemp("page-screenshots", numbered=False))
    folder.mkdir(parents=True, exist_ok=True)
    return folder

"""Fixtures of the server's tests; without the extra `serve` they are skipped."""

from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("fastapi", reason="the extra serve is not installed")

from tests.server.running import App, RunningServer, make_service


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """A running server with a real worker."""
    with RunningServer(tmp_path_factory.mktemp("serve") / "data") as running:
        yield running


@pytest.fixture
def app(tmp_path: Path) -> Iterator[App]:
    """An application whose jobs stay in the queue."""
    service, _ = make_service(tmp_path / "data")
    found = App(service)
    yield found
    found.close()
    service.close()

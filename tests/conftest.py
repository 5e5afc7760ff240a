"""Fixtures that more than one part uses."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parent.parent


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Skip tests of minutes unless they are asked for."""
    if "load" not in str(config.option.markexpr):
        for item in items:
            if item.get_closest_marker("load"):
                item.add_marker(pytest.mark.skip(reason="takes minutes; run by hand with -m load"))


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real weights and images, which is never part of the project."""
    folder = Path(os.environ.get("IMPASTO_SHARED", REPOSITORY.parent / "shared"))
    if not (folder / "weights" / "vgg19_oxford.safetensors").is_file():
        pytest.skip(f"no real weights and images: IMPASTO_SHARED={folder} has no weights/vgg19_oxford.safetensors")
    return folder


@pytest.fixture(scope="session", autouse=True)
def no_run_cache() -> Iterator[None]:
    """Keep the tests out of the user's cache of graphs and targets, and that out of the tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("IMPASTO_NO_CACHE", "1")
        yield

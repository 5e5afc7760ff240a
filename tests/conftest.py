"""Fixtures that more than one part uses."""

import os
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real weights and images, which is never part of the project."""
    folder = Path(os.environ.get("IMPASTO_SHARED", REPOSITORY.parent / "shared"))
    if not (folder / "weights" / "vgg19_oxford.safetensors").is_file():
        pytest.skip(f"no real weights and images: IMPASTO_SHARED={folder} has no weights/vgg19_oxford.safetensors")
    return folder

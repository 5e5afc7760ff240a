"""The package as a whole."""

from pathlib import Path

from impasto.engine import images


def test_public_names() -> None:
    assert sorted(images.__all__) == images.__all__
    assert all(hasattr(images, name) for name in images.__all__)


def test_pillow_is_imported_by_this_package_alone() -> None:
    engine = Path(images.__file__).parent.parent
    others = [path for path in engine.rglob("*.py") if "images" not in path.relative_to(engine).parts[:1]]
    assert len(others) > 3
    assert [path.name for path in others if "from PIL" in path.read_text() or "import PIL" in path.read_text()] == []

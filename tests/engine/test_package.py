"""The public names of the package."""

from impasto import engine

PUBLIC = [
    "Engine",
    "Evaluation",
    "Event",
    "Finished",
    "Handle",
    "ImpastoError",
    "Iteration",
    "Job",
    "JobState",
    "Picture",
    "PrecisionChanged",
    "RefinementError",
    "Result",
    "RunState",
    "SavedStyle",
    "ScaleStarted",
    "Settings",
    "Started",
    "Tap",
    "content_reconstruction",
    "load_checkpoint",
    "preset",
    "save_checkpoint",
    "style_reconstruction",
    "transfer_refined",
]


def test_they_are_these_and_no_others() -> None:
    assert engine.__all__ == PUBLIC
    assert sorted(engine.__all__) == engine.__all__


def test_each_is_found() -> None:
    assert all(hasattr(engine, name) for name in PUBLIC)

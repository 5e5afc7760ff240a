"""The film of a run."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageSequence

from impasto.engine import Engine, Event, ImpastoError, Iteration, Picture, Result, Settings, Started
from impasto.engine.images import write_animation
from impasto.engine.watch import animation as film
from impasto.engine.watch.animation import FRAME_MS, LAST_MS, MOST_FRAMES, Animation
from tests.engine.command_line import run
from tests.engine.conftest import TAPS, Files


def flat(level: int, height: int = 8, width: int = 12) -> np.ndarray:
    """An image of one grey level, as a snapshot gives it."""
    return np.full((height, width, 3), level / 255, np.float32)


def result(pixels: np.ndarray) -> Result:
    return Result(Picture(pixels, None, "p"), 1.0, {}, {}, 1, 1, "iterations_done", "", 1.0, 0.1, 0.5, Settings(), {})


def filmed(animation: Animation, iterations: int, height: int = 8, width: int = 12) -> list[int]:
    """Feed a run whose image has the grey level of its iteration; return of which iterations a snapshot was made."""
    made: list[int] = []

    def snapshot(number: int) -> np.ndarray:
        made.append(number)
        return flat(number % 256, height, width)

    animation.take(Started(height, width, "m", "cpu", "fp32", "", 0.1))
    for number in range(1, iterations + 1):
        animation.take(Iteration(number, number, 1.0, {}, 1.0, lambda number=number: snapshot(number)))  # type: ignore[misc]
    return made


def frames(path: Path) -> tuple[list[np.ndarray], list[int]]:
    """Return frames, and how long each is shown, ms."""
    with Image.open(path) as image:
        images = [np.asarray(frame.convert("RGB"), np.int16) for frame in ImageSequence.Iterator(image)]
        durations = []
        for index in range(len(images)):
            image.seek(index)
            image.load()
            durations.append(round(image.info.get("duration", 0)))
    return images, durations


@pytest.mark.parametrize(("suffix", "tolerance"), [(".webp", 6), (".gif", 8), (".png", 0)])
def test_frames_come_back_in_order_with_their_times(tmp_path: Path, suffix: str, tolerance: int) -> None:
    path = tmp_path / f"out{suffix}"
    rng = np.random.default_rng(0)
    first = np.kron(rng.integers(0, 255, (3, 4, 3)), np.ones((16, 16, 1))).astype(np.uint8)
    shown = [first, np.flip(first, 1).copy(), 255 - first]
    write_animation(path, shown, [80, 120, 2000])
    images, durations = frames(path)
    assert durations == [80, 120, 2000]
    assert len(images) == 3
    for image, expected in zip(images, shown, strict=True):
        assert np.abs(image - expected.astype(np.int16)).mean() <= tolerance
    with Image.open(path) as opened:
        assert opened.info["loop"] == 0  # endless


def test_every_n_is_taken_at_its_word(tmp_path: Path) -> None:
    animation = Animation(tmp_path / "out.png", every=3)
    assert filmed(animation, 200) == list(range(3, 201, 3))
    assert animation.finish(result(flat(200))) == f"{tmp_path / 'out.png'}: 67 frames, one in 3 iterations"
    images, durations = frames(tmp_path / "out.png")
    assert [image[0, 0, 0] for image in images] == [*range(3, 200, 3), 200]
    assert durations == [FRAME_MS] * 66 + [LAST_MS]


@pytest.mark.parametrize("iterations", [1, 59, 60, 61, 255])
def test_without_n_there_are_at_most_sixty_evenly_spaced(tmp_path: Path, iterations: int) -> None:
    animation = Animation(tmp_path / "out.png")
    made = filmed(animation, iterations)
    assert len(made) <= 4 * MOST_FRAMES
    animation.finish(result(flat(iterations)))
    images, _ = frames(tmp_path / "out.png")
    levels = [int(image[0, 0, 0]) for image in images]
    assert min(iterations, MOST_FRAMES / 2) <= len(levels) <= MOST_FRAMES
    assert len(set(np.diff(levels[:-1]))) <= 1
    assert levels[-1] == iterations


def test_memory_is_bounded_and_what_was_left_out_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(film, "MEMORY_BYTES", 7 * 8 * 12 * 10)
    animation = Animation(tmp_path / "out.png", every=2)
    filmed(animation, 100)
    line = animation.finish(result(flat(100)))
    assert line.endswith(": 7 frames, one in 16 iterations to save memory")


def test_large_results_are_reduced(tmp_path: Path) -> None:
    animation = Animation(tmp_path / "out.png")
    filmed(animation, 2, 100, 2048)
    animation.finish(result(flat(9, 100, 2048)))
    images, _ = frames(tmp_path / "out.png")
    assert [image.shape for image in images] == [(50, 1024, 3)] * 3


def test_a_run_stopped_at_once_leaves_one_frame(tmp_path: Path) -> None:
    animation = Animation(tmp_path / "out.webp")
    animation.take(Started(8, 12, "m", "cpu", "fp32", "", 0.1))
    assert animation.finish(result(flat(77))) == f"{tmp_path / 'out.webp'}: 1 frame"
    with Image.open(tmp_path / "out.webp") as image:
        assert np.abs(np.asarray(image.convert("RGB"), np.int16) - 77).max() <= 2


def test_the_last_frame_is_the_result(files: Files) -> None:
    animation = Animation(files.folder / "out.png")
    events: list[Event] = []

    def on_event(event: Event) -> None:
        events.append(event)
        animation.take(event)

    settings = Settings(size=0, content_taps=("relu2_1",), style_taps=("relu1_1",), iterations=5, init="noise")
    with Engine(files.model, provider="cpu") as engine:
        made = engine.transfer(files.content, files.style, settings, on_event=on_event)
    animation.finish(made)
    images, durations = frames(files.folder / "out.png")
    assert len(images) == 5  # the fifth iteration is the result
    assert durations[-1] == LAST_MS
    np.testing.assert_array_equal(images[-1], np.rint(np.clip(made.picture.pixels, 0, 1) * 255))


def test_command_line(capsys: pytest.CaptureFixture[str], files: Files) -> None:
    common = ("--model", files.model, "--size", 0, "--provider", "cpu", *TAPS, "--iterations", 4)
    path = files.folder / "film.webp"
    ended = run(capsys, "transfer", files.content, files.style, "-o", files.folder / "out.png", *common,
                "--animation", path, "--save-every", 2)  # fmt: skip
    assert (ended.status, ended.out.splitlines()[2]) == (0, f"{path}: 2 frames, one in 2 iterations")
    assert sorted(item.name for item in files.folder.glob("out*")) == ["out-000002.png", "out-000004.png", "out.png"]
    assert len(frames(path)[0]) == 2


@pytest.mark.parametrize(
    ("path", "why"),
    [
        ("film.mp4", "allowed are .webp, .gif, .png"),
        ("missing/film.webp", "create it first"),
        ("out.png", "give them two names"),
        ("out-000004.png", "is also a file of --save-every: give it another name"),
    ],
)
def test_a_bad_path_is_found_before_the_run(
    capsys: pytest.CaptureFixture[str], files: Files, path: str, why: str
) -> None:
    output = files.folder / "out.png"
    command = ("transfer", files.content, files.style, "-o", output, "--save-every", 2)
    ended = run(capsys, *command, "--animation", files.folder / path)
    assert ended.status == 2
    assert len(ended.err.splitlines()) == 1
    assert why in ended.err
    assert not output.exists()


def test_an_older_film_stays_where_a_new_one_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "out.webp"
    path.write_bytes(b"older")
    animation = Animation(path)

    def full(*_: object) -> None:
        raise ImpastoError("no space left on the disk")

    monkeypatch.setattr("impasto.engine.images.animation.write_atomically", full)
    with pytest.raises(ImpastoError, match="no space left"):
        animation.finish(result(flat(1)))
    assert path.read_bytes() == b"older"

"""`impasto engines` where there is no GPU: the cache is a folder like any other."""

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from impasto.engine.runtime import providers
from impasto.engine.runtime.evaluator import Evaluator
from impasto.engine.runtime.providers import nvidia, tensorrt
from impasto.engine.runtime.session import Session
from impasto.export.terms import Term
from impasto.models.errors import ImpastoError
from tests.engine.command_line import run
from tests.engine.conftest import Files

WORKS = providers.Availability("tensorrt", True, "a test says so")


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("IMPASTO_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def put_engine() -> Path:
    folder = tensorrt.engine_dir(nvidia.Gpu(0, "NVIDIA H200", (9, 0)), "10.13.2")
    folder.mkdir(parents=True)
    (folder / "impasto_fp16_123_0_sm90.engine").write_bytes(bytes(2_500_000))
    (folder / "sm90.timing").write_bytes(bytes(500_000))
    return folder


def test_an_empty_cache_says_how_to_fill_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert "impasto engines build" in run(capsys, "engines", "list").out
    assert run(capsys, "engines", "list", "--json").out == "[]\n"
    assert run(capsys, "engines", "clear").out == "0 engines deleted, 0.0 MB freed\n"


def test_engines_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    put_engine()
    line = "nvidia-h200-sm90-10.13.2  impasto_fp16_123_0_sm90  2.5 MB\n"
    assert run(capsys, "engines", "list").out == line
    (entry,) = json.loads(run(capsys, "engines", "list", "--json").out)
    assert entry == {"machine": "nvidia-h200-sm90-10.13.2", "name": "impasto_fp16_123_0_sm90", "megabytes": 2.5}


def test_engines_are_deleted_with_their_timings(capsys: pytest.CaptureFixture[str], cache: Path) -> None:
    folder = put_engine()
    other = cache / "networks"
    other.mkdir()
    assert run(capsys, "engines", "clear").out == "1 engines deleted, 3.0 MB freed\n"
    assert not folder.exists()
    assert other.is_dir()


@pytest.mark.skipif(Path("/dev/nvidiactl").exists(), reason="there is a GPU")
def test_building_without_a_gpu_is_one_line(capsys: pytest.CaptureFixture[str], files: Files) -> None:
    ended = run(capsys, "engines", "build", files.content, files.style, "--model", files.model)
    assert (ended.status, ended.out) == (2, "")
    assert ended.err.startswith("error: provider tensorrt does not work here: no NVIDIA driver")
    assert ended.err.endswith("; see `impasto doctor`\n")
    assert ended.err.count("\n") == 1
    auto = run(capsys, "engines", "build", files.content, files.style, "--model", files.model, "--provider", "auto")
    assert auto == ended


@pytest.mark.parametrize("provider", ["cpu", "openvino", "cuda", "cuda:1,nhwc", "gpu"])
def test_providers_without_engines_are_refused(capsys: pytest.CaptureFixture[str], files: Files, provider: str) -> None:
    ended = run(capsys, "engines", "build", files.content, files.style, "--model", files.model, "--provider", provider)
    assert (ended.status, ended.out) == (2, "")
    assert ended.err == (
        f"error: no engines for provider {provider}: allowed are tensorrt and auto; other providers need no engines, "
        "so run `impasto transfer` directly\n"
    )


@pytest.mark.parametrize(
    ("asked", "expected"), [("auto", "tensorrt"), ("tensorrt:1,uncaptured", "tensorrt:1,uncaptured")]
)
def test_auto_is_tensorrt_where_engines_are_built(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, files: Files, asked: str, expected: str
) -> None:
    named: list[str] = []

    def choose(name: str, precision: str, **_: object) -> providers.Provider:
        named.append(name)
        raise ImpastoError("enough")

    monkeypatch.setattr(tensorrt, "probe", lambda *, build: WORKS)
    monkeypatch.setattr(providers, "choose", choose)
    run(capsys, "engines", "build", files.content, files.style, "--model", files.model, "--provider", asked)
    assert named == [expected]


@pytest.mark.parametrize(
    ("words", "terms", "batch"),
    [
        ((), {"content_relu2_1", "style_relu1_1"}, 1),
        (("--batch", 3), {"content_relu2_1", "style_relu1_1"}, 3),
        (("--tv-weight", 1, "--seamless"), {"content_relu2_1", "style_relu1_1", "tv"}, 1),
        (("--style-weight", 0), {"content_relu2_1"}, 1),
        (("--content-weight", 0), {"style_relu1_1"}, 1),
    ],
)
def test_every_form_can_be_built(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    files: Files,
    words: tuple[object, ...],
    terms: set[str],
    batch: int,
) -> None:
    """The provider is the CPU's under another name; what is compiled is the same."""
    stand_in = dataclasses.replace(providers.choose("cpu"), name="tensorrt")
    monkeypatch.setattr(tensorrt, "probe", lambda *, build: WORKS)
    monkeypatch.setattr(providers, "choose", lambda *_, **__: stand_in)
    made: list[tuple[set[str], int]] = []
    original = Evaluator.__init__

    def spy(self: Evaluator, session: Session, given: Sequence[Term], *, scaled: bool) -> None:
        original(self, session, given, scaled=scaled)
        made.append(({term.name for term in given}, len(self.coefficients)))

    monkeypatch.setattr(Evaluator, "__init__", spy)
    taps = ("--content-tap", "relu2_1", "--style-tap", "relu1_1", "--size", 64)
    ended = run(capsys, "engines", "build", files.content, files.style, "--model", files.model, *taps, *words)
    assert (ended.status, ended.err) == (0, "")
    assert ended.out.startswith("ready on tensorrt in fp32, 64x")
    assert made == [(terms, batch)]


def test_a_batch_out_of_range_is_one_line(capsys: pytest.CaptureFixture[str], files: Files) -> None:
    ended = run(capsys, "engines", "build", files.content, files.style, "--batch", 0)
    assert (ended.status, ended.err) == (2, "error: bad --batch 0: allowed are 1 to 64 pictures in one evaluation\n")

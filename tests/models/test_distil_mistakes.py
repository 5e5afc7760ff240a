"""What a user of the recipe may get wrong: one line and status 2; and which teachers there are."""

from pathlib import Path

import numpy as np
import onnx
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("skimage")

from impasto.models.distil.cli import main  # noqa: E402
from impasto.models.distil.teacher import teacher_weights  # noqa: E402
from impasto.models.errors import ImpastoError  # noqa: E402
from impasto.models.preprocess import TORCHVISION  # noqa: E402
from impasto.models.store import CACHE_VARIABLE, EMBEDDED  # noqa: E402
from impasto.models.vgg import VGG19  # noqa: E402


@pytest.fixture(autouse=True)
def empty_home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("IMPASTO_SHARED", raising=False)
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "cache"))


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (
            ("train", "--run", "run"),
            "no such file: run/init.pt; `init` writes init.pt, then `train` checkpoint.pt",
        ),
        (
            ("export", "--run", "run", "--output", "a.safetensors"),
            "no such file: run/checkpoint.pt; `init` writes init.pt, then `train` checkpoint.pt",
        ),
        (
            ("score", "--run", "run", "--name", "a"),
            "no pictures to score: set IMPASTO_SHARED to a folder with images/neckarfront.jpg and paintings",
        ),
        (
            ("init", "--run", "run"),
            "unknown network 'vgg19': there is vgg19-slim; run `impasto weights list` to see what can be fetched, "
            "or `impasto weights import FILE --name vgg19` with a file that you have",
        ),
        (
            ("init", "--run", "run", "--teacher", EMBEDDED),
            "no teacher: {embedded} does not hold VGG-19's conv1_1.weight; give a VGG-19 as --teacher",
        ),
        (("init", "--run", "run", "--teacher", "a.pth"), "no such file: a.pth"),
        (("init", "--run", "run", "--threads", "0"), "bad number '0': allowed are whole numbers of 1 or more"),
        (("train", "--run", "run", "--side", "8"), "bad --side 8: allowed are 32 or more"),
        (("train", "--run", "run", "--on-policy-share", "2"), "bad --on-policy-share 2.0: allowed are 0 to 1"),
    ],
)
def test_a_mistake_is_one_line(words: tuple[str, ...], line: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(list(words))
    assert caught.value.code == 2
    from impasto.models.store import EMBEDDED_DIR

    assert capsys.readouterr().err == f"error: {line.format(embedded=EMBEDDED_DIR / f'{EMBEDDED}.onnx')}\n"


def test_a_device_that_is_not_there_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(SystemExit) as caught:
        main(["train", "--run", "run", "--device", "cuda"])
    assert caught.value.code == 2
    assert "bad --device cuda: PyTorch finds no CUDA device here" in capsys.readouterr().err


def test_a_network_of_the_store_is_a_teacher(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    arrays = {name: rng.normal(0, 1, shape).astype(np.float32) for name, shape in VGG19.parameter_shapes.items()}
    graph = onnx.helper.make_graph(
        [], "features", [], [], [onnx.numpy_helper.from_array(v, k) for k, v in arrays.items()]
    )
    model = onnx.helper.make_model(graph)
    said = {"preprocess": TORCHVISION.to_json(), "licence": "mine", "weights_sha256": "abc"}
    onnx.helper.set_model_props(model, said)
    (tmp_path / "cache" / "networks").mkdir(parents=True)
    onnx.save(model, tmp_path / "cache" / "networks" / "other.onnx")
    found = teacher_weights("other")
    assert (found.preprocess, found.sha256, found.origin.licence) == (TORCHVISION, "abc", "mine")
    assert set(found.arrays) == set(arrays)
    np.testing.assert_array_equal(found.arrays["conv5_1.weight"], arrays["conv5_1.weight"])


def test_a_damaged_network_is_no_teacher(tmp_path: Path) -> None:
    (tmp_path / "a.onnx").write_bytes(b"\x08\xff\xffnothing")
    with pytest.raises(ImpastoError, match=r"cannot read the teacher a\.onnx"):
        teacher_weights("a.onnx")

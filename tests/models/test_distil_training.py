"""First weights, losses, descent and the training loop, on tiny images and a random teacher."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from impasto.models.distil import checkpoint  # noqa: E402
from impasto.models.distil.compress import compress  # noqa: E402
from impasto.models.distil.corpus import Sampler  # noqa: E402
from impasto.models.distil.folded import FoldedStudent, fold, save_folded  # noqa: E402
from impasto.models.distil.losses import errors, gradient_error, measure_units, total  # noqa: E402
from impasto.models.distil.objective import Objective, descend, gram, style_gradients  # noqa: E402
from impasto.models.distil.score import Score, pairs, score, summary  # noqa: E402
from impasto.models.distil.spec import CONTENT_TAP, STYLE_TAPS, TAPS, teacher_channels  # noqa: E402
from impasto.models.distil.student import Student  # noqa: E402
from impasto.models.distil.teacher import Teacher, teacher_weights  # noqa: E402
from impasto.models.distil.train import Settings, Trainer  # noqa: E402
from impasto.models.errors import ImpastoError  # noqa: E402
from impasto.models.preprocess import OXFORD, TORCHVISION, Preprocess  # noqa: E402
from impasto.models.vgg import VGG19, sequential  # noqa: E402
from impasto.models.weights import Weights  # noqa: E402

CPU = torch.device("cpu")
TINY = sequential("tiny", ((16, 8), (16, 8), (16,) * 4, (24,) * 3, (24,)))
SETTINGS = Settings(steps=6, warm_up=1, batch=2, side=32, renew_every=3, replay=4, save_every=2, half=False)


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Weights:
    """Return VGG-19 with random weights of He's variance, so that activations keep their size."""
    from safetensors.numpy import save_file

    rng = np.random.default_rng(0)
    arrays = {}
    for name, shape in VGG19.parameter_shapes.items():
        std = (2 / np.prod(shape[1:])) ** 0.5 if len(shape) == 4 else 0.05
        arrays[name] = rng.normal(0, std, shape).astype(np.float32)
    path = tmp_path_factory.mktemp("teacher") / "vgg19.safetensors"
    save_file(arrays, path)
    return teacher_weights(str(path))


@pytest.fixture(scope="module")
def teacher(weights: Weights) -> Teacher:
    return Teacher(weights, TAPS, CPU, half=False)


@pytest.fixture(scope="module")
def sampler() -> Sampler:
    rng = np.random.default_rng(1)
    smooth = np.cumsum(np.cumsum(rng.normal(0, 1, (6, 64, 64, 3)), 1), 2)
    smooth -= smooth.min((1, 2), keepdims=True)
    return Sampler(list((255 * smooth / smooth.max((1, 2), keepdims=True)).astype(np.uint8)), 3)


@pytest.fixture(scope="module")
def first(weights: Weights, sampler: Sampler) -> Student:
    return compressed(weights, sampler)


def compressed(weights: Weights, sampler: Sampler) -> Student:
    """Return a student cut out of the random teacher."""
    student = Student(TINY)
    lines = list(compress(student, weights, sampler.batch(torch.Generator().manual_seed(0), 8, 64), 0))
    assert len(lines) == len(student.network.convolutions)
    return student


def copied(student: Student) -> Student:
    copy = Student(TINY)
    copy.load_state_dict(student.state_dict())
    return copy


@pytest.mark.parametrize("preprocess", [OXFORD, TORCHVISION])
def test_first_weights_are_close_to_the_teacher(weights: Weights, preprocess: Preprocess, sampler: Sampler) -> None:
    weights = dataclasses.replace(weights, preprocess=preprocess)
    images = sampler.batch(torch.Generator().manual_seed(9), 4, 64)
    first = compressed(weights, sampler)
    with torch.no_grad():
        truth, answers = Teacher(weights, TAPS, CPU, half=False)(images), first(images)
    feature, _ = errors(answers, truth, measure_units([truth]))
    assert feature["relu1_1"] < 0.3
    assert max(float(value) for value in feature.values()) < 0.8


def test_errors_vanish_for_the_teacher_itself_and_grow_with_the_fault(teacher: Teacher, sampler: Sampler) -> None:
    with torch.no_grad():
        truth = teacher(sampler.batch(torch.Generator().manual_seed(2), 3, 32))
    units = measure_units([truth])
    assert sum(units.share.values()) == pytest.approx(1)
    assert float(total(*errors(truth, truth, units), units)) == 0
    small, large = (
        float(total(*errors({tap: value * factor for tap, value in truth.items()}, truth, units), units))
        for factor in (1.01, 1.1)
    )
    assert 0 < small < large
    feature, _ = errors({tap: value * 0 for tap, value in truth.items()}, truth, units)
    assert float(feature["relu4_2"]) == pytest.approx(1, rel=0.3)


def test_terms_are_the_papers(teacher: Teacher) -> None:
    content, style, image = torch.rand(3, 1, 3, 32, 32, generator=torch.Generator().manual_seed(4))
    objective = Objective.of_images(teacher, content, style, alpha=0.02)
    with torch.no_grad():
        found = [float(term) for term in objective.terms(image)]
        taps = [{tap: value.double().numpy()[0] for tap, value in teacher(x).items()} for x in (content, style, image)]
    wanted_style = 0.0
    for tap in STYLE_TAPS:
        a, g = (np.einsum("ihw,jhw->ij", values[tap], values[tap]) for values in taps[1:])
        n, m = teacher_channels(tap), taps[2][tap][0].size
        wanted_style += 1 / 5 * ((g - a) ** 2).sum() / (4 * n**2 * m**2)
    wanted_content = 0.02 / 2 * ((taps[2][CONTENT_TAP] - taps[0][CONTENT_TAP]) ** 2).sum()
    np.testing.assert_allclose(found, [wanted_content, wanted_style], rtol=1e-4)


def test_gram_of_a_hand_made_image() -> None:
    features = torch.tensor([[[[1.0, 2.0]], [[0.0, 3.0]]]])
    assert gram(features).tolist() == [[[5.0, 6.0], [6.0, 9.0]]]


def test_descent_lowers_the_loss(teacher: Teacher) -> None:
    content, style = torch.rand(2, 1, 3, 32, 32, generator=torch.Generator().manual_seed(5))
    objective = Objective.of_images(teacher, content, style, alpha=1e-3)
    images = [image for _, image in descend(objective, content, 12)]
    assert len(images) == 12
    with torch.no_grad():
        before, after = (float(sum(objective.terms(image))) for image in (images[0], images[-1]))
    torch.testing.assert_close(images[0], content)
    assert after < 0.8 * before


def test_training_lowers_the_loss(first: Student, teacher: Teacher, sampler: Sampler, tmp_path: Path) -> None:
    student = copied(first)
    settings = Settings(steps=24, warm_up=1, batch=2, side=32, renew_every=30, replay=0, half=False)
    Trainer(student, teacher, sampler, settings, tmp_path, CPU).run()
    losses = [json.loads(line).get("loss") for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    images = sampler.batch(torch.Generator().manual_seed(77), 6, 32)
    with torch.no_grad():
        truth = teacher(images)
        units = measure_units([truth])
        before, after = (float(total(*errors(s(images), truth, units), units)) for s in (first, student))
    assert losses[1] is not None
    assert after < before


def test_an_interrupted_run_ends_as_one_that_was_not(
    first: Student, teacher: Teacher, sampler: Sampler, tmp_path: Path
) -> None:
    settings = dataclasses.replace(SETTINGS, steps=12, replay=6)
    ends = {}
    for name, stops in (("whole", (None,)), ("parts", (8, None))):
        (tmp_path / name).mkdir()
        for until in stops:
            trainer = Trainer(copied(first), teacher, sampler, settings, tmp_path / name, CPU)
            assert trainer.resume() is (until is None and len(stops) > 1)
            trainer.run(until)
            assert trainer.step == (until or settings.steps)
        ends[name] = checkpoint.read(tmp_path / name / "checkpoint.pt")
    kinds = [json.loads(line).get("kind") for line in (tmp_path / "whole" / "log.jsonl").read_text().splitlines()]
    assert len(ends["whole"]["replay"]) == settings.replay
    assert kinds[-1] == "replay"  # of step 10: the run used what the checkpoint has to keep
    for part in ("student", "average"):
        for name, value in ends["whole"][part].items():
            assert torch.equal(value, ends["parts"][part][name]), (part, name)


def test_a_run_goes_on_with_its_own_settings_and_teacher_only(
    first: Student, weights: Weights, teacher: Teacher, sampler: Sampler, tmp_path: Path
) -> None:
    Trainer(copied(first), teacher, sampler, SETTINGS, tmp_path, CPU).run(2)
    other = dataclasses.replace(SETTINGS, batch=3)
    with pytest.raises(ImpastoError, match=r"checkpoint.pt was trained with --batch 2, not 3; give the same, or"):
        Trainer(copied(first), teacher, sampler, other, tmp_path, CPU).resume()
    stranger = Teacher(dataclasses.replace(weights, sha256="0"), TAPS, CPU, half=False)
    with pytest.raises(ImpastoError, match="was trained with --teacher"):
        Trainer(copied(first), stranger, sampler, SETTINGS, tmp_path, CPU).resume()
    with pytest.raises(ImpastoError, match="bad --until 7: allowed are 1 to --steps, 6"):
        Trainer(copied(first), teacher, sampler, SETTINGS, tmp_path, CPU).run(7)


@pytest.mark.gpu
def test_training_and_score_run_on_a_gpu(first: Student, weights: Weights, sampler: Sampler, tmp_path: Path) -> None:
    if not torch.cuda.is_available():
        pytest.skip("PyTorch finds no CUDA device")
    cuda = torch.device("cuda")
    teacher = Teacher(weights, TAPS, cuda)
    settings = dataclasses.replace(SETTINGS, half=True)
    Trainer(copied(first), teacher, sampler, settings, tmp_path, cuda).run(4)
    again = Trainer(copied(first), teacher, sampler, settings, tmp_path, cuda)
    assert again.resume()
    again.run()
    images = {"a": np.zeros((40, 40, 3), np.uint8)}, {"b": np.full((40, 40, 3), 200, np.uint8)}
    (name, photograph, painting), *_ = pairs(*images, 32, cuda)
    folded = FoldedStudent(fold(again.student), TINY)
    found, picture = score(folded, teacher, photograph, painting, name, 3)
    assert picture.device.type == "cuda"
    assert 0 < found.style < found.style_start


def test_rate_rises_and_falls() -> None:
    settings = Settings(steps=100, warm_up=10, decay_share=0.5, learning_rate=1.0)
    assert settings.rate(0) == pytest.approx(0.1)
    assert settings.rate(30) == 1
    assert settings.rate(75) == pytest.approx(0.5)
    assert settings.rate(100) == 0


def test_checkpoint_replaces_the_old_one_only_when_complete(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.pt"
    checkpoint.write({"step": 1}, path)

    class Unwritable:
        def __reduce__(self) -> tuple[object, ...]:
            raise OSError("disk full")

    with pytest.raises(ImpastoError, match="disk full"):
        checkpoint.write({"step": 2, "x": Unwritable()}, path)
    assert checkpoint.read(path) == {"step": 1}


def test_a_damaged_checkpoint_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.pt"
    checkpoint.write({"step": torch.arange(1000)}, path)
    for content in (path.read_bytes()[:700], b"nothing of torch's"):
        path.write_bytes(content)
        with pytest.raises(ImpastoError, match=r"^damaged checkpoint: .*; take another --run$") as caught:
            checkpoint.read(path)
        assert "\n" not in str(caught.value)


def test_a_training_that_diverges_leaves_the_checkpoint(
    first: Student, teacher: Teacher, sampler: Sampler, tmp_path: Path
) -> None:
    trainer = Trainer(copied(first), teacher, sampler, SETTINGS, tmp_path, CPU)
    trainer.run(2)
    before = (tmp_path / "checkpoint.pt").read_bytes()
    with torch.no_grad():
        next(trainer.student.parameters()).fill_(torch.nan)
    with pytest.raises(
        ImpastoError, match=r"^the training failed: loss is nan at step 3; the checkpoint is that of an"
    ):
        trainer.run()
    assert (tmp_path / "checkpoint.pt").read_bytes() == before


def test_a_student_beyond_float16_leaves_the_old_file(first: Student, tmp_path: Path) -> None:
    path = tmp_path / "student.safetensors"
    tensors = fold(first)
    save_folded(tensors, path, {})
    before = path.read_bytes()
    name = next(iter(tensors))
    for value in (1e6, torch.nan):
        bad = {**tensors, name: torch.full_like(tensors[name], value)}
        with pytest.raises(ImpastoError) as caught:
            save_folded(bad, path, {})
        assert str(caught.value) == f"cannot write {path}: {name} is NaN or too large for float16; train again"
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_summary_is_of_geometric_means() -> None:
    scores = [Score("a/x", 300, 100.0, 10.0, 8.0), Score("b/x", 300, 100.0, 40.0, 2.0)]
    found = summary(scores, {"a/x": Score("a/x", 300, 100.0, 3.0, 4.0)})
    assert found["style_ratio"] == pytest.approx(0.2)
    assert found["worst"] == {"b/x": 0.4}
    assert found["content_ratio"] == pytest.approx(2.0)


def test_style_gradients_are_those_of_the_terms(teacher: Teacher) -> None:
    images = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(5))
    found = style_gradients(teacher, images)
    for number, other in ((0, 1), (1, 0)):
        image = images[number : number + 1].clone().requires_grad_()
        objective = Objective.of_images(teacher, images[:1], images[other : other + 1], alpha=0.0)
        (expected,) = torch.autograd.grad(objective.terms(image)[1], image)
        torch.testing.assert_close(found[number : number + 1], expected, rtol=1e-3, atol=1e-3 * float(expected.std()))


def test_training_on_gradients_without_on_policy_images_brings_the_gradients_closer(
    first: Student, teacher: Teacher, sampler: Sampler, tmp_path: Path
) -> None:
    student = copied(first)
    settings = Settings(
        steps=24, warm_up=1, batch=2, side=32, replay=0, half=False, on_policy_share=0.0, gradient_weight=1.0
    )
    trainer = Trainer(student, teacher, sampler, settings, tmp_path, CPU)
    trainer.run()
    assert not len(trainer.pool.images)
    images = sampler.batch(torch.Generator().manual_seed(77), 6, 32)
    truth = style_gradients(teacher, images)
    before, after = (float(gradient_error(style_gradients(s, images), truth)) for s in (first, student))
    assert after < before

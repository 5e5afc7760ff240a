"""The student's coordinates, its folding and its file: the same function throughout."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from impasto.models.distil.folded import (  # noqa: E402
    FoldedStudent,
    fold,
    further_readouts,
    load_folded,
    save_folded,
    slim_module,
)
from impasto.models.distil.spec import SLIM, TAPS, channels, teacher_channels  # noqa: E402
from impasto.models.distil.student import Student, WhitenedConv, inverse_root  # noqa: E402

LIMIT_BYTES = 8_000_000


@pytest.fixture(scope="module")
def student() -> Student:
    """Return a student with random weights whose activations neither vanish nor explode."""
    torch.manual_seed(0)
    student = Student()
    for layer in student.network.convolutions:
        torch.nn.init.normal_(student.convs[layer.name].v, std=(2 / (layer.in_channels * 9)) ** 0.5)
    for tap in TAPS:
        torch.nn.init.normal_(student.readouts[tap].u, std=0.1)
    return student


def test_new_coordinates_leave_the_convolution_as_it_was() -> None:
    torch.manual_seed(1)
    conv = WhitenedConv(5, 7)
    weight, bias = torch.randn(7, 5, 3, 3), torch.randn(7)
    conv.set_plain(weight, bias)
    rows = torch.randn(400, 5) @ torch.randn(5, 5) + 2
    window = torch.eye(9) + 0.3
    conv.set_coordinates(rows.mean(0), torch.cov(rows.T), window, torch.rand(7) + 0.5)
    found_weight, found_bias = conv.plain()
    torch.testing.assert_close(found_weight, weight, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(found_bias, bias, rtol=1e-4, atol=1e-3)


def test_whitened_inputs_have_unit_covariance() -> None:
    torch.manual_seed(2)
    rows = torch.randn(5000, 4) @ torch.randn(4, 4)
    whitened = rows @ inverse_root(torch.cov(rows.T))
    torch.testing.assert_close(torch.cov(whitened.T), torch.eye(4), rtol=0, atol=0.05)


def test_folded_student_has_the_distances_of_the_full_readout(student: Student) -> None:
    first, second = torch.rand(2, 1, 3, 32, 32)
    folded = FoldedStudent(fold(student))
    with torch.no_grad():
        wide, narrow = (student(first), student(second)), (folded(first), folded(second))
    for tap in TAPS:
        assert wide[0][tap].shape[1] == teacher_channels(tap)
        assert narrow[0][tap].shape[1] <= teacher_channels(tap) // 2
        a, b = (values[tap].flatten(2)[0].double() for values in wide)
        c, d = (values[tap].flatten(2)[0].double() for values in narrow)
        np.testing.assert_allclose((c - d).square().sum(), (a - b).square().sum(), rtol=1e-4)
        np.testing.assert_allclose((c @ c.T - d @ d.T).square().sum(), (a @ a.T - b @ b.T).square().sum(), rtol=1e-4)


def test_file_is_small_and_gives_the_same_network(student: Student, tmp_path: Path) -> None:
    tensors = fold(student)
    save_folded(tensors, tmp_path / "slim.safetensors", {"step": "0"})
    assert (tmp_path / "slim.safetensors").stat().st_size < LIMIT_BYTES
    image = torch.rand(1, 3, 32, 32)
    found, expected = load_folded(tmp_path / "slim.safetensors")(image), FoldedStudent(tensors)(image)
    for tap in TAPS:
        error = (found[tap] - expected[tap]).norm() / expected[tap].norm()
        assert error < 0.005, f"{tap}: {error}"


def test_taps_have_the_teachers_resolution(student: Student) -> None:
    values = student.features(torch.rand(1, 3, 64, 48))
    blocks = {tap: 2 ** (int(tap[4]) - 1) for tap in SLIM.taps}
    assert {tap: tuple(value.shape[2:]) for tap, value in values.items()} == {
        tap: (64 // factor, 48 // factor) for tap, factor in blocks.items()
    }


def test_module_for_export_is_the_folded_student(student: Student, tmp_path: Path) -> None:
    save_folded(fold(student), tmp_path / "slim.safetensors", {})
    image = torch.rand(1, 3, 32, 32)
    expected = load_folded(tmp_path / "slim.safetensors")(image)
    module, taps = slim_module(tmp_path / "slim.safetensors")
    assert taps == TAPS
    for tap, found in zip(taps, module(image), strict=True):
        torch.testing.assert_close(found, expected[tap], rtol=1e-3, atol=1e-3 * float(expected[tap].abs().max()))


def test_readouts_of_further_taps_are_the_least_squares_fit(student: Student, tmp_path: Path) -> None:
    matrices = {tap: torch.randn(teacher_channels(tap), channels(SLIM, tap)) for tap in SLIM.taps if tap not in TAPS}

    def teacher(images: Any) -> dict[str, Any]:
        own = student.features(images)
        return {tap: torch.einsum("cr,nrhw->nchw", matrix, own[tap]) for tap, matrix in matrices.items()}

    with torch.no_grad():
        found = further_readouts(student, teacher, torch.rand(20, 3, 32, 32))
        save_folded(fold(student, found), tmp_path / "slim.safetensors", {})
        images = torch.rand(2, 3, 32, 32)
        expected, own = teacher(images), student.features(images)
    assert set(found) == set(matrices)
    for tap, matrix in found.items():
        value = torch.einsum("cr,nrhw->nchw", matrix, own[tap])
        assert (value - expected[tap]).norm() / expected[tap].norm() < 0.02, tap
    assert slim_module(tmp_path / "slim.safetensors")[1] == SLIM.taps

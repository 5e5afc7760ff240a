"""What `--checkpoint` and `impasto resume` refuse, in one line."""

from pathlib import Path

import pytest

from tests.engine.cli.test_cli_resume import Capture, file, output, refused, stopped, transfer
from tests.engine.command_line import run
from tests.engine.conftest import TAPS, Files

__all__ = ["file", "output"]  # fixtures


def test_checkpoints_that_are_refused(capsys: Capture, files: Files, output: Path) -> None:
    style, none = files.folder / "s.safetensors", files.folder / "none"
    run(capsys, "style", "save", files.style, "-o", style, "--model", files.model, "--size", 48, *TAPS[2:])
    kept = style.read_bytes()
    is_file, seconds = "a checkpoint is a .safetensors file; name it so", "allowed are seconds of 0 or more"
    new = files.folder / "r.safetensors"
    for given, said in (
        (("run.npz",), f"cannot write run.npz: {is_file}"),
        ((output,), f"cannot write {output}: {is_file}"),
        ((none / "r.safetensors",), f"cannot write {none}/r.safetensors: there is no folder {none}; create it first"),
        ((style,), f"cannot write {style}: it exists and is no checkpoint; give another name, or delete it"),
        ((new, "--checkpoint-every", -1), f"bad checkpoint_every -1: {seconds}"),
        ((new, "--checkpoint-every", "nan"), f"bad checkpoint_every nan: {seconds}"),
        (
            (new, "--refine", 3),
            "--checkpoint and --refine exclude each other: a checkpoint belongs to one network; drop one of them",
        ),
    ):
        assert refused(capsys, *transfer(files, "-o", output, "--checkpoint", *given)) == said
    assert style.read_bytes() == kept
    assert not output.exists()


@pytest.mark.parametrize("seconds", [5, 60])
def test_the_interval_alone_is_refused(capsys: Capture, files: Files, output: Path, seconds: int) -> None:
    said = refused(capsys, *transfer(files, "-o", output, "--checkpoint-every", seconds))
    assert said == "--checkpoint-every needs --checkpoint FILE: add it, or drop --checkpoint-every"
    assert not output.exists()


def test_a_dry_run_writes_none(capsys: Capture, files: Files, output: Path, file: Path) -> None:
    assert run(capsys, *transfer(files, "-o", output, "--checkpoint", file, "--dry-run")).status == 0
    assert not file.exists()


def test_files_that_cannot_be_resumed(capsys: Capture, files: Files, output: Path, file: Path) -> None:
    assert refused(capsys, "resume", file) == f"no such file: {file}"
    style = files.folder / "s.safetensors"
    run(capsys, "style", "save", files.style, "-o", style, "--model", files.model, "--size", 48, *TAPS[2:])
    assert refused(capsys, "resume", style) == f"not a checkpoint: {style}; `impasto transfer --checkpoint` writes one"
    assert refused(capsys, "resume", files.content).startswith(f"not a checkpoint: {files.content}; ")
    stopped(capsys, files, output, file)
    assert refused(capsys, "resume", file, "--iterations", -3).startswith("bad iterations -3: ")
    assert refused(capsys, "resume", file, "--timeout-s", 0).startswith("bad timeout_s 0.0: ")
    assert refused(capsys, "resume", file, "--provider", "gpu").startswith("unknown provider 'gpu'")
    assert refused(capsys, "resume", file, "-o", "out.gif").startswith("cannot write out.gif: unknown extension")
    assert refused(capsys, "resume", file, "--checkpoint", style).startswith(f"cannot write {style}: it exists and")
    file.write_bytes(file.read_bytes()[:-5])
    assert refused(capsys, "resume", file).startswith(f"damaged checkpoint: {file} (")


def test_a_checkpoint_is_no_style(capsys: Capture, files: Files, output: Path, file: Path) -> None:
    stopped(capsys, files, output, file)
    said = refused(capsys, "transfer", files.content, file, "-o", output, "--model", files.model, *TAPS)
    assert said == f"not a saved style: {file}; it is a checkpoint, which `impasto resume {file}` continues"
    said = refused(capsys, "transfer", files.content, files.style, "-o", output, "--model", file)
    assert "\n" not in said

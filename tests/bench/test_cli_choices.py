"""Benchmarks say what auto took, before they measure anything."""

import dataclasses
from pathlib import Path

import onnx_ir as ir
import pytest

from impasto.bench.cli.options import shared
from impasto.bench.cli.running import tell_choices
from impasto.engine.runtime import providers
from tests.small_network import features_model


def test_what_auto_took_is_said_once_for_each_way(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ir.save(features_model(), tmp_path / "small.onnx")
    plain = providers.choose("cpu")

    def choose(name: str, precision: str, **_: object) -> providers.Provider:
        return dataclasses.replace(plain, choice=f"took {precision}" if name == "auto" else "")

    monkeypatch.setattr(providers, "choose", choose)
    model = str(tmp_path / "small.onnx")
    tell_choices(shared(model=model), [("auto", "fp32"), ("cpu", "auto"), ("auto", "bf16"), (plain, "auto")])
    assert capsys.readouterr().err == "took fp32\ntook bf16\n"
    tell_choices(shared(model=model, quiet=True), [("auto", "fp32")])
    assert capsys.readouterr().err == ""

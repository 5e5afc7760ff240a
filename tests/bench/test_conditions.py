"""The conditions under which a figure was measured."""

import json
import os
from pathlib import Path

import pytest

from impasto.bench import conditions as module
from impasto.engine.runtime import cpu_info


def test_all_that_a_reader_needs_and_all_of_it_plain() -> None:
    found = module.conditions(3)
    assert {"date", "system", "processor", "governor", "cores", "memory", "gpus", "load_1_min", "versions"} <= set(
        found
    )
    assert found["threads"] == 3
    assert {"impasto", "python", "onnxruntime-gpu", "numpy", "torch", "scipy"} <= set(found["versions"])
    json.dumps(found, allow_nan=False)


def test_flags_are_those_that_the_processor_has(monkeypatch: pytest.MonkeyPatch) -> None:
    has = frozenset({"sse2", "avx512_fp16", "amx_tile", "amx_bf16", "amx_int8", "avx_vnni", "avx512_vnni"})
    monkeypatch.setattr(cpu_info, "flags", lambda: has)
    assert set(module.conditions(0)["processor_flags"]) == has - {"sse2"}


def test_thread_settings_of_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in module.THREAD_VARIABLES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    found = module.conditions(0)["thread_settings"]
    assert found["OMP_NUM_THREADS"] == "1"
    assert found["MKL_NUM_THREADS"] is None
    assert 1 <= found["allowed_cores"] <= (os.cpu_count() or 1)


def test_gpus_as_the_driver_tells_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert module.nvidia_smi() == []
    program = tmp_path / "nvidia-smi"
    program.write_text("#!/bin/sh\necho 'NVIDIA H200, 575.57, 143771 MiB, 700.00 W, 1980 MHz, Enabled'\n")
    program.chmod(0o755)
    (gpu,) = module.nvidia_smi()
    assert (gpu["name"], gpu["driver_version"], gpu["memory.total"]) == ("NVIDIA H200", "575.57", "143771 MiB")
    program.write_text("#!/bin/sh\nexit 9\n")
    assert module.nvidia_smi() == []

"""CUDA and TensorRT without a GPU: the options they get, where engines are kept, what is refused."""

from collections.abc import Callable
from pathlib import Path

import pytest

from impasto.engine import ImpastoError
from impasto.engine.runtime.providers import choose, cuda, explained, nvidia, safer, tensorrt

H200 = nvidia.Gpu(0, "NVIDIA H200", (9, 0))


def test_only_tf32_means_tf32() -> None:
    tf32 = {name: cuda.options(name)["use_tf32"] for name in ("fp32", "tf32", "fp16", "bf16")}
    assert tf32 == {"fp32": "0", "tf32": "1", "fp16": "0", "bf16": "0"}


def test_the_slow_algorithm_search_is_never_asked_for() -> None:
    assert cuda.options("fp32")["cudnn_conv_algo_search"] == "EXHAUSTIVE"
    with pytest.raises(ImpastoError, match="unknown search 'default': allowed are exhaustive, heuristic"):
        cuda.options("fp32", search="default")


def test_cuda_options_follow_the_settings() -> None:
    chosen = cuda.options("fp16", 2, memory_limit_mib=512, nhwc=True, graph=True)
    assert chosen["device_id"] == "2"
    assert chosen["gpu_mem_limit"] == str(512 * 2**20)
    assert chosen["prefer_nhwc"] == chosen["enable_cuda_graph"] == "1"
    plain = cuda.options("fp16")
    assert not {"gpu_mem_limit", "prefer_nhwc"} & set(plain)
    assert "enable_cuda_graph" not in cuda.options("fp16", graph=False)


def test_evaluations_are_captured_unless_told_otherwise(gpu: Callable[..., None]) -> None:
    gpu((9, 0))
    captured = cuda.provider("fp32")
    plain = captured.uncaptured()
    assert plain is not None
    assert plain.uncaptured() is None
    assert {**plain.options, "enable_cuda_graph": "1"} == captured.options
    assert choose("cuda,uncaptured", "fp32") == plain


def test_options_follow_the_name(gpu: Callable[..., None]) -> None:
    gpu((9, 0), (9, 0))
    chosen = choose("cuda:1,nhwc,memory=8000,heuristic", "fp16").options
    assert chosen == cuda.options("fp16", 1, nhwc=True, memory_limit_mib=8000, search="heuristic")
    assert chosen["cudnn_conv_algo_search"] == "HEURISTIC"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("cuda,fast", "bad option 'fast' of provider cuda: allowed are nhwc, uncaptured, heuristic, memory=N"),
        ("cuda,memory", "bad option 'memory' of provider cuda: allowed are nhwc, uncaptured, heuristic, memory=N"),
        ("cuda,memory=-1", "bad option 'memory=-1' of provider cuda: allowed"),
        ("tensorrt,nhwc", "bad option 'nhwc' of provider tensorrt: allowed are uncaptured, workspace=N"),
        ("cpu,nhwc", "bad option 'nhwc' of provider cpu: allowed are plain, native"),
    ],
)
def test_other_options_are_refused(name: str, message: str) -> None:
    with pytest.raises(ImpastoError) as caught:
        choose(name)
    assert str(caught.value).startswith(message)


def test_channels_last_and_bf16_exclude_each_other(gpu: Callable[..., None]) -> None:
    gpu((9, 0))
    with pytest.raises(ImpastoError, match="provider cuda has no nhwc in bf16"):
        choose("cuda,nhwc", "bf16")
    after = safer(choose("cuda,nhwc", "fp16"))
    assert after is not None
    assert (after.precision, after.options["prefer_nhwc"]) == ("fp32", "1")


def test_another_gpu_decides_nothing(gpu: Callable[..., None]) -> None:
    gpu((9, 0), (7, 5))
    assert (choose("cuda").precision, choose("cuda:1").precision) == ("tf32", "fp32")
    assert choose("cuda", "bf16").precision == "bf16"
    with pytest.raises(ImpastoError, match="provider cuda has no bf16: NVIDIA H200 is older than Ampere"):
        choose("cuda:1", "bf16")


def test_a_device_that_is_not_there_is_refused(gpu: Callable[..., None]) -> None:
    gpu((9, 0), (9, 0))
    assert cuda.provider("fp32", 1).device_index == 1
    with pytest.raises(ImpastoError, match="no GPU 2: allowed are 0 to 1"):
        cuda.provider("fp32", 2)


@pytest.mark.parametrize(("compute", "expected"), [((9, 0), "tf32"), ((7, 5), "fp32")])
def test_auto_is_tf32_from_ampere_on(compute: tuple[int, int], expected: str, gpu: Callable[..., None]) -> None:
    gpu(compute)
    assert choose("cuda").precision == expected


def test_bf16_needs_ampere(gpu: Callable[..., None]) -> None:
    gpu((7, 5))
    with pytest.raises(ImpastoError) as caught:
        choose("cuda", "bf16")
    assert str(caught.value) == (
        "provider cuda has no bf16: NVIDIA H200 is older than Ampere; allowed here are auto, fp32, fp16"
    )


def test_the_graph_decides_the_types_for_tensorrt(tmp_path: Path) -> None:
    chosen = tensorrt.options(tmp_path, "fp16")
    assert not [name for name in chosen if name.endswith(("fp16_enable", "bf16_enable", "int8_enable"))]
    assert chosen["trt_engine_cache_enable"] == chosen["trt_timing_cache_enable"] == "1"
    assert chosen["trt_engine_cache_path"] == chosen["trt_timing_cache_path"] == str(tmp_path)


def test_fp32_and_tf32_share_a_graph_but_no_engine(tmp_path: Path) -> None:
    prefixes = {tensorrt.options(tmp_path, precision)["trt_engine_cache_prefix"] for precision in tensorrt.PRECISIONS}
    assert len(prefixes) == len(tensorrt.PRECISIONS)


def test_engines_are_kept_apart_by_gpu_and_version(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("IMPASTO_CACHE", str(tmp_path))
    folder = tensorrt.engine_dir(H200, "10.13.2")
    assert folder == tmp_path / "tensorrt" / "nvidia-h200-sm90-10.13.2"
    others = (
        tensorrt.engine_dir(H200, "10.14.0"),
        tensorrt.engine_dir(nvidia.Gpu(0, "NVIDIA H100", (9, 0)), "10.13.2"),
    )
    assert folder not in others
    assert not folder.exists()


def test_tensorrt_is_auto_only_with_an_engine_or_leave_to_build(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, gpu: Callable[..., None]
) -> None:
    monkeypatch.setenv("IMPASTO_CACHE", str(tmp_path))
    gpu((9, 0))
    monkeypatch.setattr(tensorrt, "library_version", lambda: "10.13.2")
    chosen = choose()
    assert chosen.choice == "provider cuda, tf32; `impasto doctor` says why"
    assert explained() == "cuda, tf32; not tensorrt: no engine is built yet; use --build-engines"
    assert choose(build_engines=True).name == "tensorrt"
    assert choose("tensorrt").name == "tensorrt"
    folder = tensorrt.engine_dir(H200, "10.13.2")
    folder.mkdir(parents=True)
    (folder / "impasto_tf32_1_0_sm90.engine").touch()
    assert choose().name == "tensorrt"
    assert choose().whole


def test_tensorrt_cannot_promise_fp32(monkeypatch: pytest.MonkeyPatch, gpu: Callable[..., None]) -> None:
    gpu((9, 0))
    monkeypatch.setattr(tensorrt, "library_version", lambda: "10.13.2")
    with pytest.raises(ImpastoError, match="multiplies float32 in TF32 unless NVIDIA_TF32_OVERRIDE=0"):
        choose("tensorrt", "fp32")
    monkeypatch.setenv("NVIDIA_TF32_OVERRIDE", "0")
    assert choose("tensorrt", "fp32").precision == "fp32"


def test_libraries_that_do_not_load_say_so(gpu: Callable[..., None]) -> None:
    gpu((9, 0), failure="its libraries do not load (libcudnn.so.9); pip install 'impasto[cuda]'")
    with pytest.raises(ImpastoError, match=r"^provider cuda does not work here: its libraries do not load"):
        choose("cuda")


def test_a_gpu_is_named_by_its_number(gpu: Callable[..., None], monkeypatch: pytest.MonkeyPatch) -> None:
    gpu((9, 0), (9, 0))
    monkeypatch.setattr(tensorrt, "library_version", lambda: "10.13.2")
    for name in ("cuda", "tensorrt"):
        chosen = choose(f"{name}:1")
        assert (chosen.device_index, chosen.options["device_id"]) == (1, "1")
        assert choose(name).device_index == 0
    with pytest.raises(ImpastoError, match="no GPU 2: allowed are 0 to 1"):
        choose("cuda:2")


@pytest.mark.parametrize("name", ["cpu:0", "auto:1", "cuda:", "cuda:x", "cuda:-1"])
def test_other_numbers_are_refused(name: str) -> None:
    with pytest.raises(ImpastoError, match=r"only cuda, tensorrt, webgpu take a number, as cuda:1"):
        choose(name)


def test_a_safer_precision_keeps_the_options(gpu: Callable[..., None]) -> None:
    gpu((9, 0), (9, 0))
    provider = cuda.provider("tf32", 1, memory_limit_mib=64)
    found = safer(provider)
    assert found is not None
    assert (found.precision, found.device_index, found.options["use_tf32"]) == ("fp32", 1, "0")
    assert {**found.options, "use_tf32": "1"} == provider.options

"""An unmodified client of Triton drives the inference protocol."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from impasto.engine import Engine, Settings
from tests.server.running import NETWORK, RunningServer, wait_for

triton: Any = pytest.importorskip("tritonclient.http", reason="tritonclient is not installed")


@pytest.fixture(scope="module")
def client(server: RunningServer) -> Iterator[object]:
    found = triton.InferenceServerClient(server.url.removeprefix("http://"))
    wait_for(found.is_server_ready, what="the worker")
    yield found
    found.close()


@pytest.fixture(scope="module")
def images() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    return {name: rng.random((36, 48, 3), np.float32) for name in ("image", "content", "style")}


def inputs(images: dict[str, np.ndarray], names: tuple[str, ...], *, binary: bool) -> list[object]:
    made = []
    for name in names:
        item = triton.InferInput(name, images[name].shape, "FP32")
        item.set_data_from_numpy(images[name], binary_data=binary)
        made.append(item)
    return made


def texts(values: np.ndarray) -> list[str]:
    return [value.decode() if isinstance(value, bytes) else str(value) for value in values]


def test_metadata_and_readiness(client: Any) -> None:
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.get_server_metadata()["name"] == "impasto"
    assert "binary_tensor_data" in client.get_server_metadata()["extensions"]
    for model in ("objective", "render"):
        assert client.is_model_ready(model)
        assert client.is_model_ready(model, "1")
        described = client.get_model_metadata(model)
        configured = client.get_model_config(model)
        assert [item["name"] for item in described["inputs"]] == [item["name"] for item in configured["input"]]
    assert {item["name"] for item in client.get_model_repository_index()} == {"objective", "render"}


@pytest.mark.parametrize("binary_in", [True, False])
@pytest.mark.parametrize("binary_out", [True, False])
def test_the_objective(client: Any, images: dict[str, np.ndarray], binary_in: bool, binary_out: bool) -> None:
    wanted = ("loss", "term_names", "terms", "gradient")
    outputs = [triton.InferRequestedOutput(name, binary_data=binary_out) for name in wanted]
    given = inputs(images, ("image", "content", "style"), binary=binary_in)
    answer = client.infer("objective", given, outputs=outputs, request_id="7")
    with Engine(NETWORK) as engine:
        expected = engine.evaluate(images["image"], images["content"], images["style"], Settings(size=0, style_size=0))
    assert answer.get_response()["id"] == "7"
    assert answer.as_numpy("loss")[0] == pytest.approx(expected.loss, rel=1e-5)
    found = dict(zip(texts(answer.as_numpy("term_names")), answer.as_numpy("terms"), strict=True))
    assert found == pytest.approx(dict(expected.terms), rel=1e-5)
    scale = np.abs(expected.gradient).max()
    np.testing.assert_allclose(answer.as_numpy("gradient"), expected.gradient, atol=1e-4 * scale)


def test_a_short_render(client: Any, images: dict[str, np.ndarray]) -> None:
    settings = Settings(size=0, style_size=0, iterations=3)
    given = inputs(images, ("content", "style"), binary=True)
    answer = client.infer("render", given, parameters={"settings": '{"iterations": 3}', "network": NETWORK})
    with Engine(NETWORK) as engine:
        expected = engine.transfer(images["content"], images["style"], settings)
    np.testing.assert_allclose(answer.as_numpy("picture"), expected.picture.pixels, atol=1e-5)
    assert client.get_inference_statistics("render")["model_stats"][0]["inference_stats"]["success"]["count"] >= 1


def test_the_client_parses_the_errors(client: Any, images: dict[str, np.ndarray]) -> None:
    refusals: tuple[tuple[Any, str, str], ...] = (
        (lambda: client.get_model_metadata("none"), "404", "unknown model"),
        (lambda: client.infer("render", inputs(images, ("content",), binary=True)), "422", "style is missing"),
        (lambda: client.infer("none", inputs(images, ("content",), binary=True)), "404", "unknown model"),
        (
            lambda: client.infer(
                "render",
                inputs(images, ("content", "style"), binary=True),
                outputs=[triton.InferRequestedOutput("gradient")],
            ),
            "422",
            "unknown output",
        ),
        (
            lambda: client.infer(
                "render",
                inputs(images, ("content", "style"), binary=True),
                parameters={"settings": '{"content_taps": ["relu9_9"]}'},
            ),
            "422",
            "relu9_9",
        ),
    )
    for call, status, said in refusals:
        with pytest.raises(triton.InferenceServerException) as refused:
            call()
        assert refused.value.status() == status
        assert said in refused.value.message()

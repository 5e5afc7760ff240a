"""Writing a bundle: all graphs, their weights in one file, the styles, and the manifest."""

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnx_ir as ir

from impasto.engine.bundle import manifest
from impasto.engine.bundle.folder import check_folder, put
from impasto.engine.bundle.graphs import describe_state, graphs_of, ports, provider_for, targets_of
from impasto.engine.bundle.sizes import ResultPlan, plan_results
from impasto.engine.bundle.styles import FOLDER, describe_style, read_styles
from impasto.engine.bundle.terms import check_weights, describe_terms
from impasto.engine.compile.compiler import Compiler
from impasto.engine.compile.graph_spec import GraphSpec
from impasto.engine.compile.network import Network
from impasto.engine.inputs.sizes import Outline
from impasto.engine.runtime.providers import Provider
from impasto.engine.settings import Settings
from impasto.export.bundle import pixels_model, render_loop, write_with_shared_weights
from impasto.models.errors import ImpastoError, reason

OBJECTIVE, STEP, RENDER, TARGETS, PIXELS = "objective", "step", "render", "targets", "pixels"


@dataclass(frozen=True)
class Order:
    """What a bundle is to contain.

    Attributes:
        settings: of the runs.
        sizes: width and height of each size of results, px.
        styles: files of saved styles.
        provider: that the graphs are rewritten for: a key of `impasto.engine.bundle.graphs.PROVIDERS`.
        precision: of the convolutions.
    """

    settings: Settings
    sizes: tuple[tuple[int, int], ...]
    styles: tuple[Path, ...] = ()
    provider: str = "cpu"
    precision: str = "fp32"


def write_bundle(network: Network, folder: Path, order: Order, *, replace: bool = False) -> dict[str, Any]:
    """Write a bundle; the folder appears at once and in full.

    Args:
        network: the network of the graphs.
        folder: that is made.
        order: what the bundle contains.
        replace: whether a bundle in the folder is replaced.

    Returns:
        The manifest.

    Raises:
        ImpastoError: the order is contradictory, the folder exists, or it cannot be written.
    """
    check_weights(order.settings)
    check_folder(folder, replace=replace)
    provider = provider_for(order.provider, order.precision)
    results = plan_results(order.sizes, order.settings)
    compiler = Compiler(network, provider, 1, checks_memory=False)
    specs = {
        (plan.scale.width, plan.scale.height): compiler.spec(
            plan.settings, Outline(plan.scale.height, plan.scale.width, "")
        )
        for result in results
        for plan in result.scales
    }
    largest = specs[max(specs, key=lambda size: size[0] * size[1])]
    styles = read_styles(order.styles, network, largest, results, provider.precision)
    models, sizes, terms = _graphs(network, specs, results, provider)
    models[f"{TARGETS}.onnx"] = targets_of(network, largest, provider)
    models[f"{PIXELS}.onnx"] = pixels_model()
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{folder.name}-", dir=folder.parent) as temporary:
            part = Path(temporary) / "bundle"
            part.mkdir()
            write_with_shared_weights(models, part)
            described = []
            for name, (path, style) in styles.items():
                (part / FOLDER).mkdir(exist_ok=True)
                content = path.read_bytes()
                (part / FOLDER / f"{name}.safetensors").write_bytes(content)
                described.append(describe_style(name, style, content))
            record = manifest.compose(
                network,
                order.settings,
                provider,
                files=part,
                models=models.values(),
                graphs={
                    PIXELS: _graph(f"{PIXELS}.onnx", models[f"{PIXELS}.onnx"]),
                    TARGETS: _graph(f"{TARGETS}.onnx", models[f"{TARGETS}.onnx"]),
                },
                sizes=list(sizes.values()),
                results=[_result(result, list(sizes), terms, network) for result in results],
                styles=described,
            )
            manifest.write(part, record)
            put(part, folder)
    except OSError as error:
        raise ImpastoError(f"cannot write {folder}: {reason(error)}; give another folder") from error
    return record


def _graphs(
    network: Network, specs: dict[tuple[int, int], GraphSpec], results: tuple[ResultPlan, ...], provider: Provider
) -> tuple[dict[str, ir.Model], dict[tuple[int, int], dict[str, Any]], dict[tuple[int, int], Any]]:
    """Return models by file, and the sizes' entries and terms by width and height."""
    models: dict[str, ir.Model] = {}
    entries: dict[tuple[int, int], dict[str, Any]] = {}
    terms: dict[tuple[int, int], Any] = {}
    for result in results:
        for plan in result.scales:
            size = plan.scale.width, plan.scale.height
            if size in entries:
                continue
            suffix = "" if len(specs) == 1 else f"-{size[0]}x{size[1]}"
            made = graphs_of(network, specs[size], plan, provider)
            names = {kind: f"{kind}{suffix}.onnx" for kind in (OBJECTIVE, STEP, RENDER)}
            models[names[OBJECTIVE]], models[names[STEP]] = made.objective, made.step.model
            models[names[RENDER]] = render_loop(
                made.objective, made.step.model, [part.name for part in made.step.state]
            )
            step = _graph(names[STEP], made.step.model)
            step["state"] = describe_state(made.step)
            entries[size] = {
                "width": size[0],
                "height": size[1],
                OBJECTIVE: _graph(names[OBJECTIVE], made.objective),
                STEP: step,
                RENDER: _graph(names[RENDER], models[names[RENDER]]),
            }
            terms[size] = made.terms
    return models, entries, terms


def _graph(file: str, model: ir.Model) -> dict[str, Any]:
    own = [value for value in model.graph.inputs if value.name not in model.graph.initializers]
    return {"file": file, "inputs": ports(own), "outputs": ports(model.graph.outputs)}


def _result(
    result: ResultPlan, sizes: list[tuple[int, int]], terms: dict[tuple[int, int], Any], network: Network
) -> dict[str, Any]:
    scales = []
    for plan in result.scales:
        size = plan.scale.width, plan.scale.height
        scales.append(
            {
                "size": sizes.index(size),
                "step": plan.scale.step,
                "terms": describe_terms(terms[size], plan.settings, network),
            }
        )
    return {
        "width": result.width,
        "height": result.height,
        "style_long_side": result.style_long_side,
        "scales": scales,
    }

"""The default transfer's graph beside that of another revision: nodes, operators, and evaluations in turn.

    python -m impasto.bench.studies.revisions REVISION --model vgg19 --size 512 -o FILE

Run it in a clone. Each revision's own code builds its own graph for the CPU provider, from the same network; then one
process evaluates both in turn, A B A B. Ratios are taken round by round; both gradients are compared.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir

from impasto.bench.record import write
from impasto.bench.sampling import REST_ON_CPU_S
from impasto.bench.studies.graphs import check_graph, fill
from impasto.bench.studies.study import as_script, begin, command_line, in_turn
from impasto.engine.compile.network import load_network
from impasto.engine.runtime import providers
from impasto.engine.runtime.session import Graph, Session
from impasto.engine.settings import CONTENT_TAPS, STYLE_TAPS
from impasto.models.errors import ImpastoError

FOLDERS = ("models", "export", "engine", "bench")
WARM_UP = 2
_BUILD = """
import sys
from pathlib import Path
from impasto.engine.runtime import lowering
from impasto.engine.runtime import providers
from impasto.engine.compile.network import load_network
from impasto.export.objective import build_objective
from impasto.export.serialised import whole
network, content, style, size, output = sys.argv[1:]
assert Path(lowering.__file__).is_relative_to(Path(sys.path[1])), "another revision's code was imported"
taps = {"content_taps": content.split(","), "style_taps": style.split(",")}
model = build_objective(load_network(network).model, **taps, height=int(size), width=int(size), pool="avg").model
Path(output).write_bytes(whole(lowering.lower(model, providers.choose("cpu"))))
"""


def main() -> None:
    """Build, count, measure, write."""
    parser = command_line(__doc__, model="vgg19")
    parser.add_argument("revision", help="of git, such as a tag or HEAD~10")
    parser.add_argument("--size", type=int, default=512, help="px")
    parser.add_argument("--rounds", type=int, default=15)
    arguments = parser.parse_args()
    record = begin(__doc__, arguments)
    network = load_network(arguments.model).path.resolve()
    with tempfile.TemporaryDirectory(prefix="impasto-revisions-") as name:
        graphs = {}
        for revision in (arguments.revision, "HEAD"):
            commit = _git("rev-parse", "--short", revision)
            graphs[f"{revision} ({commit})"] = graph = built(revision, network, arguments.size, Path(name) / commit)
            check_graph(ir.load(graph), arguments.size)
        record["nodes"] = {key: len(onnx.load(path).graph.node) for key, path in graphs.items()}
        record["operators"] = {key: operators(path) for key, path in graphs.items()}
        record |= {"size_px": arguments.size, **measured(graphs, arguments.threads, arguments.rounds)}
    write(arguments.output, record)
    print(json.dumps({key: record[key] for key in ("nodes", "median_s", "ratio", "gradient_relative_difference")}))


def built(revision: str, network: Path, size: int, folder: Path) -> Path:
    """Return the graph that a revision's code builds, in a folder of its own."""
    tree, packages, output = folder / "tree", folder / "packages" / "impasto", folder / "graph.onnx"
    tree.mkdir(parents=True)
    packages.mkdir(parents=True)
    archive = subprocess.run(["git", "archive", revision], check=True, capture_output=True).stdout  # noqa: S603, S607
    subprocess.run(["tar", "-x", "-C", str(tree)], input=archive, check=True)  # noqa: S603, S607
    for package in FOLDERS:
        (packages / package).symlink_to(tree / package)
    asked = [str(network), ",".join(CONTENT_TAPS), ",".join(STYLE_TAPS), str(size), str(output)]
    environment = {**os.environ, "PYTHONPATH": str(packages.parent), "IMPASTO_NO_CACHE": "1"}
    subprocess.run([sys.executable, "-c", _BUILD, *asked], check=True, cwd=folder, env=environment)  # noqa: S603
    return output


def operators(path: Path) -> dict[str, int]:
    """Return how many nodes of each operator a graph has."""
    return dict(sorted(Counter(node.op_type for node in onnx.load(path).graph.node).items()))


def measured(graphs: dict[str, Path], threads: int, rounds: int) -> dict[str, Any]:
    """Return samples, the older graph's seconds over the newer one's, and how far the gradients are apart."""
    sessions = {
        key: Session(Graph(path.read_bytes()), providers.choose("cpu"), threads) for key, path in graphs.items()
    }
    for session in sessions.values():
        fill(session)
    gradients = [session.run()["d_image"].copy() for session in sessions.values()]
    runs = {key: session.run for key, session in sessions.items()}
    samples = in_turn(runs, rounds, warm_up=WARM_UP, rest_s=REST_ON_CPU_S)
    older, newer = samples.values()
    ratios = [a / b for a, b in zip(older, newer, strict=True)]
    return {
        "samples_s": samples,
        "median_s": {key: statistics.median(values) for key, values in samples.items()},
        "ratio": {"median": statistics.median(ratios), "min": min(ratios), "max": max(ratios)},
        "gradient_relative_difference": float(
            np.linalg.norm(gradients[0] - gradients[1]) / np.linalg.norm(gradients[1])
        ),
    }


def _git(*arguments: str) -> str:
    """Return what git says."""
    said = subprocess.run(["git", *arguments], capture_output=True, text=True, check=False)  # noqa: S603, S607
    if said.returncode:
        raise ImpastoError(f"git {' '.join(arguments)}: {said.stderr.strip()}; run it in a clone, with a revision")
    return said.stdout.strip()


if __name__ == "__main__":
    as_script(main)

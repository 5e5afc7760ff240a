"""Everything that there is to know about a machine with an NVIDIA GPU, in one go.

    python -m impasto.bench.gpu -o FOLDER [--content C --style S] [--only evaluation ...]

Checks first: parity with float32 on the CPU provider, placement of every node of objective, targets and optimiser's
step, replay of a captured graph, transfers in a batch against those alone, the bytes that the host reads. Then every
benchmark at every size, in every precision that CUDA and TensorRT have here (TensorRT where its libraries load):
evaluations, transfers and the offline scenario in every batch, the other scenarios and cold starts with one picture; an
evaluation also without the host's copies, and the loop in the GPU's memory; on CUDA also with channels last, without
captured graphs, and with cuDNN's algorithms chosen by its rules. Then the comparison with PyTorch, of one picture.

FOLDER/gpu.json has every sample, FOLDER/gpu.md one table each of checks, times and ratios; both are written after each
step, so that what is interrupted keeps what it has. A step that fails says why, and the next one runs; the exit status
is 1 where a step failed.

With --smoke the same steps run on the CPU provider, small and short: that they work, not how fast.
"""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from impasto.bench.gpu.steps import BATCHES, PARTS, SIZES_PX, Plan, found_subjects, run
from impasto.bench.sampling import Effort
from impasto.bench.subject import Subject
from impasto.engine.settings import CONTENT_TAPS, STYLE_TAPS, Settings
from impasto.models.errors import ImpastoError

USAGE_ERROR, FAILED = 2, 1


def _arguments(words: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="FOLDER")
    parser.add_argument("--model", default="auto")
    parser.add_argument("--content", type=Path)
    parser.add_argument("--style", type=Path)
    parser.add_argument("--content-tap", action="append")
    parser.add_argument("--style-tap", action="append")
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--precision", action="append", default=[], help="repeatable; default: all there are")
    parser.add_argument("--size", type=int, action="append", help=f"repeatable; default: {SIZES_PX}")
    parser.add_argument("--batch", type=int, action="append", help=f"repeatable, see above; default: {BATCHES}")
    parser.add_argument("--duration", type=float, default=5.0, help="seconds for each thing that is measured")
    parser.add_argument("--evaluations", type=int, default=500, help="of a whole transfer")
    parser.add_argument("--against", action="append", default=[], help="PyTorch's way; repeatable; default: all")
    parser.add_argument("--only", action="append", choices=PARTS, help="repeatable; default: all")
    parser.add_argument("--smoke", action="store_true", help="on the CPU provider, 64 px, short")
    return parser.parse_args(words)


def _plan(arguments: argparse.Namespace) -> Plan:
    base = Subject(
        model=arguments.model,
        content=arguments.content,
        style=arguments.style,
        threads=arguments.threads,
        build_engines=True,
        settings=Settings(
            size=0,
            content_taps=tuple(arguments.content_tap or CONTENT_TAPS),
            style_taps=tuple(arguments.style_tap or STYLE_TAPS),
        ),
    )
    parts = tuple(arguments.only or PARTS)
    if arguments.smoke:
        return Plan(
            subjects=(replace(base, provider="cpu", precision="fp32"),),
            sizes=(64,),
            batches=(1, 2),
            effort=Effort(duration_s=0.05, warm_up=1, least=2),
            evaluations=5,
            against=("eager",),
            parts=parts,
        )
    return Plan(
        subjects=found_subjects(base, arguments.precision),
        sizes=tuple(arguments.size or SIZES_PX),
        batches=tuple(arguments.batch or BATCHES),
        effort=Effort(duration_s=arguments.duration, warm_up=10),
        evaluations=arguments.evaluations,
        against=tuple(arguments.against),
        parts=parts,
    )


def main(words: Sequence[str] | None = None) -> int:
    """Run what the command line asks for, and return the exit status."""
    arguments = _arguments(words)
    try:
        plan = _plan(arguments)
        arguments.output.mkdir(parents=True, exist_ok=True)
        worked = run(plan, arguments.output, lambda line: print(line, file=sys.stderr, flush=True))
    except (ImpastoError, OSError) as error:
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
        return USAGE_ERROR
    print(f"{arguments.output / 'gpu.json'}, {arguments.output / 'gpu.md'}")
    return 0 if worked else FAILED


if __name__ == "__main__":
    sys.exit(main())

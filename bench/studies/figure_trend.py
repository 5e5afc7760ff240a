"""Whether a figure 3 shows the paper's trend: along a row, more alpha leaves less content loss and more style loss.

    python -m impasto.bench.studies.figure_trend FOLDER/figure.json -o bench/results/figure3.json

FOLDER is what `impasto figure 3` wrote, on this machine. Both losses are without alpha and beta (equations 1 and 5).
"""

import itertools
import json
from typing import Any

from impasto.bench.record import write
from impasto.bench.studies.study import as_script, begin, command_line


def trend(cells: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
    """Return each row's losses from the smallest alpha / beta to the largest, and whether they go the paper's way."""
    rows = []
    for _, group in itertools.groupby(sorted(cells.values(), key=lambda cell: (cell["row"], cell["column"])), _row):
        row = list(group)
        content, style = ([cell[f"{name}_loss"] for cell in row] for name in ("content", "style"))
        rows.append(
            {
                "style_taps": list(row[0]["settings"]["style_taps"]),
                "alpha_over_beta": [cell["settings"]["content_weight"] for cell in row],
                "content_loss": content,
                "style_loss": style,
                "content_falls": all(a > b for a, b in itertools.pairwise(content)),
                "style_rises": all(a < b for a, b in itertools.pairwise(style)),
            }
        )
    return rows


def main() -> None:
    """Read, judge, write."""
    arguments = command_line(__doc__, "figure").parse_args()  # --threads as `impasto figure` was told
    found = begin(__doc__, arguments)
    record = json.loads(arguments.figure.read_text())
    asked = {name: value for name, value in record["asked"].items() if name != "settings"}
    rows = trend(record["cells"])
    for row in rows:
        content, style = (" ".join(f"{value:.3g}" for value in row[f"{name}_loss"]) for name in ("content", "style"))
        print(f"{row['style_taps'][-1]}: content {content} (falls: {row['content_falls']})")
        print(f"{'':>7}  style {style} (rises: {row['style_rises']})")
    settings = next(iter(record["cells"].values()))["settings"]
    limits = {name: settings[name] for name in ("size", "evaluations", "init", "seed", "pool")}
    write(arguments.output, {**found, "asked": asked, "limits": limits, "rows": rows})


def _row(cell: dict[str, Any]) -> int:
    return int(cell["row"])


if __name__ == "__main__":
    as_script(main)

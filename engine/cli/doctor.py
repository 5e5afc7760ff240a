"""`impasto doctor`: what this machine has, what would be used, and why."""

import json
from typing import Annotated

import typer
from rich.console import Console


def doctor(as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False) -> None:
    """Show providers, versions, threads, memory and networks, and what a run would use."""
    from impasto.engine.runtime.machine import examine

    report = examine()
    if as_json:
        print(json.dumps(report, indent=2))
        return
    console = Console(soft_wrap=True, highlight=False)
    for title, rows in report.items():
        console.print(f"[bold]{title}[/bold]")
        for name, text in rows.items():
            console.print(f"  {name:<16} {text}", markup=False)

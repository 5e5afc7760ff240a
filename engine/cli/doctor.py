"""`impasto doctor`: the providers, networks and versions of this machine, and the provider that a run uses."""

import json
from typing import Annotated

import typer

from impasto.engine.cli.terminal import print_group


def doctor(as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False) -> None:
    """Show providers, versions, threads, memory and networks, and the provider that a run uses."""
    from impasto.engine.runtime import providers
    from impasto.engine.runtime.machine import machine, versions

    found = {
        item.name: f"{'works' if item.works else 'not usable'}: {item.reason}" for item in providers.availability()
    }
    found["would be used"] = providers.explained()
    command = providers.faster()
    if command is not None:
        found["would be faster"] = command
    report = {"Providers": found, "Networks": _networks(), "Machine": machine(), "Versions": versions()}
    if as_json:
        print(json.dumps(report, indent=2))
        return
    for title, rows in report.items():
        print_group(title, rows)


def _networks() -> dict[str, str]:
    """Return the installed networks, and the size and the folders of the caches."""
    from impasto.engine.cache.store import DISABLE_VARIABLE, enabled
    from impasto.engine.cache.stores import STORES
    from impasto.models.store import FULL, cache_dir, list_networks, network_path

    found = {
        name: f"{network_path(name).stat().st_size / 1e6:.0f} MB, {network_path(name)}" for name in list_networks()
    }
    if FULL not in found:
        found[FULL] = f"not there: run `impasto weights fetch {FULL}`, or `impasto weights import FILE --name {FULL}`"
    kept = f"nothing: {DISABLE_VARIABLE} is set"
    if enabled():
        size_mb = sum(store.size_bytes() for store in STORES) / 1e6
        kept = f"{size_mb:.0f} MB in {', '.join(str(store.folder) for store in STORES)}"
    return {**found, "cache": str(cache_dir()), "kept by runs": kept}

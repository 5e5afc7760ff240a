"""`impasto doctor`: the providers, networks and versions of this machine, and the provider that a run uses."""

import json
from collections.abc import Mapping
from typing import Annotated

import typer

from impasto.engine.cli.terminal import print_group


def doctor(as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False) -> None:
    """Show providers, versions, threads, memory and networks, and the provider that a run uses."""
    report = examine()
    if as_json:
        print(json.dumps(report, indent=2))
        return
    for title, rows in report.items():
        print_group(title, rows)


def examine() -> Mapping[str, Mapping[str, str]]:
    """Return the findings by section and name. Nothing is changed or downloaded."""
    from impasto.engine.runtime.machine import machine, versions

    return {"Providers": _providers(), "Networks": _networks(), "Machine": machine(), "Versions": versions()}


def _providers() -> dict[str, str]:
    from impasto.engine.runtime import providers

    found = {
        item.name: f"{'works' if item.works else 'not usable'}: {item.reason}" for item in providers.availability()
    }
    return {**found, "would be used": providers.choose().choice.removeprefix("provider ")}


def _networks() -> dict[str, str]:
    from impasto.models.store import FULL, cache_dir, list_networks, network_path

    found = {
        name: f"{network_path(name).stat().st_size / 1e6:.0f} MB, {network_path(name)}" for name in list_networks()
    }
    if FULL not in found:
        found[FULL] = f"not there: run `impasto weights fetch {FULL}`, or `impasto weights import FILE --name {FULL}`"
    return {**found, "cache": str(cache_dir()), "kept by runs": _kept()}


def _kept() -> str:
    """Return the size and the folders of the cache that runs fill for later runs."""
    from impasto.engine.cache.store import DISABLE_VARIABLE, enabled
    from impasto.engine.cache.stores import STORES

    if not enabled():
        return f"nothing: {DISABLE_VARIABLE} is set"
    places = ", ".join(str(store.folder) for store in STORES)
    return f"{sum(store.size_bytes() for store in STORES) / 1e6:.0f} MB in {places}"

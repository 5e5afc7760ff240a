"""Which provider and precision a run gets: what was asked for where it works, or else the best that does.

Differs from Gatys et al.: the best may compute convolutions in less than float32 (bf16, tf32); fp32 asked for is fp32.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any, Protocol

from impasto.engine.runtime import precision as precisions
from impasto.engine.runtime.providers import cpu, cuda, openvino, tensorrt
from impasto.engine.runtime.providers.asked import Asked, Options, asked
from impasto.engine.runtime.providers.provider import Availability, Provider
from impasto.models.errors import ImpastoError

AUTO = "auto"

_OPTIONS: Mapping[str, Options] = {
    cuda.NAME: Options(
        flags={"nhwc": {"nhwc": True}, "uncaptured": {"graph": False}, "heuristic": {"search": "heuristic"}},
        numbers={"memory": "memory_limit_mib"},
    ),
    tensorrt.NAME: Options(flags={"uncaptured": {"graph": False}}, numbers={"workspace": "workspace_mib"}),
}


class Home(Protocol):
    """What the module of each provider has."""

    NAME: str

    def probe(self) -> Availability: ...  # noqa: D102
    def best_precision(self) -> str: ...  # noqa: D102
    def refusal(self, precision: str) -> str | None: ...  # noqa: D102
    def provider(self, precision: str) -> Provider: ...  # noqa: D102


HOMES: Mapping[str, Home] = {home.NAME: home for home in (tensorrt, cuda, openvino, cpu)}  # best first
NAMES = (AUTO, *HOMES)
_NUMBERED = (cuda.NAME, tensorrt.NAME)


def availability(*, build_engines: bool = False) -> list[Availability]:
    """Return every known provider, best first, with whether it works on this machine.

    Args:
        build_engines: TensorRT may build engines, so that it works with an empty cache too.
    """
    return [_probe(name, build_engines) for name in HOMES]


def choose(name: str = AUTO, precision: str = AUTO, *, build_engines: bool = False) -> Provider:
    """Return the provider asked for, in the precision asked for.

    Args:
        name: one of `NAMES`; "auto" is the best that works and has the precision. "cuda:1" and "tensorrt:1" are the
            second GPU; options follow after commas, as "cuda,nhwc,memory=8000".
        precision: one of `impasto.engine.runtime.precision.NAMES`; "auto" is the provider's own choice.
        build_engines: TensorRT may build engines that its cache lacks.

    Raises:
        ImpastoError: a name or an option is unknown, the provider does not work here, or it lacks the precision.
    """
    wanted = asked(name, _NUMBERED)
    if wanted.name not in NAMES:
        raise ImpastoError(f"unknown provider {wanted.name!r}: allowed are {', '.join(NAMES)}")
    if precision not in precisions.NAMES:
        raise ImpastoError(f"unknown precision {precision!r}: allowed are {', '.join(precisions.NAMES)}")
    settings = _OPTIONS.get(wanted.name, Options()).settings(wanted.name, wanted.words)
    if wanted.name == AUTO:
        return _best(precision, build_engines)
    return _named(wanted, precision, settings)


def safer(provider: Provider) -> Provider | None:
    """Return the same provider, options and all, in the next safer precision that it has here; None without one.

    Of a provider that is not one of `HOMES`, which a caller has made, no other precision is known.
    """
    home, name = HOMES.get(provider.name), provider.numbers.safer
    while home is not None and name is not None:
        if _refusal(provider.name, name, provider.device_index) is None and provider.allows(name):
            before, after = home.provider(provider.precision).options, home.provider(name).options
            changed = {key: value for key, value in after.items() if before.get(key) != value}
            return dataclasses.replace(provider, precision=name, options={**provider.options, **changed})
        name = precisions.PRECISIONS[name].safer
    return None


def supported(name: str, device_index: int = 0) -> tuple[str, ...]:
    """Return the precisions that a provider has on this machine, on one of its GPUs if it is on a GPU."""
    return tuple(known for known in precisions.PRECISIONS if _refusal(name, known, device_index) is None)


def _best(precision: str, build_engines: bool) -> Provider:
    """Return the first provider that works and has the precision."""
    reasons: list[tuple[str, str]] = []
    for item in availability(build_engines=build_engines):
        reason = item.reason if not item.works else _lack(item.name, precision) or _outdone(item.name, precision)
        if reason is None:
            made = HOMES[item.name].provider(_taken(item.name, precision))
            return dataclasses.replace(made, choice=f"provider {item.name}, {made.precision}{_without(reasons)}")
        reasons.append((item.name, reason))
    raise ImpastoError(f"no provider here runs {precision}{_without(reasons)}; use --precision auto")


def _named(wanted: Asked, precision: str, settings: Mapping[str, Any]) -> Provider:
    name, index = wanted.name, wanted.device_index
    found = _probe(name, build_engines=True)  # to name it is leave enough
    if not found.works:
        raise ImpastoError(
            f"provider {name} does not work here: {found.reason}; use --provider auto or see `impasto doctor`"
        )
    lack = _lack(name, precision, index)
    if lack is not None:
        allowed = ", ".join((AUTO, *supported(name, index)))
        raise ImpastoError(f"provider {name} has no {precision}: {lack}; allowed here are {allowed}")
    taken = _taken(name, precision, index)
    if name == cuda.NAME:
        return cuda.provider(taken, cuda.CudaSettings(index, **settings))
    if name == tensorrt.NAME:
        return tensorrt.provider(taken, tensorrt.TensorRtSettings(index, **settings))
    return HOMES[name].provider(taken)


def _taken(name: str, precision: str, device_index: int = 0) -> str:
    if precision != AUTO:
        return precision
    if name in _NUMBERED:
        return cuda.best_precision(device_index)
    return HOMES[name].best_precision()


def _probe(name: str, build_engines: bool) -> Availability:
    return tensorrt.probe(build=build_engines) if name == tensorrt.NAME else HOMES[name].probe()


def _lack(name: str, precision: str, device_index: int = 0) -> str | None:
    return None if precision == AUTO else _refusal(name, precision, device_index)


def _refusal(name: str, precision: str, device_index: int) -> str | None:
    if name == cuda.NAME:
        return cuda.refusal(precision, device_index)
    return tensorrt.refusal(precision, device_index) if name == tensorrt.NAME else HOMES[name].refusal(precision)


def _outdone(name: str, precision: str) -> str | None:
    """Return why "auto" goes on from a provider that works."""
    return openvino.outdone(_taken(name, precision)) if name == openvino.NAME else None


def _without(reasons: list[tuple[str, str]]) -> str:
    """Return why not the others; those with one reason together."""
    grouped: dict[str, list[str]] = {}
    for name, reason in reasons:
        grouped.setdefault(reason, []).append(name)
    return "".join(f"; not {' or '.join(names)}: {reason}" for reason, names in grouped.items())

"""Which provider and precision a run gets: what was asked for where it works, or else the best that does.

Differs from Gatys et al.: the best may compute convolutions in less than float32 (bf16, tf32); fp32 asked for is fp32.
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from impasto.engine.runtime import precision as precisions
from impasto.engine.runtime.providers import cpu, cuda, nvidia, openvino, tensorrt, webgpu
from impasto.engine.runtime.providers.provider import Availability, Provider
from impasto.models.errors import ImpastoError

AUTO = "auto"


class ProviderModule(Protocol):
    """What the module of each provider has.

    Attributes:
        NAME: on the command line.
        probe: whether it works here; `build` says that TensorRT may build engines.
        best_precision: what "auto" stands for on the GPU of a number.
        refusal: why it does not have a precision on the GPU of a number; None if it has it.
        provider: makes it, for a precision, the number of a GPU, and settings of its own.
    """

    NAME: str
    probe: Callable[..., Availability]
    best_precision: Callable[..., str]
    refusal: Callable[..., str | None]
    provider: Callable[..., Provider]


@dataclass(frozen=True)
class Known:
    """A provider that can be chosen.

    Attributes:
        module: that makes it.
        flags: words that a user may write after its name, and the settings that each stands for.
        numbers: words that a user may write with "=" and an integer from 0, and the setting of that value.
        numbered: whether its name may have the number of a GPU.
        probed: settings on which it depends whether it works here.
        outdone: precision -> why "auto" skips the provider although it works; None if it does not.
    """

    module: ProviderModule
    flags: Mapping[str, Mapping[str, object]] = field(default_factory=dict)
    numbers: Mapping[str, str] = field(default_factory=dict)
    numbered: bool = False
    probed: tuple[str, ...] = ()
    outdone: Callable[[str], str | None] = lambda precision: None


KNOWN: Mapping[str, Known] = {  # best first
    tensorrt.NAME: Known(
        tensorrt, flags={"uncaptured": {"graph": False}}, numbers={"workspace": "workspace_mib"}, numbered=True
    ),
    cuda.NAME: Known(
        cuda,
        flags={"nhwc": {"nhwc": True}, "uncaptured": {"graph": False}, "heuristic": {"search": "heuristic"}},
        numbers={"memory": "memory_limit_mib"},
        numbered=True,
    ),
    webgpu.NAME: Known(
        webgpu, flags={"software": {"software": True}}, numbered=True, probed=("software",), outdone=webgpu.outdone
    ),
    openvino.NAME: Known(openvino, outdone=openvino.outdone),
    cpu.NAME: Known(cpu, flags={"plain": {"operators": False}, "native": {"operators": True}}),
}
NAMES = (AUTO, *KNOWN)


def availability(*, build_engines: bool = False) -> list[Availability]:
    """Return every known provider, best first, with whether it works on this machine.

    Args:
        build_engines: TensorRT may build engines, so that it works with an empty cache too.
    """
    return [known.module.probe(build=build_engines) for known in KNOWN.values()]


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
    name, index, settings = parse(name, precision)
    if name == AUTO:
        return _best(precision, build_engines)[0]
    return _named(name, index, precision, settings)


def parse(name: str, precision: str) -> tuple[str, int, dict[str, object]]:
    """Return the name of a provider, the number of its GPU and its settings, whether it works here or not.

    Raises:
        ImpastoError: a name or an option is unknown.
    """
    first, *words = name.split(",")
    name, colon, index = first.partition(":")
    numbered = sorted(name for name, known in KNOWN.items() if known.numbered)
    if colon and (name not in numbered or not index.isdecimal()):
        raise ImpastoError(f"bad provider {first}: only {', '.join(numbered)} take a number, as cuda:1")
    if name not in NAMES:
        raise ImpastoError(f"unknown provider {name!r}: allowed are {', '.join(NAMES)}")
    if precision not in precisions.NAMES:
        raise ImpastoError(f"unknown precision {precision!r}: allowed are {', '.join(precisions.NAMES)}")
    return name, int(index or 0), _settings(name, words)


def explained() -> str:
    """Return what "auto" takes here, and why not the providers that it prefers, in one line."""
    provider, why_not = _best(AUTO, build_engines=False)
    return f"{provider.name}, {provider.precision}{why_not}"


def faster() -> str | None:
    """Return the command that gives this machine a faster provider than "auto" takes; None unless that is certain.

    A discrete GPU without its wheel is.
    """
    if _best(AUTO, build_engines=False)[0].name not in (openvino.NAME, cpu.NAME):
        return None
    if nvidia.gpus():
        return cuda.FIX
    if webgpu.installed():
        return None
    try:
        return webgpu.FIX if any(item.kind == "discrete" for item in webgpu.adapters()) else None
    except ImpastoError:
        return None


def safer(provider: Provider) -> Provider | None:
    """Return the same provider, options and all, in the next safer precision that it has here; None without one.

    Of a provider that is not one of `KNOWN`, which a caller has made, no other precision is known.
    """
    known, name = KNOWN.get(provider.name), provider.numbers.safer
    while known is not None and name is not None:
        if known.module.refusal(name, provider.device_index) is None and provider.allows(name):
            before, after = known.module.provider(provider.precision).options, known.module.provider(name).options
            changed = {key: value for key, value in after.items() if before.get(key) != value}
            return dataclasses.replace(provider, precision=name, options={**provider.options, **changed})
        name = precisions.PRECISIONS[name].safer
    return None


def supported(name: str, device_index: int = 0) -> tuple[str, ...]:
    """Return the precisions that a provider has on this machine, on one of its GPUs if it is on a GPU."""
    refusal = KNOWN[name].module.refusal
    return tuple(precision for precision in precisions.PRECISIONS if refusal(precision, device_index) is None)


def step_provider(provider: Provider) -> Provider:
    """Return the provider of the optimiser's step: float32 arithmetic on the device where a provider has its buffers.

    On a GPU every node must be there: a single one elsewhere would fetch the history at every step. It is captured
    where the evaluation is.
    """
    if provider.on_host:
        return cpu.provider("fp32", operators=False)
    captures = provider.uncaptured() is not None
    return dataclasses.replace(cuda.provider("fp32", provider.device_index, graph=captures), whole=True)


def _settings(name: str, words: Sequence[str]) -> dict[str, object]:
    """Return the settings that the words after a provider's name stand for.

    Raises:
        ImpastoError: a word is unknown, or its number is none.
    """
    flags, numbers = (KNOWN[name].flags, KNOWN[name].numbers) if name in KNOWN else ({}, {})
    settings: dict[str, object] = {}
    for word in words:
        key, equals, value = word.partition("=")
        if not equals and key in flags:
            settings.update(flags[key])
        elif equals and key in numbers and value.isdecimal():
            settings[numbers[key]] = int(value)
        else:
            allowed = ", ".join((*flags, *(f"{number}=N" for number in numbers)))
            advice = f"allowed are {allowed}" if allowed else "it has none"
            raise ImpastoError(f"bad option {word!r} of provider {name}: {advice}")
    return settings


def _best(precision: str, build_engines: bool) -> tuple[Provider, str]:
    """Return the first provider that works and has the precision, and why not those before it."""
    reasons: list[tuple[str, str]] = []
    for found in availability(build_engines=build_engines):
        known = KNOWN[found.name]
        taken = _taken(known, precision)
        reason = found.reason if not found.works else _lack(known, precision) or known.outdone(taken)
        if reason is None:
            why_not = _without(reasons)
            choice = f"provider {found.name}, {taken}{'; `impasto doctor` says why' if why_not else ''}"
            return dataclasses.replace(known.module.provider(taken), choice=choice), why_not
        reasons.append((found.name, reason))
    raise ImpastoError(f"no provider here runs {precision}{_without(reasons)}; use --precision auto")


def _named(name: str, index: int, precision: str, settings: Mapping[str, Any]) -> Provider:
    known = KNOWN[name]
    probed = {key: settings[key] for key in known.probed if key in settings}
    found = known.module.probe(build=True, **probed)  # to name it is leave enough
    if not found.works:
        raise ImpastoError(
            f"provider {name} does not work here: {found.reason}; use --provider auto or see `impasto doctor`"
        )
    lack = _lack(known, precision, index)
    if lack is not None:
        allowed = ", ".join((AUTO, *supported(name, index)))
        raise ImpastoError(f"provider {name} has no {precision}: {lack}; allowed here are {allowed}")
    return known.module.provider(_taken(known, precision, index), index, **settings)


def _taken(known: Known, precision: str, index: int = 0) -> str:
    return known.module.best_precision(index) if precision == AUTO else precision


def _lack(known: Known, precision: str, index: int = 0) -> str | None:
    return None if precision == AUTO else known.module.refusal(precision, index)


def _without(reasons: list[tuple[str, str]]) -> str:
    """Return why not the others; those with one reason together."""
    grouped: dict[str, list[str]] = {}
    for name, reason in reasons:
        grouped.setdefault(reason, []).append(name)
    return "".join(f"; not {' or '.join(names)}: {reason}" for reason, names in grouped.items())

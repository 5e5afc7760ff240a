"""Which provider and precision a run gets: what was asked for where it works, or else the best that does.

Differs from Gatys et al.: the best may compute convolutions in less than float32 (bf16, tf32); fp32 asked for is fp32.
"""

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from impasto.engine.runtime import precision as precisions
from impasto.engine.runtime.providers import cpu, cuda, openvino, tensorrt
from impasto.engine.runtime.providers.provider import Availability, Provider
from impasto.engine.runtime.providers.request import Options, ProviderRequest, parse_request
from impasto.models.errors import ImpastoError

AUTO = "auto"


class ProviderModule(Protocol):
    """What the module of each provider has; those of GPUs take a device, too."""

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
        settings: class of the settings of one GPU; None where the provider has no number and no settings.
        options: the words that a user may write after its name.
        builds_engines: whether `probe` has to know if engines may be built.
        outdone: precision -> why "auto" skips the provider although it works; None where it does not.
    """

    module: ProviderModule
    settings: Callable[..., Any] | None = None
    options: Options = field(default_factory=Options)
    builds_engines: bool = False
    outdone: Callable[[str], str | None] = lambda precision: None

    def probe(self, *, build_engines: bool) -> Availability:
        """Return whether the provider works here."""
        return self.module.probe(build=build_engines) if self.builds_engines else self.module.probe()

    def best_precision(self, device_index: int) -> str:
        """Return the precision that "auto" means."""
        return self.module.best_precision(*self._device(device_index))

    def refusal(self, precision: str, device_index: int) -> str | None:
        """Return why the provider does not have a precision here; None where it has it."""
        return self.module.refusal(precision, *self._device(device_index))

    def provider(self, precision: str, device_index: int, settings: Mapping[str, Any]) -> Provider:
        """Return the provider on one device with some settings."""
        own = () if self.settings is None else (self.settings(device_index, **settings),)
        return self.module.provider(precision, *own)

    def _device(self, device_index: int) -> tuple[int, ...]:
        return () if self.settings is None else (device_index,)


KNOWN: Mapping[str, Known] = {  # best first
    tensorrt.NAME: Known(
        tensorrt,
        settings=tensorrt.TensorRtSettings,
        options=Options(flags={"uncaptured": {"graph": False}}, numbers={"workspace": "workspace_mib"}),
        builds_engines=True,
    ),
    cuda.NAME: Known(
        cuda,
        settings=cuda.CudaSettings,
        options=Options(
            flags={"nhwc": {"nhwc": True}, "uncaptured": {"graph": False}, "heuristic": {"search": "heuristic"}},
            numbers={"memory": "memory_limit_mib"},
        ),
    ),
    openvino.NAME: Known(openvino, outdone=lambda precision: openvino.outdone(precision)),
    cpu.NAME: Known(cpu),
}
NAMES = (AUTO, *KNOWN)
NUMBERED = sorted(name for name, known in KNOWN.items() if known.settings is not None)


def availability(*, build_engines: bool = False) -> list[Availability]:
    """Return every known provider, best first, with whether it works on this machine.

    Args:
        build_engines: TensorRT may build engines, so that it works with an empty cache too.
    """
    return [known.probe(build_engines=build_engines) for known in KNOWN.values()]


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
    wanted = parse_request(name, NUMBERED)
    if wanted.name not in NAMES:
        raise ImpastoError(f"unknown provider {wanted.name!r}: allowed are {', '.join(NAMES)}")
    if precision not in precisions.NAMES:
        raise ImpastoError(f"unknown precision {precision!r}: allowed are {', '.join(precisions.NAMES)}")
    settings = (KNOWN[wanted.name].options if wanted.name in KNOWN else Options()).settings(wanted.name, wanted.words)
    if wanted.name == AUTO:
        return _best(precision, build_engines)
    return _named(wanted, precision, settings)


def safer(provider: Provider) -> Provider | None:
    """Return the same provider, options and all, in the next safer precision that it has here; None without one.

    Of a provider that is not one of `KNOWN`, which a caller has made, no other precision is known.
    """
    known, name = KNOWN.get(provider.name), provider.numbers.safer
    while known is not None and name is not None:
        if _refusal(provider.name, name, provider.device_index) is None and provider.allows(name):
            before, after = known.module.provider(provider.precision).options, known.module.provider(name).options
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
            made = KNOWN[item.name].module.provider(_taken(item.name, precision))
            return dataclasses.replace(made, choice=f"provider {item.name}, {made.precision}{_without(reasons)}")
        reasons.append((item.name, reason))
    raise ImpastoError(f"no provider here runs {precision}{_without(reasons)}; use --precision auto")


def _named(wanted: ProviderRequest, precision: str, settings: Mapping[str, Any]) -> Provider:
    name, index = wanted.name, wanted.device_index
    found = KNOWN[name].probe(build_engines=True)  # to name it is leave enough
    if not found.works:
        raise ImpastoError(
            f"provider {name} does not work here: {found.reason}; use --provider auto or see `impasto doctor`"
        )
    lack = _lack(name, precision, index)
    if lack is not None:
        allowed = ", ".join((AUTO, *supported(name, index)))
        raise ImpastoError(f"provider {name} has no {precision}: {lack}; allowed here are {allowed}")
    taken = _taken(name, precision, index)
    return KNOWN[name].provider(taken, index, settings)


def _taken(name: str, precision: str, device_index: int = 0) -> str:
    return KNOWN[name].best_precision(device_index) if precision == AUTO else precision


def _lack(name: str, precision: str, device_index: int = 0) -> str | None:
    return None if precision == AUTO else _refusal(name, precision, device_index)


def _refusal(name: str, precision: str, device_index: int) -> str | None:
    return KNOWN[name].refusal(precision, device_index)


def _outdone(name: str, precision: str) -> str | None:
    """Return why "auto" skips a working provider."""
    return KNOWN[name].outdone(_taken(name, precision))


def _without(reasons: list[tuple[str, str]]) -> str:
    """Return why not the others; those with one reason together."""
    grouped: dict[str, list[str]] = {}
    for name, reason in reasons:
        grouped.setdefault(reason, []).append(name)
    return "".join(f"; not {' or '.join(names)}: {reason}" for reason, names in grouped.items())

"""Saved styles: the statistics of a style image in a file, with everything they depend on.

A `.safetensors` file: float32 [1, C, C] by target name, such as gram_relu1_1 (mean_relu1_1 is [1, C, 1]), and one
metadata entry, "impasto", a JSON object with the fields of `StyleOrigin` and "checksum", the CRC-32 of the whole. Files
of version 0.2 have no checksum. The statistics of the image N steps below its size, for runs with several scales, have
"scaleN." before the name, as in scale2.gram_relu1_1.
"""

import dataclasses
import json
import os
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeGuard

import numpy as np

from impasto.engine.inputs import array_file
from impasto.engine.inputs.array_file import (
    CHECKPOINT,
    CHECKSUM,
    ENTRY,
    STYLE,
    SUFFIX,
    DamagedFileError,
    damage_explained,
)
from impasto.engine.inputs.style_form import StyleOrigin, check_statistic, read_origin
from impasto.export.terms import style_targets
from impasto.models.atomic import check_place, write_atomically
from impasto.models.errors import ImpastoError

_SCALE = "scale"
_AGAIN = "make it with `impasto style save`"


@dataclass(frozen=True, eq=False)
class SavedStyle:
    """A style image's targets.

    Attributes:
        grams: what the style loss compares, by target name: Gram matrices over the number of positions, covariance
            matrices, or means [1, C, 1] and roots of covariance matrices; float32 [1, C, C].
        origin: everything the matrices depend on.
        name: name for messages.
        coarser: the same at the coarser scales, by target name, from the finest on.
    """

    grams: Mapping[str, np.ndarray]
    origin: StyleOrigin
    name: str
    coarser: tuple[Mapping[str, np.ndarray], ...] = ()

    @property
    def height(self) -> int:
        """Height of the image, px."""
        return self.origin.height

    @property
    def width(self) -> int:
        """Width of the image, px."""
        return self.origin.width

    @property
    def is_complete(self) -> bool:
        """Whether there is exactly what the style loss compares for each tap, at each scale."""
        wanted = {name for tap in self.origin.taps for name in self._targets(tap)}
        same = all(set(grams) == wanted for grams in (self.grams, *self.coarser))
        return same and len(self.coarser) == len(self.origin.coarser)

    @property
    def arrays(self) -> dict[str, np.ndarray]:
        """The statistics of all scales by their names in a file."""
        named = {
            f"{_SCALE}{step}.{name}": gram for step, grams in enumerate(self.coarser, 1) for name, gram in grams.items()
        }
        return {**self.grams, **named}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray], origin: StyleOrigin, name: str) -> "SavedStyle":
        """Return the style with the statistics that `arrays` named.

        Raises:
            ValueError: an array cannot be such a statistic, or has no name of one.
        """
        by_step: list[dict[str, np.ndarray]] = [{} for _ in range(1 + len(origin.coarser))]
        for full_name, array in arrays.items():
            scale, _, target = full_name.rpartition(".")
            step = int(scale.removeprefix(_SCALE)) if scale else 0
            if not 0 <= step < len(by_step):
                raise ValueError(f"{full_name} is of a scale that it lacks")
            check_statistic(target, array)
            by_step[step][target] = array
        return cls(by_step[0], origin, name, tuple(by_step[1:]))

    def at(self, step: int) -> "SavedStyle":
        """Return the style at a scale, alone.

        Args:
            step: of the scale, as `impasto.engine.inputs.scales.Scale` counts them.

        Raises:
            ImpastoError: the style was saved without that scale.
        """
        self.check_scales([step])
        height, width = (self.height, self.width) if step == 0 else self.origin.coarser[step - 1]
        grams = self.grams if step == 0 else self.coarser[step - 1]
        return SavedStyle(grams, dataclasses.replace(self.origin, height=height, width=width, coarser=()), self.name)

    def check_scales(self, steps: Sequence[int]) -> None:
        """Check that a run can have scales of these steps.

        Raises:
            ImpastoError: the style was saved without one of them.
        """
        wanted, have = max(steps) + 1, 1 + len(self.coarser)
        if wanted > have:
            raise ImpastoError(
                f"{self.name} was saved for {have} scale{'s' * (have > 1)}, and this run has {wanted}: {_AGAIN} "
                f"again, with --scales {wanted}, or run with --scales {have}"
            )

    def save(self, path: str | Path) -> None:
        """Write the file; the same style gives the same bytes.

        Raises:
            ImpastoError: the path does not end in .safetensors, or the file cannot be written.
        """
        from safetensors.numpy import save

        check_style_output(path)
        arrays = {name: np.ascontiguousarray(gram) for name, gram in self.arrays.items()}
        record = dict(sorted({"kind": STYLE, **self.origin.as_record()}.items()))
        record[CHECKSUM] = array_file.checksum(record, arrays)
        write_atomically(Path(path), save(arrays, {ENTRY: json.dumps(record)}))

    @classmethod
    def read(cls, path: str | os.PathLike[str]) -> "SavedStyle":
        """Read a file that `save` wrote.

        Raises:
            ImpastoError: the file does not exist, is damaged, or is not a saved style.
        """
        try:
            record, grams = array_file.read_file(path, STYLE)
            if (kind := record.get("kind")) != STYLE:
                instead = f"it is a checkpoint, which `impasto resume {path}` continues"
                raise ImpastoError(
                    f"not a saved style: {path}; {instead if kind == CHECKPOINT else f'{_AGAIN}, or give an image'}"
                )
            with damage_explained():
                if CHECKSUM in record and record.pop(CHECKSUM) != array_file.checksum(record, grams):
                    raise ValueError("its checksum is another")
                origin = read_origin({name: value for name, value in record.items() if name != "kind"})
                saved = cls.from_arrays(grams, origin, Path(path).name)
        except DamagedFileError as error:
            raise ImpastoError(f"damaged or truncated saved style: {path} ({error}); {_AGAIN} again") from error
        if not saved.is_complete:
            raise ImpastoError(f"damaged saved style: {path} lacks matrices of its taps; {_AGAIN} again")
        return saved

    def taken_for(self, precision: str) -> "SavedStyle":
        """Return the same targets, labelled with another precision.

        This is for comparisons of evaluations, and for a run that has begun with these targets.
        """
        return dataclasses.replace(self, origin=dataclasses.replace(self.origin, precision=precision))

    def check_size(self, style_size: int | None) -> None:
        """Check that a style size, if it is given, is that of the saved style.

        Raises:
            ImpastoError: the size differs.
        """
        if style_size is not None and style_size != max(self.height, self.width):
            raise ImpastoError(
                f"{self.name} was saved at {max(self.height, self.width)} px, not {style_size}: leave the style size "
                f"out, or {_AGAIN} at that --size"
            )

    def targets(
        self,
        taps: Sequence[str],
        *,
        model_sha256: str,
        precisions: Collection[str],
        pool: str,
        seamless: bool,
        padding: str,
        style_loss: str,
    ) -> dict[str, np.ndarray]:
        """Return a run's targets by name.

        Args:
            taps: the taps of the run, as the network calls them.
            model_sha256: hash of the run's network.
            precisions: precisions that the run accepts. In another precision than the objective's, the difference in
                rounding would dominate the loss near the end of a run.
            pool: pooling of the run.
            seamless: whether the run is seamless.
            padding: padding of the run's network.
            style_loss: style loss of the run.

        Raises:
            ImpastoError: the style was saved for another kind of run.
        """
        origin, wanted = self.origin, " or ".join(precisions)
        saved_for = remedy = ""
        if origin.model_sha256 != model_sha256:
            saved_for, remedy = f"another network, {origin.model} ({origin.model_sha256[:8]})", "with the same --model"
        elif origin.style_loss != style_loss:
            saved_for, remedy = f"--style-loss {origin.style_loss}", f"with --style-loss {style_loss}"
        elif origin.pool != pool:
            saved_for, remedy = f"--pool {origin.pool}", f"with --pool {pool}"
        elif origin.seamless and not seamless:
            saved_for, remedy = "a seamless result", "without --seamless"
        elif seamless and not origin.seamless:
            saved_for, remedy = "a result that is not seamless", "with --seamless"
        elif origin.padding != padding:
            saved_for, remedy = f"--padding {origin.padding}", f"with --padding {padding}"
        elif origin.precision not in precisions:
            saved_for = f"--precision {origin.precision}, and this run is {wanted}"
            remedy = f"with --precision {wanted}"
        elif missing := [tap for tap in taps if tap not in origin.taps]:
            saved_for, remedy = f"{', '.join(origin.taps)} only", f"with --style-tap {missing[0]}"
        if saved_for:
            raise ImpastoError(f"{self.name} was saved for {saved_for}; {_AGAIN} again, {remedy}")
        return {name: self.grams[name] for tap in taps for name in self._targets(tap)}

    def _targets(self, tap: str) -> tuple[str, ...]:
        return style_targets(self.origin.style_loss, tap)


def is_saved_style(source: object) -> TypeGuard[str | os.PathLike[str]]:
    """Return whether a source is the path of a saved style, judged by its extension."""
    return isinstance(source, str | os.PathLike) and Path(source).suffix.lower() == SUFFIX


def check_style_output(path: str | Path) -> None:
    """Check before the computation that `SavedStyle.save` can write the file.

    Raises:
        ImpastoError: the path does not end in .safetensors, or the file cannot be made.
    """
    array_file.check_name(path, "a saved style")
    check_place(Path(path))

"""Saved styles: the Gram matrices of a style image in a file, with everything they depend on.

A `.safetensors` file: float32 [1, C, C] by target name, such as gram_relu1_1, and one metadata entry, "impasto", a JSON
object with the fields of `StyleOrigin`.
"""

import dataclasses
import json
import os
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeGuard

import numpy as np

from impasto.engine.inputs.array_file import (
    CHECKPOINT,
    ENTRY,
    STYLE,
    SUFFIX,
    DamagedFileError,
    damage_explained,
    read_arrays,
    read_record,
)
from impasto.models.atomic import check_place, write_atomically
from impasto.models.errors import ImpastoError
from impasto.models.version import VERSION

_AGAIN = "make it with `impasto style save`"


@dataclass(frozen=True)
class StyleOrigin:
    """The origin of Gram matrices: everything they depend on.

    Attributes:
        model: the network's name.
        model_sha256: hash of the network's file.
        taps: the taps with a matrix.
        pool: "avg" or "max".
        seamless: whether every padding wrapped, as for an image that tiles.
        precision: precision of the convolutions.
        height: height of the resized image, px.
        width: width of the resized image, px.
        image: the image's name.
        image_sha256: hash of the image's file; None if it was not a file.
        version: version of this package.
    """

    model: str
    model_sha256: str
    taps: tuple[str, ...]
    pool: str
    seamless: bool
    precision: str
    height: int
    width: int
    image: str
    image_sha256: str | None
    version: str = VERSION


@dataclass(frozen=True, eq=False)
class SavedStyle:
    """A style image's targets.

    Attributes:
        grams: the matrices divided by the number of positions, float32 [1, C, C], by target name.
        origin: everything the matrices depend on.
        name: name for messages.
    """

    grams: Mapping[str, np.ndarray]
    origin: StyleOrigin
    name: str

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
        """Whether there is exactly one matrix for each tap."""
        return set(self.grams) == {_target(tap) for tap in self.origin.taps}

    def save(self, path: str | Path) -> None:
        """Write the file; the same style gives the same bytes.

        Raises:
            ImpastoError: the path does not end in .safetensors, or the file cannot be written.
        """
        from safetensors.numpy import save

        check_style_output(path)
        record = json.dumps({"kind": STYLE, **dataclasses.asdict(self.origin)}, sort_keys=True)
        arrays = {name: np.ascontiguousarray(gram) for name, gram in self.grams.items()}
        write_atomically(Path(path), save(arrays, {ENTRY: record}))

    @classmethod
    def read(cls, path: str | os.PathLike[str]) -> "SavedStyle":
        """Read a file that `save` wrote.

        Raises:
            ImpastoError: the file does not exist, is damaged, or is not a saved style.
        """
        try:
            record = read_record(path)
            if (kind := record.pop("kind", None)) != STYLE:
                instead = f"it is a checkpoint, which `impasto resume {path}` continues"
                raise ImpastoError(
                    f"not a saved style: {path}; {instead if kind == CHECKPOINT else f'{_AGAIN}, or give an image'}"
                )
            grams = read_arrays(path)
            with damage_explained():
                origin = StyleOrigin(**{**record, "taps": tuple(record["taps"])})
        except DamagedFileError as error:
            raise ImpastoError(f"damaged or truncated saved style: {path} ({error}); {_AGAIN} again") from error
        saved = cls(grams, origin, Path(path).name)
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
        self, taps: Sequence[str], *, model_sha256: str, precisions: Collection[str], pool: str, seamless: bool
    ) -> dict[str, np.ndarray]:
        """Return a run's targets by name.

        Args:
            taps: the taps of the run, as the network calls them.
            model_sha256: hash of the run's network.
            precisions: precisions that the run accepts. In another precision than the objective's, the difference in
                rounding would dominate the loss near the end of a run.
            pool: pooling of the run.
            seamless: whether the run is seamless.

        Raises:
            ImpastoError: the style was saved for another kind of run.
        """
        origin = self.origin
        if origin.model_sha256 != model_sha256:
            raise self._unfit(f"another network, {origin.model} ({origin.model_sha256[:8]})", "with the same --model")
        if origin.pool != pool:
            raise self._unfit(f"--pool {origin.pool}", f"with --pool {pool}")
        if origin.seamless != seamless:
            raise self._unfit(
                "a seamless result" if origin.seamless else "a result that is not seamless",
                "without --seamless" if origin.seamless else "with --seamless",
            )
        if origin.precision not in precisions:
            wanted = " or ".join(precisions)
            raise self._unfit(f"--precision {origin.precision}, and this run is {wanted}", f"with --precision {wanted}")
        missing = [tap for tap in taps if tap not in origin.taps]
        if missing:
            raise self._unfit(f"{', '.join(origin.taps)} only", f"with --style-tap {missing[0]}")
        return {_target(tap): self.grams[_target(tap)] for tap in taps}

    def _unfit(self, saved_for: str, remedy: str) -> ImpastoError:
        return ImpastoError(f"{self.name} was saved for {saved_for}; {_AGAIN} again, {remedy}")


def is_saved_style(source: object) -> TypeGuard[str | os.PathLike[str]]:
    """Return whether a source is the path of a saved style, judged by its extension."""
    return isinstance(source, str | os.PathLike) and Path(source).suffix.lower() == SUFFIX


def check_style_output(path: str | Path) -> None:
    """Check before the computation that `SavedStyle.save` can write the file.

    Raises:
        ImpastoError: the path does not end in .safetensors, or the file cannot be made.
    """
    if Path(path).suffix.lower() != SUFFIX:
        raise ImpastoError(f"cannot write {path}: a saved style is a {SUFFIX} file; name it so")
    check_place(Path(path))


def _target(tap: str) -> str:
    return f"gram_{tap}"

"""What a run needs of a style image, kept in a file: the Gram matrices of its taps, and what they belong to.

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
    """What Gram matrices depend on.

    Attributes:
        model: the network's name.
        model_sha256: of its file.
        taps: that there are.
        pool: "avg" or "max".
        seamless: whether the image counted as repeated without end.
        precision: of the convolutions.
        height: of the image, px, at the size that it was brought to.
        width: likewise.
        image: the image's name.
        image_sha256: of its file; None if it was no file.
        version: of this package.
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
        grams: float32 [1, C, C] over the number of positions, by target name.
        origin: what they depend on.
        name: what to call it in a message.
    """

    grams: Mapping[str, np.ndarray]
    origin: StyleOrigin
    name: str

    @property
    def height(self) -> int:
        """Of the image, px."""
        return self.origin.height

    @property
    def width(self) -> int:
        """Of the image, px."""
        return self.origin.width

    @property
    def is_complete(self) -> bool:
        """Whether there is a matrix for each tap, and no other."""
        return set(self.grams) == {_target(tap) for tap in self.origin.taps}

    def save(self, path: str | Path) -> None:
        """Write the file; the same style gives the same bytes.

        Raises:
            ImpastoError: it is not named .safetensors, or cannot be written.
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
            ImpastoError: there is no such file, it is damaged, or it holds something else.
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
        """Return the same targets as if they were of another precision.

        That is for comparisons of evaluations, and for a run that has begun with these targets.
        """
        return dataclasses.replace(self, origin=dataclasses.replace(self.origin, precision=precision))

    def check_size(self, style_size: int | None) -> None:
        """Refuse a size that was asked for and is not the saved one.

        Raises:
            ImpastoError: it is another.
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
            taps: that are wanted, as the network calls them.
            model_sha256: of the run's network.
            precisions: that will do. Near the end of a run, targets of another precision than the objective's would
                leave mostly the difference of their rounding.
            pool: of the run.
            seamless: of the run.

        Raises:
            ImpastoError: the style was saved for a run of another kind.
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
    """Tell by its name whether a source is a saved style's path."""
    return isinstance(source, str | os.PathLike) and Path(source).suffix.lower() == SUFFIX


def check_style_output(path: str | Path) -> None:
    """Refuse before the work what `SavedStyle.save` would refuse after it.

    Raises:
        ImpastoError: it is not named .safetensors, or no file can be made there.
    """
    if Path(path).suffix.lower() != SUFFIX:
        raise ImpastoError(f"cannot write {path}: a saved style is a {SUFFIX} file; name it so")
    check_place(Path(path))


def _target(tap: str) -> str:
    return f"gram_{tap}"

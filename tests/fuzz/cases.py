"""Cases by number: the same number and seed give the same damaged file and the same reader."""

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from PIL import Image

from tests.fuzz import seeds, targets
from tests.fuzz.mutations import mutate

SHARES: Mapping[str, int] = {"image": 14, "safetensors": 4, "weights": 1, "manifest": 3, "model": 1}
"""How often each kind of file is taken."""


@dataclass(frozen=True)
class Case:
    """A damaged file and what is done with it.

    Attributes:
        name: kind, seed file and reader.
        path: the damaged file.
        action: reads it.
    """

    name: str
    path: Path
    action: Callable[[], object]


class Cases:
    """Makes cases in a folder.

    Attributes:
        folder: holds the damaged file of the current case, and two good images.
        through_cli: whether the command line reads the files, or the readers themselves.
    """

    def __init__(self, folder: Path, *, seed: int, through_cli: bool, kinds: Mapping[str, int] = SHARES) -> None:
        self.folder, self.through_cli, self._seed = folder, through_cli, seed
        self._kinds, self._shares = list(kinds), list(kinds.values())
        self._files = {kind: list(seeds.KINDS[kind]().items()) for kind in kinds}
        for number, name in enumerate(("c.png", "s.png")):
            Image.effect_noise((48 + 8 * number, 40), 60).convert("RGB").save(folder / name)

    def make(self, number: int) -> Case:
        """Write the damaged file of a case and return the case."""
        rng = random.Random(f"{self._seed}-{number}")  # noqa: S311 - repeatable, and no secret
        (kind,) = rng.choices(self._kinds, self._shares)
        name, content = rng.choice(self._files[kind])
        path = self.folder / f"case{Path(name).suffix}"
        path.write_bytes(mutate(rng, content))
        (self.folder / "out.png").unlink(missing_ok=True)
        if self.through_cli:
            line = rng.choice(targets.command_lines(kind, path, self.folder))
            return Case(f"{kind} {name} impasto {line[0]}", path, partial(targets.run_command, line))
        reader = rng.choice(targets.READERS[kind])
        return Case(f"{kind} {name} {reader.__name__}", path, partial(reader, path))

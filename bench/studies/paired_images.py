"""Twelve pairs of content image and painting, and where each image comes from.

None of them is copied into this project but its own examples. The others are found in packages of PyPI, without
importing these, and in the folder IMPASTO_SHARED.
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from impasto.bench.studies.checkout import ROOT
from impasto.models.errors import ImpastoError

SHARED = "IMPASTO_SHARED"
PACKAGES = {"sklearn": "scikit-learn", "skimage": "scikit-image", "matplotlib": "matplotlib"}  # and their names on PyPI


@dataclass(frozen=True)
class Origin:
    """Where an image comes from.

    Attributes:
        place: a key of `PACKAGES`, "examples" or `SHARED`.
        file: its path there.
        credit: its maker and its licence.
    """

    place: str
    file: str
    credit: str

    def found(self) -> Path:
        """Return the file.

        Raises:
            ImpastoError: it is not on this machine; the message says what is missing.
        """
        if self.place == "examples":
            folder = ROOT / "examples"
        elif self.place == SHARED:
            folder = Path(os.environ.get(SHARED, ROOT.parent / "shared"))
        else:
            spec = find_spec(self.place)
            if spec is None or not spec.submodule_search_locations:
                raise ImpastoError(f"package {PACKAGES[self.place]} is not installed")
            folder = Path(spec.submodule_search_locations[0])
        if not (folder / self.file).is_file():
            where = f"{SHARED}={folder}" if self.place == SHARED else str(folder)
            raise ImpastoError(f"no {self.file} in {where}")
        return folder / self.file


IMAGES: Mapping[str, Origin] = {
    "neckarfront": Origin(SHARED, "images/neckarfront.jpg", "Andreas Praefcke, CC BY 3.0"),
    "china": Origin("sklearn", "datasets/images/china.jpg", "danielbuechele, CC BY 2.0"),
    "flower": Origin("sklearn", "datasets/images/flower.jpg", "vultilion, CC BY 2.0"),
    "hopper": Origin("matplotlib", "mpl-data/sample_data/grace_hopper.jpg", "James S. Davis, US Navy, public domain"),
    "astronaut": Origin("skimage", "data/astronaut.png", "NASA, public domain"),
    "coffee": Origin("skimage", "data/coffee.png", "Rachel Michetti, public domain"),
    "chelsea": Origin("skimage", "data/chelsea.png", "Stefan van der Walt, CC0"),
    "rocket": Origin("skimage", "data/rocket.jpg", "SpaceX, CC0"),
    "harbour": Origin("examples", "harbour.jpg", "impasto, MIT"),
    "still_life": Origin("examples", "still_life.jpg", "impasto, MIT"),
    "swirls": Origin("examples", "swirls.jpg", "impasto, MIT"),
    "mosaic": Origin("examples", "mosaic.jpg", "impasto, MIT"),
    "starry_night": Origin(SHARED, "images/starry_night.jpg", "Vincent van Gogh, public domain"),
    "shipwreck": Origin(SHARED, "images/shipwreck.jpg", "J. M. W. Turner, public domain"),
    "the_scream": Origin(SHARED, "images/the_scream.jpg", "Edvard Munch, public domain"),
    "composition_vii": Origin(SHARED, "images/composition_vii.jpg", "Wassily Kandinsky, public domain"),
    "van_gogh_houses": Origin(SHARED, "images/van_gogh_houses.jpg", "Vincent van Gogh, public domain"),
    "great_wave": Origin(SHARED, "images/great_wave.jpg", "Katsushika Hokusai, public domain"),
}

PAIRS = (  # content, painting
    ("neckarfront", "starry_night"),
    ("china", "the_scream"),
    ("hopper", "composition_vii"),
    ("neckarfront", "shipwreck"),
    ("china", "great_wave"),
    ("astronaut", "van_gogh_houses"),
    ("coffee", "composition_vii"),
    ("chelsea", "starry_night"),
    ("rocket", "shipwreck"),
    ("flower", "van_gogh_houses"),
    ("harbour", "swirls"),
    ("still_life", "mosaic"),
)


@dataclass(frozen=True)
class Pair:
    """A content image and a painting, on this machine.

    Attributes:
        name: ``content+painting``, of keys of `IMAGES`.
        content, style: their files.
    """

    name: str
    content: Path
    style: Path


def name_of(content: str, style: str) -> str:
    """Return the name of a pair."""
    return f"{content}+{style}"


NAMES = tuple(name_of(*pair) for pair in PAIRS)


def find_pairs(names: Sequence[str] = NAMES) -> tuple[list[Pair], dict[str, str]]:
    """Return the pairs whose images are here, and by name why the others are not.

    Any two of `IMAGES` are a pair, ``content+painting``, also where they are not in `PAIRS`.

    Raises:
        ImpastoError: a name is not of two images.
    """
    found, missing = [], {}
    for name in names:
        images = name.split("+")
        if len(images) != 2 or not set(images) <= set(IMAGES):
            raise ImpastoError(f"bad pair {name}: give CONTENT+PAINTING of {', '.join(IMAGES)}")
        try:
            content, style = (IMAGES[image].found() for image in images)
        except ImpastoError as error:
            missing[name] = str(error)
        else:
            found.append(Pair(name, content, style))
    return found, missing


def credits_of(names: Sequence[str]) -> dict[str, str]:
    """Return the maker and the licence of every image of some pairs, by the image's name."""
    images = dict.fromkeys(image for name in names for image in name.split("+"))
    return {image: IMAGES[image].credit for image in images}

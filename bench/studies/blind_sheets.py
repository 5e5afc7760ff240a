"""Pictures of each pair without names, in random order, for readers who are to say which is better; and the key."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from impasto.bench.record import write
from impasto.bench.studies.paired_images import Pair
from impasto.engine.images import read_image, write_image
from impasto.engine.images.sheet import Labelled, SheetRow, draw_sheet

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"


def write_blind(
    folder: Path, pairs: Sequence[Pair], pictures: Mapping[tuple[str, int, str], Path], seed: int
) -> dict[str, dict[str, object]]:
    """Write folder/01.png and so on, one for each pair and size, and folder-key.json next to the folder.

    Each has the content image and the painting above, and below them every maker's picture at its own size, with
    letters. The order of the files is random too.

    Args:
        folder: it is made.
        pairs: for their images.
        pictures: by name of the pair, size and maker.
        seed: of the order; the same seed gives the same order.

    Returns:
        The key: by file, the pair, the size and the maker of each letter.
    """
    rng = np.random.default_rng(seed)
    folder.mkdir(parents=True, exist_ok=True)
    by_name = {pair.name: pair for pair in pairs}
    places = list(dict.fromkeys((pair, size_px) for pair, size_px, _ in pictures))
    digits = max(2, len(str(len(places))))
    key: dict[str, dict[str, object]] = {}
    for number, index in enumerate(rng.permutation(len(places)), 1):
        name, size_px = places[index]
        makers = [maker for pair, size, maker in pictures if (pair, size) == (name, size_px)]
        shuffled = [makers[place] for place in rng.permutation(len(makers))]
        file = f"{number:0{digits}}.png"
        write_image(
            folder / file, _drawn(by_name[name], [pictures[name, size_px, maker] for maker in shuffled], size_px)
        )
        key[file] = {"pair": name, "size_px": size_px, **dict(zip(LETTERS, shuffled, strict=False))}
    write(folder.with_name(f"{folder.name}-key.json"), key)
    return key


def _drawn(pair: Pair, files: Sequence[Path], size_px: int) -> np.ndarray:
    above = [Labelled(read_image(path).within(size_px).pixels, caption) for path, caption in _sources(pair)]
    below = [Labelled(read_image(path).pixels, letter) for path, letter in zip(files, LETTERS, strict=False)]
    return draw_sheet("", (), [SheetRow("", above), SheetRow("", below)])


def _sources(pair: Pair) -> list[tuple[Path, str]]:
    return [(pair.content, "content"), (pair.style, "painting")]

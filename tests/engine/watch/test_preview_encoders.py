"""What is sent to a terminal, decoded back to pixels by hand."""

import base64
import io
import re
import zlib

import numpy as np
import pytest
from PIL import Image

from impasto.engine.watch.preview import blocks, iterm, kitty, sixel
from tests.terminal import Terminal

RGB = np.ndarray


def picture(height: int, width: int, seed: int = 0) -> RGB:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3)).astype(np.uint8)


def kitty_keys(chunk: bytes) -> dict[str, str]:
    return dict(item.split("=") for item in chunk.decode().split(","))


def decoded_kitty(data: bytes) -> tuple[RGB, list[dict[str, str]]]:
    chunks = re.findall(rb"\x1b_G([^;]*);([^\x1b]*)\x1b\\", data)
    assert b"".join(b"\x1b_G%s;%s\x1b\\" % chunk for chunk in chunks) == data  # and nothing else
    keys = [kitty_keys(head) for head, _ in chunks]
    raw = zlib.decompress(base64.b64decode(b"".join(part for _, part in chunks)))
    return np.frombuffer(raw, np.uint8).reshape(int(keys[0]["v"]), int(keys[0]["s"]), 3), keys


def decoded_sixel(data: bytes) -> RGB:
    """Read sixels one character at a time, as VT340's manual describes them."""
    head = re.match(rb'\x1bP0;1q"1;1;(\d+);(\d+)', data)
    assert head is not None
    assert data.endswith(b"\x1b\\")
    width, height = int(head[1]), int(head[2])
    pixels = np.full((-(-height // 6) * 6, width, 3), -1, np.int64)
    palette: dict[int, list[int]] = {}
    x = top = colour = 0
    for token in re.finditer(rb"#(\d+)(?:;2;(\d+);(\d+);(\d+))?|!(\d+)([?-~])|([?-~])|(\$)|(-)", data[head.end() : -2]):
        number, red, green, blue, count, repeated, single, back, down = token.groups()
        if number is not None:
            colour = int(number)
            if red is not None:
                palette[colour] = [int(red), int(green), int(blue)]
        elif back:
            x = 0
        elif down:
            x, top = 0, top + 6
        else:
            times, sixel_byte = (int(count), repeated[0]) if count else (1, single[0])
            for bit in range(6):
                if (sixel_byte - 63) >> bit & 1:
                    assert (pixels[top + bit, x : x + times] == -1).all()  # no pixel is drawn twice
                    pixels[top + bit, x : x + times] = palette[colour]
            x += times
            assert x <= width
    assert (pixels[height:] == -1).all()
    assert (pixels[:height] >= 0).all()  # every pixel is drawn
    return pixels[:height]


def test_kitty_by_hand() -> None:
    red = np.array([[[255, 0, 0]]], np.uint8)
    payload = base64.b64encode(zlib.compress(b"\xff\0\0", 1))
    expected = b"\x1b_Ga=T,f=24,o=z,s=1,v=1,i=7,p=1,c=3,r=2,C=1,q=2,m=0;" + payload + b"\x1b\\"
    assert kitty.encode(red, 3, 2, 7) == expected


@pytest.mark.parametrize("size", [(1, 1), (7, 5), (48, 64)])
def test_kitty_comes_back(size: tuple[int, int]) -> None:
    samples = picture(*size)
    data = kitty.encode(samples, 20, 10, 9)
    pixels, keys = decoded_kitty(data)
    np.testing.assert_array_equal(pixels, samples)
    assert [key["m"] for key in keys] == ["1"] * (len(keys) - 1) + ["0"]
    assert all(set(key) == {"m"} for key in keys[1:])  # later chunks may carry nothing else
    assert max(map(len, re.findall(rb";([^\x1b]*)\x1b", data))) <= 4096
    assert len(keys) == 1 or size == (48, 64)


def test_iterm_comes_back() -> None:
    samples = picture(9, 14)
    match = re.fullmatch(rb"\x1b\]1337;File=([^:]*):([A-Za-z0-9+/=]*)\x07", iterm.encode(samples, 12, 4))
    assert match is not None
    file = base64.b64decode(match[2])
    keys = dict(item.split("=") for item in match[1].decode().split(";"))
    assert keys == {"inline": "1", "size": str(len(file)), "width": "12", "height": "4", "preserveAspectRatio": "0"}
    np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(file))), samples)


def test_sixel_by_hand() -> None:
    """Two columns: red over white, white over red; bits 0 and 1, so the characters are 63 + 1 and 63 + 2."""
    samples = np.array([[[255, 0, 0], [255, 255, 255]], [[255, 255, 255], [255, 0, 0]]], np.uint8)
    data = sixel.encode(samples)
    red = re.search(rb"#(\d);2;100;0;0", data)
    white = re.search(rb"#(\d);2;100;100;100", data)
    assert red is not None
    assert white is not None
    lines = sorted([b"#%s@A" % red[1], b"#%sA@" % white[1]])
    assert data.endswith(lines[0] + b"$" + lines[1] + b"\x1b\\")


@pytest.mark.parametrize("size", [(1, 1), (6, 40), (7, 40), (23, 31)])
def test_sixel_comes_back(size: tuple[int, int]) -> None:
    """In few colours nothing but the rounding to hundredths is lost."""
    colours = np.array([[0, 0, 0], [255, 128, 3], [17, 200, 90], [250, 250, 250]], np.uint8)
    samples = colours[np.random.default_rng(1).integers(0, 4, size)]
    pixels = decoded_sixel(sixel.encode(samples))
    np.testing.assert_allclose(pixels, samples / 255 * 100, atol=1.6)  # an octree's colours are off by a few levels


def test_sixel_of_many_colours_is_near() -> None:
    ramp = np.stack(np.meshgrid(np.linspace(0, 255, 60), np.linspace(0, 255, 50)), -1)
    samples = np.dstack([ramp, np.full((50, 60), 120.0)]).astype(np.uint8)
    pixels = decoded_sixel(sixel.encode(samples))
    assert len(np.unique(pixels.reshape(-1, 3), axis=0)) <= sixel.COLOURS
    assert np.abs(pixels - samples / 255 * 100).mean() < 4


def test_sixel_shortens_runs() -> None:
    data = sixel.encode(np.zeros((6, 300, 3), np.uint8))
    assert data.endswith(b"#0!300~\x1b\\")


def test_blocks_by_hand() -> None:
    samples = np.array([[[1, 2, 3], [1, 2, 3]], [[4, 5, 6], [7, 8, 9]]], np.uint8)
    expected = "\x1b[38;2;1;2;3m\x1b[48;2;4;5;6m▀\x1b[48;2;7;8;9m▀\x1b[0m\x1b[K"
    assert blocks.encode(samples, true_colour=True) == expected.encode()


def test_blocks_come_back() -> None:
    samples = picture(12, 9)
    terminal = Terminal(8, 20)
    terminal.feed(blocks.encode(samples, true_colour=True))
    for row in range(6):
        for column in range(9):
            cell = terminal.cells[row][column]
            assert cell.text == "▀"
            for colour, y in ((cell.front, 2 * row), (cell.back, 2 * row + 1)):
                assert colour == "2;" + ";".join(map(str, samples[y, column]))
    assert all(cell.text == " " and not cell.back for cell in terminal.cells[0][9:])


def test_256_colours_are_the_nearest_ones() -> None:
    """Against xterm's table, searched in full."""
    cube = [0, 95, 135, 175, 215, 255]
    table = [(r, g, b) for r in cube for g in cube for b in cube] + [(v, v, v) for v in range(8, 239, 10)]
    colours = np.array(table, np.int64)
    assert len(colours) == 240
    samples = np.concatenate([picture(20, 30), colours[None, :30].astype(np.uint8)])
    values = samples.astype(np.int64)
    errors = ((values[:, :, None] - colours) ** 2).sum(-1)
    found = blocks.nearest_256(samples) - 16
    np.testing.assert_array_equal(np.take_along_axis(errors, found[..., None], -1)[..., 0], errors.min(-1))
    text = blocks.encode(samples[:2], true_colour=False)
    assert re.search(rb"\x1b\[38;5;\d+m\x1b\[48;5;\d+m", text)

"""Random damage. Some of it keeps a format's own checksums and lengths right, so that it gets past the first check."""

import json
import random
import struct
import zlib
from collections.abc import Callable, Mapping

from PIL import ImageCms

from tests.oracles import icc_profiles

Mutation = Callable[[random.Random, bytes], bytes]

INTERESTING = (0, 1, 2, 7, 8, 16, 127, 128, 255, 256, 32767, 32768, 65535, 65536, 2**31 - 1, 2**31, 2**32 - 1)
JSON_VALUES: tuple[object, ...] = (
    None, True, -1, 0, 1e308, 10**400, 2**63, "", "\x00", "\ud800", "\u2028", "../x", [], {}, [[[]]], float("nan"),
    float("inf"), [0, 2**62], {"kind": "style"}, "F64", "x" * 5000,
)  # fmt: skip

NPY_PARTS: Mapping[str, tuple[str, ...]] = {
    "(34, 43, 3)": ("(34, 43)", "(2**40, 3)", "(9999999999, 9, 3)", "(-1, 43, 3)", "()", "(34", "34L, 2"),
    "'descr'": ("'desc'", "descr", ""),
    "<f4": ("|O", "<f2", "<c8", "<M8[ns]", "<U9", ">f4", "f4,f4", "V9999999"),
    "False": ("True", "None", "0", "(" * 300),
    "{": ("[", "{{", "{'a': 0, ", "'", "\\"),
}
"""Parts of the header of a .npy file, and what takes their place."""

PROFILES = (
    icc_profiles.rgb_profile(icc_profiles.ADOBE_RGB, icc_profiles.gamma_curve(2.2)),
    *(
        icc_profiles.rgb_profile(icc_profiles.PROPHOTO_RGB, icc_profiles.parametric_curve(kind, *parameters))
        for kind, *parameters in (
            (0, 1.8),
            (1, 2.2, 1.0, 0.1),
            (2, 2.2, 1.0, 0.1, 0.05),
            (3, 2.4, 0.95, 0.05, 0.08, 0.04),
            (4, 2.4, 0.95, 0.05, 0.08, 0.04, 0.01, 0.0),
        )
    ),
    icc_profiles.grey_profile(icc_profiles.gamma_curve(1.5)),
    icc_profiles.table_rgb_profile(),
    ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes(),
)
"""Profiles of every kind, to be damaged."""

TEXT_PIECES = (
    *(b"\0", b"\xff", "\u2028".encode(), "\u0085".encode(), b"\x0b", b"\xed\xa0\x80", b'"', b"'", b",", b"\n"),
    *(b"9" * 400, b"[" * 3000, b'{"a":' * 2000, b"inf", b"nan", b"1e999", b"-1", b"../" * 100, b"x" * 300),
    *(b"\xef\xbb\xbf", b"null"),
)


def mutate(rng: random.Random, data: bytes) -> bytes:
    """Return data with one to four pieces of damage."""
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        data = rng.choice(_mutations(data))(rng, data)
    return data


def _mutations(data: bytes) -> list[Mutation]:
    own: list[Mutation] = []
    rare: list[Mutation] = []  # takes a second
    if data.startswith(b"\x89PNG"):
        own, rare = [_png_field, _png_chunk, _png_stream, _png_profile], [_png_bomb]
    elif data[:2] in (b"II", b"MM", b"BM") or data.startswith(b"\xff\xd8"):
        own = [_size] * 2
    elif data[8:9] == b"{":
        own = [_safetensors_header] * 3
    elif data.startswith(b"\x93NUMPY"):
        own = [_npy_header] * 2
    elif data[:1] in b"{c":
        own = [_text] * 3
    return [_bits, _bits, _bytes, _integer, _cut, _remove, _repeat, _splice, *own, *own, *rare]


def _bits(rng: random.Random, data: bytes) -> bytes:
    changed = bytearray(data)
    for _ in range(rng.choice((1, 2, 8))):
        if changed:
            changed[rng.randrange(len(changed))] ^= 1 << rng.randrange(8)
    return bytes(changed)


def _bytes(rng: random.Random, data: bytes) -> bytes:
    at, count = _place(rng, data), rng.choice((1, 4, 16))
    return data[:at] + rng.randbytes(count) + data[at + count :]


def _integer(rng: random.Random, data: bytes) -> bytes:
    form = rng.choice(("B", "<H", ">H", "<I", ">I"))
    size = struct.calcsize(form)
    at, value = _place(rng, data), rng.choice(INTERESTING)
    return data[:at] + struct.pack(form, value % 256**size) + data[at + size :]


def _cut(rng: random.Random, data: bytes) -> bytes:
    return data[: _place(rng, data)]


def _remove(rng: random.Random, data: bytes) -> bytes:
    at = _place(rng, data)
    return data[:at] + data[at + rng.choice((1, 4, 64)) :]


def _repeat(rng: random.Random, data: bytes) -> bytes:
    at, count = _place(rng, data), rng.choice((1, 12, 200))
    return data[:at] + data[at : at + count] * rng.choice((2, 50)) + data[at + count :]


def _splice(rng: random.Random, data: bytes) -> bytes:
    first, second = sorted((_place(rng, data), _place(rng, data)))
    return data[:first] + data[second:] + data[first:second]


def _chunks(data: bytes) -> list[tuple[bytes, bytes]]:
    """Return the chunks of a PNG file, as far as they can be followed."""
    found, at = [], 8
    while at + 8 <= len(data):
        (length,), kind = struct.unpack_from(">I", data, at), data[at + 4 : at + 8]
        found.append((kind, data[at + 8 : at + 8 + length]))
        at += 12 + length
    return found


def _png(chunks: list[tuple[bytes, bytes]]) -> bytes:
    whole = [b"\x89PNG\r\n\x1a\n"]
    for kind, content in chunks:
        whole.append(struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content)))
    return b"".join(whole)


def _png_field(rng: random.Random, data: bytes) -> bytes:
    """Change bytes of one chunk; its checksum is right."""
    chunks = _chunks(data)
    if not chunks:
        return data
    index = rng.randrange(len(chunks))
    kind, content = chunks[index]
    chunks[index] = (kind, rng.choice((_bits, _integer, _cut))(rng, content))
    return _png(chunks)


def _png_chunk(rng: random.Random, data: bytes) -> bytes:
    """Repeat, move, drop or rename a chunk."""
    chunks = _chunks(data)
    if not chunks:
        return data
    kind, content = chunks.pop(rng.randrange(len(chunks)))
    other = rng.choice((kind, kind, b"PLTE", b"tRNS", b"iCCP", b"zTXt", b"acTL", b"fdAT", b"gAMA", b"eXIf", b"abcd"))
    for _ in range(rng.choice((0, 1, 2))):
        chunks.insert(rng.randint(0, len(chunks)), (other, content))
    return _png(chunks)


def _png_stream(rng: random.Random, data: bytes) -> bytes:
    """Change the pixels before their compression: filter types, too few or too many rows."""
    chunks = _chunks(data)
    try:
        pixels = zlib.decompress(b"".join(content for kind, content in chunks if kind == b"IDAT"))
    except zlib.error:
        return data
    stream = zlib.compress(rng.choice((_bytes, _cut, _repeat))(rng, pixels))
    return _png([(kind, stream if kind == b"IDAT" else content) for kind, content in chunks])


def _png_bomb(rng: random.Random, data: bytes) -> bytes:
    """Let a few kilobytes be millions of pixels."""
    kind, depth = rng.choice(((0, 1), (0, 8), (2, 8), (2, 16), (3, 1), (4, 16), (6, 8), (6, 16)))
    width, height = rng.choice(
        ((5000, 5000),) * 4 + ((8000, 6000), (10**6, 40), (30, 900_000), (2**31 - 1, 1), (13377, 13377))
    )
    channels = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[kind]
    row = 1 + -(-width * channels * depth // 8)
    rows = min(height, 40_000_000 // row)  # larger ones end early
    block, deflate = bytes(row * max(1, min(rows, 2_000_000 // row))), zlib.compressobj(1)
    stream = b"".join(deflate.compress(block) for _ in range(rows * row // len(block))) + deflate.flush()
    header = struct.pack(">IIBBBBB", width, height, depth, kind, 0, 0, rng.choice((0, 0, 1)))
    others = [(name, content) for name, content in _chunks(data) if name not in (b"IHDR", b"IDAT", b"IEND")]
    return _png([(b"IHDR", header), (b"PLTE", bytes(6)), *others, (b"IDAT", stream), (b"IEND", b"")])


def _png_profile(rng: random.Random, data: bytes) -> bytes:
    """Give a PNG file a damaged ICC profile."""
    profile = rng.choice(PROFILES)
    for _ in range(rng.choice((1, 1, 3))):
        profile = rng.choice((_profile_number, _profile_number, _integer, _bits, _cut))(rng, profile)
    chunks = [(kind, content) for kind, content in _chunks(data) if kind != b"iCCP"]
    return _png([*chunks[:1], (b"iCCP", b"p\0\0" + zlib.compress(profile)), *chunks[1:]])


def _profile_number(rng: random.Random, profile: bytes) -> bytes:
    """Change a number of a tone curve or of the matrix."""
    places = [at for name in (b"para", b"curv", b"XYZ ") for at in _all(profile, name) if at >= 128]
    if not places:
        return profile
    at = rng.choice(places) + 8 + 4 * rng.randrange(6)
    number = rng.choice((-65536, -1, 0, 1, 65536, 2**31 - 1, -(2**31), 0x00010000, 0x7FFF0000, rng.getrandbits(31)))
    return profile[:at] + struct.pack(">i", number) + profile[at + 4 :]


def _all(data: bytes, part: bytes) -> list[int]:
    """Return every place of a part."""
    found, at = [], data.find(part)
    while at >= 0:
        found.append(at)
        at = data.find(part, at + 1)
    return found


def _size(rng: random.Random, data: bytes) -> bytes:
    """Change the width or the height in the header of a JPEG, BMP or TIFF file."""
    large = rng.choice((0, 1, 60, 5000, 16384, 65500, 2**31 - 1))
    if data.startswith(b"BM"):
        at = rng.choice((18, 22))
        return data[:at] + struct.pack("<I", large) + data[at + 4 :]
    if data.startswith(b"\xff\xd8"):
        frames = [at for marker in (b"\xff\xc0", b"\xff\xc2") for at in _all(data, marker)]
        if not frames:
            return data
        at = rng.choice(frames) + rng.choice((5, 7))
        return data[:at] + struct.pack(">H", large % 65536) + data[at + 2 :]
    order = "<" if data.startswith(b"II") else ">"
    tags = [at for tag in (256, 257, 278, 322, 323, 258, 277) for at in _all(data, struct.pack(f"{order}H", tag))]
    if not tags:
        return data
    at = rng.choice(tags) + 8
    return data[:at] + struct.pack(f"{order}I", large) + data[at + 4 :]


def _safetensors_header(rng: random.Random, data: bytes) -> bytes:
    """Change the JSON header of a .safetensors file, or the JSON text inside its metadata; the length is right."""
    try:
        (length,) = struct.unpack_from("<Q", data)
        header = json.loads(data[8 : 8 + length])
    except (struct.error, ValueError, RecursionError):
        return data
    metadata = header.get("__metadata__") if isinstance(header, dict) else None
    metadata = metadata if isinstance(metadata, dict) else {}
    record = metadata.get("impasto")
    if isinstance(record, str) and rng.random() < 0.6:
        try:
            metadata["impasto"] = json.dumps(_changed(rng, json.loads(record)))
        except (ValueError, RecursionError):
            metadata["impasto"] = "[" * 20_000
    else:
        header = _changed(rng, header)
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data[8 + length :]


def _npy_header(rng: random.Random, data: bytes) -> bytes:
    """Change the Python literal of a .npy file; the length is right."""
    if len(data) < 10:
        return data
    (length,) = struct.unpack_from("<H", data, 8)
    text = data[10 : 10 + length].decode("latin-1")
    old = rng.choice(list(NPY_PARTS))
    new = rng.choice(NPY_PARTS[old])
    changed = text.replace(old, new).encode("latin-1")
    return data[:8] + struct.pack("<H", len(changed)) + changed + data[10 + length :]


def _text(rng: random.Random, data: bytes) -> bytes:
    """Put a foreign character, number or structure into text."""
    at = _place(rng, data)
    return data[:at] + rng.choice(TEXT_PIECES) + data[at + rng.choice((0, 0, 3)) :]


def _changed(rng: random.Random, value: object) -> object:
    """Return a JSON value with one part replaced, removed or added."""
    if isinstance(value, dict) and value and rng.random() < 0.9:
        key = rng.choice(list(value))
        chance = rng.random()
        if chance < 0.15:
            return {name: item for name, item in value.items() if name != key}
        if chance < 0.25:
            return {**value, rng.choice(("extra", "", "\x1b[2J", "gram_relu1_1")): rng.choice(JSON_VALUES)}
        return {**value, key: _changed(rng, value[key])}
    if isinstance(value, list) and value and rng.random() < 0.8:
        at = rng.randrange(len(value))
        return [*value[:at], _changed(rng, value[at]), *value[at + 1 :]]
    return rng.choice(JSON_VALUES)


def _place(rng: random.Random, data: bytes) -> int:
    """Return a place in the data; every second one is near its start, where headers are."""
    return rng.randint(0, min(len(data), 64) if rng.random() < 0.5 else len(data))

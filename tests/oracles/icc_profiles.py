"""ICC profiles written by hand, for colours that are known."""

import struct
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

# Primaries and white of Adobe RGB (1998) and of ProPhoto RGB (ROMM) under D50, as columns X Y Z of red, green, blue.
ADOBE_RGB = np.array([[0.60974, 0.20528, 0.14919], [0.31111, 0.62567, 0.06322], [0.01947, 0.06087, 0.74457]])
PROPHOTO_RGB = np.array([[0.79767, 0.13519, 0.03134], [0.28804, 0.71188, 0.00009], [0.0, 0.0, 0.82491]])

_D50 = (0.9642, 1.0, 0.8249)


def gamma_curve(gamma: float) -> bytes:
    return b"curv\0\0\0\0" + struct.pack(">IH", 1, round(gamma * 256))


def table_curve(values: npt.NDArray[np.float64]) -> bytes:
    entries = np.rint(values * 65535).astype(">u2")
    return b"curv\0\0\0\0" + struct.pack(">I", len(entries)) + entries.tobytes()


def identity_curve() -> bytes:
    return b"curv\0\0\0\0" + struct.pack(">I", 0)


def parametric_curve(kind: int, *parameters: float) -> bytes:
    return b"para\0\0\0\0" + struct.pack(">HH", kind, 0) + b"".join(_fixed(value) for value in parameters)


def rgb_profile(to_xyz: npt.NDArray[np.float64], curve: bytes) -> bytes:
    """Return a display profile of three equal curves and a matrix."""
    tags = {b"rTRC": curve, b"gTRC": curve, b"bTRC": curve}
    for index, name in enumerate((b"rXYZ", b"gXYZ", b"bXYZ")):
        tags[name] = _xyz(*to_xyz[:, index])
    return profile(b"mntr", b"RGB ", b"XYZ ", tags)


def grey_profile(curve: bytes) -> bytes:
    return profile(b"mntr", b"GRAY", b"XYZ ", {b"kTRC": curve})


def cmyk_profile() -> bytes:
    """Return a printer profile made of tables: L* falls with the sum of the inks, a* and b* are 0.

    It falls from 100 to 0 for the perceptual intent, and to 20 for the colorimetric one: the black of the ink.
    """
    tables = {b"A2B0": _grey_table(4, 100, 0), b"A2B1": _grey_table(4, 100, 20)}
    return profile(b"prtr", b"CMYK", b"Lab ", tables)


def table_rgb_profile() -> bytes:
    """Return a scanner profile made of tables: L* rises with the sum of R, G and B, a* and b* are 0.

    It rises to 100 from 0 for the perceptual intent, and from 20 for the colorimetric one.
    """
    tables = {b"A2B0": _grey_table(3, 0, 100), b"A2B1": _grey_table(3, 20, 100)}
    return profile(b"scnr", b"RGB ", b"Lab ", tables)


def _grey_table(channels: int, first: float, last: float) -> bytes:
    """Return a lut8Type with the corners of the cube of device values; L* goes from first to last."""
    ramp = bytes(range(256))
    share = np.indices((2,) * channels).reshape(channels, -1).sum(axis=0) / channels
    lightness = np.rint((first + (last - first) * share) * 2.55)
    middle = np.full(2**channels, 128)
    lab = np.stack([lightness, middle, middle], axis=1).astype(np.uint8)
    identity = b"".join(_fixed(value) for value in np.eye(3).ravel())
    return b"mft1\0\0\0\0" + bytes([channels, 3, 2, 0]) + identity + ramp * channels + lab.tobytes() + ramp * 3


def profile(device: bytes, space: bytes, connection: bytes, tags: Mapping[bytes, bytes]) -> bytes:
    tags = {b"wtpt": _xyz(*_D50), b"cprt": b"text\0\0\0\0none\0", b"desc": _description(), **tags}
    offset = 128 + 4 + 12 * len(tags)
    index, data = struct.pack(">I", len(tags)), b""
    for name, content in tags.items():
        padded = content + bytes(-len(content) % 4)
        index += name + struct.pack(">II", offset + len(data), len(content))
        data += padded
    size = 128 + len(index) + len(data)
    head = struct.pack(">I4sI4s4s4s", size, b"none", 0x02400000, device, space, connection)
    head += struct.pack(">6H", 2020, 1, 1, 0, 0, 0) + b"acsp" + bytes(28)
    head += b"".join(_fixed(value) for value in _D50)
    return head.ljust(128, b"\0") + index + data


def _description() -> bytes:
    return b"desc\0\0\0\0" + struct.pack(">I", 5) + b"test\0" + bytes(4 + 4 + 2 + 1 + 67)


def _xyz(x: float, y: float, z: float) -> bytes:
    return b"XYZ \0\0\0\0" + _fixed(x) + _fixed(y) + _fixed(z)


def _fixed(value: float) -> bytes:
    return struct.pack(">i", round(float(value) * 65536))

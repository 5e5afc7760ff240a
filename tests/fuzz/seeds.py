"""Small valid files of every kind that the program reads."""

import io
import json
import struct
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
from PIL import Image, ImageCms
from safetensors.numpy import save

from tests.oracles import icc_profiles, png_files
from tests.small_network import features_model, weights

Seeds = Mapping[str, bytes]
"""Files by name. The extension is that of the file which the program sees."""

HEIGHT, WIDTH = 34, 43  # more than the smallest picture of a run
PARAMETRIC = icc_profiles.rgb_profile(
    icc_profiles.ADOBE_RGB, icc_profiles.parametric_curve(3, 2.4, 0.95, 0.05, 0.08, 0.04)
)
_RNG = np.random.default_rng(11)


def images() -> Seeds:
    """Pictures of every format and mode, with profiles, orientation, transparency and metadata."""
    return {**dict(_png_files()), **dict(_pillow_files()), **dict(_arrays())}


def safetensors() -> Seeds:
    """Saved styles with and without a checksum, a checkpoint of a run, and weights of a network."""
    from impasto.engine.inputs.saved_style import SavedStyle
    from impasto.engine.inputs.style_form import StyleOrigin

    origin = StyleOrigin("small", "0" * 64, ("relu1_1",), "avg", False, "fp32", 40, 52, "s.png", None)
    half = _RNG.normal(size=(6, 6)).astype(np.float32)
    grams = {"gram_relu1_1": (half @ half.T + np.eye(6, dtype=np.float32))[None]}
    record = json.dumps({"kind": "style", **vars(origin)})
    with tempfile.TemporaryDirectory() as folder:
        SavedStyle(grams, origin, "").save(Path(folder) / "s.safetensors")
        summed = (Path(folder) / "s.safetensors").read_bytes()
    return {
        "style.safetensors": save(grams, {"impasto": record}),
        "summed.safetensors": summed,
        "checkpoint.safetensors": _checkpoint(),
        "weights.safetensors": save(weights()),
        "empty.safetensors": save({}, {"impasto": "{}"}),
    }


def weight_files() -> Seeds:
    """Weights of a network."""
    buffer = io.BytesIO()
    np.savez(buffer, **weights())  # type: ignore[arg-type]
    return {"weights.npz": buffer.getvalue(), "weights.safetensors": save(weights())}


def _checkpoint() -> bytes:
    """Return the file of a run of one iteration."""
    from impasto.engine import Engine, Settings
    from impasto.engine.inputs.checkpoint import save_checkpoint

    settings = Settings(size=40, iterations=1, content_taps=("relu2_1",), style_taps=("relu1_1",))
    with tempfile.TemporaryDirectory() as folder:
        ir.save(features_model(), Path(folder) / "small.onnx")
        content, style = (_RNG.integers(0, 256, (40, 44, 3)).astype(np.uint8) for _ in range(2))
        with Engine(Path(folder) / "small.onnx", provider="cpu", threads=1) as engine:
            state = engine.transfer(content, style, settings, keep_state=True).state
        assert state is not None
        save_checkpoint(state, Path(folder) / "c.safetensors", {"output": "out.png"})
        return (Path(folder) / "c.safetensors").read_bytes()


def manifests() -> Seeds:
    """Lists of transfers."""
    rows = [{"content": "c.png", "style": "s.png", "size": 64}, {"content": "c.png", "style": "s.png", "seed": 2}]
    header = "content,style,output,iterations,size,style_taps,bounded,content_weight\n"
    return {
        "rows.jsonl": "".join(json.dumps(row) + "\n" for row in rows).encode(),
        "rows.csv": f'{header}c.png,s.png,o.png,3,64,relu1_1 relu3_1=0.5,yes,1e-4\n"c.png",s.png,,,,,no,\n'.encode(),
    }


def models() -> Seeds:
    """Networks for ONNX Runtime."""
    model = ir.to_proto(features_model())
    small = model.SerializeToString()
    model.graph.node.append(onnx.helper.make_node("ReduceSum", [model.graph.output[-1].name], ["loss"], keepdims=0))
    model.graph.output.append(onnx.helper.make_tensor_value_info("loss", onnx.TensorProto.FLOAT, []))
    return {"small.onnx": small, "loss.onnx": model.SerializeToString()}


KINDS: Mapping[str, Callable[[], Seeds]] = {
    "image": images,
    "safetensors": safetensors,
    "weights": weight_files,
    "manifest": manifests,
    "model": models,
}


def _samples(channels: int, depth: int) -> np.ndarray:
    return _RNG.integers(0, 2**depth, (HEIGHT, WIDTH, channels))


def _png_files() -> Iterator[tuple[str, bytes]]:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    kinds = {"grey": (png_files.GREY, 1), "rgb": (png_files.RGB, 3), "rgba": (png_files.RGBA, 4)}
    for name, (colour_type, channels) in kinds.items():
        for depth in (8, 16):
            data = png_files.png_file(_samples(channels, depth), depth, colour_type, interlaced=depth == 16)
            yield f"{name}{depth}.png", data
    for depth in (1, 2, 4):
        yield f"grey{depth}.png", png_files.png_file(_samples(1, depth), depth, png_files.GREY)
    palette = png_files.chunk(b"PLTE", bytes(range(48)))
    transparent = png_files.chunk(b"tRNS", bytes(range(16)))
    samples = _samples(1, 4)
    yield "palette.png", png_files.png_file(samples, 4, png_files.PALETTE, chunks=[palette, transparent])
    buffer = io.BytesIO()
    Image.fromarray(_samples(3, 8).astype(np.uint8)).save(buffer, "png", icc_profile=profile)
    yield "profile.png", buffer.getvalue()


def _pillow_files() -> Iterator[tuple[str, bytes]]:
    colour = Image.fromarray(_samples(3, 8).astype(np.uint8))
    grey = Image.fromarray(_samples(1, 8)[:, :, 0].astype(np.uint8))
    exif = Image.Exif()
    exif[0x0112] = 6
    exif[0x010E] = 'impasto {"settings": {"size": 64}}'
    thumbnail = Image.Exif()
    thumbnail[0x0112] = 8
    thumbnail[0x010F], thumbnail[0x8769] = "maker", {0x9003: "2026:01:01 00:00:00", 0x927C: bytes(40)}
    animation = {"save_all": True, "append_images": [colour.rotate(90), colour], "duration": 50}
    files: list[tuple[str, Image.Image, dict[str, Any]]] = [
        ("rgb.jpg", colour, {"exif": exif.tobytes()}),
        ("progressive.jpg", colour, {"progressive": True, "quality": 60}),
        ("camera.jpg", colour, {"exif": thumbnail.tobytes() + _thumbnail(colour), "quality": 95, "subsampling": 0}),
        ("restarts.jpg", colour, {"restart_marker_rows": 1}),
        ("animated.webp", colour, animation),
        ("animated.png", colour, animation),
        ("big.tif", colour, {"big_tiff": True, "compression": "tiff_lzw"}),
        ("float.tif", Image.fromarray(_RNG.random((HEIGHT, WIDTH), np.float32)), {}),
        ("bit.tif", grey.convert("1"), {"compression": "group4"}),
        ("palette.tif", colour.quantize(16), {"compression": "packbits"}),
        ("cmyk.tif", colour.convert("CMYK"), {"compression": "tiff_lzw", "icc_profile": icc_profiles.cmyk_profile()}),
        ("lab.tif", Image.fromarray(_samples(3, 8).astype(np.uint8), "LAB"), {}),
        ("turned.tif", colour, {"tiffinfo": {274: 6}}),
        ("grey.jpg", grey, {}),
        ("cmyk.jpg", colour.convert("CMYK"), {}),
        ("lossy.webp", colour, {"quality": 40, "exif": exif.tobytes()}),
        ("lossless.webp", colour.convert("RGBA"), {"lossless": True}),
        ("raw.tif", colour, {}),
        ("lzw.tif", colour, {"compression": "tiff_lzw"}),
        ("deflate.tif", colour.convert("RGBA"), {"compression": "tiff_adobe_deflate"}),
        ("jpeg.tif", colour, {"compression": "jpeg"}),
        ("grey16.tif", Image.fromarray(_samples(1, 16)[:, :, 0].astype(np.uint16)), {}),
        ("profile.tif", colour, {"icc_profile": PARAMETRIC}),
        ("tables.jpg", colour.convert("CMYK"), {"icc_profile": icc_profiles.cmyk_profile()}),
        ("rgb.bmp", colour, {}),
        ("palette.bmp", colour.quantize(16), {}),
        ("bit.bmp", grey.convert("1"), {}),
    ]
    for name, image, options in files:
        buffer = io.BytesIO()
        image.save(buffer, {"jpg": "jpeg", "tif": "tiff"}.get(name[-3:], Path(name).suffix[1:]), **options)
        yield name, buffer.getvalue()
    yield "tiled.tif", _tiled_tiff(_samples(3, 8).astype(np.uint8))


def _thumbnail(image: Image.Image) -> bytes:
    """Return a JPEG file within a JPEG file, as cameras put after their EXIF data."""
    buffer = io.BytesIO()
    image.resize((16, 16)).save(buffer, "jpeg")
    return buffer.getvalue()


def _tiled_tiff(samples: np.ndarray) -> bytes:
    """Return an uncompressed TIFF file of tiles of 16 x 16 px, which Pillow does not write."""
    height, width, channels = samples.shape
    down, across = -(-height // 16), -(-width // 16)
    padded = np.zeros((16 * down, 16 * across, channels), np.uint8)
    padded[:height, :width] = samples
    tiles = [padded[16 * y : 16 * y + 16, 16 * x : 16 * x + 16].tobytes() for y in range(down) for x in range(across)]
    count, size = len(tiles), len(tiles[0])
    start = 8 + 2 + 10 * 12 + 4
    bits_at, offsets_at, counts_at = start, start + 6, start + 6 + 4 * count
    data_at = counts_at + 4 * count
    entries = [
        (256, 3, 1, width), (257, 3, 1, height), (258, 3, 3, bits_at), (259, 3, 1, 1), (262, 3, 1, 2),
        (277, 3, 1, 3), (322, 3, 1, 16), (323, 3, 1, 16), (324, 4, count, offsets_at), (325, 4, count, counts_at),
    ]  # fmt: skip
    index = struct.pack("<H", len(entries)) + b"".join(struct.pack("<HHII", *entry) for entry in entries) + bytes(4)
    offsets = struct.pack(f"<{count}I", *(data_at + size * number for number in range(count)))
    counts = struct.pack(f"<{count}I", *[size] * count)
    return b"II*\0" + struct.pack("<I", 8) + index + struct.pack("<3H", 8, 8, 8) + offsets + counts + b"".join(tiles)


def _arrays() -> Iterator[tuple[str, bytes]]:
    for dtype in ("float32", "uint8", "uint16", "float64"):
        buffer = io.BytesIO()
        np.save(buffer, (_RNG.random((HEIGHT, WIDTH, 3)) * 255).astype(dtype))
        yield f"{dtype}.npy", buffer.getvalue()

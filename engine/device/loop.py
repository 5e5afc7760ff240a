"""The loop on the device. It alternates evaluations and optimiser steps on data in the provider's memory."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from impasto.engine.optimisers.solution import State, Vector, restore_array
from impasto.engine.runtime.ort import onnxruntime as ort
from impasto.engine.runtime.providers import Provider
from impasto.engine.runtime.session import Session, quiet_options
from impasto.export.optimiser import COEFFICIENTS, LIMIT, NEXT, SCALARS, Code, StepForm, build_step
from impasto.export.serialised import whole
from impasto.export.terms import GRADIENT, IMAGE, LOSS, TERMS, WEIGHTS

_CAPTURED = "gpu_graph_id"  # which of several captured graphs of a session; of no consequence where none is
_X, _LOG, _POINT, _SCALARS = "x", "log", "point", "scalars"


class DeviceLoop:
    """Two sessions that share their memory: the objective, and a step of L-BFGS for all its samples.

    Each sample is a place, which is empty at first. Images `enter` a place one after another while the other places
    continue.

    The loop holds two copies of the state's vectors, because a step reads one copy and writes the other. Two bindings
    therefore take turns. It holds one copy of the history, because a step writes one row of it before it reads.

    Args:
        evaluation: the objective; its targets and weights may be set later.
        provider: provider of the step: float32 on the evaluation's own device.
        form: form of the step, with the evaluation's batch, image and terms.
        threads: number of threads for one operator; 0 lets the runtime use every core.

    Raises:
        ImpastoError: the step does not run on the provider, or its history does not fit there.
    """

    def __init__(self, evaluation: Session, provider: Provider, form: StepForm, threads: int = 0) -> None:
        graph = build_step(form)
        self._form = form
        self._evaluation = evaluation
        self._state = graph.state
        self._provider = provider
        self._session: Any = provider.open(whole(graph.model), quiet_options(), threads)
        with provider.explained("hold the optimiser's history"):
            self._limit = self._value(np.zeros((form.batch, 1)))
            self._coefficients = self._value(np.zeros((form.batch, form.terms), np.float32))
            one = {buffer.name: self._value(np.array(buffer.initial)) for buffer in self._state}
            other = {
                buffer.name: one[buffer.name] if buffer.in_place else self._value(np.array(buffer.initial))
                for buffer in self._state
            }
            self._sides = (one, other)
            self._bindings = [self._bound(one, other), self._bound(other, one)]
        self._options = [ort.RunOptions(), ort.RunOptions()]
        for number, options in enumerate(self._options, start=1):  # each binding is captured and replayed on its own
            options.add_run_config_entry(_CAPTURED, str(number))
        self._turn = 0

    def enter(
        self, sample: int, x: Vector, limit: float, coefficients: NDArray[np.float32], state: State | None = None
    ) -> None:
        """Put an image into one place, and replace the image that was there. The other places are not affected.

        The vectors of all samples go to the host and back, which takes little time compared with the targets of a new
        image.

        Args:
            sample: number of the place, from 0. Its targets are loaded; the evaluation's weights may be outdated.
            x: the image to start from, flat; it is clipped to the bounds.
            limit: maximum number of iterations.
            coefficients: coefficients of the terms, [T].
            state: a state from `state` to continue from; x is then ignored.

        Raises:
            ImpastoError: the provider fails.
            StateError: the state is of another kind of loop.
        """
        if state is not None:
            self._check(state)
            scalars, code = state[_SCALARS].copy(), SCALARS.index("code")
            if scalars[code] == Code.ITERATIONS_DONE:  # the run continues
                scalars[code] = Code.RUNNING
            state = {**state, _SCALARS: scalars}
        if self._form.bounds is not None:
            x = np.clip(x, *self._form.bounds)
        with self._provider.explained("take an image into the optimiser's loop"):
            values = self._sides[self._turn % 2]
            for buffer in self._state:
                if buffer.is_state and state is not None:
                    _replace(values[buffer.name], sample, state[buffer.name])
                elif buffer.by_sample and state is None:
                    _replace(values[buffer.name], sample, x if buffer.name == _X else buffer.initial[sample])
            _replace(self._limit, sample, limit)
            weights = _replace(self._coefficients, sample, coefficients)
            factors = values[_SCALARS].numpy()[:, SCALARS.index("factor"), None]
            images = np.array(self._evaluation.value(IMAGE).numpy())
        images[sample] = x.reshape(self._form.shape) if state is None else state[_POINT]
        self._evaluation.set(IMAGE, images)
        self._evaluation.set(WEIGHTS, weights * factors)

    def run(self, count: int) -> NDArray[np.float32]:
        """Evaluate and step `count` times; the number of rows of the log is the maximum.

        Returns:
            A row for each step, in order: [count, N, columns], with the columns `impasto.export.optimiser.REPORTED` and
            then the terms.

        Raises:
            ImpastoError: the provider fails.
        """
        first = self._turn
        for _ in range(count):
            self._evaluation.run_bound()
            side = self._turn % 2
            with self._provider.explained("run the optimiser's step"):
                self._session.run_with_iobinding(self._bindings[side], self._options[side])
            self._turn += 1
        with self._provider.explained("give the optimiser's log"):
            log = self._sides[0][_LOG].numpy()
        return np.asarray(log[np.arange(first, self._turn) % self._form.log_rows], np.float32)

    def x(self, sample: int) -> Vector:
        """Return a copy of a sample's last accepted image, flat.

        Raises:
            ImpastoError: the provider fails.
        """
        with self._provider.explained("give the image"):
            return np.array(self._sides[self._turn % 2][_X].numpy()[sample], np.float32)

    def state(self, sample: int) -> State:
        """Return the arrays, by name, with which a sample can continue in another loop of the same form.

        Raises:
            ImpastoError: the provider fails.
        """
        with self._provider.explained("give the optimiser's state"):
            values = self._sides[self._turn % 2]
            found = {item.name: np.array(values[item.name].numpy()[sample]) for item in self._state if item.is_state}
            return {**found, _POINT: np.array(self._evaluation.value(IMAGE).numpy()[sample])}

    def _check(self, state: State) -> None:
        """Check that the arrays of a state are those of this loop."""
        expected = {item.name: np.zeros_like(item.initial[0]) for item in self._state if item.is_state}
        expected[_POINT] = np.zeros(self._form.shape, np.float32)
        for name, array in expected.items():
            restore_array(array, state, name)

    def _bound(self, before: dict[str, Any], after: dict[str, Any]) -> Any:
        """Return a binding that reads one side of the state and writes the other."""
        binding = self._session.io_binding()
        inputs = {name: self._evaluation.value(name) for name in (LOSS, TERMS, GRADIENT)}
        outputs = {IMAGE: self._evaluation.value(IMAGE)}
        inputs[LIMIT] = self._limit
        if self._form.scale is not None:
            inputs[COEFFICIENTS], outputs[WEIGHTS] = self._coefficients, self._evaluation.value(WEIGHTS)
        for name, value in {**inputs, **before}.items():
            binding.bind_ortvalue_input(name, value)
        for name, value in {**outputs, **{name + NEXT: value for name, value in after.items()}}.items():
            binding.bind_ortvalue_output(name, value)
        return binding

    def _value(self, array: np.ndarray) -> Any:
        return ort.OrtValue.ortvalue_from_numpy(array, self._provider.device, self._provider.device_index)


def _replace(value: Any, sample: int, part: Any) -> np.ndarray:
    """Set a sample's part of one of the runtime's values, and return the whole."""
    whole = np.array(value.numpy())
    whole[sample] = part
    value.update_inplace(whole)
    return whole

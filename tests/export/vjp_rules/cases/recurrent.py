"""Cases of RNN, GRU and LSTM."""

from typing import Any

import numpy as np

from tests.export.vjp_rules.cases.case import Array, Case, case, random

STEPS, BATCH, FEATURES, SIZE = 4, 3, 2, 3
GATES = {"RNN": 1, "GRU": 3, "LSTM": 4}
LENGTHS = np.array([4, 1, 2], np.int32)
ALL_STEPS = np.array([4, 4, 4], np.int32)
EMPTY = np.array([0, 4, 3], np.int32)


def recurrent(op: str, *, absent: str = "", lengths: Array | None = None, **settings: Any) -> Case:
    """Return a case with all inputs but those named: B, h and c for the states, P for the peepholes."""
    directions = 2 if settings.get("direction") == "bidirectional" else 1
    gates, is_batch_first = GATES[op], bool(settings.get("layout"))

    def state(seed: int) -> Array:
        return random(*((BATCH, directions) if is_batch_first else (directions, BATCH)), SIZE, seed=seed)

    inputs: list[Array | None] = [
        random(*((BATCH, STEPS) if is_batch_first else (STEPS, BATCH)), FEATURES),
        random(directions, gates * SIZE, FEATURES, seed=1),
        random(directions, gates * SIZE, SIZE, seed=2, low=-1, high=1),
        None if "B" in absent else random(directions, 2 * gates * SIZE, seed=3),
        lengths,
        None if "h" in absent else state(4),
    ]
    if op == "LSTM":
        inputs += [
            None if "c" in absent else state(5),
            None if "P" in absent else random(directions, 3 * SIZE, seed=6),
        ]
    while inputs[-1] is None:
        inputs.pop()
    wrt = settings.pop("wrt", (0,))
    outputs = settings.pop("outputs", 3 if op == "LSTM" else 2)
    settings.setdefault("measured", tuple(range(outputs)))
    # ONNX Runtime has no layout 1, and wants the names of activations in its own capitals.
    settings.setdefault("in_ort", not is_batch_first and "sigmoid" not in settings.get("activations", ()))
    note = " ".join(part for part in (f"without {absent}" if absent else "", _note(lengths)) if part)
    return case(op, *inputs, wrt=wrt, outputs=outputs, note=note, hidden_size=SIZE, **settings)


def _note(lengths: Array | None) -> str:
    return "" if lengths is None else f"lengths {lengths.tolist()}"


_ALL = {"RNN": (0, 1, 2, 3, 5), "GRU": (0, 1, 2, 3, 5), "LSTM": (0, 1, 2, 3, 5, 6, 7)}
_ACTIVATIONS = (
    {"activations": ["Softsign", "Affine", "Softplus"], "activation_alpha": [0.7], "activation_beta": [0.2]},
    {"activations": ["HardSigmoid", "ScaledTanh", "Elu"], "activation_alpha": [0.3, 0.8, 0.6]}
    | {"activation_beta": [0.45, 0.9]},
    {"activations": ["sigmoid", "LeakyRelu", "ThresholdedRelu"], "activation_alpha": [0.2, 0.01]},
    {"activations": ["HardSigmoid", "Relu", "Tanh"]},
)


def _with_activations(op: str, chosen: dict[str, Any]) -> Case:
    count = {"RNN": 1, "GRU": 2, "LSTM": 3}[op]
    names = chosen["activations"][:count]
    return recurrent(op, **(chosen | {"activations": names}), opset=14)


CASES = (
    *(recurrent(op, wrt=_ALL[op], opset=22) for op in GATES),
    *(recurrent(op, wrt=_ALL[op], direction="bidirectional", lengths=LENGTHS, opset=14) for op in GATES),
    *(recurrent(op, wrt=_ALL[op], layout=1, direction="bidirectional", opset=14) for op in GATES),
    *(recurrent(op, absent="BhcP", opset=14) for op in GATES),
    *(recurrent(op, absent="BhcP", direction="reverse", lengths=EMPTY, opset=14) for op in GATES),
    *(recurrent(op, absent="cP", direction="reverse", measured=(1,), opset=14) for op in GATES),
    *(recurrent(op, absent="hP", lengths=ALL_STEPS, outputs=1, opset=14) for op in GATES),
    *(recurrent(op, lengths=EMPTY, layout=1, opset=14) for op in GATES),
    *(recurrent(op, clip=0.9, opset=14) for op in GATES),
    *(_with_activations(op, chosen) for op in GATES for chosen in _ACTIVATIONS),
    recurrent("GRU", wrt=_ALL["GRU"], linear_before_reset=1, opset=22),
    recurrent("GRU", absent="h", linear_before_reset=1, direction="bidirectional", lengths=LENGTHS, opset=14),
    recurrent("GRU", absent="Bh", linear_before_reset=1, opset=14),
    recurrent("LSTM", absent="P", wrt=(0, 1, 2, 3, 5, 6), direction="bidirectional", opset=22),
    recurrent("LSTM", absent="P", input_forget=1, opset=14),
    recurrent("LSTM", measured=(2,), opset=14),
)

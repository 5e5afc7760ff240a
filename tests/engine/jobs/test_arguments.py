"""Arguments of a wrong type, in every public function: one line, and nothing has begun."""

import dataclasses
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from impasto.engine import (
    Engine,
    ImpastoError,
    Job,
    Result,
    Settings,
    Tap,
    content_reconstruction,
    style_reconstruction,
    transfer_refined,
)
from tests.engine.conftest import Files
from tests.engine.jobs.gate import LONG_S
from tests.engine.jobs.test_many import BASE, engine, job

__all__ = ["engine"]  # a fixture

NAN = float("nan")
SMALL = dataclasses.replace(BASE, size=48, iterations=1)
JUNK: tuple[Any, ...] = (
    3,
    -1,
    10**5000,
    1.5,
    NAN,
    True,
    "x",
    b"x",
    "a\0b",
    (),
    {},
    [None],
    object(),
    np.zeros((2, 2)),
    Path(),
)


def is_refused(call: Callable[[], object], message: str = "") -> None:
    with pytest.raises(ImpastoError) as caught:
        call()
    said = str(caught.value)
    assert "\n" not in said
    assert len(said) < 400
    assert message in said


def outcome(call: Callable[[], object]) -> str:
    """Return the message of an `ImpastoError`; "" without one. Nothing else may be raised."""
    try:
        call()
    except ImpastoError as error:
        return str(error)
    return ""


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"model": None}, "bad model None: expected a path"),
        ({"model": 3}, "bad model 3: expected a path"),
        ({"model": b"vgg19"}, "bad model b'vgg19': expected a path"),
        ({"provider": None}, "bad provider None: expected text"),
        ({"precision": 32}, "bad precision 32: expected text"),
        ({"threads": 1.5}, "bad threads 1.5: expected a whole number"),
        ({"threads": True}, "bad threads True: expected a whole number"),
        ({"threads": "4"}, "bad threads '4': expected a whole number"),
        ({"threads": -1}, "bad threads -1: allowed on this machine are 0 (one per core) to "),
        ({"build_engines": "no"}, "bad build_engines 'no': allowed are True and False"),
        ({"loop": ["host"]}, "unknown loop ['host']: allowed are auto, host, device"),
        ({"report_every": "often"}, "bad report_every 'often': expected a whole number"),
        ({"report_every": 0}, "bad report_every 0: allowed are 1 to 1000 evaluations"),
        ({"concurrency": 0}, "bad concurrency 0: allowed are whole numbers of 1 or more"),
        ({"concurrency": NAN}, "bad concurrency nan: allowed are whole numbers of 1 or more"),
        ({"checks_memory": None}, "bad checks_memory None: allowed are True and False"),
    ],
)
def test_an_engine_says_which_argument_is_wrong(files: Files, values: Mapping[str, Any], message: str) -> None:
    is_refused(lambda: Engine(**{"model": files.model, "provider": "cpu", **values}), message)


def test_numbers_of_numpy_are_taken(files: Files) -> None:
    with Engine(
        files.model,
        provider="cpu",
        threads=np.int64(1),  # type: ignore[arg-type]
        concurrency=np.uint8(2),  # type: ignore[arg-type]
        checks_memory=np.True_,  # type: ignore[arg-type]
    ) as engine:
        one = Job(files.content, files.style, BASE, priority=np.int16(2), keep_state=np.True_)  # type: ignore[arg-type]
        assert (one.priority, one.keep_state) == (2, True)
        handle = engine.submit(one, batch=np.int32(1))  # type: ignore[arg-type]
        assert handle.result(np.float32(LONG_S)).state is not None  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"settings": None}, "bad settings of a job: NoneType; give a Settings object"),
        ({"start": "x.png"}, "bad start 'x.png': give a Picture, as result.picture"),
        ({"priority": 1.5}, "bad priority 1.5: expected a whole number"),
        ({"priority": True}, "bad priority True: expected a whole number"),
        ({"priority": 10**5000}, "bad priority of about 5001 digits: expected a whole number of at most 64 bits"),
        ({"state": b"state"}, "bad state b'state': give a RunState, as result.state"),
        ({"keep_state": 1}, "bad keep_state 1: allowed are True and False"),
    ],
)
def test_a_job_says_which_part_is_wrong(files: Files, values: Mapping[str, Any], message: str) -> None:
    is_refused(lambda: Job(files.content, files.style, **values), message)


def test_a_job_without_a_style_is_refused_when_it_begins(engine: Engine) -> None:
    is_refused(engine.submit(Job("x")).result, "no style image for the style terms of relu1_1, ")


@pytest.mark.parametrize("timeout_s", [NAN, float("inf"), -1, "1", True])
def test_how_long_to_wait_is_a_finite_number(engine: Engine, files: Files, timeout_s: Any) -> None:
    handle = engine.submit(job(files, iterations=1))
    is_refused(lambda: handle.result(timeout_s), "bad timeout_s ")
    assert handle.result(1e300).iterations == 1


@pytest.mark.parametrize("wrong", [None, 3, "x", ("a.png", "b.png")])
def test_what_is_no_job_is_refused_with_its_place(engine: Engine, files: Files, wrong: Any) -> None:
    jobs = [job(files, iterations=1), wrong]
    kind = type(wrong).__name__
    message = f"not a job: {kind}; give impasto.engine.Job(content, style, settings) at place 1 of the jobs"
    is_refused(lambda: list(engine.transfer_many(jobs)), message)
    is_refused(lambda: engine.plan_many(jobs), message)
    is_refused(lambda: engine.submit(wrong), f"not a job: {kind}; give ")


def test_what_is_no_series_of_jobs_is_refused(engine: Engine, files: Files) -> None:
    junk: tuple[Any, ...] = (None, 3, job(files))
    for wrong in junk:
        is_refused(partial(engine.transfer_many, wrong), "give an iterable of jobs, as [Job(...), ...]")
        is_refused(partial(engine.plan_many, wrong), "give an iterable of jobs, as [Job(...), ...]")


def test_every_wrong_argument_ends_in_one_line(engine: Engine, files: Files) -> None:
    """Each argument of each method in turn takes each wrong value: an `ImpastoError`, or the value was right."""
    done = engine.transfer(files.content, files.style, SMALL, keep_state=True)
    images = {"content": files.content, "style": files.style, "settings": SMALL}
    calls: dict[str, tuple[Callable[..., object], dict[str, Any]]] = {
        "transfer": (engine.transfer, {**images, "start": None, "on_event": None, "cancel": None, "keep_state": False}),
        "steps": (lambda **given: list(engine.steps(**given)), {**images, "start": None, "cancel": None}),
        "resume": (engine.resume, {"state": done.state, "settings": None, "on_event": None, "cancel": None}),
        "submit": (engine.submit, {"job": job(files, iterations=1), "batch": 1, "cancel": None}),
        "transfer_many": (
            lambda **given: list(engine.transfer_many(**given)),
            {"jobs": [], "batch": 1, "on_event": None, "cancel": None},
        ),
        "plan": (engine.plan, images),
        "plan_style": (engine.plan_style, {"style": files.style, "settings": BASE}),
        "check": (engine.check, images),
        "warm_up": (engine.warm_up, {**images, "batch": 1}),
        "evaluate": (engine.evaluate, {**images, "image": files.content}),
        "objective": (engine.objective, images),
        "save_style": (
            engine.save_style,
            {"style": files.style, "output": files.folder / "s.safetensors", "settings": BASE},
        ),
        "refined": (transfer_refined, {"draft": engine, "full": engine, **images, "evaluations": 1, "on_event": None}),
        "save": (done.save, {"path": files.folder / "out.png", "bits": 8}),
        "content": (content_reconstruction, {"taps": ("relu4_2",)}),
        "style": (style_reconstruction, {"taps": ("relu4_2",), "canvas": None, "seamless": False}),
        "tap": (lambda tap: Settings(style_taps=(tap,)), {"tap": "relu1_1"}),
        "weight": (lambda weight: Settings(style_taps=(Tap("relu1_1", weight),)), {"weight": 1.0}),
    }
    found: dict[str, int] = {}
    for name, (call, good) in calls.items():
        for argument in good:
            for junk in JUNK:
                said = outcome(partial(call, **{**good, argument: junk}))
                assert "\n" not in said, (name, argument, said)
                found[name] = found.get(name, 0) + bool(said)
    assert all(found.values())
    assert found.keys() == calls.keys()
    assert isinstance(done, Result)

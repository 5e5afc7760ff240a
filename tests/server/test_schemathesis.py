"""Requests that Schemathesis makes of the API's description: no 5xx, and answers that are as described."""

import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY
from tests.server.running import CONTENT, SMALL, STYLE, RunningServer, wait_for

pytestmark = pytest.mark.load

PHASES = "examples,coverage,fuzzing,stateful"
EXAMPLES = os.environ.get("IMPASTO_EXAMPLES", "15")
CHECKS = (
    "not_a_server_error,status_code_conformance,content_type_conformance,response_headers_conformance,"
    "response_schema_conformance,unsupported_method"
)


def test_the_answers_are_as_described(tmp_path: Path) -> None:
    pytest.importorskip("schemathesis", reason="schemathesis is not installed")
    options = ("--rate", "1000000/minute", "--max-iterations", 400, "--max-upload", 1)
    with RunningServer(tmp_path / "data", *options) as server, server.http() as http:
        wait_for(lambda: http.get("/health/ready").status_code == 200, what="the worker")
        client = server.client()
        jobs = [client.submit(CONTENT, STYLE, SMALL).wait() for _ in range(2)]
        jobs += [client.submit(CONTENT, STYLE, {**SMALL, "iterations": 400}) for _ in range(4)]
        words = [
            "run", f"{server.url}/openapi.json", "--phases", PHASES, "--checks", CHECKS, "-n", EXAMPLES, "--seed", "1",
            "--continue-on-failure", "--request-timeout", "60",
        ]  # fmt: skip
        ended = subprocess.run(
            [sys.executable, "-m", "schemathesis.cli", *words],
            cwd=tmp_path,
            env={
                **os.environ,
                "IMPASTO_JOBS": ",".join(job.id for job in jobs),
                "SCHEMATHESIS_HOOKS": "tests.server.schemathesis_hooks",
                "PYTHONPATH": str(REPOSITORY),
            },
            capture_output=True,
            text=True,
            check=False,
        )
        log = server.log.read_text()
    (tmp_path / "schemathesis.txt").write_text(ended.stdout)
    assert ended.returncode == 0, ended.stdout[-8000:] + ended.stderr[-2000:] + log[-3000:]
    assert "Traceback" not in log
    with sqlite3.connect(tmp_path / "data" / "journal.sqlite") as journal:
        (accepted,) = journal.execute("SELECT seq FROM sqlite_sequence WHERE name = 'jobs'").fetchone()
    assert accepted > len(jobs), "submissions of the run were accepted, if only to be erased by it"
    assert "Stateful" in ended.stdout, "all phases ran"

"""Who may call, and what a hostile page or client cannot do."""

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from impasto.models.errors import ImpastoError
from impasto.server.config import Limits, ServerConfig, Webhooks
from impasto.server.errors import Problem
from impasto.server.web.keys import Keys
from impasto.server.work.webhooks import check_url, signature
from tests.server.running import App, make_service

SECRETS = {"alice": "a" * 32, "bob": "b" * 32, "reader": "r" * 32}


def keys_file(folder: Path) -> Path:
    entries = []
    for name, secret in SECRETS.items():
        scopes = 'scopes = ["read"]\n' if name == "reader" else ""
        quota = "jobs = 1\nmax_priority = 0\n" if name == "bob" else ""
        digest = hashlib.sha256(secret.encode()).hexdigest()
        entries.append(f'[[key]]\nid = "{name}"\nsha256 = "{digest}"\n{scopes}{quota}')
    path = folder / "keys.toml"
    path.write_text("\n".join(entries))
    return path


@pytest.fixture
def guarded(tmp_path: Path) -> Iterator[App]:
    service, _ = make_service(tmp_path / "data", keys=keys_file(tmp_path))
    app = App(service)
    yield app
    app.close()
    service.close()


def bearer(name: str) -> dict[str, str]:
    return {"authorization": f"Bearer {SECRETS[name]}"}


def test_off_loopback_without_keys_it_refuses_to_start(tmp_path: Path) -> None:
    for host in ("0.0.0.0", "::", "192.168.0.1", "example.org"):  # noqa: S104
        with pytest.raises(ImpastoError, match="needs API keys"):
            ServerConfig(tmp_path, host=host).check()
    for host in ("127.0.0.1", "127.0.0.2", "::1", "localhost"):
        ServerConfig(tmp_path, host=host).check()


def test_without_a_key_nothing_is_told(guarded: App) -> None:
    for path in ("/v1/renders", "/v1/styles", "/v1/networks", "/v1/events", "/metrics", "/v2", "/v1/settings"):
        answer = guarded.get(path)
        assert answer.status_code == 401, path
        assert answer.headers["www-authenticate"] == "Bearer"
    assert guarded.submit().status_code == 401
    assert guarded.get("/v1/renders", headers={"authorization": "Bearer wrong"}).status_code == 401
    for path in ("/health/live", "/v2/health/live", "/docs", "/openapi.json", "/"):
        assert guarded.get(path).status_code == 200, path


def test_a_key_sees_its_own_jobs_only(guarded: App) -> None:
    job = guarded.submit(headers=bearer("alice")).json()["id"]
    assert guarded.get(f"/v1/renders/{job}", headers=bearer("alice")).status_code == 200
    assert guarded.get(f"/v1/renders/{job}", headers={"x-api-key": SECRETS["alice"]}).status_code == 200
    for method, path in (("GET", ""), ("GET", "/result"), ("GET", "/preview"), ("GET", "/events"),
                         ("POST", "/cancel"), ("DELETE", "")):  # fmt: skip
        answer = guarded.request(method, f"/v1/renders/{job}{path}", headers=bearer("bob"))
        assert answer.status_code == 404, path
    assert guarded.get("/v1/renders", headers=bearer("bob")).json()["renders"] == []
    for field in ("start_job", "supersedes"):
        assert guarded.submit(headers=bearer("bob"), **{field: job}).status_code == 422
    assert guarded.get(f"/v1/renders/{job}", headers=bearer("alice")).json()["state"] == "queued"


def test_scopes_and_quotas(guarded: App) -> None:
    assert guarded.get("/v1/renders", headers=bearer("reader")).status_code == 200
    assert guarded.submit(headers=bearer("reader")).status_code == 403
    assert guarded.get("/metrics", headers=bearer("reader")).status_code == 403
    assert guarded.get("/v2", headers=bearer("reader")).status_code == 403
    assert guarded.submit(headers=bearer("bob"), priority="1").status_code == 422
    assert guarded.submit(headers=bearer("bob")).status_code == 202
    answer = guarded.submit(headers=bearer("bob"))
    assert (answer.status_code, answer.json()["type"]) == (429, "urn:impasto:problem:quota")
    assert guarded.submit(headers=bearer("alice")).status_code == 202


def test_guessing_keys_is_slowed_down(guarded: App) -> None:
    statuses = [guarded.get("/v1/renders", headers={"x-api-key": str(number)}).status_code for number in range(40)]
    assert statuses[:30] == [401] * 30
    assert set(statuses[31:]) == {429}


def test_the_rate_of_changes_is_limited(tmp_path: Path) -> None:
    service, _ = make_service(tmp_path / "data", Limits(submits="3/minute"))
    app = App(service)
    assert [app.submit().status_code for _ in range(3)] == [202] * 3
    answer = app.submit()
    assert answer.status_code == 429
    assert 1 <= int(answer.headers["retry-after"]) <= 60
    assert app.get("/v1/renders").status_code == 200
    app.close()
    service.close()


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:8000", "127.0.0.1.evil.example", "", "[::2]", "localhost.evil"]
)
def test_another_host_is_refused(app: App, host: str) -> None:
    """DNS rebinding: a page of evil.example whose name resolves to this address sends its own Host."""
    answer = app.get("/v1/renders", headers={"host": host})
    assert answer.status_code == 421


@pytest.mark.parametrize("host", ["localhost:8000", "127.0.0.1", "[::1]:8000", "LOCALHOST"])
def test_the_own_names_are_taken(app: App, host: str) -> None:
    assert app.get("/v1/renders", headers={"host": host}).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "http://evil.example"},
        {"origin": "null"},
        {"origin": "http://127.0.0.1:9999"},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
        {"origin": "http://["},
    ],
)
def test_another_site_changes_nothing(app: App, headers: dict[str, str]) -> None:
    job = app.submit().json()["id"]
    assert app.submit(headers=headers).status_code == 403
    assert app.request("DELETE", f"/v1/renders/{job}", headers=headers).status_code == 403
    assert app.post(f"/v1/renders/{job}/cancel", headers=headers).status_code == 403
    assert app.get(f"/v1/renders/{job}").json()["state"] == "queued"


def test_the_own_page_may_change_something(app: App) -> None:
    headers = {"origin": "http://127.0.0.1:8000", "sec-fetch-site": "same-origin"}
    assert app.submit(headers=headers).status_code == 202


def test_every_answer_has_the_headers(app: App) -> None:
    for path in ("/", "/docs", "/v1/renders", "/nowhere", "/health/live"):
        headers = app.get(path).headers
        assert "default-src 'self'" in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["x-frame-options"] == "DENY"
        assert "set-cookie" not in headers
        assert "access-control-allow-origin" not in headers
        assert "server" not in headers


@pytest.mark.parametrize(
    "text",
    [
        "", "x = 1", "[[key]]", '[[key]]\nid = "a"', '[[key]]\nid = "a"\nsha256 = "short"',
        '[[key]]\nid = "local"\nsha256 = "' + "0" * 64 + '"',
        '[[key]]\nid = "a"\nsha256 = "' + "0" * 64 + '"\nscopes = ["all"]',
        '[[key]]\nid = "a"\nsha256 = "' + "0" * 64 + '"\njobs = "many"',
        ('[[key]]\nid = "a"\nsha256 = "' + "0" * 64 + '"\n') * 2,
    ],
)  # fmt: skip
def test_a_wrong_file_of_keys_is_one_line(tmp_path: Path, text: str) -> None:
    path = tmp_path / "keys.toml"
    path.write_text(text)
    with pytest.raises(ImpastoError) as refused:
        Keys(path)
    assert "\n" not in str(refused.value)
    with pytest.raises(ImpastoError, match="cannot read the keys"):
        Keys(tmp_path / "none.toml")


HOOKS = Webhooks(("hooks.example", "other.example:8443"), b"s" * 16)


@pytest.mark.parametrize("url", ["https://hooks.example/a?b=c", "https://other.example:8443/", "https://HOOKS.example"])
def test_allowed_receivers(url: str) -> None:
    check_url(url, HOOKS)


@pytest.mark.parametrize(
    "url",
    [
        "http://hooks.example/", "https://hooks.example:444/", "https://evil.example/", "https://hooks.example@evil.example/",
        "https://user@hooks.example/", "https://evil.example#hooks.example", "file:///etc/passwd", "https://169.254.169.254/",
        "https://hooks.example.evil.example/", "x", "", "https://other.example/", "https://hooks.example:x/", "https://[",
    ],
)  # fmt: skip
def test_refused_receivers(url: str) -> None:
    with pytest.raises(Problem) as refused:
        check_url(url, HOOKS)
    assert refused.value.status == 422


def test_signatures_depend_on_everything() -> None:
    found = {signature(secret, sent_s, body) for secret in (b"a", b"b") for sent_s in (1, 2) for body in (b"x", b"y")}
    assert len(found) == 8


def test_webhooks_need_a_secret(tmp_path: Path) -> None:
    with pytest.raises(ImpastoError, match="are signed"):
        ServerConfig(tmp_path, webhooks=Webhooks(("h",), b"short")).check()

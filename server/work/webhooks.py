"""Webhooks: the end of a job is reported to a host that the operator allows, apart from the job itself."""

import hashlib
import hmac
import json
import logging
import sqlite3
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from impasto.server.config import Webhooks
from impasto.server.errors import invalid
from impasto.server.store.journal import Journal

if TYPE_CHECKING:
    import httpx

log = logging.getLogger("impasto.server")

ATTEMPTS, FIRST_RETRY_S, TIMEOUT_S = 8, 5.0, 5.0
_POLL_S, _LONGEST_URL = 1.0, 2000


def check_url(url: str, webhooks: Webhooks) -> None:
    """Refuse a receiver that the operator has not allowed.

    Raises:
        Problem: that is so.
    """
    if not webhooks.hosts:
        raise invalid("this server sends no webhooks; follow the events instead")
    schemes = ("https", "http") if webhooks.plain_http else ("https",)
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise invalid("bad webhook: expected a URL", list(webhooks.hosts)) from None
    host = (parts.hostname or "").lower()
    allowed = {name.lower() for name in webhooks.hosts}
    named = host in allowed if port is None else f"{host}:{port}" in allowed
    if parts.scheme not in schemes or "@" in parts.netloc or len(url) > _LONGEST_URL or not url.isprintable():
        raise invalid(f"bad webhook: expected {' or '.join(schemes)} without a user name")
    if not named:
        raise invalid("the server does not send webhooks to this host", list(webhooks.hosts))


def signature(secret: bytes, sent_s: int, body: bytes) -> str:
    """Return the value of the header `Impasto-Signature`: the time, and the HMAC-SHA256 of time, dot and body."""
    digest = hmac.new(secret, b"%d." % sent_s + body, hashlib.sha256).hexdigest()
    return f"t={sent_s},v1={digest}"


class Deliverer:
    """A thread that delivers webhooks, and tries again for hours where the receiver fails.

    Args:
        journal: has the deliveries.
        webhooks: where they may go.
        body_of: makes the body of a job.
    """

    def __init__(self, journal: Journal, webhooks: Webhooks, body_of: Callable[[sqlite3.Row], object]) -> None:
        self._journal, self._webhooks, self._body_of = journal, webhooks, body_of
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._work, name="webhooks", daemon=True)

    def start(self) -> None:
        """Begin to deliver, if there may be webhooks at all."""
        if self._webhooks.hosts:
            self._thread.start()

    def stop(self) -> None:
        """Stop; what was not delivered is delivered after the next start."""
        self._stopped.set()
        if self._thread.is_alive():
            self._thread.join(TIMEOUT_S + _POLL_S)

    def _work(self) -> None:
        import httpx

        with httpx.Client(timeout=TIMEOUT_S, follow_redirects=False, trust_env=False) as client:
            while not self._stopped.wait(_POLL_S):
                try:
                    query = "SELECT * FROM deliveries WHERE state = 'due' AND next_s <= ? ORDER BY next_s LIMIT 20"
                    for row in self._journal.database.rows(query, time.time()):
                        self._deliver(client, row)
                except Exception as error:  # a full disk
                    log.warning("webhooks wait: %s", type(error).__name__)

    def _deliver(self, client: "httpx.Client", row: sqlite3.Row) -> None:
        import httpx

        job = self._journal.jobs.find(row["job"])
        if job is None or self._stopped.is_set():
            return
        body = json.dumps(self._body_of(job)).encode()
        sent_s = int(time.time())
        headers = {
            "content-type": "application/json",
            "impasto-delivery": str(row["number"]),
            "impasto-signature": signature(self._webhooks.secret, sent_s, body),
        }
        try:
            delivered = client.post(row["url"], content=body, headers=headers).is_success
        except httpx.HTTPError:
            delivered = False
        attempts = row["attempts"] + 1
        state = "done" if delivered else "due" if attempts < ATTEMPTS else "failed"
        next_s = time.time() + FIRST_RETRY_S * 4 ** (attempts - 1)
        self._journal.database.write(
            lambda connection: (
                connection.execute(
                    "UPDATE deliveries SET state = ?, attempts = ?, next_s = ? WHERE number = ?",
                    (state, attempts, next_s, row["number"]),
                ).rowcount
            )
        )

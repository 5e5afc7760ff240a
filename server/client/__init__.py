"""A client of `impasto serve`.

from impasto.client import Client

with Client("http://127.0.0.1:8000") as client:
    job = client.submit("content.jpg", "style.jpg", {"size": 512})
    job.wait()
    job.picture().save("out.png")
"""

from impasto.client.client import Client
from impasto.client.connection import RefusedError
from impasto.client.events import RemoteEvent
from impasto.client.job import Job

__all__ = ["Client", "Job", "RefusedError", "RemoteEvent"]

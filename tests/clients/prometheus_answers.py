"""A server that answers every query of Prometheus' client in one way."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace

from tests.clients.small_server import Handler, serving


@contextmanager
def answering(status: int, body: object, seconds: float = 0.0) -> Iterator[SimpleNamespace]:
    """A server that always answers the same; what it was asked is kept."""
    seen = SimpleNamespace(asked=[], headers=[], address="")

    class Answer(Handler):
        def do_POST(self) -> None:
            length = int(self.headers.get("content-length") or 0)
            seen.asked.append((self.path, self.rfile.read(length).decode()))
            seen.headers.append(dict(self.headers))
            time.sleep(seconds)
            self.send(status, body if isinstance(body, str) else json.dumps(body))

        do_GET = do_POST

    with serving(Answer) as seen.address:
        yield seen

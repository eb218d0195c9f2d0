"""Pods on a real HTTP server, whose watches can be cut, forgotten, refused, ended at once and garbled."""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit


def pod(name: str, version: int) -> dict[str, Any]:
    owner = {"kind": "StatefulSet", "name": name.rpartition("-")[0], "controller": True}
    metadata = {
        "name": name,
        "namespace": "payments",
        "resourceVersion": str(version),
        "ownerReferences": [owner],
    }
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata}


class WatchedPods:
    """Pods under a resourceVersion, and how the watches on them behave.

    Attributes:
        version: the newest resourceVersion.
        oldest: watches from an older one get 410.
        forbidden: whether watches get 403.
        away: whether nothing but 503 is answered.
        curt: whether watches end at once, bringing nothing.
        asked: what was asked for: `list`, or `watch` with its resourceVersion.
        watched: when each watch was asked for, of the monotonic clock.
    """

    def __init__(self) -> None:
        self.changed = threading.Condition(threading.RLock())
        self.answering = threading.Lock()
        self.version = 1
        self.oldest = 0
        self.forbidden = self.away = self.curt = self.closing = False
        self.asked: list[str] = []
        self.watched: list[float] = []
        self._pods: dict[str, dict[str, Any]] = {}
        self._events: list[tuple[int, dict[str, Any]]] = []
        self._dropped = 0

    def put(self, name: str) -> None:
        with self.changed:
            self.version += 1
            kind = "MODIFIED" if name in self._pods else "ADDED"
            self._pods[name] = pod(name, self.version)
            self._events.append((self.version, {"type": kind, "object": self._pods[name]}))
            self.changed.notify_all()

    def delete(self, name: str) -> None:
        with self.changed:
            self.version += 1
            del self._pods[name]
            self._events.append((self.version, {"type": "DELETED", "object": pod(name, self.version)}))
            self.changed.notify_all()

    def bookmark(self) -> None:
        """Tell the watches how far they have come, as an API server does each minute: by a version alone."""
        with self.changed:
            self.version += 1
            told = {"kind": "Pod", "metadata": {"resourceVersion": str(self.version)}}
            self._events.append((self.version, {"type": "BOOKMARK", "object": told}))
            self.changed.notify_all()

    def garble(self) -> None:
        """Send what no API server ever sends: an event without a type."""
        with self.changed:
            self.version += 1
            self._events.append((self.version, {"object": pod("service-a-1", self.version)}))
            self.changed.notify_all()

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Keep back the answers to lists, which show what was there when they were asked for."""
        with self.answering:
            yield

    def drop_watches(self) -> None:
        """Cut the connections of all watches, in the middle of their answer."""
        with self.changed:
            self._dropped += 1
            self.changed.notify_all()

    def forget(self) -> None:
        """Compact: watches from versions until now end with 410, those under way, too."""
        with self.changed:
            self.version += 1
            self.oldest = self.version
            self.changed.notify_all()

    def list(self) -> dict[str, Any]:
        with self.changed:
            self.asked.append("list")
            return {"metadata": {"resourceVersion": str(self.version)}, "items": list(self._pods.values())}

    def watching(self, since: int) -> Iterator[dict[str, Any] | None]:
        """The events since a version; None cuts the connection."""
        dropped = self._dropped
        with self.changed:
            self.asked.append(f"watch {since}")
            self.watched.append(time.monotonic())
            self.changed.notify_all()
        if self.curt:
            return
        while True:
            with self.changed:
                if since < self.oldest:
                    status = {"kind": "Status", "code": 410, "message": "too old resource version"}
                    due = [(since, {"type": "ERROR", "object": status})]
                else:
                    due = [(version, event) for version, event in self._events if version > since]
                if not due:
                    if self._dropped > dropped or self.closing:
                        break
                    self.changed.wait(1)
                    continue
            for version, event in due:
                since = version
                yield event
                if event.get("type") == "ERROR":
                    return
        yield None


def _handler(cluster: WatchedPods) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            query = parse_qs(urlsplit(self.path).query)
            if cluster.away:
                self._answer(503, {"message": "away"})
            elif "watch" not in query:
                found = cluster.list()
                with cluster.answering:
                    self._answer(200, found)
            elif cluster.forbidden:
                self._answer(403, {"message": "pods is forbidden: cannot watch", "reason": "Forbidden"})
            else:
                self._watch(int(query["resourceVersion"][0]))

        def _watch(self, since: int) -> None:
            self.send_response(200)
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            self.wfile.flush()
            for event in cluster.watching(since):
                if event is None:
                    # Without the last chunk, the client sees a connection that broke.
                    self.close_connection = True
                    return
                line = json.dumps(event).encode() + b"\n"
                self.wfile.write(f"{len(line):x}\r\n".encode() + line + b"\r\n")
                self.wfile.flush()
            self.wfile.write(b"0\r\n\r\n")

        def _answer(self, status: int, body: dict[str, Any]) -> None:
            content = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            return

    return Handler


@contextlib.contextmanager
def serving(cluster: WatchedPods) -> Iterator[str]:
    """The address of a server of these pods."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(cluster))
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    with cluster.changed:
        cluster.closing = True
        cluster.changed.notify_all()
    server.shutdown()
    thread.join()
    server.server_close()

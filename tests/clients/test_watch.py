"""A view on a real HTTP server that drops its watches, forgets its versions and refuses: waits go on."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from interlock.clients import watch
from interlock.clients.kubeconfig import KubernetesSettings
from interlock.clients.kubernetes import KubernetesClient
from interlock.clients.watch import Scope, View, shared

SCOPE = Scope("test", "v1", "Pod", "payments")
SECONDS = 10.0


def pod(name: str, version: int) -> dict[str, Any]:
    metadata = {"name": name, "namespace": "payments", "resourceVersion": str(version)}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata}


class Cluster:
    """Pods under a resourceVersion, and how the watches on them behave.

    Attributes:
        version: the newest resourceVersion.
        oldest: watches from an older one get 410.
        forbidden: whether watches get 403.
        away: whether nothing but 503 is answered.
        asked: what was asked for: `list`, or `watch` with its resourceVersion.
    """

    def __init__(self) -> None:
        self.changed = threading.Condition(threading.RLock())
        self.version = 1
        self.oldest = 0
        self.forbidden = self.away = self.closing = False
        self.asked: list[str] = []
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
            self.changed.notify_all()
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
                if event["type"] == "ERROR":
                    return
        yield None


def _handler(cluster: Cluster) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            query = parse_qs(urlsplit(self.path).query)
            if cluster.away:
                self._answer(503, {"message": "away"})
            elif "watch" not in query:
                self._answer(200, cluster.list())
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


@pytest.fixture
def cluster() -> Cluster:
    return Cluster()


@pytest.fixture
def address(cluster: Cluster) -> Iterator[str]:
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


@asynccontextmanager
async def viewing(address: str) -> AsyncIterator[View]:
    async def connect() -> KubernetesClient:
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "c", "cluster": {"server": address}}],
            "users": [{"name": "u", "user": {"token": "t"}}],
            "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
            "current-context": "x",
        }
        return KubernetesClient(KubernetesSettings(config=config).kubeconfig())

    async with shared(SCOPE, connect) as view:
        yield view


async def until(met: Callable[[], bool]) -> None:
    give_up = time.monotonic() + SECONDS
    while not met():
        assert time.monotonic() < give_up, "it did not come to pass"
        await asyncio.sleep(0.01)


async def woken(view: View, act: Callable[[], None], met: Callable[[], bool]) -> None:
    """Act, and wait by the view's event alone, as a trigger does."""
    changed = asyncio.Event()
    with view.waking(changed, "service-"):
        act()
        while not met():
            changed.clear()
            await asyncio.wait_for(changed.wait(), SECONDS)


async def test_changes_arrive_and_wake_who_waits(cluster: Cluster, address: str) -> None:
    cluster.put("service-a-1")
    async with viewing(address) as view:
        assert list(view.objects) == ["service-a-1"]
        await woken(view, lambda: cluster.put("service-b-1"), lambda: "service-b-1" in view.objects)
        await woken(view, lambda: cluster.delete("service-a-1"), lambda: "service-a-1" not in view.objects)
    assert cluster.asked.count("list") == 1


async def test_a_dropped_watch_goes_on_where_it_was(cluster: Cluster, address: str) -> None:
    async with viewing(address) as view:
        await woken(view, lambda: cluster.put("service-a-1"), lambda: "service-a-1" in view.objects)
        seen = f"watch {cluster.version}"
        cluster.drop_watches()
        await until(lambda: seen in cluster.asked)
        await woken(view, lambda: cluster.put("service-a-2"), lambda: "service-a-2" in view.objects)
    assert cluster.asked.count("list") == 1


async def test_after_a_410_it_lists_anew_and_wakes_for_what_went_unseen(
    cluster: Cluster, address: str
) -> None:
    cluster.put("service-a-1")
    cluster.put("service-a-2")
    async with viewing(address) as view:
        await until(lambda: any(asked.startswith("watch") for asked in cluster.asked))

        def compacted() -> None:
            # All under one lock: the watch sees none of these changes, only its 410.
            with cluster.changed:
                cluster._events.clear()
                cluster.version += 5
                del cluster._pods["service-a-1"]
                cluster._pods["service-a-3"] = pod("service-a-3", cluster.version)
                cluster.forget()

        await woken(view, compacted, lambda: set(view.objects) == {"service-a-2", "service-a-3"})
        await woken(view, lambda: cluster.put("service-a-4"), lambda: "service-a-4" in view.objects)
    assert cluster.asked.count("list") == 2


async def test_while_the_server_is_away_it_keeps_trying(cluster: Cluster, address: str) -> None:
    async with viewing(address) as view:
        await until(lambda: any(asked.startswith("watch") for asked in cluster.asked))
        cluster.away = True
        cluster.drop_watches()
        await asyncio.to_thread(cluster.put, "service-a-1")
        cluster.away = False
        await until(lambda: "service-a-1" in view.objects)


async def test_an_identity_that_may_not_watch_looks_every_so_often(
    cluster: Cluster, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch, "POLL_SECONDS", 0.05)
    cluster.forbidden = True
    async with viewing(address) as view:
        await woken(view, lambda: cluster.put("service-a-1"), lambda: "service-a-1" in view.objects)
    assert cluster.asked.count("list") >= 2


@pytest.mark.skip(reason="a view now lingers after its last waiter; to be written anew")
async def test_all_that_wait_for_a_scope_share_one_watch_and_the_last_one_ends_it(
    cluster: Cluster, address: str
) -> None:
    async with viewing(address) as one, viewing(address) as another:
        assert one is another
        await until(lambda: any(asked.startswith("watch") for asked in cluster.asked))
    async with viewing(address) as later:
        assert later is not one
    assert cluster.asked.count("list") == 2


@pytest.fixture(autouse=True)
def _no_linger(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("interlock.clients.watch.LINGER_SECONDS", 0.0)

"""The fault proxy in front of a small server that remembers what arrived."""

from __future__ import annotations

import http.client
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import groupby

import httpx
import pytest

from tests.fault_proxy import Fault, FaultProxy, Rule, Seen


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.arrived: list[tuple[str, str, bytes, str]] = []

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    server: Server
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1

    def _take(self) -> None:
        body = b""
        if self.headers.get("Transfer-Encoding") == "chunked":
            while size := int(self.rfile.readline(), 16):
                body += self.rfile.read(size + 2)[:-2]
            self.rfile.readline()
        else:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.server.arrived.append((self.command, self.path, body, self.headers["Host"]))
        self.send_response(204 if self.path == "/nothing" else 200)
        if self.path == "/nothing":
            self.end_headers()
        elif self.path == "/chunked":
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            self.wfile.write(b"3\r\nabc\r\n5\r\ndefgh\r\n0\r\n\r\n")
        elif self.path == "/until-closed":
            self.send_header("Connection", "close")
            self.end_headers()
            self.wfile.write(b"abc")
        else:
            self.send_header("Content-Length", "8")
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(b"abcdefgh")

    do_GET = do_PUT = do_HEAD = do_POST = _take

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as running:
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield running
        running.shutdown()
        thread.join()


@pytest.fixture
def proxy(server: Server) -> Iterator[FaultProxy]:
    with FaultProxy(server.address, seed=1) as running:
        yield running


@pytest.fixture
def client(proxy: FaultProxy) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=proxy.address, timeout=10) as running:
        yield running


def test_what_passes_is_unchanged_with_its_host(
    proxy: FaultProxy, client: httpx.Client, server: Server
) -> None:
    assert client.put("/a?b=%20c", content=b"x" * 100_000).content == b"abcdefgh"
    host = proxy.address.removeprefix("http://")
    assert server.arrived == [("PUT", "/a?b=%20c", b"x" * 100_000, host)]
    assert proxy.counts == {"PUT": 1}


@pytest.mark.parametrize(
    ("method", "path", "wanted"),
    [
        ("GET", "/chunked", b"abcdefgh"),
        ("GET", "/until-closed", b"abc"),
        ("GET", "/nothing", b""),
        ("HEAD", "/a", b""),
    ],
)
def test_each_way_to_end_a_message_is_understood(
    client: httpx.Client, method: str, path: str, wanted: bytes
) -> None:
    for _ in range(3):  # on one connection where it stays open: a wrong end would spoil the next one
        assert client.request(method, path).content == wanted
        assert client.get("/b").content == b"abcdefgh"


def test_a_chunked_request_passes(client: httpx.Client, server: Server) -> None:
    client.put("/a", content=iter([b"abc", b"def"]))
    assert server.arrived[0][2] == b"abcdef"


def test_who_waits_for_100_continue_gets_it_from_the_proxy(proxy: FaultProxy, server: Server) -> None:
    connection = http.client.HTTPConnection(proxy.address.removeprefix("http://"), timeout=10)
    connection.putrequest("PUT", "/a")
    connection.putheader("Content-Length", "2")
    connection.putheader("Expect", "100-continue")
    connection.endheaders()
    connection.sock.recv(25)
    connection.send(b"hi")
    assert connection.getresponse().read() == b"abcdefgh"
    connection.close()
    assert server.arrived[0][2] == b"hi"


@pytest.mark.parametrize(
    ("fault", "arrives"),
    [
        (Fault.DROP_REQUEST, False),
        (Fault.DROP_ANSWER, True),
        (Fault.CUT_REQUEST, False),
        (Fault.CUT_ANSWER, True),
    ],
)
def test_a_fault_closes_the_connection_before_or_after_the_server_acts(
    proxy: FaultProxy, client: httpx.Client, server: Server, fault: Fault, arrives: bool
) -> None:
    proxy.set(Rule(fault, count=1))
    with pytest.raises(httpx.RemoteProtocolError):
        client.put("/a", content=b"12345678")
    assert [body for _, _, body, _ in server.arrived if len(body) == 8] == [b"12345678"] * arrives
    assert client.put("/a", content=b"12345678").status_code == 200
    assert proxy.counts[fault] == 1


@pytest.mark.parametrize(("fault", "arrives"), [(Fault.ANSWER, False), (Fault.ANSWER_AFTER, True)])
@pytest.mark.parametrize(
    ("status", "code"),
    [
        (409, "ConditionalRequestConflict"),
        (412, "PreconditionFailed"),
        (500, "InternalError"),
        (503, "SlowDown"),
    ],
)
def test_the_proxy_answers_by_itself(
    proxy: FaultProxy,
    client: httpx.Client,
    server: Server,
    fault: Fault,
    arrives: bool,
    status: int,
    code: str,
) -> None:
    proxy.set(Rule(fault, status=status, count=1))
    answer = client.put("/a", content=b"1")
    assert (answer.status_code, code in answer.text) == (status, True)
    assert len(server.arrived) == arrives
    assert client.put("/a", content=b"1").status_code == 200


@pytest.mark.parametrize(("fault", "arrives"), [(Fault.DELAY_REQUEST, False), (Fault.DELAY_ANSWER, True)])
def test_an_answer_is_late_before_or_after_the_server_acts(
    proxy: FaultProxy, client: httpx.Client, server: Server, fault: Fault, arrives: bool
) -> None:
    proxy.set(Rule(fault, seconds=0.6))
    with pytest.raises(httpx.ReadTimeout):
        client.put("/a", content=b"1", timeout=0.3)
    assert len(server.arrived) == arrives
    begun = time.monotonic()
    assert client.put("/a", content=b"1").status_code == 200
    assert time.monotonic() - begun >= 0.6


def test_a_body_is_slowed_down(proxy: FaultProxy, client: httpx.Client) -> None:
    proxy.set(Rule(Fault.THROTTLE, rate=20_000))
    begun = time.monotonic()
    client.put("/a", content=b"x" * 10_000)
    assert 0.5 <= time.monotonic() - begun < 5


def test_a_rule_chooses_by_method_key_skip_and_count(proxy: FaultProxy, client: httpx.Client) -> None:
    rule = Rule(Fault.ANSWER, method="PUT", key="^/bucket/log/[0-9]+/seq/", skip=1, count=2, status=503)
    proxy.set(rule)
    asked = [
        ("GET", "/bucket/log/2026/seq/1"),
        ("PUT", "/bucket/tile/1"),
        *[("PUT", "/bucket/log/2026/seq/1")] * 4,
    ]
    statuses = [client.request(method, path).status_code for method, path in asked]
    assert statuses == [200, 200, 200, 503, 503, 200]
    assert rule.hits == 2
    proxy.set(Rule(Fault.ANSWER, status=500))
    assert client.get("/a").status_code == 500
    proxy.clear()
    assert client.get("/a").status_code == 200


def test_chance_is_the_same_with_the_same_seed(server: Server) -> None:
    def struck(seed: int) -> list[int]:
        seen: list[Seen] = []
        with FaultProxy(server.address, seed=seed, watch=seen.append) as proxy:
            proxy.set(Rule(Fault.ANSWER, probability=0.3, status=500))
            with httpx.Client(base_url=proxy.address) as client:
                for _ in range(100):
                    client.get("/a")
        return [one.status for one in seen]

    first = struck(1)
    assert first == struck(1) != struck(2)
    assert 15 <= first.count(500) <= 45
    assert len(list(groupby(first))) > 10  # spread, not the first thirty


def test_a_server_that_is_not_there_closes_the_clients_connection() -> None:
    with FaultProxy("http://127.0.0.1:1") as proxy, pytest.raises(httpx.RemoteProtocolError):
        httpx.get(proxy.address)


def test_a_server_that_comes_back_is_found_again(
    server: Server, proxy: FaultProxy, client: httpx.Client
) -> None:
    assert client.get("/until-closed").content == b"abc"  # ends the connection to the server
    assert client.get("/a").status_code == 200


def test_many_clients_at_once_get_their_own_answers(proxy: FaultProxy, server: Server) -> None:
    def put(number: int) -> int:
        with httpx.Client(base_url=proxy.address, timeout=30) as client:
            return sum(client.put(f"/{number}", content=b"%d" % number).status_code == 200 for _ in range(10))

    with ThreadPoolExecutor(16) as pool:
        assert sum(pool.map(put, range(32))) == 320
    assert sorted(server.arrived) == sorted(
        ("PUT", f"/{n}", b"%d" % n, proxy.address.removeprefix("http://"))
        for n in range(32)
        for _ in range(10)
    )
    assert proxy.requests == 320

"""A TCP proxy on loopback between a client and an HTTP/1.1 server, which does harm by rule.

It knows enough of HTTP's framing to lose an answer after the server did the request, to lose the request, to
answer by itself, to delay, to cut in the middle of a body and to throttle. Rules can be set while it runs.

A request goes on byte for byte, but for `Expect`, which the proxy answers itself. So the Host header is the
one that the client sent, and a signature over it (S3's SigV4) stays valid: the client signs for the proxy's
address, and the server checks what it reads.

One thread runs an event loop. Each client's connection has one connection to the server.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import re
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from typing import Self
from urllib.parse import unquote, urlsplit

from tests.http_framing import Head, Peer, read_answer, read_request

CODES = {409: "ConditionalRequestConflict", 412: "PreconditionFailed", 500: "InternalError", 503: "SlowDown"}


class Fault(Enum):
    DROP_REQUEST = "the request never arrives; the client's connection is closed"
    DROP_ANSWER = "the server does the request; the client's connection is closed without an answer"
    ANSWER = "the proxy answers `status`; the request never arrives"
    ANSWER_AFTER = "the server does the request; the proxy answers `status` all the same"
    DELAY_REQUEST = "the request arrives after `seconds`"
    DELAY_ANSWER = "the server does the request; its answer arrives after `seconds`"
    CUT_REQUEST = "half of the request's body arrives, then both connections are closed"
    CUT_ANSWER = "half of the answer's body arrives, then the client's connection is closed"
    THROTTLE = "both bodies pass at `rate` bytes a second"


@dataclass
class Rule:
    """What happens to which requests.

    Attributes:
        fault: what happens.
        method: only to this method.
        key: only where this pattern is found in the decoded path and query.
        probability: to each such request with this probability.
        count: at most so many times.
        skip: not to the first so many that it would happen to.
        status: of ANSWER and ANSWER_AFTER.
        seconds: of the delays.
        rate: bytes a second of THROTTLE.
        hits: how many times it happened.
    """

    fault: Fault
    method: str | None = None
    key: str = ""
    probability: float = 1.0
    count: int | None = None
    skip: int = 0
    status: int = 500
    seconds: float = 0.0
    rate: float = 0.0
    hits: int = field(default=0, compare=False)

    def strikes(self, method: str, target: str, chance: random.Random) -> bool:
        if self.method not in (None, method) or not re.search(self.key, target):
            return False
        if self.count is not None and self.hits >= self.count:
            return False
        if self.probability < 1.0 and chance.random() >= self.probability:
            return False
        if self.skip > 0:
            self.skip -= 1
            return False
        self.hits += 1
        return True


@dataclass(frozen=True)
class Seen:
    """One request, and what became of it: the server's status, the proxy's, or 0 where there was none."""

    method: str
    target: str
    status: int
    faults: tuple[Fault, ...]


class FaultProxy:
    """The proxy; a context manager.

    Attributes:
        counts: requests by method, and faults by fault.
        watch: called with each request when it is over, in the proxy's thread.
    """

    def __init__(self, upstream: str, *, seed: int = 0, watch: Callable[[Seen], None] | None = None) -> None:
        parts = urlsplit(upstream)
        assert parts.hostname is not None
        assert parts.port is not None
        self._server = (parts.hostname, parts.port)
        self._chance = random.Random(seed)
        self._rules: tuple[Rule, ...] = ()
        self.watch = watch
        self.counts: Counter[str | Fault] = Counter()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="fault proxy", daemon=True)
        self._tasks: set[asyncio.Task[None]] = set()
        self._port = 0

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    @property
    def requests(self) -> int:
        """How many requests arrived at the proxy."""
        return sum(count for name, count in self.counts.items() if isinstance(name, str))

    def set(self, *rules: Rule) -> None:
        """Put these rules in place of those there are; requests that are under way keep theirs."""
        self._rules = rules

    def clear(self) -> None:
        self.set()

    def __enter__(self) -> Self:
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._open(), self._loop).result(10)
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.run_coroutine_threadsafe(self._close(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    async def _open(self) -> None:
        self._listener = await asyncio.start_server(self._accepted, "127.0.0.1", 0, backlog=512)
        self._port = self._listener.sockets[0].getsockname()[1]

    async def _close(self) -> None:
        self._listener.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _accepted(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # As a plain function: the task of a coroutine would log each connection that is cut.
        task = self._loop.create_task(self._serve(Peer(reader, writer)))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, client: Peer) -> None:
        server: Peer | None = None
        try:
            while True:
                request = await read_request(client)
                if request is None:
                    return
                if server is None or server.reader.at_eof():
                    server = await self._connect(server)
                if not await self._pass(client, server, *request):
                    return
        except (OSError, EOFError, ValueError):
            # A side went away, or speaks no HTTP: the other one sees its connection closed.
            return
        finally:
            for peer in (client, server):
                if peer is not None:
                    peer.close()

    async def _connect(self, old: Peer | None) -> Peer:
        if old is not None:
            old.close()
        return Peer(*await asyncio.open_connection(*self._server))

    async def _pass(self, client: Peer, server: Peer, head: Head, body: bytes) -> bool:
        """Carry one request and its answer; whether the connections can carry another."""
        method, target = head.words[0], unquote(head.words[1])
        rules = {rule.fault: rule for rule in self._rules if rule.strikes(method, target, self._chance)}
        self.counts[method] += 1
        self.counts.update(rules.keys())
        status, again = 0, False
        try:
            status, again = await self._struck(client, server, rules, head, body)
        finally:
            if self.watch is not None:
                self.watch(Seen(method, target, status, tuple(rules)))
        return again

    async def _struck(
        self, client: Peer, server: Peer, rules: dict[Fault, Rule], head: Head, body: bytes
    ) -> tuple[int, bool]:
        if delay := rules.get(Fault.DELAY_REQUEST):
            await asyncio.sleep(delay.seconds)
        if Fault.DROP_REQUEST in rules:
            return 0, False
        if own := rules.get(Fault.ANSWER):
            return own.status, await _answer(client, head, own.status)
        if Fault.CUT_REQUEST in rules:
            await server.send(head.raw + body[: len(body) // 2])
            return 0, False
        rate = rules[Fault.THROTTLE].rate if Fault.THROTTLE in rules else 0.0
        await _send(server, head.raw, body, rate)
        answer, content = await read_answer(server, head.words[0])
        status = int(answer.words[1])
        if delay := rules.get(Fault.DELAY_ANSWER):
            await asyncio.sleep(delay.seconds)
        if Fault.DROP_ANSWER in rules:
            return status, False
        if own := rules.get(Fault.ANSWER_AFTER):
            return own.status, await _answer(client, head, own.status)
        if Fault.CUT_ANSWER in rules:
            await client.send(answer.raw + content[: len(content) // 2])
            return status, False
        await _send(client, answer.raw, content, rate)
        return status, not (answer.closes or head.closes)


async def _send(peer: Peer, head: bytes, body: bytes, rate: float) -> None:
    if not rate:
        await peer.send(head + body)
        return
    await peer.send(head)
    piece = max(1, int(rate / 20))
    for begin in range(0, len(body), piece):
        some = body[begin : begin + piece]
        await peer.send(some)
        await asyncio.sleep(len(some) / rate)


async def _answer(client: Peer, head: Head, status: int) -> bool:
    """Answer as a store that fails does."""
    code = CODES.get(status, "Unknown")
    text = f"<Error><Code>{code}</Code><Message>told so</Message></Error>".encode()
    lines = (
        f"HTTP/1.1 {status} {code}\r\nContent-Type: application/xml\r\nContent-Length: {len(text)}\r\n\r\n"
    )
    with contextlib.suppress(ConnectionError):
        await client.send(lines.encode() + (b"" if head.words[0] == "HEAD" else text))
    return True

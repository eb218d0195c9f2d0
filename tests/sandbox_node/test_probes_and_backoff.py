"""Counting of probes, and the waits between restarts."""

import asyncio
from typing import Any

import pytest

from sandbox.node import backoff
from sandbox.node.probes import Probe, Result, Tally, follow, request


def probe(kind: str, **given: Any) -> Probe:
    return Probe(kind, "/x", 8080, **given)


def verdicts(of: Probe, results: str) -> list[bool | None]:
    tally = Tally.initial(of.kind)
    seen = []
    for letter in results:
        tally = tally.observe(letter == "+", of)
        seen.append(tally.passed)
    return seen


@pytest.mark.parametrize(
    ("kind", "thresholds", "results", "expected"),
    [
        ("readiness", {}, "+", [True]),
        ("readiness", {"success_threshold": 2}, "+-++", [False, False, False, True]),
        ("readiness", {}, "+---", [True, True, True, False]),
        ("readiness", {}, "+--+--", [True] * 6),
        ("liveness", {}, "---", [True, True, False]),
        ("liveness", {"failure_threshold": 1}, "-", [False]),
        ("startup", {"failure_threshold": 2}, "-+", [None, True]),
        ("startup", {"failure_threshold": 2}, "--", [None, False]),
    ],
)
def test_a_verdict_changes_after_as_many_equal_results_in_a_row_as_the_threshold_says(
    kind: str, thresholds: dict[str, int], results: str, expected: list[bool | None]
) -> None:
    assert verdicts(probe(kind, **thresholds), results) == expected


def test_a_probe_is_read_from_the_container_with_kubernetes_defaults_and_a_named_port() -> None:
    container = {
        "ports": [{"name": "http", "containerPort": 9000}],
        "readinessProbe": {"httpGet": {"path": "/readyz", "port": "http"}, "periodSeconds": 1},
    }
    assert Probe.of("readiness", container) == Probe("readiness", "/readyz", 9000, period=1.0)
    assert Probe.of("liveness", container) is None


async def answer_with(line: bytes) -> tuple[asyncio.Server, int]:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(line)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    return server, server.sockets[0].getsockname()[1]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (b"HTTP/1.1 200 OK\r\n\r\n", Result(True)),
        (b"HTTP/1.1 302 Found\r\n\r\n", Result(True)),
        (b"HTTP/1.1 503 No\r\n\r\n", Result(False, "HTTP probe failed with statuscode: 503")),
        (b"HTTP/1.1 404 No\r\n\r\n", Result(False, "HTTP probe failed with statuscode: 404")),
    ],
)
async def test_a_status_from_200_to_399_passes(line: bytes, expected: Result) -> None:
    server, port = await answer_with(line)
    async with server:
        assert await request(Probe("readiness", "/", port), "127.0.0.1") == expected


async def test_a_refused_connection_is_told_as_a_kubelet_tells_it() -> None:
    server, port = await answer_with(b"")
    server.close()
    await server.wait_closed()
    result = await request(Probe("readiness", "/r", port), "127.0.0.1")
    at = f"127.0.0.1:{port}"
    assert result == Result(False, f'Get "http://{at}/r": dial tcp {at}: connect: connection refused')


async def test_following_a_liveness_probe_ends_when_it_has_failed() -> None:
    server, port = await answer_with(b"HTTP/1.1 500 No\r\n\r\n")
    seen: list[Tally] = []
    async with server:
        of = Probe("liveness", "/", port, period=0.01, failure_threshold=2)
        await asyncio.wait_for(follow(of, "127.0.0.1", lambda tally, _: seen.append(tally)), 5)
    assert [tally.passed for tally in seen] == [True, False]


def test_the_first_restart_is_at_once_and_the_waits_double_up_to_the_limit() -> None:
    state, delays = backoff.CrashBackoff(), []
    for _ in range(9):
        state = state.after(0.1)
        delays.append(state.delay)
    assert delays == [0, 1, 2, 4, 8, 16, 30, 30, 30]


def test_a_container_that_ran_for_long_starts_over() -> None:
    state = backoff.CrashBackoff(6, 30.0).after(2 * backoff.LIMIT)
    assert state == backoff.CrashBackoff(1, 0.0)


def test_a_delay_is_written_as_kubernetes_writes_it() -> None:
    assert [backoff.text(d) for d in (1.0, 30.0)] == ["1s", "30s"]

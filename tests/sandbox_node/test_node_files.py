"""Addresses, endpoints, records of processes, log files."""

import asyncio
import json
import os
import signal
import ssl
import subprocess
import sys
from pathlib import Path

from sandbox.node.addresses import Addresses, Endpoints
from sandbox.node.logs_server import LogsServer, find_log, tail, tls_context
from sandbox.node.processes import Exit, Process, end_leftovers

SLEEP = [sys.executable, "-I", "-S", "-c", "import time; print('up', flush=True); time.sleep(60)"]
STUBBORN = [
    sys.executable,
    "-I",
    "-S",
    "-c",
    "import signal, time; signal.signal(15, signal.SIG_IGN); print('up', flush=True); time.sleep(60)",
]


def test_each_pod_has_an_address_of_its_own_and_a_new_agent_gives_the_same(tmp_path: Path) -> None:
    file = tmp_path / "addresses.json"
    addresses = Addresses(file)
    given = {f"u{n}": addresses.of(f"u{n}") for n in range(600)}
    addresses.save()
    assert len(set(given.values())) == 600
    assert all(ip.startswith("127.20.") and not ip.endswith((".0", ".255")) for ip in given.values())
    again = Addresses(file)
    assert {uid: again.of(uid) for uid in given} == given


def test_a_freed_address_is_not_given_to_the_next_pod(tmp_path: Path) -> None:
    addresses = Addresses(tmp_path / "a")
    first = addresses.of("a")
    addresses.free("a")
    assert addresses.of("b") != first


def test_an_address_known_to_the_api_is_kept_when_the_file_is_lost(tmp_path: Path) -> None:
    addresses = Addresses(tmp_path / "a")
    assert addresses.of("u", "127.20.3.4") == "127.20.3.4"


def test_only_ready_pods_are_listed_as_endpoints(tmp_path: Path) -> None:
    file = tmp_path / "endpoints.json"
    endpoints = Endpoints(file)
    endpoints.set("payments/a", "u1", "127.20.0.2:8080")
    endpoints.set("payments/a", "u2", "127.20.0.3:8080")
    endpoints.set("payments/a", "u1", None)
    assert json.loads(file.read_text()) == {"payments/a": ["127.20.0.3:8080"]}
    endpoints.set("payments/a", "u2", None)
    assert json.loads(file.read_text()) == {}


def test_a_killed_process_has_the_exit_code_that_a_kubelet_reports() -> None:
    assert Exit.of(3) == Exit(3)
    assert Exit.of(-9) == Exit(137, 9)


async def started(argv: list[str], tmp_path: Path) -> Process:
    records = tmp_path / "running"
    records.mkdir()
    log = tmp_path / "log"
    process = await Process.start(argv, {}, log, records, "p")
    async with asyncio.timeout(10):
        while b"up" not in log.read_bytes():  # noqa: ASYNC110
            await asyncio.sleep(0.02)
    return process


async def test_a_process_ends_by_term_and_leaves_no_record(tmp_path: Path) -> None:
    process = await started(SLEEP, tmp_path)
    assert await process.stop(10) == Exit(128 + signal.SIGTERM, signal.SIGTERM)
    assert not list((tmp_path / "running").iterdir())


async def test_a_process_that_ignores_term_is_killed_after_the_grace(tmp_path: Path) -> None:
    process = await started(STUBBORN, tmp_path)
    assert await process.stop(0.2) == Exit(137, 9)


async def test_a_new_agent_ends_the_processes_that_are_on_record(tmp_path: Path) -> None:
    process = await started(SLEEP, tmp_path)
    assert end_leftovers(tmp_path / "running") == 1
    assert await process.wait() == Exit(137, 9)


def test_a_process_that_only_has_the_recorded_id_is_left_alone(tmp_path: Path) -> None:
    with subprocess.Popen(SLEEP, stdout=subprocess.DEVNULL, start_new_session=True) as other:
        (tmp_path / "x.json").write_text(json.dumps({"pid": other.pid, "started": "1"}))
        assert end_leftovers(tmp_path) == 0
        assert other.poll() is None
        os.killpg(other.pid, signal.SIGKILL)


def test_the_log_is_the_newest_and_the_previous_the_one_before(tmp_path: Path) -> None:
    directory = tmp_path / "n_p_u" / "app"
    directory.mkdir(parents=True)
    for restart in (9, 10):
        (directory / f"{restart}.log").write_text("")
    assert find_log(tmp_path, "n", "p", "app", previous=False) == directory / "10.log"
    assert find_log(tmp_path, "n", "p", "app", previous=True) == directory / "9.log"
    assert find_log(tmp_path, "n", "other", "app", previous=False) is None
    assert find_log(tmp_path, "n", "p", "../../x", previous=False) is None


def test_the_tail_is_the_last_lines() -> None:
    assert tail(b"a\nb\nc\n", 2) == b"b\nc\n"
    assert tail(b"a\nb", 0) == b""
    assert tail(b"a\nb", None) == b"a\nb"


async def test_a_followed_log_goes_on_until_its_reader_leaves(tmp_path: Path) -> None:
    log = tmp_path / "n_p_u" / "app" / "0.log"
    log.parent.mkdir(parents=True)
    log.write_text("one\ntwo\n")
    server = await LogsServer(tmp_path).start(tls_context(tmp_path, "node", None), 0)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    tls.check_hostname, tls.verify_mode = False, ssl.CERT_NONE
    async with server, asyncio.timeout(10):
        port = server.sockets[0].getsockname()[1]
        reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=tls)
        writer.write(b"GET /containerLogs/n/p/app?tailLines=1&follow=true HTTP/1.1\r\nHost: x\r\n\r\n")
        assert b"two\n" in await reader.readuntil(b"two\n")
        with log.open("a") as more:
            more.write("three\n")
        assert b"one" not in await reader.readuntil(b"three\n")
        before = len(asyncio.all_tasks())
        writer.close()
        while len(asyncio.all_tasks()) >= before:  # noqa: ASYNC110
            await asyncio.sleep(0.05)

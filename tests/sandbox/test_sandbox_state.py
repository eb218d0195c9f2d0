"""What the sandbox keeps from one start to the next."""

from __future__ import annotations

import socket
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from sandbox.state import HOST, SandboxInUse, State


@pytest.fixture
def state(tmp_path: Path) -> Iterator[State]:
    made = State(tmp_path / "sandbox")
    made.create()
    yield made
    made.remove()


def test_a_port_stays_the_same_for_a_later_start(state: State) -> None:
    assert state.port("one") == State(state.root).port("one")


def test_ports_of_different_names_differ(state: State) -> None:
    assert len({state.port(f"name-{number}") for number in range(20)}) == 20


def test_a_port_that_somebody_else_took_is_replaced_by_a_free_one(state: State) -> None:
    before, other = state.port("one"), state.port("other")
    with socket.socket() as squatter:
        squatter.bind((HOST, before))
        squatter.listen()
        state.claim_ports(["one", "other"])
    assert state.port("one") != before
    assert state.port("other") == other


def test_a_secret_is_made_once_and_closed_to_others(state: State) -> None:
    first = state.secret("token")
    assert State(state.root).secret("token") == first
    assert stat.S_IMODE((state.root / "secrets.json").stat().st_mode) == 0o600


def test_two_commands_cannot_work_on_one_folder(state: State) -> None:
    with state.lock(), pytest.raises(SandboxInUse), State(state.root).lock():
        pass
    with state.lock():
        state.remove()


def test_a_removed_sandbox_leaves_nothing(state: State) -> None:
    with state.lock():
        state.remove()
    assert not state.root.exists()
    assert not state.sockets.exists()


def test_sockets_of_a_deep_folder_fit_into_a_socket_address(tmp_path: Path) -> None:
    deep = State(tmp_path / ("deep" * 30))
    assert len(str(deep.sockets / "postgres" / ".s.PGSQL.5432.lock")) < 108


def test_the_env_file_gives_a_shell_each_value_as_it_is(state: State) -> None:
    value = """it's "quoted" $HOME `id` \\ {"a":1}"""
    state.write_env({"VALUE": value})
    script = f'. "{state.env_file}"; printf %s "$VALUE"'
    shown = subprocess.run(["/bin/sh", "-c", script], capture_output=True, text=True, check=True)
    assert shown.stdout == value
    assert stat.S_IMODE(state.env_file.stat().st_mode) == 0o600

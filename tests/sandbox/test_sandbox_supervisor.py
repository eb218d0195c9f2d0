"""supervisord under the sandbox: real programs, started, replaced and ended."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from sandbox.state import State
from sandbox.supervisor import Program, Supervisor, SupervisorError


@pytest.fixture
def supervisor(tmp_path: Path) -> Iterator[Supervisor]:
    state = State(tmp_path / "sandbox")
    state.create()
    made = Supervisor(state)
    made.start()
    yield made
    made.stop(["part"])
    with state.lock():
        state.remove()


def _program(name: str, script: str, **environment: str) -> Program:
    return Program(name, (sys.executable, "-c", script), environment, stop_seconds=2)


def _until(condition: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + 15
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.05)
    return condition()


SLEEP = "import time; time.sleep(600)"


def test_a_second_start_reuses_what_runs(supervisor: Supervisor) -> None:
    assert not supervisor.apply("part", (_program("one", SLEEP),))
    [before] = supervisor.statuses()
    assert supervisor.apply("part", (_program("one", SLEEP),))
    assert [status.pid for status in supervisor.statuses()] == [before.pid]


def test_a_program_whose_settings_changed_is_restarted_and_the_others_stay(supervisor: Supervisor) -> None:
    supervisor.apply("part", (_program("one", SLEEP), _program("two", SLEEP)))
    before = {status.name: status.pid for status in supervisor.statuses()}
    supervisor.apply("part", (_program("one", SLEEP, CHANGED="yes"), _program("two", SLEEP)))
    after = {status.name: status.pid for status in supervisor.statuses()}
    assert after["one"] != before["one"]
    assert after["two"] == before["two"]


def test_values_reach_a_program_unchanged(supervisor: Supervisor, tmp_path: Path) -> None:
    value, target = '{"a":"50% of b,c=d"}', tmp_path / "value"
    script = f"import os; open('{target}', 'w').write(os.environ['VALUE']); {SLEEP}".replace("'", '"')
    supervisor.apply("part", (_program("one", script, VALUE=value),))
    assert _until(lambda: target.exists() and target.read_text() == value)


def test_a_value_that_supervisord_cannot_take_is_refused(supervisor: Supervisor) -> None:
    with pytest.raises(SupervisorError, match="cannot take"):
        supervisor.apply("part", (_program("one", SLEEP, VALUE="it's"),))


def test_a_stop_ends_the_children_of_programs_too(supervisor: Supervisor, tmp_path: Path) -> None:
    target = tmp_path / "pid"
    script = (
        f'import subprocess; child = subprocess.Popen(["sleep", "600"]); '
        f'open("{target}", "w").write(str(child.pid)); child.wait()'
    )
    supervisor.apply("part", (_program("one", script),))
    assert _until(lambda: target.exists() and target.read_text() != "")
    child = int(target.read_text())
    supervisor.stop(["part"])
    assert _until(lambda: not _runs(child))
    assert supervisor.pid is None


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
        return ") Z " not in Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False

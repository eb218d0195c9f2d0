"""Processes of containers: each leads a process group, ends with the agent, and is on record.

A child gets KILL from the kernel when the agent dies (PR_SET_PDEATHSIG). What the kernel can't know of
(grandchildren) is found by the record a started process leaves in the state directory: the next agent
ends those groups before it starts anything.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import json
import os
import signal
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None, use_errno=True)


def _in_child(agent: int) -> None:
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != agent:
        os._exit(1)


def _start_time(pid: int) -> str:
    """Return the kernel's start time of a process, which tells it from a later one with the same id."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return ""


def end_leftovers(records: Path) -> int:
    """Kill the process groups that an earlier agent left, and return how many there were."""
    found = 0
    for record in records.glob("*.json"):
        try:
            entry = json.loads(record.read_text())
            pid, started = int(entry["pid"]), str(entry["started"])
        except (OSError, ValueError, KeyError):
            record.unlink(missing_ok=True)
            continue
        if started and _start_time(pid) == started:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(pid, signal.SIGKILL)
                found += 1
        record.unlink(missing_ok=True)
    return found


@dataclass(frozen=True)
class Exit:
    """How a process ended, as a kubelet would say it: 128 + signal for a killed one."""

    code: int
    signal: int = 0

    @classmethod
    def of(cls, returncode: int) -> Exit:
        """Return the exit for asyncio's return code, which is negative for a signal."""
        return cls(returncode) if returncode >= 0 else cls(128 - returncode, -returncode)


class Process:
    """One running process."""

    def __init__(self, process: asyncio.subprocess.Process, record: Path) -> None:
        self._process = process
        self._record = record

    @classmethod
    async def start(
        cls, argv: Sequence[str], env: Mapping[str, str], log: Path, records: Path, name: str
    ) -> Process:
        """Start `argv`; what it writes goes to the file `log`.

        Args:
            argv: Program and arguments.
            env: Its whole environment.
            log: Where its standard output and error go.
            records: The directory of the records of running processes.
            name: Names the record; unique per container.
        """
        agent = os.getpid()
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("ab") as output:
            process = await asyncio.create_subprocess_exec(
                *argv,
                env=dict(env),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
                preexec_fn=lambda: _in_child(agent),
            )
        record = records / f"{name}.json"
        record.write_text(json.dumps({"pid": process.pid, "started": _start_time(process.pid)}))
        return cls(process, record)

    @property
    def running(self) -> bool:
        """Whether it hasn't ended yet."""
        return self._process.returncode is None

    async def wait(self) -> Exit:
        """Wait for its end; what is left of its group is killed."""
        code = await self._process.wait()
        self.kill()
        self._record.unlink(missing_ok=True)
        return Exit.of(code)

    def kill(self) -> None:
        """Send KILL to the group."""
        self._signal(signal.SIGKILL)

    async def stop(self, grace: float) -> Exit:
        """End it: TERM, then KILL once `grace` seconds have passed."""
        if self.running:
            self._signal(signal.SIGTERM)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._process.wait(), grace)
        if self.running:
            self.kill()
        return await self.wait()

    def _signal(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, number)

"""Talks to supervisord, which runs the sandbox's programs and restarts what crashes.

Each part has one file in `run/supervisor.d`. Every program is a group of its own, leads a process group,
and is ended with all of that group.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
import xmlrpc.client
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from http.client import HTTPException
from pathlib import Path
from typing import Literal, cast

from supervisor.xmlrpc import SupervisorTransport

from sandbox.state import State

_ALREADY_ADDED, _NOT_RUNNING, _ALREADY_STARTED = 90, 70, 60


class SupervisorError(Exception):
    """supervisord does not start, or refuses a command."""


@dataclass(frozen=True)
class Program:
    """A program to run under supervision.

    Attributes:
        name: also the stem of its log file.
        command: the program and its arguments.
        environment: added to an otherwise small environment.
        stop_signal: what ends it in good order.
        stop_seconds: how long it may take before its process group is killed.
    """

    name: str
    command: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)
    stop_signal: Literal["TERM", "INT", "QUIT"] = "TERM"
    stop_seconds: int = 10


@dataclass(frozen=True)
class ProgramStatus:
    """What supervisord says about a program."""

    name: str
    state: str
    pid: int
    seconds: int

    @property
    def running(self) -> bool:
        """Whether a process is there that has not failed."""
        return self.state in {"STARTING", "RUNNING"}

    @property
    def gave_up(self) -> bool:
        """Whether supervisord has stopped trying."""
        return self.state in {"FATAL", "UNKNOWN"}


class Supervisor:
    """The supervisord of one state folder."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._socket = state.sockets / "supervisor"
        self._parts = state.run / "supervisor.d"

    @property
    def pid(self) -> int | None:
        """Supervisord's process id, or None when it does not run."""
        try:
            return cast(int, self._call("supervisor.getPID"))
        except (OSError, HTTPException):
            return None

    def start(self) -> None:
        """Start supervisord unless it runs; raises SupervisorError."""
        if self.pid is not None:
            return
        self._parts.mkdir(mode=0o700, exist_ok=True)
        for stale in self._parts.iterdir():
            stale.unlink()
        self._socket.unlink(missing_ok=True)
        configuration = self._state.run / "supervisord.conf"
        self._state.write(configuration, self._configuration())
        with (self._state.log / "supervisord.out").open("ab") as output:
            subprocess.run(
                [sys.executable, "-m", "supervisor.supervisord", "-c", str(configuration)],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                cwd=self._state.root,
                check=False,
                env=inherited_environment(),
            )
        deadline = time.monotonic() + 15
        while self.pid is None:
            if time.monotonic() > deadline:
                raise SupervisorError(f"supervisord does not answer; see {self._state.log}/supervisord.out")
            time.sleep(0.05)

    def stop(self, parts: Sequence[str], patience: float = 30) -> None:
        """End all programs and supervisord itself; raises SupervisorError if something stays.

        Args:
            parts: the order in which the parts end; each has ended before the next one is told to.
            patience: seconds that supervisord may take once its programs have ended.
        """
        pid = self.pid
        if pid is None:
            return
        groups = [status.pid for status in self.statuses() if status.pid]
        for part in parts:
            self.end(self.programs_of(part))
        self._call("supervisor.shutdown")
        deadline = time.monotonic() + patience
        while _alive(pid):
            if time.monotonic() > deadline:
                raise SupervisorError(f"supervisord (process {pid}) does not end")
            time.sleep(0.05)
        # A child that outlived its parent is still in the parent's process group.
        for group in groups:
            _kill_group(group)

    def end(self, names: Iterable[str]) -> None:
        """End programs side by side; supervisord kills those that take too long."""
        known = {status.name: status for status in self.statuses()}
        ending = {name for name in names if name in known and known[name].pid}
        for name in ending:
            self._call("supervisor.stopProcess", name, False, ignore=_NOT_RUNNING)
        while any(status.pid for status in self.statuses() if status.name in ending):
            time.sleep(0.05)

    def apply(self, part: str, programs: tuple[Program, ...]) -> bool:
        """Run exactly `programs` for `part`; those whose settings changed are restarted.

        Returns:
            Whether all of them ran already, unchanged.
        """
        path = self._parts / f"{part}.conf"
        self._state.write(path, "\n".join(self._section(program) for program in programs))
        try:
            [[added, changed, removed]] = cast(list[list[list[str]]], self._call("supervisor.reloadConfig"))
        except SupervisorError:
            path.unlink()  # or it would stand in the way of every other part
            raise
        self.end([*changed, *removed])
        for name in (*changed, *removed):
            self._call("supervisor.stopProcessGroup", name)  # one that waits for its next try
            self._call("supervisor.removeProcessGroup", name)
        for name in (*added, *changed):
            self._call("supervisor.addProcessGroup", name, ignore=_ALREADY_ADDED)
        statuses = {status.name: status for status in self.statuses()}
        idle = [program.name for program in programs if not statuses[program.name].running]
        self.begin(idle)
        return not idle

    def begin(self, names: Iterable[str]) -> None:
        """Start programs that supervisord knows; doesn't wait for them."""
        for name in names:
            self._call("supervisor.startProcess", name, False, ignore=_ALREADY_STARTED)

    def programs_of(self, part: str) -> set[str]:
        """The names of the programs that supervisord knows for `part`."""
        path = self._parts / f"{part}.conf"
        return set(re.findall(r"(?m)^\[program:(.+)\]$", path.read_text())) if path.exists() else set()

    def statuses(self) -> list[ProgramStatus]:
        """All programs; empty when supervisord does not run."""
        try:
            found = cast(list[dict[str, object]], self._call("supervisor.getAllProcessInfo"))
        except (OSError, HTTPException):
            return []
        return [
            ProgramStatus(
                name=str(one["name"]),
                state=str(one["statename"]),
                pid=int(str(one["pid"])),
                seconds=max(0, int(str(one["now"])) - int(str(one["start"]))) if one["pid"] else 0,
            )
            for one in found
        ]

    def _call(self, method: str, *arguments: object, ignore: int | None = None) -> object:
        transport = SupervisorTransport(None, None, f"unix://{self._socket}")
        with xmlrpc.client.ServerProxy("http://127.0.0.1", transport=transport) as proxy:
            try:
                return getattr(proxy, method)(*arguments)
            except xmlrpc.client.Fault as fault:
                if fault.faultCode == ignore:
                    return None
                # What follows is a quotation of settings, with the secrets in them.
                reason = fault.faultString.partition(" in value")[0]
                raise SupervisorError(f"{method}{arguments}: {reason}") from None

    def _configuration(self) -> str:
        state = self._state
        return f"""\
[unix_http_server]
file={self._socket}
chmod=0700

[rpcinterface:supervisor]
supervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface

[supervisord]
logfile={state.log}/supervisord.log
logfile_maxbytes=5MB
logfile_backups=1
pidfile={state.run}/supervisord.pid
childlogdir={state.log}
directory={state.root}
identifier=interlock-{state.key}
{"user=root" if os.getuid() == 0 else ""}

[include]
files={self._parts}/*.conf
"""

    def _section(self, program: Program) -> str:
        environment = sorted(program.environment.items())
        variables = ",".join(f"{name}={_quoted(value)}" for name, value in environment)
        command = " ".join(_quoted(argument) for argument in program.command)
        return f"""\
[program:{program.name}]
command={command}
environment={variables}
directory={self._state.root}
autostart=false
autorestart=true
startsecs=1
startretries=3
stopsignal={program.stop_signal}
stopwaitsecs={program.stop_seconds}
stopasgroup=true
killasgroup=true
redirect_stderr=true
stdout_logfile={self._state.log}/{program.name}.log
stdout_logfile_maxbytes=20MB
stdout_logfile_backups=1
"""


def inherited_environment() -> dict[str, str]:
    """What the programs inherit. A shell that sourced the `env` file must not pass its rights on."""
    names = ("HOME", "PATH", "LANG", "LC_ALL", "TMPDIR", "TZ", "USER", "LOGNAME", "NO_PROXY", "no_proxy")
    kept = {name: os.environ[name] for name in names if name in os.environ}
    return {**kept, "PYTHONWARNINGS": "ignore", "PYTHONUNBUFFERED": "1"}


def _quoted(value: str) -> str:
    """`value` as supervisord's parser wants it; it offers no escape for a quote inside its own kind."""
    if re.fullmatch(r"[\w./:@+-]+", value):
        return value
    if "'" in value or "\n" in value or re.search(r"\s[;#]", value):
        raise SupervisorError(f"supervisord cannot take this value: {value!r}")
    return "'" + value.replace("%", "%%") + "'"


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    # Where nothing reaps orphans, a finished supervisord stays behind as a zombie.
    try:
        return ") Z " not in Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return Path("/proc/self").exists() is False


def _kill_group(group: int) -> None:
    try:
        os.killpg(group, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        return

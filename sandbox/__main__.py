"""The sandbox's command line: `python -m sandbox up|demo|status|stop|clean`."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable

import httpx

from sandbox import binaries
from sandbox.demo import demo
from sandbox.parts import all_parts
from sandbox.parts.part import Part, PartError
from sandbox.state import SandboxInUse, State
from sandbox.supervisor import Program, Supervisor, SupervisorError

_LOG_LINES = 20


_NEWS_SECONDS = 20.0


class Line:
    """One line of progress: rewritten in place on a terminal, elsewhere added to now and then."""

    def __init__(self, head: str) -> None:
        self._head = head
        self._terminal = sys.stdout.isatty()
        self._told = time.monotonic()
        print(f"{head} starting …", end="", flush=True)

    def report(self, text: str) -> None:
        """Show what takes its time."""
        if self._terminal:
            print(f"\r\x1b[K{self._head} {text} …", end="", flush=True)
        elif time.monotonic() - self._told >= _NEWS_SECONDS:
            self._told = time.monotonic()
            print(f" {text} …", end="", flush=True)

    def end(self, text: str) -> None:
        """Finish the line."""
        print(f"\r\x1b[K{self._head} {text}" if self._terminal else f" {text}", flush=True)


def up(state: State) -> int:
    """Start what does not run; returns the exit code."""
    began = time.monotonic()
    state.create()
    supervisor = Supervisor(state)
    supervisor.start()
    parts = all_parts()
    environment: dict[str, str] = {}
    for number, part in enumerate(parts, 1):
        line = Line(f"[{number}/{len(parts)}] {part.name}:")
        started = time.monotonic()
        try:
            reused = _start(part, state, supervisor, line.report)
        except (PartError, SupervisorError, binaries.BuildError, TimeoutError) as error:
            line.end("failed")
            _explain(part, state, error)
            return 1
        line.end(f"{'runs; checked' if reused else 'ready'} in {time.monotonic() - started:.1f} s")
        environment.update(part.environment(state))
    state.write_env(environment)
    print(f"The sandbox is up after {time.monotonic() - began:.1f} s.")
    print(f"  Airflow:  {environment['AIRFLOW_URL']}  (user {environment['AIRFLOW_USER']}, ", end="")
    print(f"password {environment['AIRFLOW_PASSWORD']})")
    print(f"  A shell:  . {state.env_file}")
    return 0


def _start(part: Part, state: State, supervisor: Supervisor, report: Callable[[str], None]) -> bool:
    """Start a part and wait until it serves; returns whether it ran already."""
    running = {status.name for status in supervisor.statuses() if status.running and status.pid}
    if not running & supervisor.programs_of(part.name):
        state.claim_ports(part.ports)
    part.prepare(state, report)
    programs = part.programs(state)
    reused = supervisor.apply(part.name, programs)
    _wait(part, programs, state, supervisor, report)
    part.configure(state)
    return reused


def _wait(
    part: Part,
    programs: tuple[Program, ...],
    state: State,
    supervisor: Supervisor,
    report: Callable[[str], None],
) -> None:
    """Wait until the part serves; raises PartError or TimeoutError."""
    began = time.monotonic()
    names = {program.name for program in programs}
    while True:
        statuses = [status for status in supervisor.statuses() if status.name in names]
        for status in statuses:
            if status.gave_up:
                raise PartError(
                    f"{status.name} ended again and again", f"Look into {state.log}/{status.name}.log."
                )
        try:
            if all(status.running for status in statuses) and part.ready(state):
                return
        except (OSError, httpx.HTTPError):
            pass
        seconds = time.monotonic() - began
        if seconds > part.time_limit:
            raise TimeoutError(f"it does not serve after {part.time_limit:.0f} s")
        report(f"starting, {seconds:.0f} s")
        time.sleep(0.1)


def _explain(part: Part, state: State, error: Exception) -> None:
    """Say what failed, with the end of the logs and what to do."""
    print(f"\n{part.name} did not start: {error}", file=sys.stderr)
    try:
        programs = part.programs(state)
    except (PartError, binaries.BuildError):
        programs = ()
    for program in programs:
        log = state.log / f"{program.name}.log"
        if log.exists():
            print(f"\nThe end of {log}:", file=sys.stderr)
            lines = log.read_text(errors="replace").splitlines()[-_LOG_LINES:]
            print("\n".join(f"  {text[:300]}" for text in lines), file=sys.stderr)
    advice = getattr(error, "advice", "")
    print(
        f"\n{advice or 'Look into the log.'} Then `python -m sandbox up` goes on from here;", file=sys.stderr
    )
    print("`python -m sandbox clean` starts over.", file=sys.stderr)


def status(state: State) -> int:
    """Show each part; exit code 0 if all of them serve, else 3."""
    supervisor = Supervisor(state)
    statuses = {one.name: one for one in supervisor.statuses()}
    if not statuses:
        print(f"The sandbox in {state.root} does not run; `python -m sandbox up` starts it.")
        return 3
    healthy = True
    for part in all_parts():
        names = sorted(supervisor.programs_of(part.name))
        try:
            serves = bool(names) and part.ready(state)
        except (OSError, httpx.HTTPError):
            serves = False
        healthy = healthy and serves
        print(f"{part.name:<12}{'ready' if serves else 'not ready'}")
        for name in names:
            if one := statuses.get(name):
                print(f"  {name:<26}{one.state:<10}pid {one.pid:<9}{one.seconds} s")
    return 0 if healthy else 3


def stop(state: State) -> int:
    """End all that runs; data stays."""
    supervisor = Supervisor(state)
    if supervisor.pid is None:
        print("Nothing runs.")
        return 0
    began = time.monotonic()
    supervisor.stop([part.name for part in reversed(all_parts())])
    for part in all_parts():
        part.tidy(state)
    print(f"Stopped in {time.monotonic() - began:.1f} s.")
    return 0


def clean(state: State) -> int:
    """End all that runs and delete the state folder."""
    code = stop(state)
    if state.root.exists() and not (state.root / "run").is_dir():
        print(f"{state.root} does not look like a sandbox; it stays.", file=sys.stderr)
        return 1
    state.remove()
    print(f"Removed {state.root}.")
    return code


_COMMANDS = {"up": up, "demo": demo, "status": status, "stop": stop, "clean": clean}


def main(arguments: list[str] | None = None) -> int:
    """Run one command; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m sandbox",
        description="Real surroundings for Interlock on this machine: PostgreSQL, OpenBao, SeaweedFS, "
        "Kubernetes, Prometheus and Airflow.",
        epilog="INTERLOCK_SANDBOX names the state folder; the default is .sandbox in the checkout. "
        "INTERLOCK_INCLUDE names another folder with trains, INTERLOCK_SANDBOX_DAGS one with more DAGs.",
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, command in _COMMANDS.items():
        commands.add_parser(name, help=(command.__doc__ or "").split(";")[0].rstrip("."))
    options = parser.parse_args(arguments)
    state = State.from_environment()
    os.umask(0o077)
    try:
        if options.command in ("demo", "status"):
            return _COMMANDS[options.command](state)
        with state.lock():
            return _COMMANDS[options.command](state)
    except (SandboxInUse, SupervisorError, PermissionError) as error:
        print(f"sandbox: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nInterrupted; `python -m sandbox stop` ends what was started.", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())

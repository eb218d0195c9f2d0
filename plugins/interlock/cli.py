"""The command `interlock`: look at runs and locks, stop a line, free a lock, ship, look at environments.

It reads Airflow's connections from the environment (AIRFLOW_CONN_…) and needs no Airflow.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from collections.abc import Sequence
from datetime import UTC, datetime

from interlock import onboarding_cli
from interlock.clients.abandoned import run_of
from interlock.clients.journal import JournalStore
from interlock.clients.kubeconfig import KubernetesSettings
from interlock.clients.kubernetes import Conflict, KubernetesClient, KubernetesError
from interlock.connections import ConnectionMissing, connection
from interlock.manifest import Manifest, ObjectRef
from interlock.project import environments_file, expectations_file, include
from interlock.settings import Settings
from interlock.status import name, spool_lines, status
from interlock.trains import lock
from interlock.trains.entries import head_name, run_hash
from interlock.trains.model import Environment, TrainFileError, load_environments

ATTEMPTS = 10
SHIP_SECONDS = 30.0
"""For one answer of Vault or the store: no train waits for this command."""


class Refusal(Exception):
    """What was asked for isn't done; the message says why."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status."""
    asked = _parser().parse_args(argv)
    try:
        environment = _environment(asked.environment)
        if asked.command == "doctor":
            return _doctor(environment)
        if asked.command == "ship":
            return _ship(environment)
        if asked.command == "environment":
            return _check(environment, asked.pull_requests)
        if asked.command == "onboarding":
            return onboarding_cli.run(asked.service, asked.environment, manifests=asked.manifests)
        return asyncio.run(_with_client(asked, environment))
    except (Refusal, ConnectionMissing, KubernetesError, TrainFileError, OSError) as error:
        print(f"interlock: {error}", file=sys.stderr)
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="interlock", description=__doc__.splitlines()[0])
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument(
        "--environment", metavar="NAME", help="of include/environments.yaml; default: its first"
    )
    who = argparse.ArgumentParser(add_help=False)
    who.add_argument("--by", required=True, type=_words, help="who does this")
    who.add_argument("--reason", required=True, type=_words, help="why")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def add(name: str, parents: list[argparse.ArgumentParser], told: str) -> argparse.ArgumentParser:
        return commands.add_parser(name, parents=parents, help=told, description=told)

    add("status", [common], "show open journals, runs that ended not whole, locks and waiting evidence")
    stop = add("stop", [common, who], "stop the line of an open run: its train goes back")
    stop.add_argument("run", metavar="RUN", help="run id, or DAG id/run id")
    unlock = add("unlock", [common, who], "release a service's lock, whoever holds it")
    unlock.add_argument("service", metavar="SERVICE")
    unlock.add_argument("--force", action="store_true", help="also from a run under way: it is stopped")
    add("ship", [common], "carry what waits in the spool to the evidence store now; exit 1 if any is left")
    add("doctor", [common], "try each connection and right that Interlock needs; exit 1 if one is missing")
    check = add(
        "environment", [common], "look at GitHub, Vault, tools and the store; exit 1 unless it passes"
    )
    check.add_argument(
        "--pull-request",
        action="append",
        dest="pull_requests",
        metavar="OWNER/NAME#NUMBER",
        help="instead of those of include/environment.yaml; can be given again",
    )
    service = add("onboarding", [common], "a service's checklist; exit 1 unless it is ready for promotion")
    service.add_argument("service", metavar="SERVICE")
    service.add_argument(
        "--manifests", action="store_true", help="print what is missing as YAML for kubectl apply instead"
    )
    return parser


def _words(value: str) -> str:
    if not value.strip():
        raise argparse.ArgumentTypeError("must not be empty")
    return value.strip()


def _environment(name: str | None) -> Environment:
    environments = load_environments(environments_file())
    # The first one also where its entry is wrong: another one is not what was meant.
    return environments.named(name or next(iter(environments.names or ()), ""))


async def _with_client(asked: argparse.Namespace, environment: Environment) -> int:
    settings = KubernetesSettings.of_connection(connection(environment.kubernetes))
    async with KubernetesClient.of(settings) as client:
        now = datetime.now(UTC)
        if asked.command == "status":
            lines = await status(client, environment)
            lines += spool_lines(Settings.of_environment().spool)
        elif asked.command == "stop":
            lines = [await stop(client, environment, asked.run, asked.by, asked.reason, now)]
        else:
            lines = [
                await unlock(
                    client, environment, asked.service, asked.by, asked.reason, now, force=asked.force
                )
            ]
    print("\n".join(lines))
    return 0


async def stop(
    client: KubernetesClient, environment: Environment, run: str, by: str, why: str, now: datetime
) -> str:
    """Raise the stop flag of one open run; says what was done."""
    store = JournalStore(client, environment.journal_namespace)
    heads = [head for head in await store.open_heads() if head.environment == environment.name]
    matching = [head for head in heads if run in (head.run_id, name(head))]
    if not matching:
        there = ", ".join(map(name, heads)) or "none"
        raise Refusal(f"no open run {run} in {environment.name}; open are: {there}")
    if len(matching) > 1:
        raise Refusal(f"several open runs are {run}; say which: {', '.join(map(name, matching))}")
    head = matching[0]
    if head.stop is not None:
        return f"{name(head)} was stopped already, by {head.stop.by}: {head.stop.why}"
    await store.stop(head_name(head.run), by=by, why=why, now=now)
    return f"stopped {name(head)}: what it moved goes back"


async def unlock(
    client: KubernetesClient,
    environment: Environment,
    service: str,
    by: str,
    why: str,
    now: datetime,
    *,
    force: bool,
) -> str:
    """Release a service's Lease whoever holds it; says what was done."""
    name = lock.lease_name(environment.namespace, service)
    ref = ObjectRef("coordination.k8s.io/v1", "Lease", environment.journal_namespace, name)
    store = JournalStore(client, environment.journal_namespace)
    first: str | None = None
    for _ in range(ATTEMPTS):
        lease = await client.get(ref)
        holder = lock.holder_in(lease) if lease else ""
        if lease is None or not holder:
            return f"nobody holds {name}"
        if first is not None and holder != first:
            raise Refusal(f"{name} went from {first} to {holder} just now: look again")
        first = holder
        run = run_of(holder)
        head, stopped = await store.head(run_hash(*run)) if run else None, ""
        if head is not None and not head.closed:
            if not force:
                raise Refusal(
                    f"{name} is held by {holder}, whose journal is open: it may still move the service. Stop "
                    f"it first (interlock stop {holder} …); --force stops it and releases the lock at once"
                )
            taken = f"{name} was taken from it by force: {why}"
            await store.stop(head_name(head.run), by=by, why=taken, now=now)
            stopped = ", and stopped that run: what it moved goes back, where nobody has changed it since"
        freed = lock.release(lease, holder, now)
        assert freed is not None
        try:
            await client.replace(_signed(freed, by, why, now))
        except Conflict:
            continue
        return f"released {name}, which {holder} held{stopped}"
    raise Refusal(f"{name} changed {ATTEMPTS} times while it was being released")


def _signed(lease: Manifest, by: str, why: str, now: datetime) -> Manifest:
    metadata = lease.raw["metadata"]
    said = f"{now.isoformat(timespec='seconds')} {by}: {why}"
    annotations = {**(metadata.get("annotations") or {}), "interlock.internal/unlocked": said}
    return Manifest.of({**lease.raw, "metadata": {**metadata, "annotations": annotations}})


def _ship(environment: Environment) -> int:
    from interlock.clients.evidence_setup import evidence_log
    from interlock.clients.evidence_setup import writer as evidence_writer
    from interlock.clients.kept_heads import ship
    from interlock.clients.log_store import LogConflict
    from interlock.clients.spool import SpoolError
    from interlock.clients.witnesses import witnesses

    settings = Settings.of_environment()
    vault, store = environment.vault, environment.store
    # What is missing for it is said by itself, not as the reason why statements are left.
    evidence_log(settings, connection, vault=vault, store=store).close()
    writer = evidence_writer(settings, connection, vault=vault, store=store, timeout=SHIP_SECONDS)
    try:
        bucket = writer.log.log.store.bucket if writer.log else ""
        shipped, away = ship(writer, witnesses(settings, connection, settings.log_of(bucket)))
    except (SpoolError, LogConflict) as error:
        raise Refusal(str(error)) from None
    finally:
        writer.close()
    for said in away:
        print(f"interlock: a head of the log was not compared, or not kept: {said}", file=sys.stderr)
    left = f"{shipped.left} still wait: {shipped.reason}" if shipped.left else "none is left"
    print(f"shipped {shipped.count} of the statements in {settings.spool}; {left}")
    return 1 if shipped.left else 0


def _doctor(environment: Environment) -> int:
    from interlock.doctor import examine

    missing = warned = checked = 0
    print(f"environment {environment.name}; in brackets: the file or setting that gives what was tried")
    executor = os.environ.get("AIRFLOW__CORE__EXECUTOR") or "LocalExecutor"
    for line in examine(environment, include(), Settings.of_environment(), executor=executor):
        missing += not line.ok
        warned += line.ok and line.warning
        checked += 1
        print(line, flush=True)
    print(summary(checked, missing, warned))
    return 1 if missing else 0


def _check(environment: Environment, pull_requests: list[str] | None) -> int:
    from interlock.doctor.environment import Question, check_environment
    from interlock.environment.expectations import load_expectations

    question = Question(
        environment,
        load_expectations(expectations_file()),
        include(),
        Settings.of_environment(),
        connection,
        None if pull_requests is None else tuple(pull_requests),
    )
    result = check_environment(question)
    print(result.page())
    return 0 if result.verdict == "passed" else 1


def summary(checked: int, failed: int, warned: int) -> str:
    """The doctor's last line."""
    look = f", {warned} to look at" if warned else ""
    if failed:
        return f"{failed} of {checked} checks failed{look}: mend what begins with `failed`, then try again"
    return f"all {checked} checks passed{look}"


if __name__ == "__main__":
    sys.exit(main())

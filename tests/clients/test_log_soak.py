"""64 writers on four hosts, some of them killed in each round, and a store that fails in every way.

`ROUNDS` and `SEED` in the environment say how long, and what chance does; `make soak` runs it for hours. The
seed sets the bursts, the faults and the kills; what they hit is up to the machine.
"""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from interlock import verify_cli
from interlock.clients.log_reader import BucketSource
from interlock.clients.object_store import ObjectStore, StoreSettings
from interlock.clients.vault import VaultSettings
from interlock.evidence.log.note import VerifierKey
from interlock.evidence.verification.source import MAX_CLAIM, SourceError
from tests.clients.evidence_parts import Parts
from tests.clients.log_audit import Audit
from tests.clients.log_checks import CheckedLog
from tests.clients.log_writers import Crowd
from tests.clients.real_parts import ACCESS, AUDITOR, SECRET, RunningS3, secret_of
from tests.fault_proxy import Fault, FaultProxy, Rule

pytestmark = pytest.mark.sandbox
ROUNDS = int(os.environ.get("ROUNDS") or 200)
SEED = int(os.environ.get("SEED") or random.SystemRandom().randrange(10**6))
WRITERS, HOSTS = 64, 4
RESTARTS_EVERY = 100
"""Rounds from one death of the store to the next."""
TELL_EVERY = 20
ANSWER_SECONDS = 2.0
"""For how long a writer waits for an answer of the store."""
ROUND_SECONDS, READY_SECONDS = 120.0, 120.0


@pytest.fixture
def s3_of_its_own(tmp_path: Path) -> Iterator[RunningS3]:
    (tmp_path / "s3").mkdir()
    store = RunningS3(tmp_path / "s3", volume_megabytes=1024)
    store.start()
    try:
        store.make_buckets()
        yield store
    finally:
        store.end()


@pytest.fixture
def store_settings(s3_of_its_own: RunningS3) -> StoreSettings:
    return StoreSettings("evidence", ACCESS, SECRET, s3_of_its_own.endpoint, timeout=30.0)


@pytest.fixture
def crowd(
    proxy: FaultProxy,
    store_settings: StoreSettings,
    vault_settings: VaultSettings,
    log_vault_settings: VaultSettings,
    tmp_path: Path,
) -> Iterator[Crowd]:
    through = replace(store_settings, endpoint_url=proxy.address, timeout=ANSWER_SECONDS)
    spools = [tmp_path / f"host-{number}" for number in range(HOSTS)]
    hosts = [Parts(spool, vault_settings, through, log_vault_settings) for spool in spools]
    with Crowd(hosts, WRITERS, tmp_path / "ledgers") as crowd:
        yield crowd
    for host in hosts:
        host.close()


@pytest.fixture
def proxy(s3_of_its_own: RunningS3) -> Iterator[FaultProxy]:
    with FaultProxy(s3_of_its_own.endpoint, seed=SEED) as proxy:
        yield proxy


@pytest.fixture
def audit(
    crowd: Crowd,
    checked: CheckedLog,
    store_settings: StoreSettings,
    log_keys: list[VerifierKey],
    public_keys: list[bytes],
) -> Iterator[Audit]:
    """By the auditor's own identity, and not through the proxy."""
    auditor = replace(store_settings, access_key=AUDITOR, secret_key=secret_of(AUDITOR))
    statements = tuple(VerifierKey("statements", key) for key in public_keys)
    with closing(BucketSource(ObjectStore(auditor))) as source:
        yield Audit(crowd, checked, source, tuple(log_keys), statements)


def faults(chance: random.Random) -> list[Rule]:
    """What the store does wrong in a round: one to three kinds of it, and in one round of ten nothing."""
    if chance.random() < 0.1:
        return []
    kinds = [
        Rule(Fault.DROP_REQUEST, probability=0.05),
        Rule(Fault.DROP_ANSWER, method="PUT", probability=0.1),
        Rule(Fault.CUT_REQUEST, method="PUT", probability=0.05),
        Rule(Fault.CUT_ANSWER, method="GET", probability=0.1),
        Rule(Fault.ANSWER, method="PUT", probability=0.2, status=409),
        Rule(Fault.ANSWER, method="PUT", probability=0.05, status=412),
        Rule(Fault.ANSWER, probability=0.05, status=500),
        Rule(Fault.ANSWER, probability=0.1, status=503),
        Rule(Fault.ANSWER_AFTER, method="PUT", probability=0.1, status=chance.choice((409, 412, 500, 503))),
        Rule(Fault.DELAY_REQUEST, method="PUT", probability=0.1, seconds=0.3),
        Rule(Fault.DELAY_ANSWER, probability=0.1, seconds=0.2),
        Rule(Fault.DELAY_ANSWER, method="PUT", probability=0.1, seconds=ANSWER_SECONDS + 0.5, count=1),
    ]
    return chance.sample(kinds, chance.randint(1, 3))


def readable(source: BucketSource) -> None:
    """Wait until a store that was started again finds what it has."""
    until = time.monotonic() + READY_SECONDS
    while True:
        try:
            for version in source.versions("log/"):
                source.read(version.key, MAX_CLAIM, version.version_id)
        except SourceError:
            assert time.monotonic() < until, "the store doesn't find what it had acknowledged"
            time.sleep(0.5)
        else:
            return


def kill_some(crowd: Crowd, chance: random.Random) -> None:
    """Kill writers at moments of chance while they write, every second time one that leads its host."""
    for _ in range(chance.randint(1, 4)):
        time.sleep(chance.random() * 0.15)
        leading = crowd.leaders() if chance.random() < 0.5 else []
        crowd.kill(chance.choice(leading) if leading else chance.randrange(WRITERS))


def test_nothing_is_lost_doubled_or_forked_while_writers_are_killed_and_the_store_fails(
    s3_of_its_own: RunningS3,
    proxy: FaultProxy,
    crowd: Crowd,
    audit: Audit,
    say: Callable[[str], None],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    say(f"\n{ROUNDS} rounds with SEED={SEED}")
    chance, began = random.Random(SEED), time.monotonic()
    killed = 0
    for number in range(ROUNDS):
        proxy.set(*(faults(chance) if number else ()))
        crowd.burst([chance.choice((0, 1)) for _ in range(WRITERS)])
        kill_some(crowd, chance)
        restarted = number % RESTARTS_EVERY == RESTARTS_EVERY // 2
        if restarted:
            s3_of_its_own.kill()
            s3_of_its_own.start()
        killed += crowd.wait(ROUND_SECONDS)
        if restarted:
            s3_of_its_own.wait()
            readable(audit.source)
        crowd.respawn()
        audit.verify()
        audit.compare()
        if (number + 1) % TELL_EVERY == 0:
            spent = time.monotonic() - began
            say(f"{number + 1} rounds, {len(audit.places)} entries, {killed} killed, {spent:.0f} s")
    proxy.clear()
    # Who was killed just after it had answered in the last round is noticed only now.
    crowd.burst([0] * WRITERS)
    killed += crowd.wait(ROUND_SECONDS)
    crowd.respawn()
    crowd.burst([1] * WRITERS)
    assert crowd.wait(ROUND_SECONDS) == 0
    for host in crowd.hosts:
        assert host.writer().ship().left == 0
    audit.compare()
    audit.close()
    audit.checked.head()
    audit.checked.gapless()
    assert killed >= ROUNDS
    harm = {fault.name: proxy.counts[fault] for fault in Fault if fault is not Fault.THROTTLE}
    assert all(harm.values()) or ROUNDS < 100
    say(f"{len(audit.places)} entries; {killed} writers killed; {harm}")

    keys = {"--key": audit.keys, "--statement-key": audit.statement_keys}
    given = ["bucket", "evidence", "--endpoint", s3_of_its_own.endpoint, "--quiet"]
    for option, found in keys.items():
        (tmp_path / option).write_text("".join(f"{key.text}\n" for key in found))
        given += [option, str(tmp_path / option)]
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", AUDITOR)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", secret_of(AUDITOR))
    status = verify_cli.main(given)
    said = "".join(capsys.readouterr())
    assert status == 0, said
    assert f"{audit.checked.edge.size} of {audit.checked.edge.size} entries proven" in said

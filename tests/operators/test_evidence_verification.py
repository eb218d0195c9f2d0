"""The nightly verification keeps the last head outside the bucket, tells what it found, and fails on it."""

from __future__ import annotations

import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk import Variable
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException
from airflow.sdk.observability import stats
from airflow.triggers.base import TaskFailedEvent, TaskSuccessEvent

from interlock.evidence.redaction import rfc3339
from interlock.evidence.statement import Run
from interlock.hooks.evidence_log import EvidenceLogHook
from interlock.operators import evidence
from interlock.operators.evidence_verification import LOG, VerifyEvidenceOperator
from interlock.triggers.evidence import EvidenceLoggedTrigger

sys.path.append(str(Path(__file__).resolve().parents[1] / "evidence" / "verification"))
from made_logs import Log


class World:
    """A made log behind the hook, Airflow's variables as a dictionary, and what was told."""

    def __init__(self) -> None:
        self.log = Log(year=datetime.now(UTC).year)
        self.log.clock = datetime.now(UTC) - timedelta(minutes=30)
        self.variables: dict[str, str] = {}
        self.metrics: list[tuple[Any, ...]] = []
        self.recorded: list[Any] = []
        self.events = {LOG: SimpleNamespace(extra=None)}

    def verify(self, mode: str = "full", **more: Any) -> dict[str, Any]:
        operator = VerifyEvidenceOperator(task_id="verify", mode=mode, outlets=[LOG], **more)
        return operator.execute({"outlet_events": self.events})  # type: ignore[typeddict-item]


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    found = World()
    bucket: Any = found.log.bucket
    bucket.bucket, bucket.close = "tests", lambda: None
    monkeypatch.setattr(EvidenceLogHook, "get_conn", lambda self: bucket)
    monkeypatch.setattr(EvidenceLogHook, "trust", lambda self, name: found.log.trust)
    monkeypatch.setattr(Variable, "get", lambda key, default=None: found.variables.get(key, default))
    monkeypatch.setattr(
        Variable, "set", lambda key, value, description=None: found.variables.update({key: value})
    )
    monkeypatch.setattr(
        stats, "gauge", lambda name, value, tags: found.metrics.append((name, value, *tags.values()))
    )
    monkeypatch.setattr(stats, "timing", lambda name, value, tags: None)
    monkeypatch.setattr(evidence, "record", lambda context, said, **more: found.recorded.extend(said))
    found.log.commit(*[found.log.leaf() for _ in range(10)])
    return found


def test_a_good_log_is_told_recorded_and_its_head_kept(world: World) -> None:
    told = world.verify()
    assert (told["verdict"], told["size"], told["bad"]) == ("verified", 10, 0)
    assert world.variables["interlock_log_head__tests"] == world.log.checkpoint(10).decode()
    assert ("interlock.evidence.findings", 0, "bad") in world.metrics
    assert ("interlock.evidence.proven", 10) in world.metrics
    assert world.events[LOG].extra["checkpoint"] == world.log.checkpoint(10).decode()
    (said,) = world.recorded
    assert (said.predicate_type, said.fields["verdict"]) == ("verification", "verified")


def test_a_head_that_came_after_the_verification_is_left_to_the_next(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    from interlock.evidence.verification import verify as verification

    def then_a_writer_goes_on(*arguments: Any, **more: Any) -> Any:
        report = before(*arguments, **more)
        world.log.commit(world.log.leaf())
        return report

    before = verification.verify
    monkeypatch.setattr(verification, "verify", then_a_writer_goes_on)
    assert world.verify()["size"] == 10
    assert world.variables["interlock_log_head__tests"] == world.log.checkpoint(10).decode()


def test_an_incremental_run_begins_at_the_kept_head(world: World) -> None:
    world.verify()
    world.log.commit(*[world.log.leaf() for _ in range(5)])
    told = world.verify("incremental")
    assert (told["since"], told["size"]) == (10, 15)


@pytest.mark.parametrize("mode", ["full", "incremental"])
def test_a_log_that_was_rewound_fails_against_the_kept_head(world: World, mode: str) -> None:
    world.log.commit(*[world.log.leaf() for _ in range(5)])
    world.verify()
    bucket = world.log.bucket
    bucket.remove(f"{world.log.prefix}seq/{1:020d}")
    for key in [key for key in bucket.keys(world.log.prefix) if "15" in key.rpartition("/")[2]]:
        bucket.remove(key)
    bucket.put(f"{world.log.prefix}checkpoint", world.log.checkpoint(10), world.log.clock)
    with pytest.raises(AirflowFailException, match=r"rewound: .* entry 10"):
        world.verify(mode)
    assert world.variables["interlock_log_head__tests"] == world.log.checkpoint(15).decode()
    assert world.recorded[-1].fields["verdict"] == "not-verified"


@pytest.mark.parametrize("mode", ["full", "incremental"])
@pytest.mark.parametrize("place", ["variable", "file"])
def test_a_log_that_lost_what_was_shipped_since_fails(
    world: World, mode: str, place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.verify()
    if place == "variable":
        world.variables["interlock_evidence_head"] = world.log.checkpoint(10).decode()
    else:
        monkeypatch.setenv("AIRFLOW__INTERLOCK__WITNESSES", f"{tmp_path}/head, {tmp_path}/gone/head")
        (tmp_path / "head").write_bytes(world.log.checkpoint(10))
    assert world.verify(mode)["verdict"] == "verified"
    kept = Log(year=world.log.year)
    kept.clock = world.log.clock
    kept.heads = world.log.heads
    kept.commit(*[kept.leaf() for _ in range(13)])
    if place == "variable":
        world.variables["interlock_evidence_head"] = kept.checkpoint(13).decode()
    else:
        (tmp_path / "head").write_bytes(kept.checkpoint(13))
    with pytest.raises(AirflowFailException, match=r"rewound: .* entry 10"):
        world.verify(mode)


def test_a_seal_whose_statements_are_on_their_way_is_read_again_until_they_are_there(world: World) -> None:
    world.verify("full")
    (variable,) = [name for name in world.variables if name.startswith("interlock_log_head__")]
    verified = world.variables[variable]
    run = Run("train", "run-9")
    here, there = world.log.leaf(run=run), world.log.leaf(run=run)
    began = rfc3339(world.log.clock + timedelta(minutes=6))
    world.log.commit(here)
    world.log.commit(world.log.seal(run, here, there, began_at=began))
    assert world.verify("incremental")["verdict"] == "incomplete"
    assert world.variables[variable] == verified
    world.log.commit(there)
    assert world.verify("incremental")["verdict"] == "verified"
    assert world.variables[variable] != verified


def test_before_the_first_entry_there_is_nothing_to_verify(world: World) -> None:
    world.log.bucket.stored.clear()
    with pytest.raises(AirflowSkipException, match="no evidence log yet"):
        world.verify()


def test_a_log_that_is_gone_before_it_was_ever_verified_is_no_new_log(world: World) -> None:
    world.variables["interlock_evidence_head"] = world.log.checkpoint(10).decode()
    world.log.bucket.stored.clear()
    with pytest.raises(AirflowFailException, match="no log in it"):
        world.verify()


def test_a_log_that_is_gone_is_no_new_log(world: World) -> None:
    world.verify()
    world.log.bucket.stored.clear()
    with pytest.raises(AirflowFailException, match="no log in it"):
        world.verify()


async def event_of(world: World, digest: str, seconds: float) -> Any:
    trigger = EvidenceLoggedTrigger(
        digest=digest,
        since=world.log.clock.isoformat(),
        deadline=(datetime.now(UTC) + timedelta(seconds=seconds)).isoformat(),
        evidence_conn_id="a",
        vault_conn_id="b",
    )
    again = EvidenceLoggedTrigger(**trigger.serialize()[1])
    return await anext(again.run())


async def test_a_statement_under_a_head_ends_the_wait(world: World) -> None:
    import hashlib

    payload = world.log.payload()
    world.log.commit(world.log.statements.envelope(payload))
    event = await event_of(world, hashlib.sha256(payload).hexdigest(), 30)
    assert isinstance(event, TaskSuccessEvent)
    assert event.xcoms == {"logged": {"year": world.log.year, "index": 10, "size": 11}}


async def test_a_statement_without_a_head_does_not(world: World) -> None:
    import hashlib

    payload = world.log.payload()
    world.log.commit(world.log.statements.envelope(payload), publish=False)
    event = await event_of(world, hashlib.sha256(payload).hexdigest(), 0)
    assert isinstance(event, TaskFailedEvent)

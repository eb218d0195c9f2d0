"""The log of a real bucket: several hosts, lost answers, the turn of a year, new keys, a log that shrinks."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from interlock.clients.evidence import Shipped
from interlock.clients.object_store import ObjectStore
from interlock.clients.vault import VaultClient
from interlock.evidence.log.checkpoint import open_checkpoint
from interlock.evidence.log.layout import checkpoint_key, seq_key, tile_key
from interlock.evidence.log.note import VerifierKey
from interlock.evidence.statement import Run
from tests.clients.evidence_parts import NAME, Parts, statement
from tests.clients.log_checks import CheckedLog, predicates
from tests.clients.real_parts import LOG_KEY, RunningVault, empty
from tests.fault_proxy import Fault, FaultProxy, Rule

YEAR = datetime.now(UTC).year


def test_two_hosts_follow_each_other(parts: Parts, run: Run, checked: CheckedLog, tmp_path: Path) -> None:
    other = parts.elsewhere(tmp_path / "other")
    here, there = parts.writer(), other.writer()
    for n in range(6):
        for writer in (here, there):
            claim = statement(run, f"service-{n}", blob=False)
            assert writer.record(claim).where == "log"
        assert checked.go_on().head().size == 2 * n + 2
    other.close()


@pytest.mark.sandbox
@pytest.mark.parametrize("lost", ["/seq/", "/tile/", "/checkpoints/", "/checkpoint$", "/evidence/"])
@pytest.mark.parametrize(
    "fault",
    [
        Rule(Fault.DROP_ANSWER),
        Rule(Fault.DROP_REQUEST),
        Rule(Fault.ANSWER, status=409),
        Rule(Fault.ANSWER, status=500),
        Rule(Fault.ANSWER_AFTER, status=503),
        Rule(Fault.ANSWER_AFTER, status=412),
        Rule(Fault.DELAY_ANSWER, seconds=1.0),
    ],
    ids=lambda rule: f"{rule.fault.name} {rule.status}",
)
def test_an_answer_that_is_lost_or_wrong_loses_and_doubles_nothing(
    parts: Parts, run: Run, checked: CheckedLog, lost: str, fault: Rule
) -> None:
    assert parts.store is not None
    assert parts.store.endpoint_url is not None
    claims = [statement(run, f"service-{n}") for n in range(4)]
    with FaultProxy(parts.store.endpoint_url) as proxy:
        parts.store = replace(parts.store, endpoint_url=proxy.address)
        # The first writes to a new bucket take their time.
        assert parts.writer().record(claims[0]).where == "log"
        parts.store = replace(parts.store, timeout=0.5)
        writer = parts.writer()
        rule = replace(fault, method="PUT", key=lost, count=1, hits=0)
        proxy.set(rule)
        recorded = writer.record(claims[1])
        assert rule.hits == 1
        assert recorded.where == "log", recorded.reason
        rule = replace(fault, method="PUT", key=lost, count=50, hits=0)
        proxy.set(rule)
        writer.record(claims[2])
        proxy.clear()
        assert writer.record(claims[3]).where == "log"
        assert writer.ship().left == 0
        parts.close()
    checked.go_on().has_each_once(claim.digest for claim in claims)
    checked.head()
    checked.gapless()


def test_who_was_second_takes_along_what_came_meanwhile(
    parts: Parts, run: Run, checked: CheckedLog, tmp_path: Path
) -> None:
    first, meanwhile, rival = (statement(run, name) for name in ("first", "meanwhile", "rival"))
    other = parts.elsewhere(tmp_path / "other")
    times: list[str] = []

    def overtaken(name: str) -> None:
        if name == "opened" and not times:
            times.append(name)
            assert other.writer().record(rival).index == 0
            parts.writer(store=False).record(meanwhile)

    assert parts.writer(step=overtaken).record(first).index == 1
    checked.go_on().has_each_once(one.digest for one in (rival, first, meanwhile))
    assert len(checked.claims) == 2
    checked.head()
    other.close()


@pytest.fixture
def turned(parts: Parts) -> Parts:
    """Parts whose clock is in the next year."""
    after = parts.elsewhere(parts.folder)
    after.now = lambda: datetime(YEAR + 1, 1, 1, 0, 0, 1, tzinfo=UTC)
    return after


def test_the_first_of_a_new_year_closes_the_old_log_and_opens_the_next(
    parts: Parts, turned: Parts, run: Run, checked: CheckedLog, tmp_path: Path
) -> None:
    old, new = statement(run, "old"), [statement(run, f"new-{n}") for n in range(3)]
    parts.writer().record(old)
    recorded = turned.writer().record(new[0])
    assert (recorded.where, recorded.year, recorded.index) == ("log", YEAR + 1, 1)
    # A host whose clock is behind follows; one that starts from nothing finds the new log as well.
    for writer, claim in zip(
        (parts.writer(), parts.elsewhere(tmp_path / "other").writer()), new[1:], strict=True
    ):
        assert writer.record(claim).year == YEAR + 1
    final = checked.go_on().head()
    assert checked.closed
    assert checked.kinds == {"verify": 1, "log-closed": 1}
    begun = CheckedLog(checked.store, YEAR + 1, checked.keys).go_on()
    begun.has_each_once(claim.digest for claim in new)
    begun.head()
    [opened] = predicates(begun, "log-opened")
    assert open_checkpoint(opened["checkpoint"].encode(), checked.keys)[0] == final
    turned.close()


@pytest.mark.parametrize("step", [1, 2, 3, 4, 5, 6, 7, 8, 9])
def test_a_writer_that_ends_anywhere_in_the_turn_of_the_year_is_followed(
    parts: Parts, turned: Parts, run: Run, checked: CheckedLog, tmp_path: Path, step: int
) -> None:
    old, lost, new = (statement(run, name) for name in ("old", "lost", "new"))
    parts.writer().record(old)
    reached: list[str] = []

    def end(name: str) -> None:
        if name != "appended":
            reached.append(name)
        if len(reached) == step:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        turned.writer(step=end).record(lost)
    other = turned.elsewhere(tmp_path / "other")
    assert other.writer().record(new).year == YEAR + 1
    assert turned.writer().ship().left == 0
    checked.go_on().head()
    assert (checked.closed, checked.kinds["log-closed"]) == (True, 1)
    begun = CheckedLog(checked.store, YEAR + 1, checked.keys).go_on()
    begun.has_each_once([lost.digest, new.digest])
    assert begun.kinds["log-opened"] == 1
    begun.head()
    for one in (turned, other):
        one.close()


@pytest.mark.parametrize("last", ["opened", "claimed", "tiles", "published", "done"])
def test_a_host_that_is_alone_goes_on_with_the_first_claim_of_a_year(
    parts: Parts, turned: Parts, run: Run, checked: CheckedLog, last: str
) -> None:
    parts.writer().record(statement(run, "old"))
    edge = (parts.folder / "edge").read_bytes()
    lost, new = statement(run, "lost"), statement(run, "new")
    reached: list[str] = []

    def end(name: str) -> None:
        reached.append(name)
        if name == last and "opened" in reached:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        turned.writer(step=end).record(lost)
    if last in ("published", "done"):
        # It is a cache: a power failure may leave an old one.
        (parts.folder / "edge").write_bytes(edge)
    assert turned.writer().ship() == Shipped(1 if last != "done" else 0, 0)
    begun = CheckedLog(checked.store, YEAR + 1, checked.keys).go_on()
    begun.head()
    recorded = turned.writer().record(new)
    # Beside the two are the log's own words: that it was opened, and what was shipped late.
    assert (recorded.year, recorded.index) == (YEAR + 1, 3)
    begun.go_on().has_each_once([lost.digest, new.digest])
    turned.close()


def test_a_host_without_its_edge_finds_what_it_has_seen_in_a_log_that_went_on(
    parts: Parts, turned: Parts, run: Run, checked: CheckedLog, tmp_path: Path
) -> None:
    edge = parts.folder / "edge"
    parts.writer().record(statement(run, "seen"))
    old = edge.read_bytes()
    parts.writer().record(statement(run, "seen as well"))
    other, later = parts.elsewhere(tmp_path / "other"), turned.elsewhere(tmp_path / "other")
    assert other.writer().record(statement(run, "of another host")).index == 2
    edge.write_bytes(old)
    assert parts.writer().record(statement(run, "after an old edge")).index == 3
    assert later.writer().record(statement(run, "of another host in the next year")).year == YEAR + 1
    edge.unlink()
    assert parts.writer().record(statement(run, "in the next year")).year == YEAR + 1
    checked.go_on().head()
    other.close()
    later.close()


def test_after_a_rotation_heads_are_signed_by_both_versions_for_a_while(
    parts: Parts, run: Run, vault: RunningVault, store: ObjectStore
) -> None:
    assert parts.log_vault is not None
    parts.writer().record(statement(run, "before"))
    vault.root.secrets.transit.rotate_key(LOG_KEY)
    with closing(VaultClient(parts.log_vault)) as client:
        newest, before, *_ = [VerifierKey(NAME, key.raw) for key in client.public_key(LOG_KEY)]
    parts.writer().record(statement(run, "after"))
    note = store.get(checkpoint_key(YEAR))
    for key in (newest, before):
        assert open_checkpoint(note, [key])[0].size == 2
    parts.now = lambda: datetime.now(UTC) + timedelta(days=31)
    if parts.now().year == YEAR:
        parts.writer().record(statement(run, "later"))
        assert open_checkpoint(store.get(checkpoint_key(YEAR)), [newest, before])[1] == (newest,)


def test_a_log_without_its_newest_claims_is_refused(
    parts: Parts, run: Run, s3: Any, store: ObjectStore
) -> None:
    for n in range(3):
        parts.writer().record(statement(run, f"service-{n}"))
    for key in (seq_key(YEAR, 2), checkpoint_key(YEAR)):
        found = s3.list_object_versions(Bucket="evidence", Prefix=key)["Versions"]
        newest = found[0]["VersionId"]
        s3.delete_object(Bucket="evidence", Key=key, VersionId=newest, BypassGovernanceRetention=True)
    recorded = parts.writer().record(statement(run, "more"))
    assert recorded.where == "spool"
    assert "the log was rewound" in recorded.reason
    (parts.folder / "edge").unlink()
    assert "it was rewound" in parts.writer().ship().reason


def test_an_emptied_bucket_is_refused(parts: Parts, run: Run, s3: Any) -> None:
    writer = parts.writer()
    writer.record(statement(run, "one"))
    empty(s3, "evidence")
    for again in (parts.writer(), writer):
        recorded = again.record(statement(run, "two"))
        assert recorded.where == "spool"
        assert "rewound" in recorded.reason or "gone" in recorded.reason


def test_a_kept_edge_that_was_changed_is_not_believed(
    parts: Parts, run: Run, checked: CheckedLog, tmp_path: Path
) -> None:
    parts.writer().record_all([statement(run, f"service-{n}") for n in range(3)])
    edge = parts.folder / "edge"
    for content in (edge.read_bytes()[:-1] + b"\0", b"", b"\xff" * 100, edge.read_bytes()[:-40]):
        edge.write_bytes(content)
        assert parts.writer().record(statement(run, f"after {len(content)}")).where == "log"
        checked.go_on().head()


def test_partial_tiles_whose_day_is_over_are_made_again(
    parts: Parts, run: Run, s3: Any, checked: CheckedLog, tmp_path: Path
) -> None:
    parts.writer().record_all([statement(run, f"service-{n}", blob=False) for n in range(300)])
    for one in checked.go_on().edge.objects():
        key = tile_key(YEAR, one.ref)
        for version in s3.list_object_versions(Bucket="evidence", Prefix=key)["Versions"]:
            s3.delete_object(
                Bucket="evidence", Key=key, VersionId=version["VersionId"], BypassGovernanceRetention=True
            )
    other = parts.elsewhere(tmp_path / "other")
    assert other.writer().record(statement(run, "of another host")).index == 300
    checked.go_on().head()
    other.close()

"""Statements on their way to the log: signed, locked and under a signed head, or waiting in the spool."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from interlock.clients.evidence import Recorded, Shipped
from interlock.clients.object_store import ObjectStore, StoreSettings
from interlock.clients.spool import Spool
from interlock.evidence.envelope import Envelope
from interlock.evidence.log import layout
from interlock.evidence.predicates import LATE_URI
from interlock.evidence.seal import make_seal, missing_from
from interlock.evidence.statement import Run, sha256
from tests.clients.evidence_parts import AT, Parts, statement
from tests.clients.real_parts import RunningVault

NOWHERE = StoreSettings("evidence", "a", "b", "http://127.0.0.1:1")
Entry = Callable[[Recorded], Envelope]


@pytest.fixture
def entry(store: ObjectStore) -> Entry:
    """Gives the entry that a statement became, read from the log's claims."""

    def read(recorded: Recorded) -> Envelope:
        assert recorded.year is not None
        assert recorded.index is not None
        for key in store.keys(layout.seq_prefix(recorded.year)):
            head, *entries = store.get(key).splitlines()
            first = json.loads(head)["first"]
            if first <= recorded.index < first + len(entries):
                return Envelope.from_json(entries[recorded.index - first])
        raise AssertionError(f"no claim has {recorded}")

    return read


def waiting(parts: Parts) -> list[Any]:
    return list(Spool(parts.folder).statements())


def test_a_statement_is_in_the_log_signed_and_locked_with_its_evidence(
    parts: Parts, store: ObjectStore, run: Run, public_keys: list[bytes], entry: Entry
) -> None:
    claim = statement(run)
    recorded = parts.writer().record(claim)
    assert (recorded.where, recorded.digest, recorded.reason) == ("log", claim.digest, "")
    envelope = entry(recorded)
    envelope.verify(public_keys)
    assert envelope.payload == claim.payload
    assert claim.evidence is not None
    assert recorded.year is not None
    blob = layout.blob_key(sha256(claim.evidence))
    assert store.get(blob) == claim.evidence
    for key in (blob, layout.seq_key(recorded.year, 0)):
        assert store.retention(key).mode == "GOVERNANCE"
        left = store.retention(key).until - datetime.now(UTC)
        assert timedelta(days=1094) < left <= timedelta(days=1095)
    newest = layout.checkpoint_key(recorded.year)
    assert store.retention(newest).until - datetime.now(UTC) <= timedelta(days=1)
    assert not waiting(parts)


def test_with_the_store_away_a_statement_waits_signed_and_is_shipped_unchanged(
    parts: Parts, run: Run, public_keys: list[bytes], entry: Entry
) -> None:
    claim = statement(run)
    there = parts.store
    parts.store = NOWHERE
    recorded = parts.writer().record(claim)
    assert recorded.where == "spool"
    assert "not reachable" in recorded.reason
    assert parts.writer().ship().left == 1
    parts.store = there
    assert parts.writer().ship() == Shipped(1, 0)
    assert parts.writer().of_run(run, datetime.now(UTC)).digests == (claim.digest,)
    last = parts.writer().record(statement(run, "service-b"))
    assert last.index is not None
    envelope = entry(replace(last, index=last.index - 1))
    envelope.verify(public_keys)
    assert envelope.payload == claim.payload


@pytest.mark.parametrize("sealed", [False, True])
def test_where_one_of_several_has_to_wait_all_do_and_each_signed_that_can_be(
    parts: Parts, vault: RunningVault, run: Run, sealed: bool
) -> None:
    claims = [statement(run, f"service-{name}") for name in "abcdefgh"]
    parts.store = NOWHERE
    if sealed:
        vault.seal()
    recorded = parts.writer().record_all(claims)
    found = waiting(parts)
    assert [kept.digest for kept in recorded] == [claim.digest for claim in claims]
    assert {kept.where for kept in recorded} == {"spool"}
    assert [waits.digest for waits in found] == [claim.digest for claim in claims]
    assert [waits.signature is None for waits in found] == [sealed] * len(claims)


def test_hundreds_of_statements_are_one_claim_each_with_its_own_signature_in_their_order(
    parts: Parts, run: Run, public_keys: list[bytes], entry: Entry
) -> None:
    claims = [statement(run, f"service-{n}") for n in range(250)]
    recorded = parts.writer().record_all(claims)
    first = recorded[0].index
    assert first is not None
    assert [kept.index for kept in recorded] == list(range(first, first + 250))
    for claim, kept in list(zip(claims, recorded, strict=True))[::40]:
        envelope = entry(kept)
        envelope.verify(public_keys)
        assert envelope.payload == claim.payload


def test_a_vault_that_goes_away_before_the_head_is_signed_leaves_nothing_claimed(
    parts: Parts, vault: RunningVault, run: Run
) -> None:
    claims = [statement(run, f"service-{n}") for n in range(5)]
    writer = parts.writer(step=lambda step: vault.seal() if step == "blobs" else None)
    recorded = writer.record_all(claims)
    assert {kept.where for kept in recorded} == {"spool"}
    assert "sealed" in recorded[0].reason
    assert all(waits.signature for waits in waiting(parts))
    vault.unseal()
    assert parts.writer().ship() == Shipped(5, 0)


def test_with_vault_sealed_a_statement_waits_unsigned_and_is_attested_late(
    parts: Parts, vault: RunningVault, run: Run, public_keys: list[bytes], entry: Entry
) -> None:
    claim = statement(run)
    vault.seal()
    recorded = parts.writer().record(claim)
    assert recorded.where == "spool"
    assert "sealed" in recorded.reason
    assert waiting(parts)[0].signature is None
    still = parts.writer().ship()
    assert (still.count, still.left) == (0, 1)
    vault.unseal()
    before = datetime.now(UTC)
    assert parts.writer().ship() == Shipped(1, 0)
    last = parts.writer().record(statement(run, "service-b"))
    assert last.index is not None
    envelope = entry(replace(last, index=last.index - 1))
    envelope.verify(public_keys)
    late = json.loads(envelope.payload)
    assert late["predicateType"] == LATE_URI
    assert late["predicate"]["claimed_at"] == "2026-11-24T06:00:00.000000Z"
    assert datetime.fromisoformat(late["predicate"]["shipped_at"]) >= before
    assert late["predicate"]["statement"] == json.loads(claim.payload)
    assert late["subject"][0]["digest"]["sha256"] == claim.digest


def test_refused_credentials_send_a_statement_to_the_spool(parts: Parts, run: Run) -> None:
    assert parts.store is not None
    parts.store = replace(parts.store, secret_key="wrong")
    recorded = parts.writer().record(statement(run))
    assert recorded.where == "spool"
    assert "refused" in recorded.reason


def test_a_bucket_without_object_lock_is_not_trusted_with_statements(parts: Parts, s3: Any, run: Run) -> None:
    assert parts.store is not None
    parts.store = StoreSettings(
        "plain", parts.store.access_key, parts.store.secret_key, parts.store.endpoint_url
    )
    recorded = parts.writer().record(statement(run))
    assert recorded.where == "spool"
    assert "Object Lock" in recorded.reason
    assert "Contents" not in s3.list_objects_v2(Bucket="plain", Prefix="log/")


def test_parts_that_accept_and_never_answer_hold_a_statement_up_for_a_few_of_their_time_limits(
    parts: Parts, run: Run
) -> None:
    assert parts.vault is not None
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"http://127.0.0.1:{silent.getsockname()[1]}"
        parts.store = StoreSettings("evidence", "a", "b", address, timeout=0.5)
        writers = [parts.writer()]
        parts.vault = replace(parts.vault, address=address, timeout=0.5)
        writers.append(parts.writer())
        for writer in writers:
            begun = time.monotonic()
            assert writer.record(statement(run)).where == "spool"
            assert time.monotonic() - begun < 5


def test_without_store_and_credentials_everything_waits(parts: Parts, run: Run) -> None:
    parts.vault = parts.store = None
    recorded = parts.writer().record(statement(run))
    assert (recorded.where, recorded.reason) == ("spool", "there are no credentials for signing")
    assert parts.writer().ship() == Shipped(0, 1, "there is no store for evidence")


def test_a_seal_lists_the_statements_of_log_and_spool(parts: Parts, run: Run) -> None:
    begun = datetime.now(UTC)
    kept, waits = statement(run, "service-a"), statement(run, "service-b")
    parts.writer().record(kept)
    parts.writer(store=False).record(waits)
    found = parts.writer().of_run(run, begun)
    assert found.digests == tuple(sorted((kept.digest, waits.digest)))
    parts.writer().record(statement(Run(run.dag_id, f"{run.run_id}-other")))
    assert parts.writer().of_run(run, begun) == found
    seal = make_seal(
        run=run, statements=found.digests, triggered_by="ada", approved_by=["bo"], outcome="all-new", at=AT
    )
    assert parts.writer().record(seal).where == "log"
    assert missing_from(seal.payload, [kept.digest]) == (waits.digest,)


def test_a_spool_that_can_not_be_read_makes_a_run_incomplete(parts: Parts, run: Run) -> None:
    kept = statement(run)
    parts.writer().record(kept)
    parts.writer(store=False).record(statement(run, "service-b"))
    next((parts.folder / "waiting").iterdir()).write_text("{}")
    found = parts.writer().of_run(run, datetime.now(UTC))
    assert found.digests == (kept.digest,)
    assert "the spool could not be read" in found.incomplete_because


def test_a_run_whose_store_is_away_is_known_to_be_incomplete(parts: Parts, run: Run) -> None:
    parts.writer(store=False).record(statement(run))
    found = parts.writer(store=False).of_run(run, datetime.now(UTC))
    assert len(found.digests) == 1
    assert found.incomplete_because


def test_a_value_that_looks_like_a_secret_reaches_neither_log_nor_spool(
    parts: Parts, run: Run, entry: Entry
) -> None:
    token = "hvs.CAESIJ0123456789abcdefghij"
    claim = statement(run, reason=f"login with {token} failed", password="hunter2-hunter2")
    parts.writer(store=False).record(claim)
    spooled = b"".join(f.read_bytes() for f in parts.folder.rglob("*") if f.is_file())
    recorded = parts.writer().record(claim)
    assert recorded.where == "log"
    envelope = entry(recorded)
    said = json.loads(envelope.payload)["predicate"]
    assert said["reason"] == {"redacted": "vault-token"}
    assert said["dropped_fields"] == 1
    assert token.encode() not in spooled + envelope.payload
    assert b"hunter2" not in spooled + envelope.payload


def test_a_year_that_is_over_is_closed_and_the_next_begins_with_its_last_head(
    parts: Parts, store: ObjectStore, run: Run
) -> None:
    writer = parts.writer()
    assert writer.record(statement(run)).year == datetime.now(UTC).year
    before = datetime.now(UTC).year
    while any(store.keys(layout.seq_prefix(before + 1))):
        before += 1
    parts.now = lambda: datetime(before + 1, 1, 1, 0, 0, 5, tzinfo=UTC)
    recorded = parts.writer().record(statement(run, "service-b"))
    assert (recorded.where, recorded.year, recorded.index) == ("log", before + 1, 1)
    first = store.get(layout.seq_key(before + 1, 0)).splitlines()
    opened = json.loads(Envelope.from_json(first[1]).payload)
    assert opened["predicateType"].endswith("/log-opened/v1")
    assert opened["predicate"]["checkpoint"].encode() == store.get(layout.checkpoint_key(before))
    last = max(store.keys(layout.seq_prefix(before)))
    assert json.loads(store.get(last).splitlines()[0])["closes"] is True

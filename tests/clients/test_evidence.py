"""Statements on their way to the bucket: signed and locked, or waiting in the spool where a part is away."""

from __future__ import annotations

import json
import socket
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from interlock.clients.evidence import Shipped
from interlock.clients.object_store import ObjectStore, StoreSettings
from interlock.clients.spool import Spool
from interlock.evidence.envelope import Envelope
from interlock.evidence.predicates import LATE_URI
from interlock.evidence.seal import make_seal, missing_from
from interlock.evidence.statement import Run, evidence_key, sha256
from tests.clients.evidence_parts import AT, Parts, statement, versions
from tests.clients.real_parts import RunningVault


def test_a_statement_is_in_the_bucket_signed_and_locked_with_its_evidence(
    parts: Parts, store: ObjectStore, run: Run, public_keys: list[bytes]
) -> None:
    claim = statement(run)
    recorded = parts.writer().record(claim)
    assert (recorded.where, recorded.key) == ("bucket", f"statements/{run.hash}/{claim.digest}.json")
    envelope = Envelope.from_json(store.get(recorded.key))
    envelope.verify(public_keys)
    assert envelope.payload == claim.payload
    assert claim.evidence is not None
    blob = evidence_key(sha256(claim.evidence))
    assert store.get(blob) == claim.evidence
    for key in (recorded.key, blob):
        assert store.retention(key).mode == "GOVERNANCE"
        left = store.retention(key).until - datetime.now(UTC)
        assert timedelta(days=1094) < left <= timedelta(days=1095)


def test_recording_the_same_statement_again_adds_nothing(parts: Parts, s3: Any, run: Run) -> None:
    claim = statement(run)
    assert parts.writer().record(claim) == parts.writer().record(claim)
    assert versions(s3, run) == [claim.key]


def test_with_the_store_away_a_statement_waits_signed_and_is_shipped_unchanged(
    parts: Parts, store: ObjectStore, run: Run, public_keys: list[bytes]
) -> None:
    claim = statement(run)
    there = parts.store
    parts.store = StoreSettings("evidence", "a", "b", "http://127.0.0.1:1")
    recorded = parts.writer().record(claim)
    assert recorded.where == "spool"
    assert "not reachable" in recorded.reason
    assert parts.writer().ship().left == 1
    parts.store = there
    assert parts.writer().ship() == Shipped(1, 0)
    envelope = Envelope.from_json(store.get(recorded.key))
    envelope.verify(public_keys)
    assert envelope.payload == claim.payload


@pytest.mark.parametrize("sealed", [False, True])
def test_where_one_of_several_has_to_wait_all_do_and_each_signed_that_can_be(
    parts: Parts, vault: RunningVault, run: Run, sealed: bool
) -> None:
    claims = [statement(run, f"service-{name}") for name in "abcdefgh"]
    parts.store = StoreSettings("evidence", "a", "b", "http://127.0.0.1:1")
    if sealed:
        vault.seal()
    recorded = parts.writer().record_all(claims)
    waiting = [waits for _, waits in Spool(parts.folder).waiting()]
    assert [kept.digest for kept in recorded] == [claim.digest for claim in claims]
    assert {kept.where for kept in recorded} == {"spool"}
    assert {waits.digest for waits in waiting} == {claim.digest for claim in claims}
    assert [waits.signature is None for waits in waiting] == [sealed] * len(claims)


def test_hundreds_of_statements_are_signed_a_batch_at_a_time_each_with_its_own_signature(
    parts: Parts, store: ObjectStore, run: Run, public_keys: list[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    claims = [statement(run, f"service-{n}") for n in range(10)]
    writer = parts.writer()
    assert writer._vault is not None
    sign, asked = writer._vault.sign_all, list[int]()
    monkeypatch.setattr("interlock.clients.evidence.SIGNED_AT_ONCE", 4)
    monkeypatch.setattr(
        writer._vault, "sign_all", lambda key, data: (asked.append(len(data)), sign(key, data))[1]
    )
    recorded = writer.record_all(claims)
    assert asked == [1, 4, 4, 1]
    assert [kept.digest for kept in recorded] == [claim.digest for claim in claims]
    for claim, kept in zip(claims, recorded, strict=True):
        envelope = Envelope.from_json(store.get(kept.key))
        envelope.verify(public_keys)
        assert envelope.payload == claim.payload


def test_a_vault_that_goes_away_meanwhile_leaves_only_the_others_unsigned(
    parts: Parts, vault: RunningVault, run: Run
) -> None:
    claims = [statement(run, f"service-{n}") for n in range(5)]
    writer = parts.writer(step=lambda step: vault.seal() if step == "statement kept" else None)
    recorded = writer.record_all(claims)
    waiting = [waits for _, waits in Spool(parts.folder).waiting()]
    assert [kept.where for kept in recorded] == ["bucket", *["spool"] * 4]
    assert "sealed" in recorded[1].reason
    assert {waits.digest for waits in waiting} == {claim.digest for claim in claims[1:]}
    assert {waits.signature for waits in waiting} == {None}


def test_with_vault_sealed_a_statement_waits_unsigned_and_is_attested_late(
    parts: Parts, vault: RunningVault, store: ObjectStore, run: Run, public_keys: list[bytes]
) -> None:
    claim = statement(run)
    vault.seal()
    recorded = parts.writer().record(claim)
    assert recorded.where == "spool"
    assert "sealed" in recorded.reason
    assert next(Spool(parts.folder).waiting())[1].signature is None
    still = parts.writer().ship()
    assert (still.count, still.left) == (0, 1)
    vault.unseal()
    assert parts.writer().ship() == Shipped(1, 0)
    envelope = Envelope.from_json(store.get(recorded.key))
    envelope.verify(public_keys)
    late = json.loads(envelope.payload)
    assert late["predicateType"] == LATE_URI
    assert late["predicate"]["claimed_at"] == "2026-11-24T06:00:00.000000Z"
    assert late["predicate"]["shipped_at"] == "2026-11-24T09:00:00.000000Z"
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
    assert "Contents" not in s3.list_objects_v2(Bucket="plain", Prefix="statements/")


def test_parts_that_accept_and_never_answer_hold_a_statement_up_no_longer_than_their_time_limit(
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
            assert time.monotonic() - begun < 3


def test_without_store_and_credentials_everything_waits(parts: Parts, run: Run) -> None:
    parts.vault = parts.store = None
    recorded = parts.writer().record(statement(run))
    assert (recorded.where, recorded.reason) == ("spool", "there are no credentials for signing")
    assert parts.writer().ship() == Shipped(0, 1, "there is no store for evidence")


def test_a_seal_lists_the_statements_of_bucket_and_spool(parts: Parts, store: ObjectStore, run: Run) -> None:
    kept, waits = statement(run, "service-a"), statement(run, "service-b")
    parts.writer().record(kept)
    parts.writer(store=False).record(waits)
    parts.writer().record(statement(Run(run.dag_id, f"{run.run_id}-other")))
    found = parts.writer().of_run(run)
    assert found.digests == tuple(sorted((kept.digest, waits.digest)))
    seal = make_seal(
        run=run, statements=found.digests, triggered_by="ada", approved_by=["bo"], outcome="all-new", at=AT
    )
    assert parts.writer().record(seal).where == "bucket"
    assert missing_from(seal.payload, [kept.digest]) == (waits.digest,)


def test_a_spool_that_can_not_be_read_makes_a_run_incomplete(parts: Parts, run: Run) -> None:
    kept = statement(run)
    parts.writer().record(kept)
    parts.writer(store=False).record(statement(run, "service-b"))
    next(f for f in parts.folder.iterdir() if f.name[0].isdigit()).unlink()
    found = parts.writer().of_run(run)
    assert found.digests == (kept.digest,)
    assert "gone before it was shipped" in found.incomplete_because


def test_a_run_whose_store_is_away_is_known_to_be_incomplete(parts: Parts, run: Run) -> None:
    parts.writer(store=False).record(statement(run))
    found = parts.writer(store=False).of_run(run)
    assert len(found.digests) == 1
    assert found.incomplete_because


def test_a_value_that_looks_like_a_secret_reaches_neither_bucket_nor_spool(
    parts: Parts, store: ObjectStore, run: Run
) -> None:
    token = "hvs.CAESIJ0123456789abcdefghij"
    claim = statement(run, reason=f"login with {token} failed", password="hunter2-hunter2")
    parts.writer(store=False).record(claim)
    assert parts.writer().record(claim).where == "bucket"
    everything = store.get(claim.key) + b"".join(
        f.read_bytes() for f in parts.folder.iterdir() if f.is_file()
    )
    payload = Envelope.from_json(store.get(claim.key)).payload
    assert json.loads(payload)["predicate"]["reason"] == {"redacted": "vault-token"}
    assert json.loads(payload)["predicate"]["dropped_fields"] == 1
    assert token.encode() not in everything + payload
    assert b"hunter2" not in everything + payload

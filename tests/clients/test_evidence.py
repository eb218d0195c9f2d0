from __future__ import annotations

import json
import multiprocessing
import os
import signal
import socket
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from interlock.clients.evidence import BucketWriter, Shipped
from interlock.clients.object_store import ObjectStore, StoreConflict, StoreSettings
from interlock.clients.spool import Spool, SpoolTampered
from interlock.clients.vault import VaultClient, VaultSettings
from interlock.evidence.envelope import Envelope
from interlock.evidence.predicates import LATE_URI
from interlock.evidence.seal import make_seal, missing_from
from interlock.evidence.statement import Run, Statement, evidence_key, make_statement, sha256
from tests.clients.real_parts import KEY, RunningVault

SPAWN = multiprocessing.get_context("spawn")
AT = datetime(2026, 11, 24, 6, 0, tzinfo=UTC)
LATER = datetime(2026, 11, 24, 9, 0, tzinfo=UTC)


def statement(run: Run, service: str = "service-a", **fields: object) -> Statement:
    check = {"name": "ready", "passed": True}
    return make_statement(
        "verify",
        run=run,
        fields={"service": service, "outcome": "promoted", **fields},
        at=AT,
        evidence={"checks": [check | {"reason": f"of {run.run_id}/{service}"}]},
    )


@dataclass
class Parts:
    """The parts of a writer, any of which a test may take away."""

    folder: Path
    vault: VaultSettings | None
    store: StoreSettings | None
    open: list[BucketWriter] = field(default_factory=list)

    def writer(self, *, store: bool = True, step: Callable[[str], None] = lambda _: None) -> BucketWriter:
        writer = BucketWriter(
            spool=Spool(self.folder),
            vault=None if self.vault is None else VaultClient(self.vault),
            store=ObjectStore(self.store) if store and self.store is not None else None,
            key=KEY,
            now=lambda: LATER,
            step=step,
        )
        self.open.append(writer)
        return writer


@pytest.fixture
def parts(
    tmp_path: Path, vault: RunningVault, vault_settings: VaultSettings, store_settings: StoreSettings
) -> Iterator[Parts]:
    parts = Parts(tmp_path / "spool", vault_settings, store_settings)
    yield parts
    for writer in parts.open:
        writer.close()


@pytest.fixture
def run() -> Run:
    return Run("promotion_train__payments", f"manual__{uuid4().hex}")


@pytest.fixture
def public_keys(vault_client: VaultClient) -> list[bytes]:
    return [key.raw for key in vault_client.public_key(KEY)]


def versions(s3: Any, run: Run) -> list[str]:
    found = s3.list_object_versions(Bucket="evidence", Prefix=f"statements/{run.hash}/")
    return [v["Key"] for v in found.get("Versions", [])]


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


def test_what_waits_is_shipped_in_order(parts: Parts, run: Run) -> None:
    claims = [statement(run, f"service-{n}") for n in range(5)]
    without = parts.writer(store=False)
    for claim in claims:
        without.record(claim)
    order: list[str] = []
    writer = parts.writer()
    assert writer._store is not None
    create = writer._store.create

    def watched(key: str, body: bytes) -> bool:
        order.append(key)
        return create(key, body)

    writer._store.create = watched  # type: ignore[method-assign]
    assert writer.ship() == Shipped(5, 0)
    assert [key for key in order if key.startswith("statements/")] == [claim.key for claim in claims]


def ship_until(parts: Parts, step: str, nth: int) -> None:
    reached: list[str] = []

    def kill(name: str) -> None:
        reached.append(name)
        if reached.count(step) == nth:
            os.kill(os.getpid(), signal.SIGKILL)

    parts.writer(step=kill).ship()


@pytest.mark.parametrize("signed", [True, False])
@pytest.mark.parametrize("step", ["evidence kept", "statement kept", "removed"])
def test_a_shipper_killed_at_any_step_leaves_nothing_lost_or_doubled(
    parts: Parts, s3: Any, store: ObjectStore, run: Run, public_keys: list[bytes], step: str, signed: bool
) -> None:
    claims = [statement(run, f"service-{n}") for n in range(3)]
    vault, parts.vault = parts.vault, parts.vault if signed else None
    without = parts.writer(store=False)
    for claim in claims:
        without.record(claim)
    parts.vault = vault
    fresh = Parts(parts.folder, parts.vault, parts.store)
    process = SPAWN.Process(target=ship_until, args=(fresh, step, 2))
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    again = parts.writer().ship()
    assert again.left == 0
    assert again.count == (1 if step == "removed" else 2)
    assert sorted(versions(s3, run)) == sorted(claim.key for claim in claims)
    for claim in claims:
        Envelope.from_json(store.get(claim.key)).verify(public_keys)


def ship_in_process(parts: Parts, result: Any) -> None:
    result.put(parts.writer().ship().count)


def test_shippers_at_the_same_time_ship_each_statement_once(parts: Parts, s3: Any, run: Run) -> None:
    without = parts.writer(store=False)
    claims = [statement(run, f"service-{n}") for n in range(12)]
    for claim in claims:
        without.record(claim)
    fresh = Parts(parts.folder, parts.vault, parts.store)
    result = SPAWN.Queue()
    shippers = [SPAWN.Process(target=ship_in_process, args=(fresh, result)) for _ in range(3)]
    for shipper in shippers:
        shipper.start()
    shipped = sum(result.get(timeout=60) for _ in shippers)
    for shipper in shippers:
        shipper.join()
    result.close()
    result.join_thread()
    assert shipped == 12
    assert Spool(parts.folder).count() == 0
    assert sorted(versions(s3, run)) == sorted(claim.key for claim in claims)


def test_something_else_under_a_statements_key_is_not_taken_for_it(
    parts: Parts, store: ObjectStore, run: Run
) -> None:
    claim = statement(run)
    store.create(claim.key, b'{"not": "an envelope"}')
    recorded = parts.writer().record(claim)
    assert recorded.where == "spool"
    assert "no statement" in recorded.reason
    other = statement(run, "service-b")
    store.create(other.key, Envelope(claim.payload, b"", "k").to_json())
    with pytest.raises(StoreConflict, match="another statement"):
        parts.writer()._put(other.key, Envelope(other.payload, b"", "k"), None)


def test_a_changed_file_stops_the_shipping_and_is_named(parts: Parts, run: Run) -> None:
    without = parts.writer(store=False)
    without.record(statement(run))
    path = next(f for f in parts.folder.iterdir() if f.name[0].isdigit())
    path.write_text(path.read_text().replace("06:00:00", "05:00:00"))
    with pytest.raises(SpoolTampered, match=path.name):
        parts.writer().ship()


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

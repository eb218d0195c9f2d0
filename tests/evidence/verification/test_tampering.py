"""Each kind of tampering with a bucket is found, with the right first bad entry."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from made_logs import NOW, Log, Signer
from made_trees import hashed
from tampering import TABLE, Case, change_entry, clean, fresh, seq

from interlock.evidence.predicates import BASE
from interlock.evidence.statement import Run, canonical
from interlock.evidence.verification.verify import Witness


def test_the_untouched_log_is_verified() -> None:
    log = fresh()
    assert log.verify().to_json()["verdict"] == "verified"
    assert log.verify(witnesses=[Witness("w", log.checkpoint(500))]).findings.counts == {}


@pytest.mark.parametrize("case", TABLE, ids=lambda case: case.does.replace(" ", "-"))
def test_tampering_is_found_at_the_right_entry(case: Case) -> None:
    log = fresh()
    where = case.first(log) if callable(case.first) else case.first
    case.tamper(log)
    report = log.verify(now=NOW, **case.options(log))
    assert case.code in report.findings.counts, dict(report.findings.counts)
    assert report.exit == 1
    assert report.first_bad == (None if where is None else (2026, where)), [*report.findings][:3]


@pytest.mark.parametrize(
    ("does", "make", "code"),
    [
        ("a statement of an unknown key", lambda log: Signer("x").envelope(log.payload()), "statement-key"),
        ("a statement with a broken signature", lambda log: _break(log.leaf()), "statement-signature"),
        ("a statement twice", lambda log: log.leaves[0], "entry-duplicate"),
        ("a seal that lists what is not there", lambda log: log.leaf("seal", statements=["a" * 64]), "seal-gap"),
        ("something else than an envelope", lambda log: b'{"a":1}', "envelope-malformed"),
        ("an envelope with spaces", lambda log: log.leaf().replace(b":", b": ", 1), "envelope-malformed"),
        ("nested brackets", lambda log: b"[" * 60_000, "envelope-malformed"),
        ("a payload that is no statement", lambda log: log.statements.envelope(b"{}"), "statement-malformed"),
        ("a late attestation of another statement", lambda log: _relate(log), "late-malformed"),
        ("a late attestation of the future", lambda log: log.late(claimed=timedelta(hours=-2)), "late-malformed"),
        ("a shipping of more than there is", lambda log: log.system("shipped", first=1, last=9, count=9), "shipped-mismatch"),
        ("a statement of tomorrow", lambda log: _tomorrow(log), "clock-future"),
        ("a late attestation that gives another time than its statement", lambda log: _late(log, claimed_at="2026-01-01T00:00:00.000000Z"), "late-malformed"),
        ("a late attestation in another spelling", lambda log: _spelled(log), "late-malformed"),
        ("a payload in Base 64 whose unused bits are set", lambda log: _loosened(_padded(log), "payload"), "envelope-malformed"),
        ("a signature in Base 64 whose unused bits are set", lambda log: _loosened(log.leaf(), "sig"), "envelope-malformed"),
        ("a payload with spaces", lambda log: _respelled(log, b":", b": "), "statement-malformed"),
        ("a payload with a member twice", lambda log: _respelled(log, b'{"_type"', b'{"_type":"x","_type"'), "statement-malformed"),
        ("a payload with an escape that none needs", lambda log: _respelled(log, b"train", b"tr\\u0061in"), "statement-malformed"),
        ("a payload with another number for the same value", lambda log: _respelled(log, b'"dropped_fields":0', b'"dropped_fields":0.0'), "statement-malformed"),
        ("a second beginning of the log", lambda log: log.system("log-opened", checkpoint=log.checkpoint(5).decode()), "opened-again"),
        ("the end of the log in a claim that does not close it", lambda log: log.system("log-closed"), "close-mismatch"),
    ],
)  # fmt: skip
def test_what_a_writer_with_the_keys_did_wrong_is_found(
    does: str, make: Callable[[Log], bytes], code: str
) -> None:
    log = Log()
    log.commit(*[log.leaf() for _ in range(5)])
    log.commit(log.leaf(), make(log), log.leaf())
    report = log.verify(now=log.clock + timedelta(days=2))
    assert code in report.findings.counts, [*report.findings]
    assert report.first_bad == (2026, 6)


def _padded(log: Log) -> bytes:
    """A leaf whose payload is no multiple of three bytes."""
    payloads = (log.payload(reason="x" * count) for count in range(1, 4))
    return log.statements.envelope(next(one for one in payloads if len(one) % 3))


def _loosened(leaf: bytes, member: str) -> bytes:
    """The same envelope with the last, unused bit of a member's Base 64 set."""
    content = json.loads(leaf)
    place = content if member == "payload" else content["signatures"][0]
    assert place[member].endswith("=")
    end = place[member].rstrip("=")
    digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    place[member] = place[member].replace(end, end[:-1] + digits[digits.index(end[-1]) + 1])
    return canonical(content)


def _respelled(log: Log, old: bytes, new: bytes) -> bytes:
    return log.statements.envelope(log.payload().replace(old, new, 1))


def _break(leaf: bytes) -> bytes:
    at = leaf.index(b'"sig":"') + 20
    return leaf[:at] + (b"A" if leaf[at : at + 1] != b"A" else b"B") + leaf[at + 1 :]


def _tomorrow(log: Log) -> bytes:
    log.clock += timedelta(days=1)
    leaf = log.leaf()
    log.clock -= timedelta(days=1)
    return leaf


def _relate(log: Log) -> bytes:
    payload = json.loads(base64.b64decode(json.loads(log.late())["payload"]))
    payload["predicate"]["statement"]["predicate"]["ref"] = "Deployment/other"
    return log.statements.envelope(canonical(payload))


def _late(log: Log, **change: object) -> bytes:
    payload = json.loads(base64.b64decode(json.loads(log.late())["payload"]))
    payload["predicate"] |= change
    return log.statements.envelope(canonical(payload))


def _spelled(log: Log) -> bytes:
    """The statement in it twice: readers differ in which one they take."""
    payload = base64.b64decode(json.loads(log.late())["payload"])
    other = json.dumps({"predicateType": "x", "predicate": {}}).encode()
    return log.statements.envelope(
        payload.replace(b'"statement":', b'"statement":' + other + b',"statement":')
    )


def test_a_late_attestation_by_a_host_whose_clock_is_a_little_behind_is_no_alarm() -> None:
    log = Log()
    log.commit(log.late(claimed=timedelta(minutes=-4)))
    assert log.verify().findings.counts == {}


@pytest.mark.parametrize(
    ("does", "make", "closes"),
    [
        ("a closing claim of ordinary entries", lambda log: [log.leaf(), log.leaf()], True),
        ("a closing claim of more than its entry", lambda log: [log.leaf(), log.system("log-closed")], True),
        ("a last claim that is not marked", lambda log: [log.system("log-closed")], False),
    ],
)
def test_the_mark_of_the_last_claim_has_to_fit_its_entry(
    does: str, make: Callable[[Log], list[bytes]], closes: bool
) -> None:
    log = Log()
    log.commit(log.leaf())
    log.commit(*make(log), closes=closes)
    report = log.verify()
    assert dict(report.findings.counts) == {"close-mismatch": 1}, does
    log.bucket.remove(f"log/2026/seq/{0:020d}")  # also where the entries are put together again
    assert log.verify().findings.counts["close-mismatch"] == 1


def test_two_sizes_of_one_blob_are_found() -> None:
    log = Log()
    log.commit(leaf := log.leaf(blob=True))
    payload = json.loads(base64.b64decode(json.loads(leaf)["payload"]))
    payload["predicate"]["evidence"]["size"] += 1
    log.commit(log.statements.envelope(canonical(payload)))
    report = log.verify()
    assert dict(report.findings.counts) == {"blob-size": 1}
    assert report.first_bad == (2026, 1)


def test_two_sizes_of_one_blob_in_two_years_are_found() -> None:
    old = Log()
    old.commit(leaf := old.leaf(blob=True))
    payload = json.loads(base64.b64decode(json.loads(leaf)["payload"]))
    payload["predicate"]["evidence"]["size"] += 1
    new = old.next_year()
    new.commit(new.statements.envelope(canonical(payload)))
    assert new.verify().findings.counts["blob-size"] == 1


def test_a_fraction_and_letters_beyond_ascii_are_canonical() -> None:
    log = Log()
    for fields in ({"soak_seconds": 1.5}, {"soak_seconds": 1e21}, {"reason": "é \u2028 😀 \x7f \x1f"}):
        log.commit(log.leaf("verify", **fields))
    assert dict(log.verify().findings.counts) == {}


@pytest.mark.parametrize("uri", ["https://in-toto.io/attestation/vsa/v1", f"{BASE}/promote/v2"])
def test_a_statement_of_an_unknown_type_is_said_and_no_error(uri: str) -> None:
    log = Log()
    payload = json.loads(log.payload())
    log.commit(log.leaf(), log.statements.envelope(canonical({**payload, "predicateType": uri})))
    report = log.verify()
    assert (report.exit, dict(report.findings.counts)) == (0, {"statement-unknown": 1})
    assert [one.index for one in report.findings] == [1]


def test_a_statement_that_is_later_than_its_claim_says_is_found() -> None:
    log = Log()
    log.commit(log.leaf(), at=log.clock - timedelta(minutes=4))
    assert dict(log.verify().findings.counts) == {}
    log.commit(log.leaf(), at=log.clock - timedelta(minutes=6))
    report = log.verify()
    assert dict(report.findings.counts) == {"clock-future": 1}
    assert next(iter(report.findings)).expected.endswith("when its claim was made")


def test_a_delete_marker_on_a_partial_tile_that_was_replaced_is_said() -> None:
    log = fresh()
    log.bucket.marker("log/2026/tile/0/001.p/8", log.clock)
    report = log.verify(now=NOW)
    assert (report.exit, dict(report.findings.counts)) == (0, {"partial-deleted": 1})


def test_a_claim_of_tomorrow_is_found() -> None:
    log = Log()
    log.commit(log.leaf())
    log.commit(log.leaf(), at=log.clock + timedelta(days=1))
    report = log.verify()
    assert "clock-future" in report.findings.counts
    assert report.first_bad == (2026, 1)


def test_claims_without_a_head_are_bad_after_a_day() -> None:
    log = Log()
    log.commit(log.leaf())
    log.commit(log.leaf(), publish=False)
    assert log.verify().findings.counts == {"head-pending": 1}
    report = log.verify(now=log.clock + timedelta(days=2))
    assert report.findings.counts == {"head-overdue": 1}
    assert report.first_bad == (2026, 1)


def test_a_finding_names_what_it_should_have_been_and_whose_statement_it_is() -> None:
    log = fresh()
    change_entry(log, 100, log.leaf(run=Run("other", "run-9")))
    (found,) = [one for one in log.verify(now=NOW).findings if one.code == "entry-altered"]
    assert found.expected.startswith(f"leaf hash {hashed(bytes(1), clean().leaves[100]).hex()}")
    assert found.object == seq(2)
    assert (found.statements[0].dag_id, found.statements[0].run_id) == ("train", "run-1")
    assert found.statements[0].index == 100


# Years


def two_years() -> tuple[Log, Log]:
    old = Log()
    old.commit(*[old.leaf() for _ in range(5)])
    new = old.next_year()
    new.commit(new.leaf())
    return old, new


def test_two_linked_years_are_verified() -> None:
    _, new = two_years()
    report = new.verify()
    assert (report.verdict, [one.size for one in report.years]) == ("VERIFIED", [6, 2])


@pytest.mark.parametrize(
    ("does", "tamper", "code", "first"),
    [
        ("the old year is gone", lambda old, new: [old.bucket.remove(key) for key in old.bucket.keys("log/2026/")], "year-missing", (2026, 0)),
        ("the new year names another head", lambda old, new: _reopen(old, new), "year-unlinked", (2027, 0)),
        ("the new year names none", lambda old, new: _open(new, new.leaf()), "year-unlinked", (2027, 0)),
        ("the old year goes on", lambda old, new: old.commit(old.leaf(), at=old.clock), "claim-after-close", (2026, 6)),
    ],
)  # fmt: skip
def test_tampering_with_years_is_found(
    does: str, tamper: Callable[[Log, Log], object], code: str, first: Any
) -> None:
    old, new = two_years()
    tamper(old, new)
    report = new.verify()
    assert code in report.findings.counts, dict(report.findings.counts)
    assert report.first_bad == first


def _open(new: Log, leaf: bytes) -> None:
    for key in new.bucket.keys("log/2027/"):
        new.bucket.remove(key)
    again = Log(new.bucket, 2027, signers=(new.heads, new.statements))
    again.commit(leaf)


def _reopen(old: Log, new: Log) -> None:
    _open(new, new.system("log-opened", checkpoint=old.checkpoint(3).decode()))


def test_a_year_that_was_not_closed_is_found() -> None:
    old = Log()
    old.commit(old.leaf())
    new = Log(old.bucket, 2027, signers=(old.heads, old.statements))
    new.commit(new.system("log-opened", checkpoint=old.checkpoint(1).decode()))
    report = new.verify()
    assert "year-not-closed" in report.findings.counts
    assert report.first_bad == (2026, 0)


def test_a_year_whose_locks_have_ended_may_be_gone() -> None:
    old, new = two_years()
    for key in old.bucket.keys("log/2026/"):
        old.bucket.remove(key)
    assert new.verify(now=NOW.replace(year=2029)).findings.counts == {"year-missing": 1}
    assert new.verify(now=NOW.replace(year=2030)).findings.counts == {}

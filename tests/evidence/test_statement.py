from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime

import pytest

from interlock.evidence.predicates import LATE_URI
from interlock.evidence.statement import (
    MAX_BYTES,
    Run,
    Statement,
    StatementError,
    Subject,
    attest_late,
    claimed_payload,
    make_statement,
)

AT = datetime(2026, 11, 24, 6, 0, tzinfo=UTC)
RUN = Run("promotion_train__payments", "manual__1")


def make(**fields: object) -> Statement:
    return make_statement("promote", run=RUN, fields={"service": "service-a", **fields}, at=AT)


def test_a_statement_is_an_in_toto_statement_v1() -> None:
    subject = Subject.of("Deployment/service-a", b"content")
    made = make_statement("promote", run=RUN, fields={"service": "a"}, at=AT, subjects=[subject])
    content = json.loads(made.payload)
    assert content["_type"] == "https://in-toto.io/Statement/v1"
    assert content["subject"] == [
        {"name": "Deployment/service-a", "digest": {"sha256": hashlib.sha256(b"content").hexdigest()}}
    ]
    assert content["predicateType"] == "https://interlock.internal/predicates/promote/v1"
    assert content["predicate"]["at"] == "2026-11-24T06:00:00.000000Z"


def test_without_a_subject_it_is_about_its_run() -> None:
    subject = json.loads(make().payload)["subject"]
    assert [s["name"] for s in subject] == ["run/promotion_train__payments/manual__1"]


def test_the_order_of_fields_changes_nothing() -> None:
    assert make(outcome="promoted", uid="u").digest == make(uid="u", outcome="promoted").digest


def test_another_value_gives_another_digest() -> None:
    assert make(outcome="promoted").digest != make(outcome="failed").digest


def test_the_payload_is_rfc_8785_canonical_json() -> None:
    text = make(reason="€ \u20ac \n").payload.decode()
    assert '"reason":"€ € \\n"' in text
    keys = list(json.loads(text))
    assert keys == sorted(keys)


def test_what_was_dropped_and_withheld_is_counted_in_the_statement() -> None:
    made = make(extra=1, other=2, reason="password=hunter2")
    content = json.loads(made.payload)["predicate"]
    assert (content["dropped_fields"], content["redacted_values"]) == (2, 1)
    assert (made.dropped, [r.path for r in made.redactions]) == (2, ["reason"])


def test_a_caller_can_not_write_the_fields_that_statements_add_themselves() -> None:
    made = make(run={"dag_id": "other"}, dropped_fields=0, evidence="x")
    assert json.loads(made.payload)["predicate"]["run"]["dag_id"] == RUN.dag_id
    assert made.dropped == 3


def test_evidence_is_named_by_digest_and_cut_down_too() -> None:
    evidence = {"writes": [{"path": "spec.replicas", "before": 1, "after": 2, "secret": "x"}], "more": 1}
    made = make_statement("promote", run=RUN, fields={}, at=AT, evidence=evidence)
    assert made.evidence == b'{"writes":[{"after":2,"before":1,"path":"spec.replicas"}]}'
    digest = hashlib.sha256(made.evidence).hexdigest()
    named = json.loads(made.payload)["predicate"]["evidence"]
    assert named == {"uri": f"evidence/sha256/{digest}", "digest": {"sha256": digest}, "size": 58}
    assert made.dropped == 2


def test_a_statement_that_is_too_large_says_what_to_do() -> None:
    with pytest.raises(StatementError, match="give the bulk of it as evidence"):
        make(reason="word " * (MAX_BYTES // 5))


@pytest.mark.parametrize("digest", ["", "XYZ", "ABCDEF"])
def test_a_subjects_digest_is_lower_case_hex(digest: str) -> None:
    with pytest.raises(StatementError, match="lower-case hex"):
        make_statement("promote", run=RUN, fields={}, at=AT, subjects=[Subject("a", {"sha256": digest})])


def test_a_secret_in_a_subjects_name_or_a_run_id_is_withheld() -> None:
    token = "hvs.CAESIJ0123456789abcdefghij"
    made = make_statement(
        "promote", run=Run("dag", token), fields={}, at=AT, subjects=[Subject(token, {"sha256": "ab"})]
    )
    assert token.encode() not in made.payload
    alone = make_statement("promote", run=Run("dag", token), fields={}, at=AT)
    assert token.encode() not in alone.payload


def test_a_late_attestation_carries_the_statement_and_both_times() -> None:
    made = make(outcome="promoted")
    late = attest_late(
        made.payload,
        run_hash=RUN.hash,
        claimed_at="2026-11-24T06:00:00.000000Z",
        shipped_at=datetime(2026, 11, 24, 9, tzinfo=UTC),
        sequence=3,
        previous="0" * 64,
    )
    content = json.loads(late)
    assert content["predicateType"] == LATE_URI
    assert content["subject"][0]["digest"] == {"sha256": made.digest}
    assert content["predicate"]["claimed_at"] < content["predicate"]["shipped_at"]
    assert claimed_payload(late) == made.payload
    assert claimed_payload(made.payload) == made.payload


def _subject_name(run: Run) -> str:
    made = make_statement("promote", run=run, fields={"service": "a"}, at=AT)
    return str(json.loads(made.payload)["subject"][0]["name"])


def test_the_ids_of_a_run_are_looked_through_one_by_one_for_its_subjects_name() -> None:
    run = Run("promotion_train__storefront", "demo-arrives-20261124T195909")
    assert _subject_name(run) == f"run/{run.dag_id}/{run.run_id}"
    assert _subject_name(Run("dag", "ghp_" + "a1" * 20)) == "run/dag/redacted:github-token"

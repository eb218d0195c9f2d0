from __future__ import annotations

import base64
import random
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from interlock.manifest import Manifest, ObjectRef
from interlock.trains import journal as journal_module
from interlock.trains.change import FieldWrite
from interlock.trains.entries import Head, Mutation, ServiceJournal, Stop, head_name, run_hash, service_name
from interlock.trains.fields import ABSENT, FieldPath, ListKey
from interlock.trains.journal import (
    JournalError,
    decode_head,
    decode_service,
    encode_head,
    encode_service,
    encode_stop,
    stop_in,
)

OPENED = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
HEAD = Head("promotion_train__payments", "manual__1", "payments", "sandbox", {"hash": "ab"}, OPENED)
RUN = HEAD.run
IMAGE = FieldPath.of("spec", "template", "spec", "containers", ListKey("name", "app"), "image")
REF = ObjectRef("apps/v1", "Deployment", "payments", "a")
BEFORE = Manifest.of({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "a", "uid": "u"}})
MUTATION = Mutation(REF, "u", "intent", 3, BEFORE, (FieldWrite(IMAGE, "a:1", "a:2", None),), None, OPENED, 1)

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)
moments = st.datetimes(min_value=datetime(2000, 1, 1), max_value=datetime(2100, 1, 1), timezones=st.just(UTC))
names = st.from_regex(r"[a-z]([a-z0-9-]{0,8}[a-z0-9])?", fullmatch=True)
paths = st.builds(
    lambda first, rest: FieldPath((first, *rest)),
    st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=8),
    st.lists(texts, max_size=3),
)
values = json_values | st.just(ABSENT)
writes = st.builds(FieldWrite, path=paths, before=values, after=values, owner=st.none() | texts)
manifests = st.builds(
    lambda name, extra: Manifest.of(
        {"apiVersion": "v1", "kind": "X", "metadata": {"name": name}, "spec": extra}
    ),
    names,
    json_values,
)
mutations = st.builds(
    Mutation,
    ref=st.builds(ObjectRef, texts, texts, texts, texts),
    uid=texts,
    state=st.sampled_from(["intent", "done"]),
    transitions=st.integers(0, 99),
    before=st.none() | manifests,
    writes=st.lists(writes, max_size=2).map(tuple),
    after_generation=st.none() | st.integers(0, 9),
    at=moments,
    try_number=st.integers(1, 5),
)
journals = st.builds(
    ServiceJournal,
    service=names,
    mutations=st.lists(mutations, max_size=3).map(tuple),
    restored=st.booleans(),
    outcome=st.sampled_from([None, "kept", "failed", "rolled-back", "not-whole"]),
    reason=texts,
)


def with_data(secret: Manifest, **changes: bytes | None) -> Manifest:
    data = {**secret.raw["data"]}
    for key, value in changes.items():
        data[key] = None if value is None else base64.b64encode(value).decode()
    return Manifest.of({**secret.raw, "data": data})


def large(marker: str = "x") -> ServiceJournal:
    noise = random.Random(marker).randbytes(1_000_000).hex()
    before = Manifest.of({**BEFORE.raw, "data": {"ü": noise}})
    return ServiceJournal("a", (replace(MUTATION, before=before),))


@given(journals)
@settings(deadline=None)
def test_a_service_journal_survives_its_secrets(journal: ServiceJournal) -> None:
    secrets = encode_service(RUN, journal, "interlock")
    assert decode_service(secrets, RUN, journal.service) == journal


@given(journals, st.integers(1, 200))
@settings(max_examples=50, deadline=None)
def test_chunks_of_any_size_survive_in_any_order(journal: ServiceJournal, size: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(journal_module, "CHUNK_BYTES", size)
        secrets = encode_service(RUN, journal, "interlock")
    assert decode_service(reversed(secrets), RUN, journal.service) == journal


@settings(deadline=None)
@given(
    st.builds(
        Head,
        dag_id=texts,
        run_id=texts,
        train=texts,
        environment=texts,
        plan=st.dictionaries(texts, json_values, max_size=3),
        opened_at=moments,
        closed=st.booleans(),
        stop=st.none() | st.builds(Stop, texts, texts, texts),
    )
)
def test_a_head_survives_its_secret(head: Head) -> None:
    assert decode_head(encode_head(head, "interlock")) == head


def test_a_head_is_found_by_its_labels() -> None:
    secret = encode_head(HEAD, "interlock", "17")
    assert secret.name == head_name(run_hash("promotion_train__payments", "manual__1")) == f"journal-{RUN}"
    assert len(RUN) == 12
    assert (secret.namespace, secret.resource_version, secret.raw["type"]) == (
        "interlock",
        "17",
        "interlock.internal/journal",
    )
    assert secret.labels == {
        "interlock.internal/journal": "run",
        "interlock.internal/run": RUN,
        "interlock.internal/state": "open",
    }
    assert encode_head(replace(HEAD, closed=True), "interlock").labels["interlock.internal/state"] == "closed"


def annotated(value: str) -> Manifest:
    raw = encode_head(HEAD, "interlock").raw
    annotations = {"interlock.internal/stop": value}
    return Manifest.of({**raw, "metadata": {**raw["metadata"], "annotations": annotations}})


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (
            encode_stop(Stop("ann", "errors", "2026-03-01T12:00:00Z")),
            Stop("ann", "errors", "2026-03-01T12:00:00Z"),
        ),
        ('{"why": "errors"}', Stop("unknown", "errors", "")),
        ("please stop", Stop("unknown", "please stop", "")),
        ("true", Stop("unknown", "true", "")),
        ("", Stop("unknown", "", "")),
    ],
)
def test_whatever_stands_in_the_stop_flag_stops_the_line(value: str, expected: Stop) -> None:
    assert stop_in(annotated(value)) == expected
    assert decode_head(annotated(value)).stop == expected


def test_a_time_of_another_zone_is_kept_as_the_same_moment() -> None:
    east = OPENED.astimezone(timezone(timedelta(hours=2)))
    assert decode_head(encode_head(replace(HEAD, opened_at=east), "interlock")).opened_at == OPENED


def test_a_time_without_a_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="no time zone"):
        encode_head(replace(HEAD, opened_at=datetime(2026, 3, 1)), "interlock")


def test_a_large_journal_takes_several_secrets_and_the_first_is_written_last() -> None:
    secrets = encode_service(RUN, large(), "interlock", "5")
    assert len(secrets) == 3
    assert [secret.name == service_name(RUN, "a") for secret in secrets] == [False, False, True]
    assert [secret.resource_version for secret in secrets] == ["", "", "5"]
    for secret in secrets:
        assert sum(len(base64.b64decode(value)) for value in secret.raw["data"].values()) < 1_000_000
    assert decode_service(secrets, RUN, "a") == large()


def test_a_crash_between_the_secrets_of_a_write_leaves_the_former_journal() -> None:
    former, later = encode_service(RUN, large("x"), "i"), encode_service(RUN, large("y"), "i")
    for written in range(len(later)):
        state: Mapping[str, Manifest] = {s.name: s for s in (*former, *later[:written])}
        assert decode_service(state.values(), RUN, "a") == large("x")
    assert decode_service({s.name: s for s in (*former, *later)}.values(), RUN, "a") == large("y")


def test_a_service_without_secrets_has_no_journal() -> None:
    assert decode_service((), RUN, "a") is None


@pytest.mark.parametrize("at", [0, 1, 2])
def test_a_damaged_chunk_is_named(at: int) -> None:
    secrets = list(encode_service(RUN, large(), "i"))
    secrets[at] = with_data(secrets[at], chunk=b"{}")
    with pytest.raises(
        JournalError, match=f"chunk . of 3 of the journal of a, Secret {secrets[at].name}: is damaged"
    ):
        decode_service(secrets, RUN, "a")


def test_a_missing_chunk_is_named() -> None:
    secrets = encode_service(RUN, large(), "i")
    with pytest.raises(JournalError, match=f"chunk 2 of 3 .* {secrets[0].name}: is missing"):
        decode_service(secrets[1:], RUN, "a")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"format": b"2"}, "has journal format '2'; this Interlock reads format 1"),
        ({"format": None}, "is no journal of Interlock: it has no data 'format'"),
        ({"index": None}, "it has no data 'index'"),
        ({"index": b"nonsense"}, "is damaged"),
        ({"index": b"[3]"}, "is damaged"),
        ({"chunk": b"{}"}, "is damaged: expected sha256"),
    ],
)
def test_a_journal_that_cannot_be_read_is_refused_by_name(changes: dict[str, Any], message: str) -> None:
    (secret,) = encode_service(RUN, ServiceJournal("a", (MUTATION,)), "i")
    with pytest.raises(JournalError, match=message) as refused:
        decode_service([with_data(secret, **changes)], RUN, "a")
    assert secret.name in str(refused.value)


@pytest.mark.parametrize("body", [b"[]", b"{}", b'{"dag_id": 3}', b"\xff"])
def test_a_damaged_head_is_refused_by_name(body: bytes) -> None:
    with pytest.raises(JournalError, match=f"Secret journal-{RUN} is damaged"):
        decode_head(with_data(encode_head(HEAD, "i"), head=body))


def test_a_head_of_another_format_is_refused() -> None:
    with pytest.raises(JournalError, match="use the version of Interlock that wrote it"):
        decode_head(with_data(encode_head(HEAD, "i"), format=b"7"))


def test_data_that_is_no_base64_is_refused() -> None:
    raw = encode_head(HEAD, "i").raw
    with pytest.raises(JournalError, match="no base64"):
        decode_head(Manifest.of({**raw, "data": {**raw["data"], "head": "%%"}}))


def test_a_service_name_that_could_meet_the_name_of_a_chunk_is_refused() -> None:
    with pytest.raises(ValueError, match="DNS label"):
        encode_service(RUN, ServiceJournal("a.b"), "i")


def written(generation: int) -> Manifest:
    metadata = {"name": "a", "uid": "new", "generation": generation}
    return Manifest.of({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata})


def test_an_intent_counts_as_moved_until_it_is_taken_back() -> None:
    journal = ServiceJournal("a")
    assert not journal.moved
    journal = journal.intend(MUTATION)
    assert journal.moved
    journal = journal.settle({MUTATION.ref: written(4)})
    assert journal.moved
    assert journal.mutations[0] == replace(MUTATION, state="done", after_generation=4)
    assert not journal.ended("rolled-back").moved
    assert journal.ended("not-whole", "changed").moved


def test_a_mutation_after_a_rollback_starts_afresh() -> None:
    again = ServiceJournal("a").intend(MUTATION).ended("rolled-back").intend(replace(MUTATION, try_number=2))
    assert [mutation.try_number for mutation in again.mutations] == [2]
    assert again.moved


def test_settling_what_was_not_intended_is_refused() -> None:
    with pytest.raises(ValueError, match="no open intent"):
        ServiceJournal("a").settle({MUTATION.ref: written(1)})
    with pytest.raises(ValueError, match="no open intent"):
        ServiceJournal("a").intend(MUTATION).settle({MUTATION.ref: written(1)}).settle({MUTATION.ref: None})


def test_intents_are_settled_object_by_object_and_a_created_one_gets_its_uid() -> None:
    config = ObjectRef("v1", "ConfigMap", "payments", "a")
    created = replace(MUTATION, ref=config, uid="", before=None, writes=())
    journal = ServiceJournal("a").intend(created, MUTATION)
    assert replace(journal, mutations=(created,)).moved
    journal = journal.settle({config: written(0)})
    assert [(m.state, m.uid) for m in journal.mutations] == [("done", "new"), ("intent", MUTATION.uid)]


def test_a_deletion_is_read_back_as_one() -> None:
    journal = ServiceJournal("a").intend(replace(MUTATION, writes=(), deletes=True))
    assert journal.moved
    assert decode_service(encode_service(RUN, journal, "i"), RUN, "a") == journal

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interlock.evidence.predicates import PREDICATES, allow, predicate
from interlock.evidence.redaction import Redaction, UnspeakableValueError, clean, redact_text, secret_rule

SECRETS = {
    "private-key": "-----BEGIN RSA PRIVATE KEY-----\nMIIE",
    "vault-token": "hvs.CAESIJ0123456789abcdefghij",
    "aws-access-key": "key AKIAIOSFODNN7EXAMPLE",
    "github-token": "ghp_0123456789abcdefghijABCDEFGHIJ012345",
    "gitlab-token": "glpat-0123456789abcdefghij",
    "slack-token": "xoxb-0123456789-abcdef",
    "json-web-token": "eyJhbGciOiJIUzI1.eyJzdWIiOiIxMjM0.c2lnbmF0dXJl",
    "url-credentials": "postgresql://app:pw@db/payments",
    "authorization": "Authorization: Bearer abcdefghijklmnop",
    "assignment": 'env has DB_PASSWORD="hunter2"',
    "high-entropy": "wJalrXUtnFEMI/K7MDENG/bPxRfiCYzxq9Kv3Lm2",
}
ORDINARY = [
    "registry.internal/payments/service-a:1.1.0",
    "registry.internal/service-a@sha256:" + "0123456789abcdef" * 4,
    "manual__2026-11-24T06:43:00.123456+00:00_AbCdEfGh",
    "promotion_train__payments",
    "spec.template.spec.containers[name=app].image",
    'metadata.annotations["interlock.internal/transitions"]',
    "service-a-6d4cf56db6-8x2kq",
    "system:serviceaccount:interlock:interlock-worker",
    "Deployment/service-a",
    "9f8b2c1e-6a3d-4e5f-8b7a-1c2d3e4f5a6b",
    "back-off 5m0s restarting failed container=app pod=service-a-6d4cf56db6-8x2kq_payments",
    'deployment "service-a" exceeded its progress deadline',
    "https://github.com/example/service-a/pull/12345",
    "CHG-2026-004711",
    "waiting for 2 out of 3 new replicas to be updated",
]


@pytest.mark.parametrize(("rule", "text"), SECRETS.items())
def test_each_kind_of_secret_is_named_by_its_rule(rule: str, text: str) -> None:
    assert secret_rule(text) == rule
    assert redact_text(text) == f"redacted:{rule}"


@pytest.mark.parametrize("text", ORDINARY)
def test_what_trains_say_every_day_is_not_taken_for_a_secret(text: str) -> None:
    assert secret_rule(text) is None


def test_a_field_that_nobody_listed_is_dropped_and_counted_at_every_depth() -> None:
    found = clean(
        {"a": 1, "b": {"c": 2, "x": 3}, "l": [{"c": 4, "x": 5}], "x": {"y": 6}}, allow("a", "b.c", "l.c")
    )
    assert found.fields == {"a": 1, "b": {"c": 2}, "l": [{"c": 4}]}
    assert found.dropped == 3


def test_an_object_where_the_list_has_a_leaf_is_dropped_whole() -> None:
    assert clean({"a": {"password": "x"}, "b": [{"c": 1}]}, allow("a", "b")) == clean({"x": 1, "y": 2}, {})


def test_a_scalar_where_the_list_has_fields_is_dropped() -> None:
    found = clean({"a": "text", "b": None}, allow("a.b", "b.c"))
    assert (found.fields, found.dropped) == ({"b": None}, 1)


def test_a_secret_in_an_allowed_field_leaves_only_the_rule() -> None:
    found = clean({"a": ["fine", SECRETS["vault-token"]]}, allow("a"))
    assert found.fields == {"a": ["fine", {"redacted": "vault-token"}]}
    assert found.redactions == (Redaction("a", "vault-token"),)


@pytest.mark.parametrize(
    "path",
    ["spec.template.spec.containers[name=app].env[name=DB_PASSWORD].value", "data.apiKey", "data.token"],
)
def test_the_value_of_a_field_with_a_secrets_name_is_held_back(path: str) -> None:
    write = {"path": path, "before": "short", "after": None, "owner": "interlock"}
    found = clean({"changes": [{"service": "a", "writes": [write]}]}, predicate("plan").fields)
    assert found.fields["changes"] == [
        {
            "service": "a",
            "writes": [
                {"path": path, "before": {"redacted": "secret-name"}, "after": None, "owner": "interlock"}
            ],
        }
    ]


def test_a_key_of_an_open_mapping_is_looked_at_too() -> None:
    open_mapping = allow("labels.*")
    found = clean({"labels": {"app": "a", "password": "b", SECRETS["vault-token"]: "c"}}, open_mapping)
    assert found.fields == {"labels": {"app": "a", "password": {"redacted": "secret-name"}}}
    assert found.dropped == 1


def test_times_become_utc_and_durations_seconds_and_large_integers_text() -> None:
    east = timezone(timedelta(hours=2))
    found = clean(
        {"at": datetime(2026, 11, 24, 8, tzinfo=east), "d": timedelta(minutes=5), "n": 2**60, "e": (1, 2)},
        allow("at", "d", "n", "e"),
    )
    assert found.fields == {
        "at": "2026-11-24T06:00:00.000000Z",
        "d": 300.0,
        "n": "1152921504606846976",
        "e": [1, 2],
    }


@pytest.mark.parametrize("value", [object(), b"bytes", float("nan"), {1, 2}, datetime(2026, 11, 24)])
def test_what_is_no_json_is_refused_by_name(value: object) -> None:
    with pytest.raises(UnspeakableValueError):
        clean({"a": value}, allow("a"))


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=20,
)
names = sorted({name for p in PREDICATES.values() for name in p.fields})


@given(st.dictionaries(st.sampled_from(names) | st.text(max_size=8), json_values, max_size=8))
def test_whatever_comes_in_only_listed_fields_come_out(fields: dict[str, object]) -> None:
    for kind in PREDICATES.values():
        found = clean(fields, kind.fields)
        assert set(found.fields) <= set(kind.fields) & set(fields)


@given(st.text(max_size=20), st.sampled_from(sorted(SECRETS.values())), st.text(max_size=20))
def test_no_known_secret_comes_out_whatever_stands_around_it(before: str, secret: str, after: str) -> None:
    text = f"{before} {secret} {after}"
    out = json.dumps(clean({"reason": text}, predicate("promote").fields).fields)
    assert json.dumps(secret)[1:-1] not in out


def test_a_time_is_written_to_the_microsecond_so_that_order_is_kept() -> None:
    fields = clean({"at": datetime(2026, 11, 24, 6, 0, 0, 1, tzinfo=UTC)}, allow("at")).fields
    assert fields == {"at": "2026-11-24T06:00:00.000001Z"}

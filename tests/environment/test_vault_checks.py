"""Each check of Vault, in order and not."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from good_environment import KEY, LIMITS, NEEDS, SERVER, TOKEN, VAULT, expectations, of, told

from interlock.environment.check import Check, Unseen
from interlock.environment.vault import judge_vault
from interlock.environment.vault_facts import VaultFacts
from interlock.environment.vault_policy import Mounts, off_limits, rules

AWAY, REFUSED = Unseen("no answer"), Unseen("permission denied", "refused")
MISSING = Unseen("not found", "missing")
BY_TOKEN = replace(VAULT, method="token")
SHORT = timedelta(minutes=9)
SECRET = "secret/data/interlock/service-a"


def judged(facts: VaultFacts) -> list[Check]:
    return list(judge_vault(facts, expectations().vault, NEEDS, LIMITS))


def server(**changes: Any) -> VaultFacts:
    return replace(VAULT, server=replace(SERVER, **changes))


def token(facts: VaultFacts = VAULT, **changes: Any) -> VaultFacts:
    return replace(facts, token=replace(TOKEN, **changes))


def rights(path: str, *capabilities: str) -> VaultFacts:
    assert isinstance(VAULT.rights, dict)
    assert path in VAULT.rights
    return replace(VAULT, rights={**VAULT.rights, path: frozenset(capabilities)})


def granted(path: str, *capabilities: str) -> VaultFacts:
    return replace(VAULT, granted={path: frozenset(capabilities)})


def secret(found: Any) -> VaultFacts:
    return replace(VAULT, secrets={"interlock/service-a": found})


def test_where_all_is_in_order_each_check_is_ok() -> None:
    checks = judged(VAULT)
    assert [str(check) for check in checks if check.status != "ok"] == []
    assert {check.code for check in checks} == {
        f"vault.{name}"
        for name in (
            *("reachable", "initialised", "unsealed", "active", "token", "namespace", "policies", "ttl"),
            *("renewable", "orphan", "rights-missing", "rights-excessive", "rights-elsewhere"),
            *("secret", "transit-key", "audit"),
        )
    }


ERROR, WARNING = ("finding", "error"), ("finding", "warning")
UNSEEN = ("not-checked", "error")


@pytest.mark.parametrize(
    ("facts", "code", "expected", "said"),
    [
        (replace(VAULT, server=AWAY), "reachable", UNSEEN, "no answer"),
        (server(initialized=False), "initialised", ERROR, "not initialised"),
        (server(sealed=True), "unsealed", ERROR, "sealed"),
        (server(standby=True), "active", WARNING, "standby"),
        (replace(VAULT, token=REFUSED), "token", ERROR, "permission denied"),
        (replace(VAULT, token=AWAY), "token", UNSEEN, "no answer"),
        (replace(VAULT, token=MISSING), "namespace", ERROR, "not found"),
        (token(policies=("default",)), "policies", ERROR, "lacks interlock"),
        (token(policies=("default", "interlock", "more")), "policies", WARNING, "has more besides"),
        (token(policies=("interlock", "root")), "policies", ERROR, "has root besides"),
        (token(ttl=SHORT), "ttl", WARNING, "540 s; at least 600"),
        (token(BY_TOKEN, ttl=SHORT), "ttl", ERROR, "540 s; at least 600"),
        (token(ttl=None), "ttl", WARNING, "never ends"),
        (token(BY_TOKEN, renewable=False), "renewable", WARNING, "can't be renewed"),
        (token(orphan=False), "orphan", WARNING, "ends with the token that made it"),
        (rights(f"transit/sign/{KEY}", "deny"), "rights-missing", ERROR, f"update on transit/sign/{KEY}"),
        (replace(VAULT, rights=REFUSED), "rights-missing", UNSEEN, "permission denied"),
        (rights(SECRET, "read"), "rights-excessive", ERROR, f"read on {SECRET}"),
        (
            rights(f"transit/sign/{KEY}", "update", "sudo"),
            "rights-excessive",
            ERROR,
            f"sudo on transit/sign/{KEY}",
        ),
        (rights("sys/seal", "root"), "rights-excessive", ERROR, "on sys/seal"),
        (server(dr_secondary=True), "active", ERROR, "disaster recovery secondary"),
        (
            granted("secret/data/payments/*", "read"),
            "rights-elsewhere",
            ERROR,
            "read on secret/data/payments/*",
        ),
        (granted("*", "root"), "rights-elsewhere", ERROR, "root on *"),
        (
            replace(VAULT, granted=REFUSED),
            "rights-elsewhere",
            ("not-checked", "warning"),
            "permission denied",
        ),
        (replace(VAULT, rights=AWAY), "rights-excessive", UNSEEN, "no answer"),
        (secret(MISSING), "secret", ERROR, "not found"),
        (secret(REFUSED), "secret", ERROR, "permission denied"),
        (secret(AWAY), "secret", UNSEEN, "no answer"),
        (secret(("user",)), "secret", ERROR, "no key api_key"),
        (replace(VAULT, key_type=MISSING), "transit-key", ERROR, "not found"),
        (replace(VAULT, key_type="rsa-2048"), "transit-key", ERROR, "its type is rsa-2048"),
        (replace(VAULT, key_type=AWAY), "transit-key", UNSEEN, "no answer"),
        (replace(VAULT, audit=()), "audit", ERROR, "none is enabled"),
        (replace(VAULT, audit=REFUSED), "audit", UNSEEN, "permission denied"),
        (replace(VAULT, audit=None), "audit", ("not-checked", "note"), "asks nobody"),
    ],
)
def test_each_thing_that_is_wrong_is_told(
    facts: VaultFacts, code: str, expected: tuple[str, str], said: str
) -> None:
    found = of(judged(facts), f"vault.{code}")
    assert told(found) == expected
    assert said in found.said
    assert found.fix
    assert found.where == "interlock_vault, http://127.0.0.1:8200"


def test_root_lacks_nothing_and_has_too_much() -> None:
    checks = judged(rights(f"transit/sign/{KEY}", "root"))
    assert of(checks, "vault.rights-missing").status == "ok"
    assert (
        f"create, delete, list, read, root on transit/sign/{KEY}" in of(checks, "vault.rights-excessive").said
    )


def test_an_approles_token_need_not_be_renewable() -> None:
    assert of(judged(token(renewable=False)), "vault.renewable").status == "ok"


def test_the_namespace_is_named_where_there_is_one() -> None:
    facts = replace(VAULT, namespace="team", token=MISSING)
    assert of(judged(facts), "vault.namespace").where.endswith(", namespace team")


@pytest.mark.parametrize(
    "facts", [server(sealed=True), server(initialized=False), replace(VAULT, token=REFUSED)]
)
def test_a_vault_that_cant_be_asked_is_asked_nothing_more(facts: VaultFacts) -> None:
    checks = judged(facts)
    assert checks[-1].blocks
    assert not [check for check in checks if check.code in ("vault.secret", "vault.rights-missing")]


@pytest.mark.parametrize(
    ("path", "capabilities", "expected"),
    [
        ("secret/metadata/interlock/*", {"read"}, True),
        ("secret/metadata/interlock/a/*", {"read"}, True),
        ("secret/metadata/interlock/a", {"read", "delete"}, False),
        ("secret/metadata/*", {"read"}, False),
        ("secret/data/payments/*", {"deny"}, True),
        ("database/creds/admin", {"read"}, False),
        ("s*", {"list"}, False),
        ("sys/wrapping/wrap", {"update"}, True),
    ],
)
def test_what_no_train_needs_is_found_among_a_tokens_policies(
    path: str, capabilities: set[str], expected: bool
) -> None:
    needs = {"secret/metadata/interlock/doctor": frozenset({"read", "list"})}
    facts = replace(VAULT, rights=needs, granted={path: frozenset(capabilities)})
    found = of(list(judge_vault(facts, expectations().vault, needs, ())), "vault.rights-elsewhere")
    assert (found.status == "ok") is expected


def test_a_policys_rights_are_read_with_the_connections_mounts() -> None:
    text = (
        'path "transit/sign/k" {\n  capabilities = ["update"]\n}\n# no rule\n'
        'path "secret/metadata/interlock/*" {\n  capabilities = ["read", "list"]\n}\n'
    )
    assert rules(text, Mounts(transit="t", secret="kv")) == {
        "t/sign/k": {"update"},
        "kv/metadata/interlock/doctor": {"read", "list"},
    }


def test_values_and_the_other_roles_key_are_off_limits() -> None:
    found = off_limits(Mounts(), KEY, "log-key", ("a/b",))
    assert {"secret/data/a/b", "transit/sign/log-key", "sys/audit", "auth/token/create"} <= set(found)

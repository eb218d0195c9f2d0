"""What an environment check sees of a real Vault, in order and not."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from interlock.clients.vault import VaultSettings
from interlock.clients.vault_look import look_at_vault
from interlock.environment.check import Check, Unseen
from interlock.environment.expectations import VaultEntry
from interlock.environment.vault import judge_vault
from interlock.environment.vault_facts import Token, VaultFacts
from interlock.environment.vault_policy import off_limits, rules
from interlock.project import include
from tests.clients.real_parts import KEY, LOG_KEY, RunningVault, running_vault
from tests.clients.small_server import Handler, serving
from tests.clients.vault_pair import running_pair

SECRET = "interlock/service-a"
DEPLOY = include() / "deploy" / "vault"
WORKERS, AUDITOR = (DEPLOY / f"{name}.hcl" for name in ("interlock", "interlock-audit"))
NEEDS = rules(WORKERS.read_text(), VaultSettings("").mounts)
LIMITS = off_limits(VaultSettings("").mounts, KEY, LOG_KEY, (SECRET,))


def role(vault: RunningVault, name: str, *policies: str, **more: Any) -> VaultSettings:
    """The settings of a new role with policies, given by their text."""
    names = []
    for n, text in enumerate(policies):
        names.append(f"{name}-{n}" if n else name)
        vault.root.sys.create_or_update_policy(names[-1], text)
    vault.root.auth.approle.create_or_update_approle(
        name, token_policies=names, **{"token_ttl": "1h", **more}
    )
    return vault.settings(name, 30.0)


@pytest.fixture
def workers(vault: RunningVault) -> VaultSettings:
    vault.root.secrets.kv.v2.create_or_update_secret(SECRET, secret={"api_key": "a value nobody sees"})
    return role(vault, "interlock", WORKERS.read_text())


def look(settings: VaultSettings, auditor: VaultSettings | None = None) -> VaultFacts:
    paths = [*NEEDS, *LIMITS]
    return look_at_vault("vault", settings, key=KEY, paths=paths, secrets=[SECRET], auditor=auditor)


def wrong(facts: VaultFacts) -> dict[str, Check]:
    """What isn't in order, by its code."""
    wanted = VaultEntry(secrets={SECRET: ["api_key"]})
    checks = list(judge_vault(facts, wanted, NEEDS, LIMITS))
    return {check.code.removeprefix("vault."): check for check in checks if check.status != "ok"}


def test_with_the_shipped_policies_only_what_is_not_asked_for_is_open(
    vault: RunningVault, workers: VaultSettings
) -> None:
    facts = look(workers)
    assert list(wrong(facts)) == ["audit"]
    assert isinstance(facts.token, Token)
    assert facts.token.policies == ("default", "interlock")
    assert timedelta(minutes=59) < (facts.token.ttl or timedelta()) <= timedelta(hours=1)
    assert facts.secrets == {SECRET: ("api_key",)}
    assert facts.method == "approle"
    assert "nobody sees" not in repr(facts)


def test_the_workers_role_may_not_see_the_audit_devices_and_the_auditors_may(
    vault: RunningVault, workers: VaultSettings
) -> None:
    refused = wrong(look(workers, workers))["audit"]
    assert (refused.status, refused.severity) == ("not-checked", "error")
    auditor = role(vault, "interlock-audit", AUDITOR.read_text())
    none = wrong(look(workers, auditor))["audit"]
    assert (none.status, none.said) == ("finding", "none is enabled: nobody can say who read what")


def test_an_audit_device_that_is_enabled_is_seen(tmp_path: Path) -> None:
    file = tmp_path / "audit.log"
    device = {"file": {"to-file": {"description": "all", "options": {"file_path": str(file)}}}}
    (tmp_path / "bao.json").write_text(json.dumps({"audit": [device]}))
    with running_vault(tmp_path, f"-config={tmp_path / 'bao.json'}") as vault:
        workers = role(vault, "interlock", WORKERS.read_text())
        auditor = role(vault, "interlock-audit", AUDITOR.read_text())
        facts = look(workers, auditor)
    assert facts.audit == ("to-file/",)
    assert list(wrong(facts)) == ["secret"]


@pytest.mark.parametrize(
    ("lost", "codes", "said"),
    [
        (f"transit/sign/{KEY}", ["rights-missing", "audit"], f"update on transit/sign/{KEY}"),
        (f"transit/keys/{KEY}", ["rights-missing", "transit-key", "audit"], f"read on transit/keys/{KEY}"),
        ("secret/subkeys/interlock/*", ["rights-missing", "secret", "audit"], "read on secret/subkeys"),
    ],
)
def test_a_right_that_is_lost_is_missed(
    vault: RunningVault, workers: VaultSettings, lost: str, codes: list[str], said: str
) -> None:
    assert lost in WORKERS.read_text()
    found = wrong(look(role(vault, "interlock", WORKERS.read_text().replace(lost, "sys/elsewhere"))))
    assert list(found) == codes
    assert said in found["rights-missing"].said


@pytest.mark.parametrize(
    ("path", "capabilities", "said"),
    [
        ("secret/data/*", '"read"', f"read on secret/data/{SECRET}"),
        ("secret/metadata/*", '"list"', "list on secret/metadata/not-interlocks"),
        (f"transit/sign/{LOG_KEY}", '"update"', f"update on transit/sign/{LOG_KEY}"),
        (f"transit/keys/{KEY}", '"read", "update"', f"update on transit/keys/{KEY}"),
        ("sys/policies/acl/*", '"update"', "update on sys/policies/acl/interlock"),
        ("auth/token/create", '"update", "sudo"', "sudo, update on auth/token/create"),
    ],
)
def test_a_right_that_is_too_much_is_told(
    vault: RunningVault, workers: VaultSettings, path: str, capabilities: str, said: str
) -> None:
    more = f'path "{path}" {{ capabilities = [{capabilities}] }}'
    found = wrong(look(role(vault, "interlock", WORKERS.read_text(), more)))
    assert (
        {"policies", "rights-excessive", "audit"}
        <= set(found)
        <= {*("policies", "rights-excessive", "rights-elsewhere", "audit")}
    )
    assert said in found["rights-excessive"].said


@pytest.mark.parametrize("path", ["secret/data/payments/*", "legacy/one", "*"])
def test_a_right_where_nobody_would_ask_is_told(
    vault: RunningVault, workers: VaultSettings, path: str
) -> None:
    more = f'path "{path}" {{ capabilities = ["list"] }}'
    found = wrong(look(role(vault, "interlock", WORKERS.read_text(), more)))
    assert f"list on {path}" in found["rights-elsewhere"].said
    assert found["rights-elsewhere"].blocks


def test_a_role_without_the_default_policy_can_not_be_seen_whole(
    vault: RunningVault, workers: VaultSettings
) -> None:
    found = wrong(look(role(vault, "interlock", WORKERS.read_text(), token_no_default_policy=True)))
    assert {found[name].status for name in ("rights-missing", "rights-elsewhere")} == {"not-checked"}


def test_a_standby_passes_requests_on_and_is_told(tmp_path: Path) -> None:
    with running_pair(tmp_path) as (active, standby):
        workers = role(active, "interlock", WORKERS.read_text())
        active.root.secrets.kv.v2.create_or_update_secret(SECRET, secret={"api_key": "x"})
        found = wrong(look(replace(workers, address=standby)))
        assert list(found) == ["active", "audit"]
        assert (found["active"].severity, found["active"].said[:15]) == ("warning", "it is a standby")
        assert list(wrong(look(workers))) == ["audit"]


def test_a_root_token_is_too_much(vault: RunningVault, workers: VaultSettings) -> None:
    found = wrong(look(VaultSettings(vault.address, token="root", timeout=30.0)))
    assert found["policies"].said == "it lacks interlock; it has root besides"
    assert found["ttl"].said == "it never ends"
    assert "sys/seal" in found["rights-excessive"].said


def test_a_token_that_ends_with_another_is_told(vault: RunningVault, workers: VaultSettings) -> None:
    made = vault.root.auth.token.create(policies=["interlock"], ttl="5m", renewable=False)
    token = replace(workers, role_id=None, secret_id=None, token=made["auth"]["client_token"])
    found = wrong(look(token))
    assert set(found) == {"ttl", "renewable", "orphan", "audit"}
    assert found["ttl"].severity == "error"


def test_a_token_that_has_ended_is_refused(vault: RunningVault, workers: VaultSettings) -> None:
    made = vault.root.auth.token.create(policies=["interlock"], ttl="1h")["auth"]["client_token"]
    vault.root.auth.token.revoke(made)
    facts = look(replace(workers, role_id=None, secret_id=None, token=made))
    assert list(wrong(facts)) == ["token"]
    assert "refused" in wrong(facts)["token"].said
    assert made not in repr(facts)


def test_a_secret_id_that_is_wrong_is_refused(vault: RunningVault, workers: VaultSettings) -> None:
    found = wrong(look(replace(workers, secret_id="00000000-0000-0000-0000-000000000000")))
    assert list(found) == ["token"]
    assert "secret_id" in found["token"].fix


def test_a_namespace_that_is_not_there_is_told(vault: RunningVault, workers: VaultSettings) -> None:
    found = wrong(look(replace(workers, namespace="nowhere")))
    assert list(found) == ["namespace"]
    assert found["namespace"].what == "namespace nowhere"


def test_a_namespace_without_the_role_is_told(vault: RunningVault, workers: VaultSettings) -> None:
    vault.root.write("sys/namespaces/elsewhere")
    (check,) = wrong(look(replace(workers, namespace="elsewhere"))).values()
    assert check.blocks
    assert check.where.endswith("namespace elsewhere")


def test_a_sealed_vault_is_told_and_asked_no_more(vault: RunningVault, workers: VaultSettings) -> None:
    vault.seal()
    facts = look(workers)
    assert list(wrong(facts)) == ["unsealed"]
    assert facts.token == Unseen("Vault can't be asked")
    assert isinstance(facts.rights, Unseen)


def test_a_vault_that_is_away_is_not_checked() -> None:
    (check,) = wrong(look(VaultSettings("http://127.0.0.1:1", token="t", timeout=1.0))).values()
    assert (check.code, check.status, check.blocks) == ("vault.reachable", "not-checked", True)


def test_a_secret_that_is_not_there_is_told(vault: RunningVault, workers: VaultSettings) -> None:
    vault.root.secrets.kv.v2.delete_metadata_and_all_versions(SECRET)
    found = wrong(look(workers))["secret"]
    assert (found.status, found.what) == ("finding", f"secret/{SECRET}")


@contextmanager
def answering(status: int, health: dict[str, object]) -> Iterator[str]:
    """A server that answers `sys/health` as a node that one process alone can't be, and refuses the rest."""

    class Node(Handler):
        def do_GET(self) -> None:
            known = self.path.startswith("/v1/sys/health")
            body = json.dumps(health if known else {"errors": ["permission denied"]})
            self.send(status if known else 403, body, content_type="application/json")

    with serving(Node) as address:
        yield address


@pytest.mark.parametrize(
    ("status", "health", "codes"),
    [
        (429, {"initialized": True, "sealed": False, "standby": True}, ["active", "token"]),
        (473, {"initialized": True, "sealed": False, "standby": True}, ["active", "token"]),
        (
            472,
            {"initialized": True, "sealed": False, "standby": False, "replication_dr_mode": "secondary"},
            ["active"],
        ),
        (501, {"initialized": False, "sealed": True, "standby": True}, ["initialised"]),
        (503, {"initialized": True, "sealed": True, "standby": True}, ["unsealed"]),
        (404, {"errors": []}, ["reachable"]),
    ],
)
def test_each_state_that_vault_documents_is_read(
    status: int, health: dict[str, object], codes: list[str]
) -> None:
    with answering(status, {**health, "version": "1.20.4"}) as address:
        found = wrong(look(VaultSettings(address, token="t", timeout=10.0)))
    assert list(found) == codes

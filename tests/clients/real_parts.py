"""Start and end a real Vault (OpenBao) and a real S3 store with Object Lock (SeaweedFS) for tests.

Both listen on free loopback ports, keep nothing, and are ended with their whole process group.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import hvac
import pytest
import requests
from botocore.config import Config

from interlock.clients.vault import VaultSettings

BIN = Path(sys.executable).parent
KEY = "interlock-statements"
LOG_KEY = "interlock-checkpoints"
ACCESS, SECRET = "interlock-tests", "interlock-tests-secret"
"""The store's administrator, who may do everything."""
WRITER, AUDITOR, UNBOUND = "interlock-writer", "interlock-auditor", "interlock-unbound"
"""Access keys of those with only the policies of include/deploy/s3; their secrets are `secret_of(key)`.

UNBOUND is a writer whose policy lacks what is denied there: it may delete and bypass."""
DEPLOY = Path(__file__).parents[2] / "include" / "deploy" / "s3"


def free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    try:
        for s in sockets:
            s.bind(("127.0.0.1", 0))
        return [s.getsockname()[1] for s in sockets]
    finally:
        for s in sockets:
            s.close()


def until(what: str, ready: Callable[[], bool], process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if process.poll() is not None:
            break
        if ready():
            return
        time.sleep(0.1)
    pytest.fail(f"{what} did not start:\n{log.read_text(errors='replace')[-3000:]}")


def end_group(process: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(1)
        os.killpg(process.pid, signal.SIGKILL)
    process.wait(5)


@dataclass(frozen=True)
class RunningVault:
    address: str
    unseal_key: str
    root: Any

    def seal(self) -> None:
        self.root.sys.seal()

    def unseal(self) -> None:
        self.root.sys.submit_unseal_key(self.unseal_key)

    def settings(self, role: str, timeout: float) -> VaultSettings:
        """Of one of the roles, `worker` and `log`."""
        approle = self.root.auth.approle
        role_id = approle.read_role_id(role)["data"]["role_id"]
        secret_id = approle.generate_secret_id(role)["data"]["secret_id"]
        return VaultSettings(self.address, role_id=role_id, secret_id=secret_id, timeout=timeout)


@contextlib.contextmanager
def running_vault(folder: Path, *more: str) -> Iterator[RunningVault]:
    (port,) = free_ports(1)
    address = f"http://127.0.0.1:{port}"
    log = folder / "log"
    with log.open("wb") as out:
        process = subprocess.Popen(
            [
                *(BIN / "bao", "server", "-dev", "-dev-no-store-token", "-dev-root-token-id=root"),
                f"-dev-listen-address=127.0.0.1:{port}",
                *more,
            ],
            stdout=out,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        until("bao", lambda: "Unseal Key: " in log.read_text() and listening(port), process, log)
        root = hvac.Client(url=address, token="root", timeout=10)
        prepare_vault(root)
        yield RunningVault(address, log.read_text().split("Unseal Key: ")[1].split()[0], root)
        root.adapter.close()
    finally:
        end_group(process)


def listening(port: int) -> bool:
    with socket.socket() as s:
        return s.connect_ex(("127.0.0.1", port)) == 0


def prepare_vault(root: Any) -> None:
    root.sys.enable_secrets_engine("transit")
    for key in (KEY, LOG_KEY):
        root.secrets.transit.create_key(key, key_type="ed25519")
    root.sys.enable_secrets_engine("kv", path="legacy", options={"version": "1"})
    root.sys.create_or_update_policy(
        "worker",
        f'path "transit/sign/{KEY}" {{ capabilities = ["update"] }}\n'
        f'path "transit/keys/{KEY}" {{ capabilities = ["read"] }}\n'
        'path "secret/subkeys/*" { capabilities = ["read"] }\n'
        'path "secret/metadata/*" { capabilities = ["read"] }\n'
        'path "legacy/*" { capabilities = ["read"] }\n',
    )
    root.sys.create_or_update_policy(
        "log",
        f'path "transit/sign/{LOG_KEY}" {{ capabilities = ["update"] }}\n'
        f'path "transit/keys/{LOG_KEY}" {{ capabilities = ["read"] }}\n',
    )
    root.sys.enable_auth_method("approle")
    for role in ("worker", "log"):
        root.auth.approle.create_or_update_approle(role, token_policies=[role], token_ttl="1h")


class RunningS3:
    """A store's process, which can be killed and started again on its data.

    Its bucket `evidence` has Object Lock and a default retention, `plain` has not.
    """

    def __init__(self, folder: Path, *, volume_megabytes: int = 16) -> None:
        """Nothing is started; each of its volumes, of which there are 64, takes so much."""
        (folder / "data").mkdir()
        (folder / "s3.json").write_text(json.dumps(identities()))
        names = ("master.port", "volume.port", "filer.port", "s3.port")
        ports = dict(zip([*names, *(f"{n}.grpc" for n in names)], free_ports(8), strict=True))
        self.endpoint = f"http://127.0.0.1:{ports['s3.port']}"
        self._log = folder / "log"
        self._command = [
            *(str(BIN / "weed"), "server", "-ip=127.0.0.1", "-ip.bind=127.0.0.1", f"-dir={folder / 'data'}"),
            *("-s3", f"-s3.config={folder / 's3.json'}", "-s3.ip.bind=127.0.0.1"),
            *("-s3.port.iceberg=0", "-s3.port.lance=0"),
            *(f"-master.volumeSizeLimitMB={volume_megabytes}", "-volume.max=64", "-master.telemetry=false"),
            *(f"-{name}={port}" for name, port in ports.items()),
        ]

    def start(self) -> None:
        """Start it; it may not answer yet when this returns."""
        with self._log.open("ab") as out:
            self._process = subprocess.Popen(
                self._command, stdout=out, stderr=subprocess.STDOUT, start_new_session=True
            )

    def make_buckets(self) -> None:
        """Wait until it answers, and make the buckets."""
        until("weed", lambda: answers(self.endpoint), self._process, self._log)
        with contextlib.closing(s3_client(self.endpoint)) as client:
            client.create_bucket(Bucket="evidence", ObjectLockEnabledForBucket=True)
            lock = json.loads((DEPLOY / "object-lock.json").read_text())
            client.put_object_lock_configuration(Bucket="evidence", ObjectLockConfiguration=lock)
            client.create_bucket(Bucket="plain")
        self.wait()

    def wait(self) -> None:
        """Wait until both buckets can be written."""
        with contextlib.closing(s3_client(self.endpoint)) as client:
            until("a writable volume", lambda: writable(client), self._process, self._log)

    def kill(self) -> None:
        """End it without a word, with its whole process group."""
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait(5)

    def end(self) -> None:
        """End it."""
        end_group(self._process)


@contextlib.contextmanager
def running_s3(folder: Path) -> Iterator[str]:
    """Run a store with its buckets; give its endpoint."""
    store = RunningS3(folder)
    store.start()
    try:
        store.make_buckets()
        yield store.endpoint
    finally:
        store.end()


def identities() -> dict[str, Any]:
    """The administrator, the writer and the auditor, as SeaweedFS is told of them."""
    actions = ["Admin", "Read", "Write", "List", "PutObjectRetention", "GetObjectRetention"]
    admin = {
        "name": "tests",
        "credentials": [{"accessKey": ACCESS, "secretKey": SECRET}],
        "actions": actions,
    }
    policies = {WRITER: policy("writer-policy.json"), AUDITOR: policy("auditor-policy.json")}
    unbound = json.loads(policies[WRITER])
    for statement in unbound["Statement"]:
        statement["Effect"] = "Allow"
    policies[UNBOUND] = json.dumps(unbound)
    limited = [
        {
            "name": name,
            "credentials": [{"accessKey": name, "secretKey": secret_of(name)}],
            "actions": [],
            "policyNames": [name],
        }
        for name in policies
    ]
    return {
        "identities": [admin, *limited],
        "policies": [{"name": name, "content": content} for name, content in policies.items()],
    }


def policy(file: str) -> str:
    """A policy of include/deploy/s3, for all buckets of the tests."""
    return (DEPLOY / file).read_text().replace("BUCKET", "*")


def secret_of(access_key: str) -> str:
    return f"{access_key}-secret"


def answers(endpoint: str) -> bool:
    try:
        return requests.get(endpoint, timeout=1).status_code in (200, 403)
    except requests.RequestException:
        return False


def writable(client: Any) -> bool:
    try:
        for bucket in ("evidence", "plain"):
            client.put_object(Bucket=bucket, Key="ready", Body=b"")
    except Exception:
        return False
    return True


def empty(client: Any, bucket: str, *prefixes: str) -> None:
    """Take out all versions of the log, as only the administrator may who bypasses the governance.

    What other tests locked in COMPLIANCE mode, nobody can take out.
    """
    pages = client.get_paginator("list_object_versions")
    for prefix in prefixes or ("log/", "evidence/", "keys/"):
        for page in pages.paginate(Bucket=bucket, Prefix=prefix):
            found = [
                {"Key": one["Key"], "VersionId": one["VersionId"]}
                for kind in ("Versions", "DeleteMarkers")
                for one in page.get(kind, ())
            ]
            for at in range(0, len(found), 1000):
                some = {"Objects": found[at : at + 1000], "Quiet": True}
                answer = client.delete_objects(Bucket=bucket, Delete=some, BypassGovernanceRetention=True)
                assert not answer.get("Errors"), answer["Errors"][:3]


def s3_client(endpoint: str) -> Any:
    return boto3.client(
        "s3",
        endpoint_url=endpoint,
        region_name="us-east-1",
        aws_access_key_id=ACCESS,
        aws_secret_access_key=SECRET,
        config=Config(s3={"addressing_style": "path"}),
    )

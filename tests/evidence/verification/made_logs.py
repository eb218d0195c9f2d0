"""Logs made in memory, whole and tampered with: the bucket as a dictionary of versions, and who writes it.

Derived objects come from `made_trees`, not from the package.
"""

from __future__ import annotations

import base64
import copy
import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any, Self

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from made_trees import derived, hashed, tree_hash

from interlock.evidence.envelope import Envelope, key_id, pae
from interlock.evidence.log.note import VerifierKey
from interlock.evidence.predicates import BASE
from interlock.evidence.redaction import rfc3339
from interlock.evidence.statement import STATEMENT_TYPE, Run, attest_late, canonical, make_statement, sha256
from interlock.evidence.verification.report import Report
from interlock.evidence.verification.source import ObjectMissing, ObjectTooLarge, Retention, Version
from interlock.evidence.verification.trust import Trust
from interlock.evidence.verification.verify import Options, verify

NAME = "interlock/tests"
BEGAN = datetime(2026, 3, 1, tzinfo=UTC)
NOW = datetime(2026, 6, 1, tzinfo=UTC)
KEEP = timedelta(days=1095)


@dataclass
class Stored:
    version: Version
    body: bytes
    lock: Retention | None


@dataclass
class Bucket:
    """A source whose versions can be changed at will."""

    name: str = "bucket tests"
    knows_versions: bool = True
    live: bool = True
    taken_at: datetime | None = None
    stored: dict[str, list[Stored]] = field(default_factory=dict)
    reads: int = 0
    ids: int = 0

    def put(
        self, key: str, body: bytes, at: datetime, *, keep: timedelta = KEEP, mode: str = "GOVERNANCE"
    ) -> None:
        self.ids += 1
        for one in self.stored.get(key, ()):
            one.version = replace(one.version, latest=False)
        version = Version(key, f"v{self.ids}", True, False, len(body), at)
        self.stored.setdefault(key, []).insert(0, Stored(version, body, Retention(mode, at + keep)))

    def marker(self, key: str, at: datetime) -> None:
        self.put(key, b"", at)
        found = self.stored[key][0]
        found.version = replace(found.version, marker=True)

    def change(self, key: str, body: bytes) -> None:
        """Other bytes under the same version, as whoever runs the store could."""
        found = self.stored[key][-1]
        found.body, found.version = body, replace(found.version, size=len(body))

    def remove(self, key: str) -> None:
        del self.stored[key]

    def get(self, key: str) -> bytes:
        return self.stored[key][0].body

    def keys(self, prefix: str) -> list[str]:
        return sorted(key for key in self.stored if key.startswith(prefix))

    def copy(self) -> Self:
        """Another bucket with the same versions."""
        stored = {
            key: [Stored(one.version, one.body, one.lock) for one in several]
            for key, several in self.stored.items()
        }
        return replace(self, stored=stored)

    # Source

    def versions(self, prefix: str, after: str = "") -> Iterator[Version]:
        for key in self.keys(prefix):
            if key > after:
                yield from (one.version for one in self.stored[key])

    def read(self, key: str, limit: int, version_id: str | None = None) -> bytes:
        self.reads += 1
        for one in self.stored.get(key, ()):
            if version_id in (None, "", one.version.version_id):
                if one.version.marker:
                    break
                if len(one.body) > limit:
                    raise ObjectTooLarge(f"{key} has {len(one.body)} bytes; at most {limit} belong there")
                return one.body
        raise ObjectMissing(f"{key} is not there")

    def several(self, ask: Callable[[Any], Any], items: Iterable[Any]) -> Iterator[Any]:
        return map(ask, items)

    def retention(self, key: str, version_id: str) -> Retention | None:
        return next(one.lock for one in self.stored[key] if one.version.version_id == version_id)


_signed: dict[tuple[object, ...], str] = {}


class Remembering(Trust):
    """Trust that checks the same signature once: many tests verify copies of one log."""

    def signed(self, keyid: str, signature: bytes, message: bytes) -> str:
        asked = (*sorted(self.statements), keyid, signature, message)
        if asked not in _signed:
            _signed[asked] = super().signed(keyid, signature, message)
        return _signed[asked]


@cache
def _pattern(kind: str, run: Run) -> bytes:
    """The payload of a statement about Deployment/0, made when all began: copies of it are cheaply made."""
    return make_statement(kind, run=run, fields={"ref": "Deployment/0"}, at=BEGAN).payload


class Signer:
    """An ed25519 key with its verifier key."""

    def __init__(self, name: str) -> None:
        self.private = Ed25519PrivateKey.generate()
        public = self.private.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
        self.key = VerifierKey(name, public)
        self.dsse = key_id(public)

    def note(self, body: bytes) -> bytes:
        line = base64.b64encode(bytes.fromhex(self.key.keyid) + self.private.sign(body)).decode()
        return body + f"\n— {self.key.name} {line}\n".encode()

    def envelope(self, payload: bytes) -> bytes:
        return Envelope(payload, self.private.sign(pae(payload)), self.dsse).to_json()


class Log:
    """Writes one year's log into a bucket, as the writers do."""

    def __init__(
        self, bucket: Bucket | None = None, year: int = 2026, *, signers: tuple[Signer, Signer] | None = None
    ) -> None:
        self.bucket = bucket or Bucket()
        self.year = year
        self.heads, self.statements = signers or (Signer(NAME), Signer("interlock-statements"))
        self.leaves: list[bytes] = []
        self.numbers = 0
        self.clock = BEGAN.replace(year=year)
        self.published = 0
        self.said = 0

    @property
    def prefix(self) -> str:
        return f"log/{self.year:04d}/"

    @property
    def trust(self) -> Trust:
        return Remembering.of((self.heads.key,), (self.statements.key,))

    def copy(self) -> Self:
        """The same log in a bucket of its own."""
        log = copy.copy(self)
        log.bucket, log.leaves = self.bucket.copy(), list(self.leaves)
        return log

    # Leaves

    def payload(
        self, kind: str = "promote", run: Run | None = None, *, blob: bool = False, **fields: Any
    ) -> bytes:
        self.said += 1
        if not blob and not fields:
            said = _pattern(kind, run or Run("train", "run-1")).replace(b'/0"', b'/%d"' % self.said)
            return said.replace(rfc3339(BEGAN).encode(), rfc3339(self.clock).encode())
        made = make_statement(
            kind,
            run=run or Run("train", "run-1"),
            fields={"ref": f"Deployment/{self.said}", **fields},
            at=self.clock,
            evidence={"writes": [{"ref": str(self.said), "path": "image", "before": "1", "after": "2"}]}
            if blob
            else None,
        )
        if made.evidence is not None:
            key = f"evidence/sha256/{sha256(made.evidence)}"
            if key not in self.bucket.stored:
                self.bucket.put(key, made.evidence, self.clock)
            self.bucket.stored[key][-1].lock = Retention("GOVERNANCE", self.clock + KEEP)
        return made.payload

    def leaf(
        self, kind: str = "promote", run: Run | None = None, *, blob: bool = False, **fields: Any
    ) -> bytes:
        return self.statements.envelope(self.payload(kind, run, blob=blob, **fields))

    def seal(self, run: Run | None = None, *leaves: bytes, **fields: Any) -> bytes:
        """A seal that lists the statements of leaves."""
        digests = sorted(sha256(base64.b64decode(json.loads(leaf)["payload"])) for leaf in leaves)
        said = {"statements": digests, "complete": True, "outcome": "all-new", **fields}
        return self.leaf("seal", run, **said)

    def late(self, run: Run | None = None, *, claimed: timedelta = timedelta(hours=3)) -> bytes:
        self.clock -= claimed
        payload, text = self.payload(run=run), rfc3339(self.clock)
        self.clock += claimed
        made = attest_late(
            payload,
            run_hash=(run or Run("train", "run-1")).hash,
            claimed_at=text,
            shipped_at=self.clock,
            sequence=1,
            previous="0" * 64,
        )
        return self.statements.envelope(made)

    def system(self, kind: str, **body: Any) -> bytes:
        statement = {
            "_type": STATEMENT_TYPE,
            "subject": [{"name": "log", "digest": {"sha256": "0" * 64}}],
            "predicateType": f"{BASE}/{kind}/v1",
            "predicate": {"at": self.clock.isoformat(), **body},
        }
        return self.statements.envelope(canonical(statement))

    # Claims and what is derived of them

    def commit(
        self, *leaves: bytes, closes: bool = False, publish: bool = True, at: datetime | None = None
    ) -> None:
        self.clock += timedelta(seconds=10)
        self.bucket.put(
            f"{self.prefix}seq/{self.numbers:020d}",
            self.claim(self.numbers, leaves, closes=closes, at=at),
            self.clock,
        )
        self.leaves += leaves
        self.numbers += 1
        if publish:
            self.publish()

    def claim(
        self,
        number: int,
        leaves: Iterable[bytes],
        *,
        first: int | None = None,
        root: bytes | None = None,
        closes: bool = False,
        at: datetime | None = None,
    ) -> bytes:
        entries = list(leaves)
        first = len(self.leaves) if first is None else first
        head = {
            "attempt": f"{number:032x}",
            "at": rfc3339(at or self.clock),
            "closes": closes,
            "count": len(entries),
            "first": first,
            "format": 1,
            "number": number,
            "root": base64.b64encode(root if root is not None else self.root(first)).decode(),
        }
        return b"".join(line + b"\n" for line in (canonical(head), *entries))

    def root(self, size: int) -> bytes:
        return tree_hash([hashed(b"\0", leaf) for leaf in self.leaves[:size]])

    def publish(self, *, head: bool = True) -> None:
        size, before = len(self.leaves), self.published
        if size == before:
            return
        for key, body, full in derived(self.leaves, before, size):
            self.bucket.put(self.prefix + key, body, self.clock, keep=KEEP if full else timedelta(days=1))
        note = self.checkpoint(size)
        self.bucket.put(f"{self.prefix}checkpoints/{size:020d}", note, self.clock)
        if head:
            self.bucket.put(f"{self.prefix}checkpoint", note, self.clock, keep=timedelta(days=1))
        self.published = size

    def checkpoint(
        self, size: int, *, root: bytes | None = None, origin: str | None = None, signer: Signer | None = None
    ) -> bytes:
        name = origin or f"{NAME}/{self.year:04d}"
        told = base64.b64encode(self.root(size) if root is None else root).decode()
        return (signer or self.heads).note(f"{name}\n{size}\n{told}\n".encode())

    def next_year(self) -> Log:
        self.commit(self.system("log-closed"), closes=True)
        log = Log(self.bucket, self.year + 1, signers=(self.heads, self.statements))
        log.said = self.said
        log.commit(log.system("log-opened", checkpoint=self.checkpoint(len(self.leaves)).decode()))
        return log

    def verify(self, *, now: datetime | None = None, **options: Any) -> Report:
        return verify(
            self.bucket, self.trust, Options(**options), now=now or self.clock + timedelta(minutes=1)
        )

"""What reading costs: receipts from logs of several sizes, verifying an archive and a bucket's objects."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from benchmarks.breakdown import percentile
from benchmarks.evidence_writers import entry
from interlock.clients.archive import open_archive
from interlock.clients.archive_part import verify_one_receipt
from interlock.clients.object_store import Keep, ObjectStore
from interlock.evidence.envelope import Envelope, key_id, pae
from interlock.evidence.log.checkpoint import Checkpoint
from interlock.evidence.log.claim import MAX_ENTRIES, Claim
from interlock.evidence.log.derive import Edge, advance
from interlock.evidence.log.layout import checkpoint_key, head_key, origin, seq_key, tile_key
from interlock.evidence.log.merkle import Frontier, inclusion_proof, leaf_hash
from interlock.evidence.log.note import VerifierKey, sign_note
from interlock.evidence.log.receipt import Receipt
from interlock.evidence.log.tiles import WIDTH, TileReader, TileRef, tiles_for_inclusion
from interlock.evidence.verification.heads import read_head
from interlock.evidence.verification.source import Source
from interlock.evidence.verification.trust import Trust
from interlock.evidence.verification.verify import Options, verify

NAME = "interlock/benchmark"
RECEIPTS = 20


@dataclass
class Keys:
    """Keys of the benchmark's own, for logs that it makes by itself."""

    statements: Ed25519PrivateKey = field(default_factory=Ed25519PrivateKey.generate)
    heads: Ed25519PrivateKey = field(default_factory=Ed25519PrivateKey.generate)

    def __post_init__(self) -> None:
        public = [key.public_key().public_bytes_raw() for key in (self.heads, self.statements)]
        self.head_key = VerifierKey(NAME, public[0])
        self.trust = Trust.of((self.head_key,), (VerifierKey("statements", public[1]),))
        self._id = key_id(public[1])

    def entry(self, number: int) -> bytes:
        """A signed entry."""
        payload = entry("made", number).payload
        return Envelope(payload, self.statements.sign(pae(payload)), self._id).to_json()

    def note(self, year: int, size: int, root: bytes) -> bytes:
        """A signed head."""
        body = Checkpoint(origin(NAME, year), size, root).body()
        return sign_note(body, [(NAME, self.head_key.keyid, self.heads.sign(body.encode()))])


def receipts(store: ObjectStore, keys: Keys, size: int, year: int, chance: random.Random) -> dict[str, float]:
    """Make and check receipts from a log of this size, whose tiles are in the store."""
    places = sorted(chance.sample(range(size), RECEIPTS))
    entries = {place: keys.entry(place) for place in places}
    hashes = [leaf_hash(entries.get(at) or at.to_bytes(8)) for at in range(size)]
    levels = [hashes]
    while len(levels[-1]) >= WIDTH:
        row = levels[-1]
        whole = range(0, len(row) - len(row) % WIDTH, WIDTH)
        levels.append([Frontier().extend(row[at : at + WIDTH]).root() for at in whole])
    refs = {ref for place in places for ref in tiles_for_inclusion(place, size)}
    for ref in refs:
        row = levels[int(ref.level)][ref.index * WIDTH : ref.index * WIDTH + ref.width]
        store.create(tile_key(year, ref), b"".join(row), keep=Keep.DERIVED)
    note = keys.note(year, size, Frontier().extend(hashes).root())
    made, checked, lengths, asked = [], [], [], []
    for place in places:
        fetched: list[TileRef] = []

        def fetch(ref: TileRef, fetched: list[TileRef] = fetched) -> bytes:
            fetched.append(ref)
            return store.get(tile_key(year, ref))

        before = time.perf_counter()
        proof = inclusion_proof(place, size, TileReader(size, fetch))
        made.append(time.perf_counter() - before)
        text = Receipt(place, tuple(proof), note, entries[place]).encode()
        before = time.perf_counter()
        report = verify_one_receipt(text, "made", keys.trust, None)
        checked.append(time.perf_counter() - before)
        if report.exit:
            raise RuntimeError(f"a receipt doesn't hold: {list(report.findings)}")
        lengths.append(len(text))
        asked.append(len(fetched))
    return {
        "entries": size,
        "bytes": max(lengths),
        "requests": max(asked),
        "proof_ms": 1000 * percentile(made, 0.5),
        "verify_ms": 1000 * percentile(checked, 0.5),
    }


class Archive:
    """A copy of a log in a folder, made with keys of the benchmark's own."""

    def __init__(self, folder: Path, keys: Keys) -> None:
        self._folder, self._keys = folder, keys
        self._year = datetime.now(UTC).year
        self._edge, self._claims = Edge.empty(), 0

    def add(self, count: int) -> None:
        """Append so many entries, in claims that are as large as they may be."""
        size = self._edge.size
        for first in range(size, size + count, MAX_ENTRIES):
            entries = tuple(
                self._keys.entry(at) for at in range(first, min(first + MAX_ENTRIES, size + count))
            )
            now, root = datetime.now(UTC), self._edge.root()
            claim = Claim(self._claims, first, root, f"{self._claims:032x}", now, False, entries)
            self._put(seq_key(self._year, self._claims), claim.encode())
            self._claims += 1
            self._edge, derived = advance(self._edge, entries)
            for one in derived:
                self._put(tile_key(self._year, one.ref), one.body)
            note = self._keys.note(self._year, self._edge.size, self._edge.root())
            self._put(head_key(self._year, self._edge.size), note)
            self._put(checkpoint_key(self._year), note)

    def verify(self, since: int | None = None) -> dict[str, float]:
        """Verify all of it, or what came after a size."""
        head = None
        if since is not None:
            key = head_key(self._year, since)
            head = read_head((self._folder / key).read_bytes(), self._keys.trust, key)
        began, used = time.perf_counter(), time.process_time()
        options = Options(since=head, blobs=False, retention=False)
        report = verify(open_archive(self._folder), self._keys.trust, options, now=datetime.now(UTC))
        if report.findings.bad:
            raise RuntimeError(f"the archive is not verified: {list(report.findings)}")
        return {
            "entries": report.entries,
            "seconds": time.perf_counter() - began,
            "processor": time.process_time() - used,
        }

    def _put(self, key: str, content: bytes) -> None:
        file = self._folder / key
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)


def of_objects(source: Source, trust: Trust) -> dict[str, float]:
    """Milliseconds that verification spends on each blob and on each lock of a bucket."""
    report = verify(source, trust, Options(), now=datetime.now(UTC))
    if report.findings.bad:
        raise RuntimeError(f"the bucket is not verified: {list(report.findings)[:3]}")
    return {
        f"{name}_ms": 1000 * report.seconds[name] / max(report.counts[name], 1) for name in ("blobs", "locks")
    }


def one_core(keys: Keys, entries: Sequence[bytes]) -> dict[str, float]:
    """What one core does in a second, of entries like these: leaf hashes, and signatures checked and made."""
    public, body = keys.statements.public_key(), entries[0]
    signature = keys.statements.sign(body)
    acts: dict[str, Callable[[], object]] = {
        "leaf_hashes": lambda: leaf_hash(body),
        "signatures_checked": lambda: public.verify(signature, body),
        "signatures_made": lambda: keys.statements.sign(body),
    }
    found = {}
    for name, act in acts.items():
        count, began, end = 0, time.process_time(), time.process_time() + 0.5
        while time.process_time() < end:
            for _ in range(100):
                act()
            count += 100
        found[name] = count / (time.process_time() - began)
    return found

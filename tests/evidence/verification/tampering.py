"""Kinds of tampering with a bucket, each with the code and the first bad entry that it must lead to."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import cache
from typing import Any

from made_logs import KEEP, Log, Signer
from made_trees import derived, hashed

from interlock.evidence.verification.locks import Wanted
from interlock.evidence.verification.source import Retention
from interlock.evidence.verification.verify import Witness

BATCHES = (1, 3, 250, 10, 300, 36)  # claims begin at 0, 1, 4, 254, 264, 564; 600 entries
CLAIM_AT = (0, 1, 4, 254, 264, 564)
OTHER = Signer("interlock/tests")


@cache
def clean() -> Log:
    log = Log()
    for size in BATCHES:
        log.commit(*[log.leaf(blob=at % 50 == 0) for at in range(size)])
    return log


def fresh() -> Log:
    """A clean log of 600 entries, to be tampered with."""
    return clean().copy()


@cache
def _small() -> Log:
    log = Log()
    for size in (1, 3, 250, 10, 26):
        log.commit(*[log.leaf(blob=at % 50 == 0) for at in range(size)])
    return log


def small() -> Log:
    """A clean log of 290 entries: full and partial tiles of both levels."""
    return _small().copy()


def seq(number: int) -> str:
    return f"log/2026/seq/{number:020d}"


def reclaim(log: Log, number: int, leaves: list[bytes], **more: Any) -> None:
    """Put other entries into a claim, its header made to fit."""
    log.bucket.change(seq(number), log.claim(number, leaves, first=CLAIM_AT[number], **more))


def entries(log: Log, number: int) -> list[bytes]:
    end = [*CLAIM_AT, 600][number + 1]
    return log.leaves[CLAIM_AT[number] : end]


def flip(body: bytes, at: int) -> bytes:
    return body[:at] + bytes([body[at] ^ 1]) + body[at + 1 :]


def missigned(note: bytes) -> bytes:
    """A note with one bit of its signature flipped."""
    text, _, signature = note.rstrip(b"\n").rpartition(b" ")
    return text + b" " + base64.b64encode(flip(base64.b64decode(signature), -10)) + b"\n"


def change_entry(
    log: Log,
    index: int,
    leaf: bytes | None = None,
    *,
    claims: bool = True,
    bundles: bool = False,
    tiles: bool = False,
) -> None:
    """Alter one entry in the claims, the bundles, the tiles, or all of them."""
    before = list(log.leaves)
    log.leaves[index] = leaf or log.leaf(reason="another")
    if claims:
        number = max(n for n, first in enumerate(CLAIM_AT) if first <= index)
        root = log.root  # the header keeps the root of the tree as it was
        log.root = lambda size: Log.root(clean(), size)  # type: ignore[method-assign]
        reclaim(log, number, entries(log, number))
        log.root = root  # type: ignore[method-assign]
    for key, body, _ in derived(log.leaves, 0, 600):
        entry = "/entries/" in key
        if (entry and bundles) or (not entry and tiles):
            log.bucket.change(log.prefix + key, body)
    if not bundles and not tiles and not claims:
        log.leaves = before


def rewrite(log: Log, index: int, signer: Signer) -> None:
    """Make another history from an entry on, consistent in itself."""
    leaves = [log.leaf(reason="rewritten") if at == index else leaf for at, leaf in enumerate(log.leaves)]
    bucket = log.bucket
    made = Log(signers=(signer, log.statements))
    at = 0
    for size in BATCHES:
        made.commit(*leaves[at : at + size])
        at += size
    for key in bucket.keys("log/"):
        for old, new in zip(bucket.stored[key], made.bucket.stored[key], strict=True):
            old.body = new.body
    log.leaves = leaves


def rewind(log: Log, claims: int, *, tiles: bool = True) -> None:
    """Take the last claims away, with all that was derived of them."""
    size = CLAIM_AT[6 - claims]
    kept = {
        log.prefix + key
        for at in (*CLAIM_AT[1 : 7 - claims], size)
        for key, _, _ in derived(log.leaves, 0, at)
    }
    for key in log.bucket.keys("log/"):
        number = key.rpartition("/")[2]
        gone = ("/seq/" in key and int(number) >= 6 - claims) or (
            "/checkpoints/" in key and int(number) > size
        )
        if gone or ("/tile/" in key and tiles and key not in kept):
            log.bucket.remove(key)
    log.bucket.stored[f"{log.prefix}checkpoint"] = [
        one for one in log.bucket.stored[f"{log.prefix}checkpoint"] if f"\n{size}\n" in one.body.decode()
    ]


def swap(log: Log) -> None:
    one = entries(log, 2)
    one[10], one[20] = one[20], one[10]
    reclaim(log, 2, one)


def swap_between(log: Log) -> None:
    one, two = entries(log, 2), entries(log, 4)
    one[100], two[0] = two[0], one[100]
    reclaim(log, 2, one)
    reclaim(log, 4, two)


def lock(log: Log, key: str, **change: Any) -> None:
    found = log.bucket.stored[key][-1]
    found.lock = replace(found.lock, **change) if change and found.lock else None


def blob(log: Log) -> str:
    return log.bucket.keys("evidence/")[0]


def blob_entry(log: Log) -> int:
    """The entry that names the blob."""
    digest = blob(log).rpartition("/")[2]
    for index, leaf in enumerate(log.leaves):
        if digest.encode() in base64.b64decode(json.loads(leaf)["payload"]):
            return index
    raise AssertionError


def head(log: Log, body: bytes, size: int = 600) -> None:
    log.bucket.change(f"log/2026/checkpoints/{size:020d}", body)


def older_head(log: Log) -> None:
    log.bucket.put("log/2026/checkpoint", log.checkpoint(254), log.clock, keep=timedelta(days=1))


def no_heads(log: Log) -> None:
    for key in log.bucket.keys("log/2026/checkpoint"):
        log.bucket.remove(key)


def again(log: Log, key: str, body: bytes = b"another") -> None:
    log.bucket.put(key, body, log.clock)


def remove_claims(log: Log, *numbers: int) -> None:
    for number in numbers:
        log.bucket.remove(seq(number))


def modified(log: Log, number: int, by: timedelta) -> None:
    found = log.bucket.stored[seq(number)][-1]
    assert found.version.modified is not None
    found.version = replace(found.version, modified=found.version.modified + by)
    found.lock = Retention("GOVERNANCE", found.version.modified + KEEP + timedelta(days=40))


@dataclass(frozen=True)
class Case:
    does: str
    tamper: Callable[[Log], object]
    code: str
    first: int | Callable[[Log], int] | None
    options: Callable[[Log], dict[str, Any]] = lambda log: {}


def witness(size: int) -> Callable[[Log], dict[str, Any]]:
    return lambda log: {"witnesses": [Witness(f"head-{n}", clean().checkpoint(n)) for n in ({size, 254})]}


# fmt: off
CLAIMS = [
    Case("a byte of an entry", lambda log: log.bucket.change(seq(2), flip(log.bucket.get(seq(2)), 600)), "entry-altered", 4),
    Case("an entry, signed with a stolen key", lambda log: change_entry(log, 100), "entry-altered", 100),
    Case("the first entry", lambda log: change_entry(log, 0), "entry-altered", 0),
    Case("the last entry", lambda log: change_entry(log, 599), "entry-altered", 599),
    Case("an entry in claim and bundle", lambda log: change_entry(log, 300, bundles=True), "entry-altered", 300),
    Case("an entry everywhere but under the signed heads", lambda log: change_entry(log, 300, bundles=True, tiles=True), "root-mismatch", 264),
    Case("an entry is taken out", lambda log: reclaim(log, 2, [*entries(log, 2)[:50], *entries(log, 2)[51:]]), "entry-altered", 54),
    Case("an entry is put in", lambda log: reclaim(log, 2, [*entries(log, 2)[:50], log.leaf(), *entries(log, 2)[50:]]), "entry-altered", 54),
    Case("two entries are swapped", swap, "entry-altered", 14),
    Case("entries of two claims are swapped", swap_between, "entry-altered", 104),
    Case("a claim is deleted", lambda log: remove_claims(log, 2), "claim-missing", 4),
    Case("the first claim is deleted", lambda log: remove_claims(log, 0), "claim-missing", 0),
    Case("the last claim is deleted", lambda log: remove_claims(log, 5), "claim-missing", 564),
    Case("three claims are deleted", lambda log: remove_claims(log, 1, 2, 3), "claim-missing", 1),
    Case("all claims are deleted", lambda log: remove_claims(log, *range(6)), "claim-missing", 0),
    Case("a claim is cut off", lambda log: log.bucket.change(seq(3), log.bucket.get(seq(3))[:-200]), "claim-malformed", 254),
    Case("a claim is garbage", lambda log: log.bucket.change(seq(3), b"\xff" * 100), "claim-malformed", 254),
    Case("a claim is larger than any", lambda log: log.bucket.change(seq(3), b"x" * 5_000_000), "claim-missing", 254),
    Case("a claim under another number", lambda log: log.bucket.change(seq(3), log.bucket.get(seq(2))), "claim-number", 254),
    Case("a claim's root", lambda log: reclaim(log, 3, entries(log, 3), root=hashed(b"no")), "claim-root", 254),
    Case("a claim's first index, up", lambda log: log.bucket.change(seq(3), log.claim(3, entries(log, 3), first=260, root=log.root(254))), "claim-first", 254),
    Case("a claim's first index, down", lambda log: log.bucket.change(seq(3), log.claim(3, entries(log, 3), first=250, root=log.root(254))), "claim-first", 250),
]

TILES = [
    Case("a byte of a bundle", lambda log: log.bucket.change("log/2026/tile/entries/001", flip(log.bucket.get("log/2026/tile/entries/001"), 700)), "bundle-altered", 256),
    Case("an entry in a bundle", lambda log: change_entry(log, 300, claims=False, bundles=True), "bundle-altered", 300),
    Case("a bundle is deleted", lambda log: log.bucket.remove("log/2026/tile/entries/001"), "bundle-missing", 256),
    Case("a bundle is cut off", lambda log: log.bucket.change("log/2026/tile/entries/000", log.bucket.get("log/2026/tile/entries/000")[:-1]), "bundle-altered", 0),
    Case("a hash in a tile", lambda log: log.bucket.change("log/2026/tile/0/001", flip(log.bucket.get("log/2026/tile/0/001"), 32 * 10)), "tile-altered", 266),
    Case("a tile is deleted", lambda log: log.bucket.remove("log/2026/tile/0/000"), "tile-missing", 0),
    Case("a tile is too short", lambda log: log.bucket.change("log/2026/tile/0/000", log.bucket.get("log/2026/tile/0/000")[:-32]), "tile-altered", 255),
    Case("a hash of the upper level", lambda log: log.bucket.change("log/2026/tile/1/000.p/2", flip(log.bucket.get("log/2026/tile/1/000.p/2"), 40)), "partial-altered", 256),
    Case("an entry of the partial bundle", lambda log: log.bucket.change("log/2026/tile/entries/002.p/88", flip(log.bucket.get("log/2026/tile/entries/002.p/88"), 300)), "partial-altered", 512),
    Case("the partial tile is deleted", lambda log: log.bucket.remove("log/2026/tile/0/002.p/88"), "partial-missing", 512),
    Case("tiles of a longer log", lambda log: log.bucket.put("log/2026/tile/0/005", bytes(8192), log.clock), "rewound", 600),
]

HEADS = [
    Case("another history under another key", lambda log: rewrite(log, 100, OTHER), "checkpoint-signature", 0),
    Case("another history under the stolen key, a witness saw the first", lambda log: rewrite(log, 300, log.heads), "witness-fork", 254, witness(564)),
    Case("another history from the first entry on", lambda log: rewrite(log, 0, log.heads), "witness-fork", 0, witness(564)),
    Case("the end is cut off", lambda log: rewind(log, 2), "rewound", 264, witness(600)),
    Case("the end is cut off, its tiles are left", lambda log: rewind(log, 2, tiles=False), "rewound", 264),
    Case("the newest head is an older one", older_head, "checkpoint-old", 254),
    Case("the kept head is deleted", lambda log: log.bucket.remove(f"log/2026/checkpoints/{600:020d}"), "checkpoint-missing", None),
    Case("a head under another size", lambda log: head(log, log.checkpoint(564)), "checkpoint-size", None),
    Case("a head of another log", lambda log: head(log, log.checkpoint(600, origin="interlock/other/2026")), "checkpoint-origin", None),
    Case("a head of another year", lambda log: head(log, log.checkpoint(600, origin="interlock/tests/2025")), "checkpoint-origin", None),
    Case("a head of another key", lambda log: head(log, log.checkpoint(600, signer=OTHER)), "checkpoint-signature", None),
    Case("a byte of a head's signature", lambda log: head(log, missigned(log.checkpoint(600))), "checkpoint-signature", None),
    Case("a head with another root, signed", lambda log: head(log, log.checkpoint(264, root=hashed(b"x")), 264), "checkpoint-fork", None),
    Case("a head with carriage returns", lambda log: head(log, log.checkpoint(600).replace(b"\n", b"\r\n")), "checkpoint-malformed", None),
    Case("a head that is empty", lambda log: head(log, b""), "checkpoint-malformed", None),
    Case("all heads are deleted", no_heads, "checkpoint-missing", 0),
    Case("a witness of another log", lambda log: None, "witness-unusable", None, lambda log: {"witnesses": [Witness("w", log.checkpoint(600, origin="a/b/2026"))]}),
    Case("a witness that is no note", lambda log: None, "witness-unusable", None, lambda log: {"witnesses": [Witness("w", b"hello")]}),
]

LOCKS = [
    Case("a delete marker on a claim", lambda log: log.bucket.marker(seq(3), log.clock), "delete-marker", 254),
    Case("a delete marker on a tile", lambda log: log.bucket.marker("log/2026/tile/0/001", log.clock), "delete-marker", 256),
    Case("a delete marker on a bundle", lambda log: log.bucket.marker("log/2026/tile/entries/001", log.clock), "delete-marker", 256),
    Case("a delete marker on the head", lambda log: log.bucket.marker("log/2026/checkpoint", log.clock), "delete-marker", None),
    Case("a delete marker on a blob", lambda log: log.bucket.marker(blob(log), log.clock), "delete-marker", blob_entry),
    Case("a second version of a claim", lambda log: again(log, seq(4)), "second-version", 264),
    Case("a second version of a tile", lambda log: again(log, "log/2026/tile/0/001"), "second-version", 256),
    Case("a second version of a kept head", lambda log: again(log, f"log/2026/checkpoints/{264:020d}"), "second-version", None),
    Case("a second version of a blob", lambda log: again(log, blob(log)), "second-version", blob_entry),
    Case("a blob's content", lambda log: log.bucket.change(blob(log), flip(log.bucket.get(blob(log)), 5)), "blob-altered", blob_entry),
    Case("a blob's size", lambda log: log.bucket.change(blob(log), log.bucket.get(blob(log)) + b" "), "blob-size", blob_entry),
    Case("a blob is deleted", lambda log: log.bucket.remove(blob(log)), "blob-missing", blob_entry),
    Case("a claim is not locked", lambda log: lock(log, seq(3)), "retention-missing", 254),
    Case("a claim is locked for too short", lambda log: lock(log, seq(3), until=log.clock + timedelta(days=365)), "retention-short", 254),
    Case("a tile is locked for too short", lambda log: lock(log, "log/2026/tile/0/001", until=log.clock), "retention-short", 256),
    Case("a blob is locked for too short", lambda log: lock(log, blob(log), until=log.clock), "retention-short", blob_entry),
    Case("a kept head is not locked", lambda log: lock(log, f"log/2026/checkpoints/{264:020d}"), "retention-missing", None),
    Case("an unknown mode", lambda log: lock(log, seq(3), mode="NONE"), "retention-mode", 254),
    Case("Governance where Compliance is asked", lambda log: None, "retention-mode", 0, lambda log: {"lock": Wanted("COMPLIANCE")}),
    Case("a claim was written again later", lambda log: modified(log, 3, timedelta(days=30)), "clock-rewritten", 254),
]
# fmt: on

TABLE = [*CLAIMS, *TILES, *HEADS, *LOCKS]

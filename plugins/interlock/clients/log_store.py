"""The log's objects in the bucket: claims, tiles and heads, read and written one at a time or a few at once.

Everything is created once; only the newest head is replaced, and only upward. What is already there counts as
written only where it is the same.

Errors, beside those of the store:

    StoreConflict
      LogConflict     what is in the bucket contradicts itself, or what was published before
      LogRewound      the log is shorter than one that was seen before
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from interlock.clients.object_store import Keep, ObjectMissing, ObjectStore, StoreConflict
from interlock.evidence.log.checkpoint import Checkpoint, open_checkpoint
from interlock.evidence.log.claim import Claim, ClaimError
from interlock.evidence.log.derive import DerivedObject
from interlock.evidence.log.layout import (
    LOGS,
    blob_key,
    checkpoint_key,
    head_key,
    origin,
    parse,
    seq_key,
    seq_prefix,
    tile_key,
    vkey_key,
)
from interlock.evidence.log.merkle import Frontier, leaf_hash
from interlock.evidence.log.note import UnknownSignersError, VerifierKey, parse_note
from interlock.evidence.log.strict import LogFormatError
from interlock.evidence.log.tiles import WIDTH, TileRef, decode_hashes, encode_bundle, encode_hashes
from interlock.evidence.statement import sha256

AT_ONCE: Final = 6
"""How many objects of one writer are on their way to the store at a time."""
CLOCKS: Final = timedelta(minutes=15)
"""How far the store's clock and Airflow's may be apart."""


class LogConflict(StoreConflict):
    """What is in the bucket contradicts itself, or what was published before."""


class LogRewound(LogConflict):
    """The log is shorter than one that was seen before: somebody has taken entries away."""


@dataclass(frozen=True)
class Published:
    """A signed head as it is in the bucket."""

    checkpoint: Checkpoint
    note: bytes
    etag: str


Keys = Callable[[bool], Iterable[VerifierKey]]
"""The log's keys; asked anew where the argument is True."""


class LogStore:
    """The objects of one log, of all years."""

    def __init__(self, store: ObjectStore, name: str, keys: Keys) -> None:
        """Keep the parts.

        Args:
            store: the bucket.
            name: the log's name.
            keys: the keys that its heads are signed with.
        """
        self.store = store
        self.name = name
        self.keys = keys
        self._pool = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="evidence")

    def close(self) -> None:
        """End the threads."""
        self._pool.shutdown()

    def years(self) -> list[int]:
        """The years that have a log with a claim, latest first."""
        found = [key.removeprefix(LOGS).rstrip("/") for key in self.store.keys(LOGS, delimiter="/")]
        years = sorted((int(year) for year in found if len(year) == 4 and year.isdecimal()), reverse=True)
        return [year for year in years if next(self.store.keys(seq_prefix(year)), None)]

    def claim(self, year: int, number: int) -> Claim | None:
        """A claim, or None where there is none yet."""
        key = seq_key(year, number)
        try:
            claim = Claim.decode(self.store.get(key))
        except ObjectMissing:
            return None
        except ClaimError as error:
            raise LogConflict(f"bucket {self.store.bucket}: {key}: {error}") from error
        if claim.number != number:
            raise LogConflict(f"bucket {self.store.bucket}: {key} is claim {claim.number}")
        return claim

    def create_claim(self, year: int, claim: Claim) -> bool:
        """Send a claim; whether it is new."""
        return self._create(seq_key(year, claim.number), claim.encode())

    def claims(self, year: int, number: int = 0) -> Iterator[Claim]:
        """The claims of a year from this number on, more and more read at a time; often there is none."""
        at_once = 1
        while True:
            found = list(self._pool.map(lambda n: self.claim(year, n), range(number, number + at_once)))
            for claim in found:
                if claim is None:
                    return
                yield claim
            number, at_once = number + at_once, min(2 * at_once, AT_ONCE)

    def count(self, year: int) -> int:
        """How many claims a year has; claims have no gaps."""
        prefix = seq_prefix(year)

        def beyond(number: int) -> bool:
            after = seq_key(year, number - 1) if number else ""
            return next(self.store.keys(prefix, after=after), None) is not None

        low, high = 0, 1
        while beyond(high):
            low, high = high, 2 * high
        while low < high:
            middle = (low + high) // 2
            low, high = (middle + 1, high) if beyond(middle) else (low, middle)
        return low

    def since(self, moment: datetime) -> Iterator[Claim]:
        """The claims that the store wrote at this moment or later, of all years, and some earlier ones."""
        moment -= CLOCKS
        years = sorted(self.years())
        for year in years:
            if year < moment.year - 1 and year != years[-1]:
                continue
            low, high = 0, self.count(year)
            while low < high:
                middle = (low + high) // 2
                written = self.store.read(seq_key(year, middle)).last_modified
                low, high = (middle + 1, high) if written < moment else (low, middle)
            yield from self.claims(year, low)

    def newest(self, year: int) -> Published | None:
        """The newest head of a year; None where none is published yet.

        Raises:
            LogConflict: it isn't signed by a key of the log, or is of another log.
        """
        key = checkpoint_key(year)
        try:
            found = self.store.read(key)
        except ObjectMissing:
            return None
        return Published(self._opened(found.body, key, year), found.body, found.etag)

    def _opened(self, note: bytes, key: str, year: int) -> Checkpoint:
        try:
            try:
                return open_checkpoint(note, self.keys(False), origin(self.name, year))[0]
            except UnknownSignersError:
                return open_checkpoint(note, self.keys(True), origin(self.name, year))[0]
        except LogFormatError as error:
            raise LogConflict(f"bucket {self.store.bucket}: {key}: {error}") from error

    def publish(self, year: int, objects: Iterable[DerivedObject], size: int, note: bytes) -> None:
        """Put what a new head is derived to, and the head under its size; several at once, in no order."""
        waits = [
            self._pool.submit(self._put_same, tile_key(year, one.ref), one.body, one.body) for one in objects
        ]
        body = parse_note(note)[0]
        waits.append(self._pool.submit(self._put_same, head_key(year, size), note, body))
        errors = [error for wait in waits if (error := wait.exception())]
        if errors:
            raise errors[0]

    def move_newest(
        self, year: int, head: Checkpoint, note: bytes, *, etag: str | None, first: bool
    ) -> str | None:
        """Make a head the newest one, unless there is a newer; return its etag, None where it isn't known.

        Args:
            year: the log's year.
            head: what it says.
            note: the signed head.
            etag: what the newest one had when it was last seen; None where that isn't known.
            first: whether none was published before.

        Raises:
            LogConflict: another head of this size is there.
            LogRewound: the newest one that was seen is gone.
        """
        key = checkpoint_key(year)
        if first and etag is None and self._create(key, note):
            return None
        while True:
            if etag is not None:
                moved = self.store.replace(
                    key, note, etag=etag, keep=Keep.DERIVED, content_type=parse(key).content_type
                )
                if moved is not None:
                    return moved
            found = self.newest(year)
            if found is None:
                raise LogRewound(f"bucket {self.store.bucket}: {key} is gone")
            if found.checkpoint.size == head.size and found.checkpoint.root != head.root:
                raise LogConflict(
                    f"bucket {self.store.bucket}: {key} has another root at size {head.size} than the claims"
                )
            if found.checkpoint.size >= head.size:
                return found.etag if found.checkpoint.size == head.size else None
            etag = found.etag

    def put_blobs(self, blobs: Iterable[bytes]) -> None:
        """Put evidence blobs, several at once; one that is there already is locked as long as a new one."""
        waits = [
            self._pool.submit(self._put_same, blob_key(sha256(blob)), blob, blob, prolong=True)
            for blob in blobs
        ]
        errors = [error for wait in waits if (error := wait.exception())]
        if errors:
            raise errors[0]

    def put_keys(self, keys: dict[str, VerifierKey]) -> None:
        """Put verifier keys under their ids; for information only."""
        for keyid, key in keys.items():
            text = f"{key.text}\n".encode()
            self._put_same(vkey_key(keyid), text, text)

    def tile(self, year: int, ref: TileRef) -> bytes:
        """A tile's or bundle's bytes; a partial one that is gone, its day being over, is made again."""
        key = tile_key(year, ref)
        try:
            return self.store.get(key)
        except ObjectMissing:
            if ref.full:
                raise
        content = self._derived(year, ref)
        self._put_same(key, content, content)
        return content

    def _derived(self, year: int, ref: TileRef) -> bytes:
        if ref.height == 0:
            entries = self._entries(year, ref.index * WIDTH, ref.width)
            if ref.level != 0:
                return encode_bundle(entries)
            return encode_hashes(tuple(leaf_hash(entry) for entry in entries))
        full = [TileRef(ref.height - 1, ref.index * WIDTH + n, WIDTH) for n in range(ref.width)]
        below = self._pool.map(lambda one: self.store.get(tile_key(year, one)), full)
        return encode_hashes(tuple(Frontier().extend(decode_hashes(one, WIDTH)).root() for one in below))

    def _entries(self, year: int, first: int, width: int) -> list[bytes]:
        """Entries near the log's end, from its claims."""
        found: list[bytes] = []
        number = self.count(year) - 1
        start: int | None = None
        while number >= 0 and (start is None or start > first):
            claim = self.claim(year, number)
            if claim is None:
                break
            start, found, number = claim.first, [*claim.entries, *found], number - 1
        if start is None or start > first or len(found) < first - start + width:
            raise LogConflict(
                f"bucket {self.store.bucket}: entries {first} to {first + width - 1} of {year} are gone"
            )
        return found[first - start : first - start + width]

    def _create(self, key: str, body: bytes) -> bool:
        place = parse(key)
        keep = Keep.LASTING if place.lasting else Keep.DERIVED
        return self.store.create(key, body, keep=keep, content_type=place.content_type)

    def _put_same(self, key: str, content: bytes, same: bytes | str, *, prolong: bool = False) -> None:
        """Create an object, or find that what is there says the same; its lock may be prolonged then."""
        if self._create(key, content):
            return
        found = self.store.read(key)
        if found.body != content and (isinstance(same, bytes) or _body(found.body) != same):
            raise LogConflict(f"bucket {self.store.bucket}: {key} is something else than what belongs there")
        if prolong:
            self.store.prolong(key, found)


def _body(note: bytes) -> str | None:
    try:
        return parse_note(note)[0]
    except LogFormatError:
        return None

"""Shipping against heads that were kept elsewhere: compare, carry what waits, have the new head kept.

A log that doesn't contain a head that a witness kept was rewound or replaced: nothing is sent into it. A
witness that is away is told and passed over, and so is a log that can't be compared because it is away.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from interlock.clients.log_store import LogConflict, LogRewound, LogStore, Published
from interlock.clients.object_store import ObjectMissing, StoreError
from interlock.clients.vault import VaultError
from interlock.clients.witnesses import Witness, WitnessAway
from interlock.evidence.log.kept import KeptHead, KeptHeadUnusable, check_contained
from interlock.evidence.log.layout import year_of
from interlock.evidence.log.strict import LogFormatError
from interlock.evidence.log.tiles import TileReader

if TYPE_CHECKING:
    from interlock.clients.evidence import BucketWriter
    from interlock.clients.evidence_writer import Shipped

WHAT_TO_DO: Final = (
    "Nothing is shipped; what waits stays in the spool. Find out who changed the bucket: `interlock-verify "
    "bucket` with the kept head as --witness names the first entry. Only if a new log was begun here on "
    "purpose, put the kept head away, as evidence of the old one, and ship again"
)


def compare(log: LogStore, kept_by: Sequence[Witness]) -> list[str]:
    """Compare the log with the heads that witnesses kept.

    Returns:
        A sentence for each witness that was away, or holds nothing while others do.

    Raises:
        LogRewound: the log doesn't contain a head that was kept.
        LogConflict: a witness holds something else than a head of this log.
        StoreError, VaultError: the log, or its keys, can't be read.
    """
    away, empty = [], []
    for witness in kept_by:
        try:
            note = witness.read()
        except WitnessAway as error:
            away.append(str(error))
            continue
        if note is None:
            empty.append(witness.place)
        else:
            _compare(log, witness.place, note)
    if len(empty) + len(away) < len(kept_by):
        # Also a folder looks like this whose volume isn't mounted.
        away += [f"{place} holds no head, while others do: it begins with the next one" for place in empty]
    return away


def _compare(log: LogStore, place: str, note: bytes) -> None:
    where = f"bucket {log.store.bucket}"
    try:
        kept = _read(log, place, note)
        newest = log.newest(kept.year)
        size = newest.checkpoint.size if newest else 0
        check_contained(
            kept,
            newest.checkpoint if newest else None,
            TileReader(size, lambda ref: log.tile(kept.year, ref)),
        )
    except KeptHeadUnusable as error:
        raise LogConflict(
            f"{where}: {error}. Was that place written to, or the log's key or name changed? Nothing is "
            f"shipped until it is put right"
        ) from error
    except (LogFormatError, ObjectMissing) as error:
        raise LogRewound(f"{where}: {error}. {WHAT_TO_DO}") from error


def _read(log: LogStore, place: str, note: bytes) -> KeptHead:
    try:
        return KeptHead.read(place, note, log.keys(False), log.name)
    except KeptHeadUnusable:
        # Another process may have rotated the key.
        return KeptHead.read(place, note, log.keys(True), log.name)


def keep(log: LogStore, newest: Published, year: int, kept_by: Sequence[Witness]) -> list[str]:
    """Let witnesses take note of the log's newest head; returns a sentence for each that was away."""
    away = []
    for witness in kept_by:
        try:
            note = witness.read()
            if note is None or _read(log, witness.place, note).before(newest.checkpoint, year):
                witness.keep(newest.note, year, newest.checkpoint.size)
        except WitnessAway as error:
            away.append(str(error))
    return away


def ship(writer: BucketWriter, kept_by: Sequence[Witness]) -> tuple[Shipped, list[str]]:
    """Compare the log with what witnesses kept, carry what waits to it, and let them take note of its head.

    Returns:
        What was shipped, and a sentence for each witness, or the log, that was away.

    Raises:
        LogRewound, LogConflict: as `compare`; nothing was shipped.
        SpoolError: as `BucketWriter.ship`.
    """
    if writer.log is None:
        return writer.ship(), []
    log = writer.log.log
    try:
        away = compare(log, kept_by)
    except LogConflict:
        raise
    except (StoreError, VaultError) as error:
        away = [f"the log was not compared with the heads that were kept elsewhere: {error}"]
    shipped = writer.ship()
    try:
        newest = writer.log.head()
        if newest is not None and (year := year_of(newest.checkpoint.origin, log.name)) is not None:
            away += keep(log, newest, year, kept_by)
    except (StoreError, VaultError, LogFormatError) as error:
        away.append(f"the log's head was not kept elsewhere: {error}")
    return shipped, list(dict.fromkeys(away))

"""Blobs against the digests that statements sign, and the retention of every version."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import groupby
from types import MappingProxyType
from typing import Final

from interlock.evidence.log.layout import BLOBS
from interlock.evidence.statement import evidence_key
from interlock.evidence.verification.findings import Finding, Findings
from interlock.evidence.verification.named import Named
from interlock.evidence.verification.source import (
    MAX_BLOB,
    ObjectMissing,
    ObjectTooLarge,
    Retention,
    Source,
    SourceError,
    Version,
    shifted,
)

KEEP: Final = timedelta(days=1095)

GIVE_UP: Final = 20
"""Failures of the store after which a step asks no further: each may take as long as its time limit."""

Place = tuple[int, int] | None
"""Year and index of the first entry that an object concerns."""


@dataclass
class Missed:
    """What a step could not look at because the store failed: how many, and why the first one."""

    count: int = 0
    why: str = ""

    def take(self, error: SourceError, left: int) -> bool:
        """Take a failure; whether to give up, with so many left."""
        self.count, self.why = self.count + 1, self.why or str(error)
        if self.count < GIVE_UP:
            return False
        self.count += left
        return True


@dataclass(frozen=True)
class Locks:
    """What was seen of versions' locks.

    Attributes:
        count: versions that were looked at.
        undated: of these, those of which nobody says when the store took them: a short lock isn't seen.
        missed: what could not be asked.
        untold: objects of which the source lists no version, so it says nothing of a lock.
    """

    count: int = 0
    undated: int = 0
    missed: Missed = field(default_factory=Missed)
    untold: tuple[str, ...] = ()


@dataclass(frozen=True)
class Wanted:
    """How a version has to be locked.

    Attributes:
        mode: "GOVERNANCE" (COMPLIANCE is more and will do) or "COMPLIANCE".
        keep: from when the store took it on.
        tolerance: by how much shorter it may be.
    """

    mode: str = "GOVERNANCE"
    keep: timedelta = KEEP
    tolerance: timedelta = timedelta(days=1)


def blob_versions(source: Source, digests: Iterable[str], *, all_at_once: bool) -> Iterator[list[Version]]:
    """The versions of each blob: those of one listing, or (few of many) of a listing each."""
    if all_at_once:
        for _, versions in groupby(source.versions(BLOBS), key=lambda version: version.key):
            yield list(versions)
        return
    for digest in digests:
        if versions_of := [
            one for one in source.versions(evidence_key(digest)) if one.key == evidence_key(digest)
        ]:
            yield versions_of


def judge_blobs(
    source: Source,
    wanted: Mapping[str, Named],
    findings: Findings,
    progress: Callable[[int], None],
    *,
    all_at_once: bool,
) -> tuple[list[Version], Missed]:
    """Compare the blobs that statements name with what they sign.

    Returns their committed versions, and what could not be looked at.

    Args:
        source: has them.
        wanted: by digest, what statements name.
        findings: takes what is found.
        progress: told how many were read.
        all_at_once: list all blobs in one listing.
    """
    committed: dict[str, Version] = {}
    try:
        listed = list(blob_versions(source, wanted, all_at_once=all_at_once))
    except SourceError as error:
        return [], Missed(len(wanted), str(error))
    for versions in listed:
        digest = versions[0].key.removeprefix(BLOBS)
        place = _place(wanted.get(digest))
        for one in versions:
            if one.marker:
                _add(findings, "delete-marker", one.key, "the object", "a delete marker", place)
        contents = [one for one in versions if not one.marker]
        for one in contents[:-1]:
            _add(findings, "second-version", one.key, "one version", f"another one, {one.version_id}", place)
        if contents and place is not None:
            committed[digest] = contents[-1]

    def check(digest: str) -> Finding | SourceError | None:
        size, year, index = wanted[digest].size, wanted[digest].year, wanted[digest].index
        version = committed.get(digest)
        key = evidence_key(digest)
        if version is None:
            return Finding("blob-missing", key, f"{size} bytes", "no such object", year, index)
        try:
            content = source.read(key, min(MAX_BLOB, size), version.version_id)
        except ObjectMissing:
            return Finding("blob-missing", key, f"{size} bytes", "no such object", year, index)
        except ObjectTooLarge as error:
            return Finding("blob-size", key, f"{size} bytes", str(error)[:300], year, index)
        except SourceError as error:
            return error
        if len(content) != size:
            return Finding("blob-size", key, f"{size} bytes", f"{len(content)} bytes", year, index)
        if (found := hashlib.sha256(content).hexdigest()) != digest:
            return Finding("blob-altered", key, f"SHA-256 {digest}", f"SHA-256 {found}", year, index)
        return None

    missed = Missed()
    for count, answer in enumerate(source.several(check, sorted(wanted)), 1):
        if isinstance(answer, SourceError):
            if missed.take(answer, len(wanted) - count):
                break
        elif answer is not None:
            findings.add(answer)
        progress(count)
    return list(committed.values()), missed


def judge_retention(
    source: Source,
    versions: Sequence[tuple[Version, Place]],
    wanted: Wanted,
    findings: Findings,
    progress: Callable[[int], None],
    blobs: Mapping[str, Named] = MappingProxyType({}),
) -> Locks:
    """Check how each version is locked; returns how many were looked at.

    Args:
        source: has them.
        versions: those that are asked for, each with the first entry that it concerns.
        wanted: how they have to be locked.
        findings: takes what is found.
        progress: told how many were looked at.
        blobs: what statements name: it has to be locked as long as the newest of them is.
    """

    def ask(item: tuple[Version, Place]) -> Retention | SourceError | None:
        version, _ = item
        try:
            return source.retention(version.key, version.version_id)
        except SourceError as error:
            return error

    asked = [item for item in versions if item[0].version_id]
    untold = tuple(version.key for version, _ in versions if not version.version_id)
    missed, count, undated = Missed(), 0, 0
    for (version, place), found in zip(asked, source.several(ask, asked), strict=False):
        if isinstance(found, SourceError):
            if missed.take(found, len(asked) - count - missed.count - 1):
                break
            continue
        count += 1
        undated += found is not None and version.modified is None
        named = blobs.get(version.key.removeprefix(BLOBS)) if version.key.startswith(BLOBS) else None
        _judge_lock(version, place, found, wanted, findings, named)
        progress(count)
    return Locks(count, undated, missed, untold)


def _judge_lock(
    version: Version,
    place: Place,
    found: Retention | None,
    wanted: Wanted,
    findings: Findings,
    named: Named | None,
) -> None:
    if found is None:
        _add(findings, "retention-missing", version.key, f"locked in mode {wanted.mode}", "not locked", place)
        return
    modes = ("GOVERNANCE", "COMPLIANCE") if wanted.mode == "GOVERNANCE" else ("COMPLIANCE",)
    if found.mode not in modes:
        _add(findings, "retention-mode", version.key, " or ".join(modes), found.mode, place)
    if version.modified is not None:
        begin = version.modified
        if named is not None and named.newest is not None:
            begin = max(begin, named.newest)
        least = shifted(begin, wanted.keep - wanted.tolerance)
        if found.until < least:
            short = wanted.keep - (found.until - begin)
            said = f"{found.until.isoformat()}, {short.days} days short"
            _add(findings, "retention-short", version.key, f"until {least.isoformat()} or later", said, place)


def with_places(blobs: Iterable[Version], named: Mapping[str, Named]) -> Iterator[tuple[Version, Place]]:
    """Versions of blobs, each with the first entry that names it."""
    for version in blobs:
        yield version, _place(named.get(version.key.removeprefix(BLOBS)))


def _place(named: Named | None) -> Place:
    return None if named is None else (named.year, named.index)


def _add(findings: Findings, code: str, key: str, expected: str, found: str, place: Place) -> None:
    year, index = place if place is not None else (None, None)
    findings.add(Finding(code, key, expected, found, year, index))

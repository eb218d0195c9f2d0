"""The command `interlock-verify`: verify evidence with nothing but public keys, offline or from the bucket.

Exit status: 0 verified; 1 something is wrong, the first bad entry is named; 2 wrong usage; 3 it could not be
read, so nothing is said about it; 4 nothing wrong was found, and not all could be checked.
"""

from __future__ import annotations

import argparse
import base64
import io
import json
import os
import sys
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from interlock.evidence.verification.heads import HeadError, SignedHead, read_head
from interlock.evidence.verification.locks import Wanted
from interlock.evidence.verification.report import Exit, Report
from interlock.evidence.verification.shown import plain
from interlock.evidence.verification.since import trusted_head
from interlock.evidence.verification.source import MAX_CHECKPOINT, Source, SourceError
from interlock.evidence.verification.trust import MAX_KEY_FILE, KeyFileError, Trust, read_keys
from interlock.evidence.verification.verify import Options, Witness, verify
from interlock.verify_arguments import parser
from interlock.verify_output import ProgressLine, lines, say

if TYPE_CHECKING:
    from interlock.clients.log_reader import BucketSource
    from interlock.evidence.log.note import VerifierKey


class UsageError(Exception):
    """What was asked for can't be done; the message says why."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status."""
    _open_streams()
    asked = parser().parse_args(argv)
    progress = ProgressLine(wanted=not getattr(asked, "quiet", True))
    try:
        return int(_COMMANDS[asked.command](asked, progress))
    except (KeyFileError, UsageError) as error:
        progress.end()
        say(f"interlock-verify: {error}", sys.stderr)
        return Exit.USAGE
    except (SourceError, OSError) as error:
        progress.end()
        say(f"interlock-verify: {error}", sys.stderr)
        return Exit.UNREADABLE
    except MemoryError:
        progress.end()
        print("interlock-verify: out of memory; nothing is said about the evidence", file=sys.stderr)
        return Exit.UNREADABLE
    except KeyboardInterrupt:
        progress.end()
        print("interlock-verify: interrupted; nothing is said about the evidence", file=sys.stderr)
        return 130


def _open_streams() -> None:
    """Let nothing that is said fail: a closed stream swallows it, a character it lacks is spelt out."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115
        elif isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


# The commands


def _bucket(asked: argparse.Namespace, progress: ProgressLine) -> Exit:
    trust = _trust(asked)
    with closing(open_bucket(asked.bucket, asked.endpoint, asked.region)) as source:
        return _verified(source, asked, trust, progress)


def _archive(asked: argparse.Namespace, progress: ProgressLine) -> Exit:
    from interlock.clients.archive import open_archive
    from interlock.clients.archive_part import is_part, verify_archived_part

    trust = _trust(asked)
    with closing(open_archive(asked.path)) as archive:
        if not is_part(archive):
            return _verified(archive, asked, trust, progress)
        if asked.since or asked.witness:
            raise UsageError(f"{asked.path}: a part of a log; --since and --witness are for a whole one")
        report = verify_archived_part(archive, trust, _options(asked, None), datetime.now(UTC), progress)
    return _show(report, asked, progress)


def _receipt(asked: argparse.Namespace, progress: ProgressLine) -> Exit:
    from interlock.clients.archive_part import verify_one_receipt

    trust = _trust(asked)
    entry = None if asked.entry is None else _file(asked.entry, 65_535, "an entry")
    report = verify_one_receipt(_file(asked.path, 300_000, "a receipt"), str(asked.path), trust, entry)
    return _show(report, asked, progress)


def _export(asked: argparse.Namespace, progress: ProgressLine) -> Exit:
    from interlock.clients.archive_export import export
    from interlock.evidence.verification.selection import Selection, SelectionError

    trust = _trust(asked)
    try:
        selection = Selection.of(asked.day, asked.period, asked.train, asked.run)
    except SelectionError as error:
        raise UsageError(str(error)) from None
    with closing(open_bucket(asked.bucket, asked.endpoint, asked.region)) as source:
        done = export(
            source,
            trust,
            _keys(asked.key),
            _keys(asked.statement_key),
            selection,
            asked.to,
            progress=progress,
        )
    progress.end()
    _print(json.dumps(done.to_json()) if asked.json else "\n".join(map(plain, str(done).split("\n"))))
    return Exit.VERIFIED


def _key(asked: argparse.Namespace, progress: ProgressLine) -> Exit:
    from interlock.evidence.log.note import NoteError, VerifierKey

    try:
        _print(VerifierKey(asked.name, base64.b64decode(asked.public, validate=True)).text)
    except (NoteError, ValueError) as error:
        raise UsageError(f"not an ed25519 public key of 32 bytes in Base64, or no name: {error}") from None
    return Exit.VERIFIED


_COMMANDS = {"bucket": _bucket, "archive": _archive, "receipt": _receipt, "export": _export, "key": _key}


def _verified(source: Source, asked: argparse.Namespace, trust: Trust, progress: ProgressLine) -> Exit:
    options = _options(asked, _since(asked, source, trust))
    if options.since is None and asked.since is not None:
        options = replace(options, sizes=((_year(asked), int(asked.since)),))
    return _show(verify(source, trust, options, now=datetime.now(UTC), progress=progress), asked, progress)


def _show(report: Report, asked: argparse.Namespace, progress: ProgressLine) -> Exit:
    progress.end()
    _print(json.dumps(report.to_json(), indent=1) if asked.json else "\n".join(lines(report)))
    return report.exit


def _print(text: str) -> None:
    """Print, and let the exit status be that of what was to be said, also where nobody listens to the end."""
    try:
        print(text, flush=True)
    except BrokenPipeError:
        # The rest goes nowhere, also what Python still flushes at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


# What the arguments say


def _options(asked: argparse.Namespace, since: SignedHead | None) -> Options:
    if not 0 <= asked.days <= 100_000 or not 0 <= asked.tolerance <= 10**7:
        raise UsageError("--days takes 0 to 100000, --tolerance 0 to 10000000 seconds")
    return Options(
        since=since,
        blobs="blobs" not in asked.skip,
        retention="retention" not in asked.skip,
        lock=replace(Wanted(), mode=asked.mode, keep=timedelta(days=asked.days)),
        tolerance=timedelta(seconds=asked.tolerance),
        witnesses=[
            Witness(name, _file(Path(name), MAX_CHECKPOINT, "a checkpoint")) for name in asked.witness
        ],
    )


def _since(asked: argparse.Namespace, source: Source, trust: Trust) -> SignedHead | None:
    """The trusted head; also None where the log is shorter than it: then all of it is verified."""
    if asked.since is None:
        return None
    try:
        if asked.since.isascii() and asked.since.isdigit() and len(asked.since) <= 18:
            size = int(asked.since)
            return trusted_head(source, trust, _year(asked), size) if size else None
        return read_head(_file(Path(asked.since), MAX_CHECKPOINT, "a checkpoint"), trust, asked.since)
    except HeadError as error:
        raise UsageError(f"--since {asked.since}: expected {error.expected}; {error}") from None


def _year(asked: argparse.Namespace) -> int:
    year = datetime.now(UTC).year if asked.year is None else int(asked.year)
    if not 1000 <= year <= 9999:
        raise UsageError(f"--year {year}: expected four digits")
    return year


def _trust(asked: argparse.Namespace) -> Trust:
    return Trust.of(_keys(asked.key), _keys(asked.statement_key))


def _keys(files: Sequence[str]) -> tuple[VerifierKey, ...]:
    return tuple(
        key for name in files for key in read_keys(_file(Path(name), MAX_KEY_FILE, "a key file"), name)
    )


def _file(path: Path, limit: int, what: str) -> bytes:
    """A small file that the verifier brings."""
    try:
        with path.open("rb") as stream:
            content = stream.read(limit + 1)
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror or error}") from None
    if len(content) > limit:
        raise UsageError(f"{path}: more than {limit} bytes, too many for {what}")
    return content


def open_bucket(name: str, endpoint: str | None, region: str) -> BucketSource:
    """A bucket, with the credentials that boto3 finds (AWS_ACCESS_KEY_ID and others)."""
    from interlock.clients.log_reader import BucketSource
    from interlock.clients.object_store import ObjectStore, StoreSettings

    url = endpoint or os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
    try:
        return BucketSource(
            ObjectStore(StoreSettings(bucket=name, endpoint_url=url, region=region, timeout=30.0))
        )
    except ValueError as error:
        raise UsageError(f"{name}: {error}") from None


if __name__ == "__main__":
    sys.exit(main())

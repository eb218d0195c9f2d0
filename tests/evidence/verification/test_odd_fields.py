"""Fields at the ends of what their type can hold: a finding or a plain error, no traceback."""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from made_logs import Log
from tampering import fresh, seq

from interlock.clients.archive import open_archive
from interlock.evidence.log.claim import Claim, ClaimError
from interlock.evidence.statement import canonical
from interlock.evidence.verification.source import ArchiveError


def changed_statement(log: Log, leaf: bytes, change: Callable[[dict], object]) -> bytes:  # type: ignore[type-arg]
    statement = json.loads(base64.b64decode(json.loads(leaf)["payload"]))
    change(statement)
    return log.statements.envelope(canonical(statement))


def test_a_year_that_no_log_can_have_is_no_log() -> None:
    log = fresh()
    log.bucket.put("log/0001/x", b"x", log.clock)
    assert [one.year for one in log.verify().years] == [2026]


@pytest.mark.parametrize("at", ["0001-01-01T00:00:00+01:00", "9999-12-31T23:59:59-01:00"])
def test_a_claims_time_outside_of_the_calendar_is_malformed(at: str) -> None:
    log = fresh()
    first, _, rest = log.bucket.get(seq(5)).partition(b"\n")
    claim = canonical({**json.loads(first), "at": at}) + b"\n" + rest
    with pytest.raises(ClaimError, match="RFC 3339"):
        Claim.decode(claim)
    log.bucket.change(seq(5), claim)
    assert "claim-malformed" in log.verify().findings.counts


def test_a_late_statement_without_a_subject_is_malformed() -> None:
    log = Log()
    log.commit(changed_statement(log, log.late(), lambda one: one.update(subject=[])))
    assert log.verify().findings.counts["statement-malformed"] == 1


def test_a_digest_that_is_a_list_is_malformed() -> None:
    log = Log()
    evidence = {"digest": {"sha256": ["a"] * 64}, "size": 1}
    log.commit(
        changed_statement(log, log.leaf(blob=True), lambda one: one["predicate"].update(evidence=evidence))
    )
    assert log.verify().findings.counts["statement-malformed"] == 1


def test_a_version_from_the_calendars_end_is_locked_too_briefly() -> None:
    log = fresh()
    stored = log.bucket.stored[seq(5)][0]
    stored.version = replace(stored.version, modified=datetime(9999, 12, 31, 23, 59, tzinfo=UTC))
    # The claim, and the evidence that a statement in it names.
    assert log.verify().findings.counts["retention-short"] == 2


def test_a_key_that_is_not_utf8_is_refused(tmp_path: Path) -> None:
    line = {
        "key": "log/2026/\ud800", "version": "1", "latest": True, "marker": False, "size": 1,
        "last_modified": None, "retention": None, "file": None,
    }  # fmt: skip
    (tmp_path / "versions.jsonl").write_text(f'{{"format": 1}}\n{json.dumps(line)}\n')
    with pytest.raises(ArchiveError, match="not UTF-8"):
        open_archive(tmp_path)


def test_a_file_name_that_is_not_utf8_is_refused(tmp_path: Path) -> None:
    (tmp_path / "log").mkdir()
    Path(os.fsdecode(os.fsencode(tmp_path / "log") + b"/\xff")).write_bytes(b"x")
    with pytest.raises(ArchiveError, match="not UTF-8"):
        open_archive(tmp_path)


def test_an_index_that_is_infinite_is_refused(tmp_path: Path) -> None:
    (tmp_path / "versions.jsonl").write_text(
        '{"entries": {"2026": [Infinity]}, "format": 1, "kind": "part"}\n'
    )
    with pytest.raises(ArchiveError, match="no indexes"):
        open_archive(tmp_path)


def test_a_cited_head_that_is_no_text_is_no_link() -> None:
    before = Log()
    before.commit(before.leaf())
    before.commit(before.system("log-closed"), closes=True)
    log = Log(before.bucket, 2027, signers=(before.heads, before.statements))
    opened = log.system("log-opened", checkpoint="CITED")
    statement = base64.b64decode(json.loads(opened)["payload"]).replace(b"CITED", b"\\ud800")
    log.commit(log.statements.envelope(statement))
    assert "year-unlinked" in log.verify().findings.counts

"""What a verdict says of what there was to verify, of what it left out, and of when it holds."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest
from auditors_desk import Desk, desk
from made_logs import KEEP, NOW, Bucket, Log
from tampering import fresh, seq

from interlock.clients.archive import open_archive
from interlock.clients.archive_export import export
from interlock.evidence.redaction import rfc3339
from interlock.evidence.statement import Run, canonical, sha256
from interlock.evidence.verification.heads import read_head
from interlock.evidence.verification.report import Exit, Report
from interlock.evidence.verification.selection import Selection
from interlock.evidence.verification.source import Retention
from interlock.evidence.verification.verify import Options, Witness, verify

__all__ = ["desk"]

RUN = Run("train", "run-7")


# Nothing


def test_a_log_without_entries_is_not_verified() -> None:
    log = Log()
    note = log.checkpoint(0)
    log.bucket.put("log/2026/checkpoint", note, log.clock)
    log.bucket.put(f"log/2026/checkpoints/{0:020d}", note, log.clock)
    report = log.verify()
    assert (report.exit, report.verdict) == (Exit.INCOMPLETE, "NOTHING VERIFIED: it has no entries")
    assert report.to_json()["nothing"] == "it has no entries"


def test_a_part_without_entries_is_not_verified(desk: Desk) -> None:
    folder = desk.folder / "part"
    (folder / "objects").mkdir(parents=True)
    (folder / "versions.jsonl").write_text('{"closed":true,"format":2,"kind":"part"}\n')
    status, out, _ = desk.run("archive", folder)
    assert (status, out.splitlines()[-1]) == (4, "NOTHING VERIFIED: this part has no entries")


def test_an_archive_without_objects_is_unreadable(desk: Desk) -> None:
    folder = desk.folder / "archive"
    folder.mkdir()
    (folder / "versions.jsonl").write_text('{"format":2,"kind":"whole"}\n')
    status, out, err = desk.run("archive", folder)
    assert (status, out) == (3, "")
    assert "no log in it" in err


def test_nothing_new_since_a_trusted_head_is_said_and_verified() -> None:
    log = fresh()
    report = log.verify(since=read_head(log.checkpoint(600), log.trust, "kept"))
    assert report.verdict == "VERIFIED"
    assert "2026: nothing is new since the trusted head of size 600" in report.proven


# Keys that no writer makes


@pytest.mark.parametrize("key", ["log/2027/x", "log/2027", "log/x", "log/2026-x/y", "log/2027/tile/9/x"])
def test_a_strange_key_is_a_notice_and_no_log(key: str, desk: Desk) -> None:
    desk.log.bucket.put(key, b"x", desk.log.clock)
    report = desk.report("bucket", "tests")
    assert (report["exit"], report["findings_by_code"]) == (0, {"unknown-object": 1})
    assert [one["year"] for one in report["years"]] == [2026]
    assert desk.report("archive", desk.export())["findings_by_code"] == {"unknown-object": 1}
    assert desk.report("archive", desk.export("--train", "payments", to="part"))["exit"] == 0


def test_a_log_that_was_deleted_whole_is_not_verified() -> None:
    log = fresh()
    for key in log.bucket.keys("log/"):
        log.bucket.marker(key, log.clock)
        del log.bucket.stored[key][1:]
    assert log.verify().exit is Exit.NOT_VERIFIED


# When a copy is judged


@pytest.fixture
def pending(tmp_path_factory: pytest.TempPathFactory) -> Callable[[timedelta], Report]:
    """Verify, so long after, an archive of a log whose last claim was an hour old when it was made."""
    log = Log()
    log.commit(log.leaf())
    log.commit(log.leaf(), publish=False)
    folder = tmp_path_factory.mktemp("copies") / "archive"
    export(log.bucket, log.trust, (log.heads.key,), (), Selection(), folder, progress=lambda step, done: None)
    text = (folder / "versions.jsonl").read_text().splitlines()
    header = {**json.loads(text[0]), "exported_at": (log.clock + timedelta(hours=1)).isoformat()}
    (folder / "versions.jsonl").write_text("\n".join([json.dumps(header), *text[1:], ""]))

    def verified(after: timedelta) -> Report:
        return verify(open_archive(folder), log.trust, Options(), now=log.clock + after)

    return verified


def test_an_archive_is_judged_as_of_when_it_was_made(pending: Callable[[timedelta], Report]) -> None:
    for after in (timedelta(hours=2), timedelta(days=900)):
        report = pending(after)
        assert (report.exit, dict(report.findings.counts)) == (0, {"head-pending": 1})
        assert any("judged as of 2026-03-01T01:00:20" in one for one in report.not_excluded)


def test_an_archive_is_judged_no_earlier_than_its_newest_object() -> None:
    log = Log()
    log.commit(log.leaf())
    log.commit(log.leaf(), publish=False)
    log.bucket.live, log.bucket.taken_at = False, log.clock - timedelta(days=90)
    assert log.verify().judged_at == log.clock
    log.bucket.taken_at = log.clock + timedelta(days=90)
    report = log.verify(now=log.clock + timedelta(days=99))
    assert (report.judged_at, dict(report.findings.counts)) == (log.bucket.taken_at, {"head-overdue": 1})
    log.bucket.taken_at = None
    for several in log.bucket.stored.values():
        for one in several:
            one.version = replace(one.version, modified=None)
    report = log.verify(retention=False)
    assert (report.judged_at, dict(report.findings.counts)) == (None, {"head-pending": 1})
    assert any("nothing says when it was made" in one for one in report.not_excluded)


def test_a_bucket_is_judged_by_the_verifiers_clock() -> None:
    log = Log()
    log.commit(log.leaf())
    log.commit(log.leaf(), publish=False)
    log.bucket.taken_at = log.clock
    assert dict(log.verify(now=log.clock + timedelta(days=2)).findings.counts) == {"head-overdue": 1}


# What an incremental verification leaves out


def test_what_lies_before_the_trusted_head_is_named_as_unread() -> None:
    log = fresh()
    report = log.verify(since=read_head(log.checkpoint(264), log.trust, "kept"))
    assert report.exit == 0
    assert any(one.startswith("2026: the entries 0 to 263 and the years before") for one in report.unchecked)
    assert not any("older" in one for one in report.proven)


def test_a_log_shorter_than_the_size_that_was_asked_for_is_rewound(desk: Desk) -> None:
    report = desk.report("bucket", "tests", "--since", "400", "--year", "2026")
    assert (report["verdict"], report["findings_by_code"]) == ("not-verified", {"rewound": 1})
    assert report["first_bad"] == {"year": 2026, "index": 310}
    (found,) = report["findings"]
    assert (found["expected"], found["found"]) == (
        "at least 400 entries, as was asked for",
        "310 under signed heads",
    )


def test_a_trusted_size_whose_head_was_tampered_with_makes_all_be_verified(desk: Desk) -> None:
    desk.log.bucket.change(f"log/2026/checkpoints/{8:020d}", b"hello")
    report = desk.report("bucket", "tests", "--since", "8", "--year", "2026")
    assert report["findings_by_code"] == {"checkpoint-malformed": 1}
    assert report["years"][0]["start"] == 0


def test_a_missing_tile_before_the_trusted_head_makes_all_be_verified() -> None:
    log = Log()
    for _ in range(3):
        log.commit(*[log.leaf() for _ in range(300)])
    log.bucket.remove("log/2026/tile/1/000.p/2")
    log.bucket.remove("log/2026/tile/1/000.p/3")
    report = log.verify(since=read_head(log.checkpoint(600), log.trust, "kept"))
    assert dict(report.findings.counts) == {"partial-missing": 1}
    assert report.unchecked[0].startswith("it was verified as a whole: ")


def test_since_nothing_is_all(desk: Desk) -> None:
    report = desk.report("bucket", "tests", "--since", "0", "--year", "2026")
    assert (report["exit"], report["years"][0]["start"], report["years"][0]["proven"]) == (0, 0, 310)


@pytest.mark.parametrize("year", ["5", "-1", "99999"])
def test_a_year_that_no_log_can_have_is_wrong_usage(desk: Desk, year: str) -> None:
    status, _, err = desk.run("bucket", "tests", "--since", "8", "--year", year)
    assert (status, err) == (2, f"interlock-verify: --year {year}: expected four digits\n")


def test_a_year_without_a_log_is_said(desk: Desk) -> None:
    status, _, err = desk.run("bucket", "tests", "--since", "8", "--year", "2031")
    assert status == 3
    assert "has no log of 2031" in err


# Witnesses


@pytest.mark.parametrize(
    ("witnesses", "since", "said"),
    [
        ([], None, "2026: consistent; a rewind by its operators is not excluded: no head that was kept"),
        ([254], None, "2026: consistent; up to entry 253 it is what the witness saw; after that a rewind"),
        (
            [254, 600],
            None,
            "2026: consistent, and up to entry 599 what the witness saw; what was cut off before",
        ),
        ([], "kept", "2026: consistent; up to entry 263 it is what the witness saw; after that a rewind"),
        (
            [],
            f"log/2026/checkpoints/{264:020d}",
            "2026: consistent; a rewind by its operators is not excluded",
        ),
        (
            [4],
            f"log/2026/checkpoints/{264:020d}",
            "2026: consistent; a rewind by its operators is not excluded",
        ),
    ],
)
def test_what_a_witness_does_not_exclude_is_said(witnesses: list[int], since: str | None, said: str) -> None:
    log = fresh()
    report = log.verify(
        witnesses=[Witness(f"w{size}", log.checkpoint(size)) for size in witnesses],
        since=read_head(log.checkpoint(264), log.trust, since) if since else None,
    )
    assert report.exit == 0
    assert report.not_excluded[0].startswith(said)


# Seals


def sealed(*lists: list[str], kinds: int = 2, after: timedelta = timedelta(days=2), **more: object) -> Report:
    """A run of so many statements, and a seal for each list; a run without a seal beside it."""
    log = Log()
    leaves = [log.leaf(run=RUN) for _ in range(kinds)]
    log.commit(*leaves, log.leaf())
    for one in lists:
        said = {"statements": one, "complete": True, "outcome": "all-new", **more}
        log.commit(log.leaf("seal", RUN, **said))
    return log.verify(now=log.clock + after)


def own(number: int) -> str:
    """The digest of the run's statement."""
    log = Log()
    return [sha256(log.payload(run=RUN)) for _ in range(number)][-1]


def test_a_seal_whose_list_is_there_is_said_and_a_run_without_one_too() -> None:
    report = sealed([own(1), own(2)])
    assert dict(report.findings.counts) == {}
    assert "1 runs have a seal, and all that their seals list is there" in report.proven
    assert any(one.startswith("1 runs have no seal here") for one in report.not_excluded)
    assert (report.counts["runs sealed"], report.counts["runs without a seal"]) == (1, 1)


def test_a_seal_that_lists_what_is_not_there_says_nothing_good() -> None:
    report = sealed([own(1), "a" * 64])
    assert dict(report.findings.counts) == {"seal-gap": 1, "seal-unlisted": 1}
    assert not any("have a seal" in one for one in report.proven)
    (found,) = [one for one in report.findings if one.code == "seal-gap"]
    assert found.found.startswith("1 are not in the log: ")


def test_the_lists_of_two_seals_are_taken_together() -> None:
    report = sealed([own(1)], [own(2)])
    assert dict(report.findings.counts) == {}
    said = "1 runs have a seal (1 have several, taken together), and all that their seals list is there"
    assert said in report.proven


def test_a_seal_that_lists_older_statements_says_so_where_they_were_not_read() -> None:
    log = Log()
    log.commit(*[log.leaf(run=RUN) for _ in range(300)])
    log.commit(log.leaf("seal", RUN, statements=[own(1), own(2)], complete=True, outcome="all-new"))
    report = log.verify(since=read_head(log.checkpoint(300), log.trust, "kept"))
    assert (report.exit, report.counts["listed by seals and elsewhere"]) == (0, 2)
    assert any("2 statements that seals list and that are older" in one for one in report.unchecked)
    assert any(one.endswith("but for 2 statements that are not in what was read") for one in report.proven)


def test_a_seal_that_lists_statements_of_another_run_is_found() -> None:
    log, other = Log(), Run("train", "run-8")
    mine, theirs = log.leaf(run=RUN), log.leaf(run=other)
    log.commit(mine, theirs)
    log.commit(first := log.seal(RUN, mine))
    log.commit(log.seal(RUN, mine, first))  # a seal may list the one before it
    assert dict(log.verify().findings.counts) == {}
    log.commit(log.seal(RUN, mine, theirs))
    report = log.verify()
    assert dict(report.findings.counts) == {"seal-foreign": 1}
    assert report.first_bad == (2026, 4)


@pytest.mark.parametrize("complete", [False, "no", None])
def test_a_seal_that_may_not_list_all_is_said_in_the_verdict(complete: object) -> None:
    report = sealed([own(1), own(2)], complete=complete, incomplete_because="the log could not be read")
    assert (report.exit, dict(report.findings.counts)) == (0, {"seal-incomplete": 1})
    said = "1 runs have a seal that says that it may not list all of their statements"
    assert said in report.not_excluded


@pytest.mark.parametrize("options", [{}, {"blobs": False}])
def test_a_seal_whose_list_was_altered_proves_nothing(options: dict[str, bool]) -> None:
    log = Log()
    log.commit(log.leaf("seal", RUN, blob=True, complete=True, outcome="all-new"), log.leaf(run=RUN))
    (key,) = log.bucket.keys("evidence/")
    log.bucket.change(key, b'{"statements":[]}')
    report = log.verify(**options)
    assert report.exit is (Exit.INCOMPLETE if options else Exit.NOT_VERIFIED)
    assert "what 1 seals list: the evidence that holds their lists" in report.missing
    assert not any("have a seal" in one for one in report.proven)
    assert "seal-unlisted" not in report.findings.counts


# Times of locks


def test_a_lock_of_a_version_without_a_time_is_not_called_long_enough() -> None:
    log = fresh()
    stored = log.bucket.stored[seq(3)][0]
    stored.version = replace(stored.version, modified=None)
    report = log.verify()
    assert (report.exit, dict(report.findings.counts)) == (4, {})
    assert report.missing == ["for how long 1 versions are locked: nothing says when the store took them"]


def test_evidence_has_to_be_locked_as_long_as_the_newest_statement_that_names_it() -> None:
    log = Log()
    log.commit(leaf := log.leaf(blob=True))
    (key,) = log.bucket.keys("evidence/")
    payload = json.loads(base64.b64decode(json.loads(leaf)["payload"]))
    log.clock += timedelta(days=30)
    payload["predicate"]["at"] = rfc3339(log.clock)
    log.commit(log.statements.envelope(canonical(payload)))
    report = log.verify()
    assert dict(report.findings.counts) == {"retention-short": 1}
    (found,) = report.findings
    assert (found.object, found.place) == (key, (2026, 0))
    assert found.found.endswith(", 30 days short")
    log.bucket.stored[key][0].lock = Retention("GOVERNANCE", log.clock + KEEP)
    assert dict(log.verify().findings.counts) == {}


def test_years_of_a_copy_are_compared_as_of_when_it_was_made() -> None:
    old = Log(Bucket(live=False))
    old.commit(old.leaf())
    new = old.next_year()
    for key in old.bucket.keys("log/2026/"):
        old.bucket.remove(key)
    old.bucket.taken_at = NOW.replace(year=2027)
    later = NOW + KEEP * 3
    assert dict(new.verify(now=later).findings.counts) == {"year-missing": 1}
    old.bucket.live = True
    assert dict(new.verify(now=later).findings.counts) == {}

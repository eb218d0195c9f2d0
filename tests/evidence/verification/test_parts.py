"""What a part of a log says of itself is compared with what was signed, and what it can't show is said."""

from __future__ import annotations

import json
import shutil
from datetime import timedelta
from pathlib import Path

import pytest
from auditors_desk import Desk, desk
from test_archives import R, forget
from test_equivocation import add, receipt

from interlock.evidence.statement import Run
from interlock.evidence.verification.selection import Selection, SelectionError

__all__ = ["desk"]

LIST = "versions.jsonl"


def reheader(folder: Path, **change: object) -> None:
    first, *rest = (folder / LIST).read_text().splitlines(True)
    (folder / LIST).write_text("".join([json.dumps({**json.loads(first), **change}) + "\n", *rest]))


def night(desk: Desk) -> None:
    """A run over midnight: the entries 310, of the first day, 311 and its seal 312, of the second."""
    log, run = desk.log, Run("promotion_train__night", "manual__3")
    log.commit(first := log.leaf(run=run))
    log.clock += timedelta(days=1)
    log.commit(second := log.leaf(run=run))
    log.commit(log.seal(run, first, second))


# What it says that it holds


@pytest.mark.parametrize(
    ("asked", "selection", "words"),
    [
        (["--train", "payments"], {"train": "payments"}, "train payments"),
        (
            ["--day", "2026-03-02"],
            {"from": "2026-03-02", "to": "2026-03-02"},
            "2026-03-02 to 2026-03-02, UTC",
        ),
        (
            ["--run", "promotion_train__search/manual__2"],
            {"dag_id": "promotion_train__search", "run_id": "manual__2"},
            "run promotion_train__search/manual__2",
        ),
    ],
)
def test_the_report_names_what_a_part_says_that_it_holds(
    desk: Desk, asked: list[str], selection: dict[str, str], words: str
) -> None:
    night(desk)
    folder = desk.export(*asked)
    assert desk.report("archive", folder)["selection"] == selection
    _, out, _ = desk.run("archive", folder)
    assert f"  a part, which says that it holds: {words}" in out.splitlines()
    assert f"there may be more of {words} in the log: statements that who made this part left out" in out


@pytest.mark.parametrize(
    "said",
    [{}, [], "train", {"train": ""}, {"train": 1}, {"train": "a", "run_id": "b"}, {"from": "2026-03-01"},
     {"from": "2026-03-02", "to": "2026-03-01"}, {"from": "yesterday", "to": "today"}, {"dag_id": "a"}],
)  # fmt: skip
def test_what_is_no_selection_is_refused(desk: Desk, said: object) -> None:
    with pytest.raises(SelectionError):
        Selection.of_json(said)
    folder = desk.export("--train", "payments")
    reheader(folder, selection=said)
    status, out, err = desk.run("archive", folder)
    assert (status, out) == (3, "")
    assert "versions.jsonl, line 1: " in err


def test_a_part_that_does_not_say_what_it_holds_is_incomplete(desk: Desk) -> None:
    folder = desk.export("--train", "payments")
    reheader(folder, selection=None, what="everything")
    report = desk.report("archive", folder)
    assert (report["exit"], report["findings"], report["selection"]) == (4, [], None)
    assert report["missing"] == ["which entries of the log this part holds: it doesn't say what was selected"]


def test_an_entry_that_is_not_of_what_the_part_says_is_found(desk: Desk) -> None:
    folder = desk.export("--train", "payments")
    add(folder, "another", receipt(desk.log, 5, 310))
    report = desk.report("archive", folder)
    assert report["findings_by_code"] == {"entry-outside": 1}
    assert report["first_bad"] == {"year": 2026, "index": 5}
    (found,) = report["findings"]
    assert found["expected"] == "a statement of train payments, or one that a seal in it lists"
    assert found["found"].startswith("lock of promotion_train__search/manual__2, 2026-03-01T")


def test_a_part_of_a_day_does_not_pass_for_one_of_another(desk: Desk) -> None:
    night(desk)
    folder = desk.export("--day", "2026-03-02")
    reheader(folder, selection={"from": "2026-03-03", "to": "2026-03-03"})
    report = desk.report("archive", folder)
    # What the seal lists is taken with it; it itself is of the day before.
    assert report["findings_by_code"] == {"entry-outside": 1}
    assert report["first_bad"] == {"year": 2026, "index": 312}


@pytest.mark.parametrize(
    ("asked", "index"), [(["--day", "2026-03-02"], 310), (["--run", "promotion_train__night/manual__3"], 311)]
)
def test_a_seal_whose_statements_were_taken_out_is_found_whatever_the_header_says(
    desk: Desk, asked: list[str], index: int
) -> None:
    night(desk)
    folder = desk.export(*asked)
    (folder / f"receipts/2026/{index:020d}.tlog-proof").unlink()
    forget(folder, f'"entries":[{index}]')
    reheader(folder, closed=False)
    report = desk.report("archive", folder)
    assert report["findings_by_code"] == {"seal-gap": 1}
    assert "1 are not in this part: " in report["findings"][0]["found"]


def test_a_run_that_went_on_over_midnight_is_whole_in_the_part_of_its_last_day(desk: Desk) -> None:
    night(desk)
    report = desk.report("archive", desk.export("--day", "2026-03-02"))
    assert (report["verdict"], report["counts"]["entries"]) == ("verified", 3)
    assert report["counts"]["runs sealed"] == 1


def test_a_run_whose_seal_is_not_in_its_part_is_not_known_to_be_whole(desk: Desk) -> None:
    folder = desk.export("--run", "promotion_train__search/manual__2")
    assert desk.report("archive", folder)["exit"] == 0
    (folder / "receipts/2026/00000000000000000009.tlog-proof").unlink()
    forget(folder, '"entries":[9]')
    report = desk.report("archive", folder)
    assert (report["exit"], report["findings"]) == (4, [])
    assert report["missing"] == [
        "whether all of run promotion_train__search/manual__2 is here: no seal is, which would list it"
    ]


# Versions and locks


def test_objects_of_which_no_lock_is_shown_are_named(desk: Desk) -> None:
    folder = desk.export("--train", "payments")
    lines = (folder / LIST).read_text().splitlines(True)
    assert len(lines) == 6
    (folder / LIST).write_text("".join(lines[:3]))
    report = desk.report("archive", folder)
    assert (report["exit"], report["findings"]) == (4, [])
    (blob,) = (folder / "objects/evidence/sha256").iterdir()
    claims = f"log/2026/seq/{0:020d}, log/2026/seq/{2:020d}"
    assert report["missing"] == [
        f"the locks of 3 objects, of which none is shown: evidence/sha256/{blob.name}, {claims}"
    ]
    assert not any("are locked" in one for one in report["proven"])


def test_a_claim_that_was_deleted_or_written_again_is_found_in_a_part(desk: Desk) -> None:
    bucket = desk.log.bucket
    bucket.put(f"log/2026/seq/{0:020d}", b"another", desk.log.clock)
    bucket.marker(f"log/2026/seq/{2:020d}", desk.log.clock)
    report = desk.report("archive", desk.export("--train", "payments"))
    assert report["findings_by_code"] == {"second-version": 1, "delete-marker": 1}
    assert [one["index"] for one in report["findings"]] == [0, 8]


# Receipts


def test_copies_of_a_receipt_count_once(desk: Desk) -> None:
    folder = desk.export("--train", "payments")
    for name in ("copy", "another-copy"):
        shutil.copy(folder / R, folder / f"receipts/2026/{name}.tlog-proof")
    report = desk.report("archive", folder)
    assert (report["exit"], report["counts"]["entries"], report["years"][0]["proven"]) == (0, 5, 5)
    assert report["grades"] == {"signed then": 5}


def test_a_statement_of_the_future_is_found_in_a_part_and_in_its_receipt(desk: Desk) -> None:
    log, run = desk.log, Run("promotion_train__payments", "manual__9")
    log.clock += timedelta(days=1)
    tomorrow = log.leaf(run=run)
    log.clock += timedelta(days=365_000)
    far = log.leaf(run=run)
    log.clock -= timedelta(days=365_001)
    log.commit(tomorrow)
    log.commit(far)
    folder = desk.export("--run", "promotion_train__payments/manual__9")
    report = desk.report("archive", folder)
    assert report["findings_by_code"] == {"clock-future": 2}
    assert report["findings"][0]["expected"].endswith("as of when it is judged")
    receipts = [folder / f"receipts/2026/{index:020d}.tlog-proof" for index in (310, 311)]
    assert desk.report("receipt", receipts[0])["exit"] == 0  # by the verifier's clock it is no more to come
    assert desk.report("receipt", receipts[1])["findings_by_code"] == {"clock-future": 1}
    forget(folder, '"last_modified"')
    assert desk.report("archive", folder)["findings_by_code"] == {"clock-future": 1}


# The story


def test_the_report_as_json_tells_the_story_of_a_run(desk: Desk) -> None:
    folder = desk.export("--run", "promotion_train__payments/manual__1")
    told = desk.report("archive", folder)["statements"]
    assert [(one["index"], one["kind"]) for one in told] == [
        (0, "plan"), (1, "lock"), (2, "promote"), (3, "verify"), (8, "seal"),
    ]  # fmt: skip
    assert {one["run"] for one in told} == {"promotion_train__payments/manual__1"}
    assert told[4]["says"] == ["outcome: all-new"]
    assert told[2]["receipt"] == R
    assert (folder / told[2]["blob"]).is_file()
    assert desk.report("bucket", "tests")["statements"] is None
